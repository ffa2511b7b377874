//! Request heads: `RequestHead::parse`.

use super::TIGHT;
use super::head_rules::{Verdict, fields_are_what_they_claim, no_end_is_missed, same_however_it_arrives};
use proto::fault::WireFault;
use proto::http1::fields::{is_token, valid_host};
use proto::http1::head::{Method, Parsed, RequestHead, TargetForm, Version, worth_parsing_again};
use proto::limits::HeadLimits;

pub fn run(bytes: &[u8]) {
    for limits in [HeadLimits::default(), TIGHT] {
        same_however_it_arrives(bytes, |part| read(part, &limits));
        let mut head = RequestHead::new();
        if head.parse(bytes, &limits) == Ok(Parsed::Complete) {
            parts_are_what_they_claim(bytes, &head, &limits);
            a_used_head_reads_the_same(bytes, &head, &limits);
        }
    }
    no_end_is_missed(bytes, worth_parsing_again, |part| RequestHead::new().parse(part, &HeadLimits::default()).ok());
}

fn read(bytes: &[u8], limits: &HeadLimits) -> Verdict<WireFault> {
    let mut head = RequestHead::new();
    Ok(match head.parse(bytes, limits)? {
        Parsed::Partial => None,
        Parsed::Complete => Some((head.len, format!("{head:?}"))),
    })
}

fn parts_are_what_they_claim(bytes: &[u8], head: &RequestHead, limits: &HeadLimits) {
    let method = head.method_span.of(bytes);
    let target = head.target.of(bytes);
    assert!(is_token(method));
    assert_eq!(head.method, Method::of(method));
    assert!(!target.is_empty() && target.iter().all(|&b| b > b' ' && b < 0x7f && b != b'#'));
    let start = head.method_span.at as usize;
    assert!(start == 0 || &bytes[..start] == b"\r\n");
    // Exactly: method SP target SP version CRLF.
    let minor = bytes[head.target.end() + 8];
    let line = [method, b" ", target, b" HTTP/1.", &[minor], b"\r\n"].concat();
    assert!(bytes[start..].starts_with(&line), "the request line is not its parts");
    assert!(line.len() - 2 <= limits.request_line_bytes as usize);
    assert_eq!(head.version == Version::Http10, minor == b'0');
    fields_are_what_they_claim(bytes, &head.fields, head.kinds, head.len, start + line.len(), limits);
    target_is_its_parts(bytes, head);
    let host = head.host.of(bytes);
    assert!(valid_host(host) || (host.is_empty() && head.version == Version::Http10), "a host nobody may believe");
}

fn target_is_its_parts(bytes: &[u8], head: &RequestHead) {
    let (target, path, query) = (head.target.of(bytes), head.path.of(bytes), head.query.of(bytes));
    let behind = if head.has_query { [b"?", query].concat() } else { Vec::new() };
    match head.target_form {
        TargetForm::Origin => {
            assert!(path.starts_with(b"/"));
            assert_eq!([path, &behind].concat(), target);
        }
        TargetForm::Absolute => {
            let authority = head.authority.of(bytes);
            assert_eq!(head.host, head.authority);
            assert!(target.ends_with(&[authority, path, &behind].concat()));
            assert!(path.is_empty() || path.starts_with(b"/"));
        }
        TargetForm::Authority => assert!(head.method == Method::Connect && path.is_empty()),
        TargetForm::Asterisk => assert!(head.method == Method::Options && target == b"*"),
    }
    assert_eq!(head.method == Method::Connect, head.target_form == TargetForm::Authority);
}

/// A worker uses one head for all requests: what an earlier one left must not show.
fn a_used_head_reads_the_same(bytes: &[u8], wanted: &RequestHead, limits: &HeadLimits) {
    let mut used = RequestHead::new();
    let earlier = b"OPTIONS http://z:9/q?r HTTP/1.0\r\nHost: y\r\nExpect: x\r\nTE: t\r\n\r\n";
    let _ = used.parse(earlier, &HeadLimits::default());
    let _ = used.parse(b"CONNECT q:1 HTTP/1.1\r\nX: y\r\n", &HeadLimits::default());
    assert_eq!(used.parse(bytes, limits), Ok(Parsed::Complete));
    assert_eq!(format!("{used:?}"), format!("{wanted:?}"), "an earlier request shows");
}

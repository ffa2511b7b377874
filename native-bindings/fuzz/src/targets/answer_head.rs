//! Answer heads: `ResponseHead::parse`.

use super::TIGHT;
use super::head_rules::{Verdict, fields_are_what_they_claim, no_end_is_missed, same_however_it_arrives};
use proto::fault::WireFault;
use proto::http1::head::{Parsed, ResponseHead, Version, worth_parsing_again};
use proto::limits::HeadLimits;

pub fn run(bytes: &[u8]) {
    for limits in [HeadLimits::default(), TIGHT] {
        same_however_it_arrives(bytes, |part| read(part, &limits));
        let mut head = ResponseHead::new();
        if head.parse(bytes, &limits) == Ok(Parsed::Complete) {
            parts_are_what_they_claim(bytes, &head, &limits);
        }
    }
    no_end_is_missed(bytes, worth_parsing_again, |part| ResponseHead::new().parse(part, &HeadLimits::default()).ok());
}

fn read(bytes: &[u8], limits: &HeadLimits) -> Verdict<WireFault> {
    let mut head = ResponseHead::new();
    // What an earlier answer left must not show.
    let _ = head.parse(b"HTTP/1.0 404 gone\r\nConnection: close\r\n\r\n", &HeadLimits::default());
    Ok(match head.parse(bytes, limits)? {
        Parsed::Partial => None,
        Parsed::Complete => Some((head.len, format!("{head:?}"))),
    })
}

fn parts_are_what_they_claim(bytes: &[u8], head: &ResponseHead, limits: &HeadLimits) {
    assert!((100..1000).contains(&head.status));
    let reason = head.reason.of(bytes);
    assert!(reason.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)), "a control in the reason");
    let minor = bytes[7];
    assert_eq!(head.version == Version::Http10, minor == b'0');
    let front = [b"HTTP/1.", [minor].as_slice(), b" ", head.status.to_string().as_bytes()].concat();
    let line = [&front, b" ".as_slice(), reason, b"\r\n"].concat();
    let bare = [&front, b"\r\n".as_slice()].concat();
    let is_bare = bytes.starts_with(&bare);
    assert!(bytes.starts_with(&line) || (is_bare && reason.is_empty()), "the status line is not its parts");
    let end = if is_bare { bare.len() } else { line.len() };
    fields_are_what_they_claim(bytes, &head.fields, head.kinds, head.len, end, limits);
}

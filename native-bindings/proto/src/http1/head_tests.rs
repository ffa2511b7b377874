//! Tests of head.rs and the lines it is made of. What a head means is in test/vectors; here are the limits, the
//! spans, and what a partial head costs.

use super::*;
use crate::http1::field_lines::value_end;

const REQUEST: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: x\r\nA:b\r\nC:  d \r\nE: \r\nF:\r\n\r\n";

fn parse(bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, WireFault> {
    RequestHead::new().parse(bytes, limits)
}

#[test]
fn only_lines_in_normal_form_are_plain() {
    let mut head = RequestHead::new();
    assert_eq!(head.parse(REQUEST, &HeadLimits::default()), Ok(Parsed::Complete));
    let lines: Vec<Option<&[u8]>> = head.fields.iter().map(|f| f.plain.then(|| &REQUEST[f.line()])).collect();
    assert_eq!(lines, [Some(b"Host: x\r\n".as_slice()), None, None, Some(b"E: \r\n"), None]);
    let values: Vec<&[u8]> = head.fields.iter().map(|f| f.value.of(REQUEST)).collect();
    assert_eq!(values, [b"x".as_slice(), b"b", b"d", b"", b""]);
}

#[test]
fn a_head_is_as_long_as_the_limit_or_refused() {
    let at = |head_bytes: usize| HeadLimits { head_bytes: head_bytes as u32, ..HeadLimits::default() };
    let len = REQUEST.len();
    assert_eq!(parse(REQUEST, &at(len)), Ok(Parsed::Complete));
    assert_eq!(parse(REQUEST, &at(len - 1)), Err(WireFault::HeadTooLarge));
    assert_eq!(parse(&REQUEST[..len - 1], &at(len)), Ok(Parsed::Partial));
    assert_eq!(parse(&REQUEST[..len - 1], &at(len - 1)), Err(WireFault::HeadTooLarge));
}

#[test]
fn no_plan_can_let_a_head_outgrow_its_spans() {
    let limits = HeadLimits { head_bytes: u32::MAX, request_line_bytes: u32::MAX, ..HeadLimits::default() };
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    bytes.resize(HEAD_BYTES_CEILING as usize - 4, b'x');
    bytes.extend_from_slice(b"\r\n\r\n");
    assert_eq!(parse(&bytes, &limits), Ok(Parsed::Complete));
    bytes.insert(40, b'x');
    assert_eq!(parse(&bytes, &limits), Err(WireFault::HeadTooLarge));
    let line = [b"GET /".as_slice(), &[b'x'; 80_000]].concat();
    assert_eq!(parse(&line, &limits), Err(WireFault::HeadTooLarge));
}

#[test]
fn a_request_line_is_as_long_as_the_limit_or_refused() {
    let at = |request_line_bytes: u32| HeadLimits { request_line_bytes, ..HeadLimits::default() };
    let line = b"GET /abc HTTP/1.1\r\n";
    assert_eq!(parse(line, &at(17)), Ok(Parsed::Partial));
    assert_eq!(parse(line, &at(16)), Err(WireFault::RequestLineTooLong));
    assert_eq!(parse(&line[..17], &at(16)), Err(WireFault::RequestLineTooLong));
    assert_eq!(parse(&line[..18], &at(17)), Ok(Parsed::Partial));
    assert_eq!(parse(b"\r\nGET /abc HTTP/1.1\r\n", &at(17)), Ok(Parsed::Partial));
    // The long line is what is wrong, whatever stands in the part nobody looks at.
    assert_eq!(parse(b"GET /abcdefghijklmnop<> HTTP/1.1\r\n", &at(16)), Err(WireFault::RequestLineTooLong));
}

#[test]
fn one_field_too_many_is_refused_at_its_first_byte() {
    let limits = HeadLimits { field_count: 1, ..HeadLimits::default() };
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\n", &limits), Ok(Parsed::Partial));
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &limits), Ok(Parsed::Complete));
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nX", &limits), Err(WireFault::TooManyFields));
}

#[test]
fn nothing_of_the_last_head_is_left_in_the_next() {
    let mut head = RequestHead::new();
    let limits = HeadLimits::default();
    assert_eq!(head.parse(b"OPTIONS http://b/x?y HTTP/1.0\r\nTE: a\r\n\r\n", &limits), Ok(Parsed::Complete));
    assert_eq!(head.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &limits), Ok(Parsed::Complete));
    let mut fresh = RequestHead::new();
    assert_eq!(fresh.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &limits), Ok(Parsed::Complete));
    assert_eq!(format!("{head:?}"), format!("{fresh:?}"));
}

#[test]
fn the_end_of_a_value_is_found_wherever_it_is() {
    for len in 0..40 {
        for stop in 0..=len {
            for byte in [0, 1, 10, 13, 31, 127] {
                let mut bytes = vec![b'\t'; len];
                bytes.iter_mut().step_by(3).for_each(|b| *b = 0xff);
                if let Some(b) = bytes.get_mut(stop) {
                    *b = byte;
                }
                assert_eq!(value_end(&bytes, 0), stop, "{bytes:?}");
                assert_eq!(value_end(&bytes, stop), stop, "{bytes:?}");
            }
        }
    }
    for byte in 0..=255_u8 {
        let stops = (byte < 32 && byte != b'\t') || byte == 127;
        assert_eq!(value_end(&[byte; 9], 0), if stops { 0 } else { 9 }, "{byte}");
    }
}

#[test]
fn methods_are_told_by_case() {
    assert_eq!(Method::of(b"PATCH"), Method::Patch);
    assert_eq!(Method::of(b"patch"), Method::Other);
    assert!(Method::Get.is_safe() && !Method::Put.is_safe() && Method::Put.is_idempotent());
    assert!(!Method::Post.is_idempotent() && !Method::Other.is_idempotent() && !Method::Connect.is_safe());
}

#[test]
fn parsing_again_is_worth_it_only_when_something_may_have_ended() {
    let again = |before: &[u8], new: &[u8]| worth_parsing_again(before.len(), &[before, new].concat());
    assert!(again(b"", b"G"), "nothing has been parsed yet");
    assert!(!again(b"GET ", b"/abc HTTP/1"));
    assert!(!again(b"GET ", b""));
    assert!(again(b"GET / HTTP/1.1\r", b"\n"));
    assert!(again(b"GET /", b" HTTP/1.1\r\nHo"));
    assert!(!again(b"GET / HTTP/1.1", b"\r"), "its LF may still come");
    assert!(again(b"GET / HTTP/1.1\r", b"H"), "a bare CR");
    assert!(again(b"GET / ", b"HTTP\rX"), "a bare CR");
    assert!(again(b"GET /", b"\0"));
    assert!(again(&[b'a'; 1_000], &[b'a'; 24]), "a limit may have been passed");
    assert!(!again(&[b'a'; 1_000], &[b'a'; 23]));
}

//! Tests of framing.rs beside the vectors: the table of RFC 9112 6.3 for answers, and what Upgrade may name.

use super::*;
use crate::http1::head::Parsed;
use crate::limits::HeadLimits;

fn request(fields: &str) -> Result<RequestFraming, WireFault> {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let mut head = RequestHead::new();
    assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{fields:?}");
    decide_request(&bytes, &head)
}

fn answer(status: u16, method: Method, fields: &str) -> Result<AnswerFraming, WireFault> {
    let bytes = format!("HTTP/1.1 {status} X\r\n{fields}\r\n").into_bytes();
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{fields:?}");
    decide_answer(&bytes, &head, method)
}

#[test]
fn a_plain_request_has_no_body_and_keeps_its_connection() {
    assert_eq!(request("Accept: */*\r\n"), Ok(RequestFraming { keep_alive: true, ..RequestFraming::default() }));
}

#[test]
fn an_upgrade_names_protocols_that_are_not_http() {
    let asks = |upgrade: &str| request(&format!("Connection: upgrade\r\n{upgrade}")).map(|f| f.upgrade);
    assert_eq!(asks("Upgrade: websocket\r\n"), Ok(true));
    assert_eq!(asks("Upgrade: foo/2, WebSocket\r\n"), Ok(true));
    for refused in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "http/1.1", "h2", "a b", "a/b/c", "/a", "", "\"x\""] {
        assert_eq!(asks(&format!("Upgrade: {refused}\r\n")), Ok(false), "{refused}");
    }
    assert_eq!(asks("Upgrade: websocket\r\nUpgrade: h2c\r\n"), Ok(false), "every field counts");
    assert_eq!(asks("Upgrade: websocket\r\nContent-Length: 1\r\n"), Ok(false), "a body follows");
    assert_eq!(asks("Upgrade: websocket\r\nContent-Length: 0\r\n"), Ok(true), "no body follows");
    assert_eq!(asks("Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n"), Ok(false), "a body follows");
}

#[test]
fn s4_14_only_a_promise_by_name_that_no_length_keeps_is_broken() {
    let broken = |fields: &str| answer(200, Method::Get, fields).map(|framing| framing.promise_broken);
    assert_eq!(broken("Connection: keep-alive\r\n"), Ok(true));
    assert_eq!(broken("Connection: Keep-Alive\r\nKeep-Alive: timeout=60\r\n"), Ok(true));
    assert_eq!(broken(""), Ok(false), "1.1 keeps by default, which promises nothing");
    assert_eq!(broken("Connection: keep-alive, close\r\n"), Ok(false));
    assert_eq!(broken("Connection: keep-alive\r\nContent-Length: 7\r\n"), Ok(false));
    assert_eq!(broken("Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"), Ok(false));
    let head = answer(200, Method::Head, "Connection: keep-alive\r\n").map(|framing| framing.promise_broken);
    assert_eq!(head, Ok(false), "no body, no end to wait for");
}

#[test]
fn each_status_ends_its_answer_its_own_way() {
    use AnswerBody as B;
    let length = "Content-Length: 7\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    type Row = (u16, Method, &'static str, AnswerBody, Option<u64>, bool);
    let rows: &[Row] = &[
        (200, Method::Get, length, B::Length(7), None, false),
        (200, Method::Get, chunked, B::Chunked, None, false),
        (200, Method::Get, "", B::UntilClose, None, false),
        (404, Method::Post, "", B::UntilClose, None, false),
        (200, Method::Head, length, B::None, Some(7), false),
        (200, Method::Head, chunked, B::None, None, true),
        (200, Method::Head, "", B::None, None, false),
        (304, Method::Get, length, B::None, Some(7), false),
        (304, Method::Get, chunked, B::None, None, true),
        (204, Method::Get, length, B::None, None, false),
        (204, Method::Get, chunked, B::None, None, false),
        (100, Method::Get, length, B::None, None, false),
        (103, Method::Head, chunked, B::None, None, false),
        (205, Method::Get, "Content-Length: 0\r\n", B::Length(0), None, false),
    ];
    for &(status, method, fields, body, length_told, chunked_told) in rows {
        let framing = answer(status, method, fields).unwrap_or_else(|f| panic!("{status} {fields:?}: {f:?}"));
        let found = (framing.body, framing.length_told, framing.chunked_told);
        assert_eq!(found, (body, length_told, chunked_told), "{status} {method:?} {fields:?}");
        assert_eq!(framing.keep_alive, body != B::UntilClose, "{status} {method:?} {fields:?}");
    }
}

#[test]
fn a_length_is_digits_up_to_63_bits() {
    let length = |value: &str| request(&format!("Content-Length: {value}\r\n")).map(|f| f.body);
    assert_eq!(length("9223372036854775807"), Ok(RequestBody::Length(i64::MAX as u64)));
    assert_eq!(length("0000000000000000007"), Ok(RequestBody::Length(7)));
    for refused in ["9223372036854775808", "9999999999999999999", "10000000000000000000", "1.0", "1e3", "٣"] {
        assert_eq!(length(refused), Err(WireFault::LengthInvalid), "{refused}");
    }
}

#[test]
fn an_expectation_besides_100_continue_is_unknown() {
    let framing = request("Expect: 100-continue, x\r\nContent-Length: 1\r\n").expect("a valid request");
    assert!(framing.expect_continue && framing.expectation_unknown);
    let framing = request("Expect:\r\nContent-Length: 1\r\n").expect("a valid request");
    assert!(!framing.expect_continue && !framing.expectation_unknown);
}

#[test]
fn a_keep_alive_timeout_is_a_number_or_nothing() {
    let timeout = |value: &str| {
        let fields = format!("Keep-Alive: {value}\r\nContent-Length: 0\r\n");
        answer(200, Method::Get, &fields).map(|f| f.keep_alive_timeout_s)
    };
    assert_eq!(timeout("timeout=5"), Ok(Some(5)));
    assert_eq!(timeout("max=1,TIMEOUT=60"), Ok(Some(60)));
    for nothing in ["", "timeout", "timeout=", "timeout=x", "timeout=-1", "timeout=99999999999"] {
        assert_eq!(timeout(nothing), Ok(None), "{nothing}");
    }
}

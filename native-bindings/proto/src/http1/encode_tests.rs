//! Tests of encode.rs and what it writes through: each rule as a head before and after.

use super::*;
use crate::http1::framing::{decide_answer, decide_request};
use crate::http1::head::Parsed;
use crate::limits::HeadLimits;
use crate::plan::FieldLine;

fn set(name: &str, value: &str) -> FieldEdit {
    FieldEdit::Set { name: name.into(), value: value.into() }
}

fn add(name: &str, value: &str) -> FieldEdit {
    FieldEdit::Add { name: name.into(), value: value.into() }
}

fn remove(name: &str) -> FieldEdit {
    FieldEdit::Remove { name: name.into() }
}

/// Encodes a request as it was settled, after `change` has had its say.
fn request<'a>(text: &'a str, change: impl FnOnce(&mut RequestEncoding<'a>)) -> String {
    let bytes = text.as_bytes();
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{text:?}");
    let framing = decide_request(bytes, &head).expect("a valid request");
    let mut e = RequestEncoding {
        path: head.target.of(bytes),
        host: head.host.of(bytes),
        body: framing.body,
        upgrade: framing.upgrade,
        expect_continue: framing.expect_continue,
        nominated: framing.options.nominated,
        via: None,
        received_version: head.version,
        forwarding: Forwarding { client_ip: b"192.0.2.1", proto: b"http", ..Forwarding::default() },
        edits: &[],
        te_trailers: framing.te_trailers,
        drops: KindSet::EMPTY,
        lines: b"",
    };
    change(&mut e);
    let mut out = b"before".to_vec();
    encode_request(&mut out, bytes, &head, &e);
    String::from_utf8(out).expect("text").strip_prefix("before").expect("nothing is overwritten").to_owned()
}

fn plainly(text: &str) -> String {
    request(text, |_| {})
}

/// Encodes an answer to GET as it was settled, after `change` has had its say.
fn answer<'a>(text: &'a str, change: impl FnOnce(&mut AnswerEncoding<'a>)) -> String {
    let bytes = text.as_bytes();
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{text:?}");
    let framing = decide_answer(bytes, &head, Method::Get).expect("a valid answer");
    let mut e = AnswerEncoding {
        body: framing.body,
        length_told: framing.length_told,
        chunked_told: framing.chunked_told,
        nominated: framing.options.nominated,
        ..AnswerEncoding::default()
    };
    change(&mut e);
    let mut out = Vec::new();
    encode_answer(&mut out, bytes, &head, &e);
    String::from_utf8(out).expect("text")
}

#[test]
fn fields_keep_order_case_and_repetition() {
    let text = "GET /x HTTP/1.1\r\naCCept: 1\r\nHost: a\r\nX: 2\r\nX: 3\r\n\r\n";
    assert_eq!(plainly(text), text);
}

#[test]
fn lines_are_brought_into_normal_form() {
    let text = "GET / HTTP/1.1\r\nHost:a\r\nA:b\r\nC:\t d \r\nE:\r\nF: g\r\n\r\n";
    assert_eq!(plainly(text), "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: \r\nF: g\r\n\r\n");
}

#[test]
fn the_connection_of_the_client_ends_here() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nConnection: close, X-Hop, Cookie\r\nKeep-Alive: x\r\nB: 2\r\n\
                Proxy-Connection: x\r\nTE: gzip\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\nx-hop: 1\r\nCookie: c\r\n\
                HTTP2-Settings: x\r\ncontent_length: 3\r\nX_Forwarded_For: x\r\nTrailer: t\r\nC: 3\r\n\r\n";
    let wanted = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nCookie: c\r\nTrailer: t\r\nC: 3\r\n\r\n";
    assert_eq!(plainly(text), wanted);
}

#[test]
fn host_is_written_at_its_place() {
    let text = "GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\n\r\n";
    let written = request(text, |e| e.host = b"origin:81");
    assert_eq!(written, "GET / HTTP/1.1\r\nA: 1\r\nHost: origin:81\r\nB: 2\r\n\r\n");
    let written = request("GET / HTTP/1.0\r\nA: 1\r\n\r\n", |e| e.host = b"origin");
    assert_eq!(written, "GET / HTTP/1.1\r\nHost: origin\r\nA: 1\r\n\r\n");
}

#[test]
fn framing_is_written_anew() {
    let of = |method: &str, fields: &str| plainly(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let wanted = |method: &str, fields: &str| format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(of("POST", "content-length: 007\r\nA: b\r\n"), wanted("POST", "A: b\r\nContent-Length: 7\r\n"));
    assert_eq!(
        of("POST", "transfer-encoding: CHUNKED\r\nA: b\r\n"),
        wanted("POST", "A: b\r\nTransfer-Encoding: chunked\r\n")
    );
    for method in ["POST", "PUT", "PATCH"] {
        assert_eq!(of(method, ""), wanted(method, "Content-Length: 0\r\n"));
    }
    assert_eq!(of("DELETE", ""), wanted("DELETE", ""));
    assert_eq!(of("GET", "Content-Length: 0\r\n"), wanted("GET", "Content-Length: 0\r\n"));
}

#[test]
fn upgrade_stays_whatever_else_the_connection_field_names() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\nUpgrade: websocket\r\nConnection: x-a, upgrade\r\n\r\n";
    let wanted = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(plainly(text), wanted);
}

#[test]
fn expectation_te_and_upgrade_are_written_anew() {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n";
    let wanted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(plainly(text), wanted);
    let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, te\r\nUpgrade: websocket\r\nTE: trailers\r\n\r\n";
    let wanted = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nTE: trailers\r\nConnection: te, upgrade\r\n\r\n";
    assert_eq!(plainly(text), wanted);
    let written = request(text, |e| e.te_trailers = false);
    assert_eq!(written, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
}

const FORWARDED: &str = "GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
                         X-Real-IP: r\r\nForwarded: for=f\r\nx-forwarded-for: 2.2.2.2\r\nX-Forwarded-Port: 9\r\n\r\n";

#[test]
fn strangers_are_not_believed_about_others() {
    assert_eq!(plainly(FORWARDED), "GET / HTTP/1.1\r\nHost: a:1\r\n\r\n");
    let written = request(FORWARDED, |e| {
        e.forwarding.x_forwarded = true;
        e.forwarding.forwarded = true;
        e.host = b"origin";
    });
    let wanted = "GET / HTTP/1.1\r\nHost: origin\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
                  X-Forwarded-Host: a:1\r\nForwarded: for=192.0.2.1;host=\"a:1\";proto=http\r\n\r\n";
    assert_eq!(written, wanted);
}

#[test]
fn trusted_peers_are_believed_and_extended() {
    let written = request(FORWARDED, |e| e.forwarding.trusted_peer = true);
    assert_eq!(written, FORWARDED, "kept as it is when we add nothing");
    let written = request(FORWARDED, |e| {
        e.forwarding.trusted_peer = true;
        e.forwarding.x_forwarded = true;
        e.forwarding.forwarded = true;
    });
    let wanted = "GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: r\r\nForwarded: for=f\r\n\
                  X-Forwarded-Port: 9\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.1\r\nX-Forwarded-Host: a:1\r\n\
                  Forwarded: for=192.0.2.1;host=\"a:1\";proto=http\r\n\r\n";
    assert_eq!(written, wanted);
}

#[test]
fn a_v6_client_is_bracketed_only_where_it_must_be() {
    let written = request("GET / HTTP/1.0\r\n\r\n", |e| {
        e.host = b"o";
        e.forwarding.x_forwarded = true;
        e.forwarding.forwarded = true;
        e.forwarding.client_ip = b"2001:db8::1";
        e.forwarding.client_is_v6 = true;
    });
    let wanted = "GET / HTTP/1.1\r\nHost: o\r\nX-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n\
                  Forwarded: for=\"[2001:db8::1]\";proto=http\r\n\r\n";
    assert_eq!(written, wanted);
}

#[test]
fn via_is_added_behind_those_before_it() {
    let written = request("GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 x\r\nA: b\r\n\r\n", |e| e.via = Some(b"millrace"));
    assert_eq!(written, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 x\r\nA: b\r\nVia: 1.0 millrace\r\n\r\n");
}

#[test]
fn edits_hold_in_their_order() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nx: 3\r\nZ: 4\r\n\r\n";
    let edits = [remove("x"), add("X", "5"), set("Y", "6"), add("Z", "7"), add("Y", "8"), add("W", "9"), remove("W")];
    let written = request(text, |e| e.edits = &edits);
    assert_eq!(written, "GET / HTTP/1.1\r\nHost: a\r\nZ: 4\r\nX: 5\r\nY: 6\r\nZ: 7\r\nY: 8\r\n\r\n");
}

#[test]
fn edits_rule_over_what_we_add_but_never_over_framing() {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    let edits = [set("X-Forwarded-Proto", "https"), remove("via"), remove("Host"), set("Content-Length", "9")];
    let written = request(text, |e| {
        e.edits = &edits;
        e.via = Some(b"m");
        e.forwarding.x_forwarded = true;
    });
    let wanted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nX-Forwarded-For: 192.0.2.1\r\n\
                  X-Forwarded-Host: a\r\nX-Forwarded-Proto: https\r\n\r\n";
    assert_eq!(written, wanted);
}

#[test]
fn max_forwards_counts_down_where_it_counts() {
    let with = |method: &str, hops: &str| {
        let written = plainly(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\nA: b\r\n\r\n"));
        let line = written.lines().find_map(|line| line.strip_prefix("Max-Forwards: ").map(str::to_owned));
        line.expect("Max-Forwards stays")
    };
    assert_eq!((with("OPTIONS", "10"), with("TRACE", "1")), ("9".into(), "0".into()));
    assert_eq!((with("GET", "10"), with("TRACE", "x")), ("10".into(), "x".into()));
}

#[test]
fn an_answer_is_always_1_1_and_keeps_its_fields() {
    let text = "HTTP/1.0 200 Fine\tday\r\nServer: s\r\nA:b\r\nConnection: x\r\nX: y\r\nKeep-Alive: timeout=5\r\n\
                Proxy-Authenticate: p\r\nUpgrade: u\r\nTrailer: t\r\nContent_Length: 9\r\nSet-Cookie: 1\r\n\
                set-cookie: 2\r\nContent-Length: 3, 03\r\n\r\n";
    let wanted = "HTTP/1.1 200 Fine\tday\r\nServer: s\r\nA: b\r\nSet-Cookie: 1\r\nset-cookie: 2\r\n\
                  Content-Length: 3\r\n\r\n";
    assert_eq!(answer(text, |_| {}), wanted);
    assert_eq!(answer("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", |_| {}), {
        "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"
    });
}

#[test]
fn an_answer_is_framed_for_our_client() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: t\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTrailer: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(answer(text, |_| {}), chunked);
    let written = answer(text, |e| {
        e.body = AnswerBody::UntilClose;
        e.close = true;
    });
    assert_eq!(written, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let told = "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n";
    assert_eq!(answer(told, |_| {}), told);
    let none = "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n";
    assert_eq!(answer(none, |e| e.length_told = Some(7)), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", |e| e.keep_alive_http10 = true), {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n"
    });
}

#[test]
fn an_answer_keeps_upgrade_only_where_it_means_something() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(answer(text, |e| e.upgrade = true), wanted);
    let text = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n";
    let wanted = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 0\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(answer(text, |_| {}), wanted);
}

#[test]
fn an_answer_gets_a_date_and_via() {
    let with = |text: &str| {
        answer(text, |e| {
            e.date = Some(b"today");
            e.via = Some(b"m");
        })
    };
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(with(text), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 m\r\nDate: today\r\n\r\n");
    let text = "HTTP/1.1 200 OK\r\ndate: then\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(with(text), "HTTP/1.1 200 OK\r\ndate: then\r\nContent-Length: 0\r\nVia: 1.1 m\r\n\r\n");
}

#[test]
fn an_edit_of_the_date_or_the_hops_is_the_only_one() {
    let edits = [set("date", "never")];
    let written = answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", |e| {
        e.date = Some(b"today");
        e.edits = &edits;
    });
    assert_eq!(written, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\ndate: never\r\n\r\n");
    let edits = [set("max-forwards", "3")];
    let written = request("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n\r\n", |e| e.edits = &edits);
    assert_eq!(written, "TRACE / HTTP/1.1\r\nHost: a\r\nmax-forwards: 3\r\n\r\n");
}

#[test]
fn an_interim_answer_carries_no_framing() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: l\r\nContent-Length: 5\r\nConnection: x\r\nX: y\r\n\r\n";
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
    let mut out = Vec::new();
    encode_interim(&mut out, bytes, &head, true);
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n");
}

#[test]
fn our_own_answers_are_whole() {
    let mut out = Vec::new();
    let lines = [FieldLine { name: "X".into(), value: "y".into() }];
    let own = OwnAnswer {
        status: 502,
        fields: &[("Retry-After", "1")],
        lines: &lines,
        body: b"no\n",
        content_type: Some("text/plain"),
        date: Some(b"today"),
        server: Some("m"),
        close: true,
        ..OwnAnswer::default()
    };
    encode_own_answer(&mut out, &own);
    let head = "HTTP/1.1 502 Bad Gateway\r\nDate: today\r\nServer: m\r\nRetry-After: 1\r\nX: y\r\n\
                Content-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), format!("{head}no\n"));
    out.clear();
    encode_own_answer(&mut out, &OwnAnswer { head_only: true, ..own });
    assert_eq!(String::from_utf8_lossy(&out), head);
    out.clear();
    encode_own_answer(&mut out, &OwnAnswer { status: 204, body: b"x", ..OwnAnswer::default() });
    assert_eq!(String::from_utf8_lossy(&out), "HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn numbers_are_written_in_full() {
    let mut out = Vec::new();
    for number in [0, 9, 10, u64::MAX] {
        write_decimal(&mut out, number);
        out.push(b' ');
    }
    assert_eq!(out, b"0 9 10 18446744073709551615 ");
    out.clear();
    for len in [1, 15, 16, 500, usize::MAX] {
        write_chunk_header(&mut out, len);
    }
    assert_eq!(out, b"1\r\nf\r\n10\r\n1f4\r\nffffffffffffffff\r\n");
}

#[test]
fn dates_are_those_of_the_calendar() {
    let rows = [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ];
    for (seconds, text) in rows {
        let mut out = [0; 29];
        write_http_date(&mut out, seconds);
        assert_eq!(String::from_utf8_lossy(&out), text);
    }
}

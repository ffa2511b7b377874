//! Heads, framing and routes: what `proto` does with a request and its answer.

use crate::document::{map, plan, route};
use crate::samples::{ANSWER, BROWSER, SHORT, answer_head, encoding_of, request_head};
use napi_derive::napi;
use proto::http1::encode::encode_request;
use proto::http1::framing::{decide_answer, decide_request};
use proto::http1::head::{Method, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::route::{Asked, RouteTable};
use std::cell::RefCell;
use std::hint::black_box;

const UPLOAD: &[u8] =
    b"POST /upload HTTP/1.1\r\nHost: www.example.org\r\nContent-Type: application/octet-stream\r\n\
Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n";
/// Routes of the table, each with a host of its own; the last one is looked for.
const ROUTES: u32 = 200;

fn parse_request(bytes: &[u8], times: u32) -> u32 {
    let (mut head, limits) = (RequestHead::new(), HeadLimits::default());
    for _ in 0..times {
        head.parse(black_box(bytes), &limits)
            .expect("the head is valid");
        black_box(&head);
    }
    head.len as u32
}

#[napi]
pub fn parse_short_request(times: u32) -> u32 {
    parse_request(SHORT, times)
}

#[napi]
pub fn parse_browser_request(times: u32) -> u32 {
    parse_request(BROWSER, times)
}

#[napi]
pub fn parse_answer(times: u32) -> u32 {
    let (mut head, limits) = (ResponseHead::new(), HeadLimits::default());
    for _ in 0..times {
        head.parse(black_box(ANSWER), &limits)
            .expect("the head is valid");
        black_box(&head);
    }
    head.len as u32
}

fn frame_request(bytes: &[u8], times: u32) -> u32 {
    let head = request_head(bytes);
    let settled = (0..times).filter(|_| decide_request(black_box(bytes), black_box(&head)).is_ok());
    settled.count() as u32
}

#[napi]
pub fn frame_short_request(times: u32) -> u32 {
    frame_request(SHORT, times)
}

#[napi]
pub fn frame_chunked_upload(times: u32) -> u32 {
    frame_request(UPLOAD, times)
}

#[napi]
pub fn frame_answer(times: u32) -> u32 {
    let head = answer_head();
    let settled = (0..times)
        .filter(|_| decide_answer(black_box(ANSWER), black_box(&head), Method::Get).is_ok());
    settled.count() as u32
}

/// Writes a browser's request anew for the origin, with the fields the proxy adds by default.
#[napi]
pub fn encode_browser_request(times: u32) -> u32 {
    let head = request_head(BROWSER);
    let framing = decide_request(BROWSER, &head).expect("the framing is plain");
    let encoding = encoding_of(BROWSER, &head, &framing);
    let mut out = Vec::with_capacity(4096);
    for _ in 0..times {
        out.clear();
        encode_request(&mut out, black_box(BROWSER), black_box(&head), &encoding);
        black_box(&out);
    }
    out.len() as u32
}

thread_local! {
    static TABLE: RefCell<Option<RouteTable>> = const { RefCell::new(None) };
}

/// A plan with `ROUTES` routes, of which the last takes the browser's request.
fn routes() -> RouteTable {
    let host = |n: u32| {
        if n + 1 == ROUTES {
            "www.example.org".to_owned()
        } else {
            format!("host{n}.example.org")
        }
    };
    let path = map([("kind", "prefix".into()), ("value", "/assets/".into())]);
    let action = map([
        ("kind", "redirect".into()),
        ("status", 307.into()),
        ("location", "/".into()),
    ]);
    let route = |n: u32| route(vec![host(n).as_str().into()], path.clone(), action.clone());
    RouteTable::new(&plan(Vec::new(), (0..ROUTES).map(route).collect(), false))
}

#[napi]
pub fn find_route(times: u32) -> u32 {
    TABLE.with_borrow_mut(|kept| {
        let table = kept.get_or_insert_with(routes);
        let head = request_head(BROWSER);
        let asked = Asked {
            bytes: BROWSER,
            head: &head,
            path: head.path.of(BROWSER),
            secure: false,
        };
        (0..times).fold(0, |sum: u32, _| {
            sum.wrapping_add(
                table
                    .find(black_box(&asked))
                    .expect("the last route takes it"),
            )
        })
    })
}

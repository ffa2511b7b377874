//! Heads, framing and routes: what `proto` does with a request and its answer.

use napi_derive::napi;
use proto::http1::encode::{Forwarding, RequestEncoding, encode_request};
use proto::http1::framing::{decide_answer, decide_request};
use proto::http1::head::{Method, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::plan::{self, Plan};
use proto::route::{Asked, RouteTable};
use std::cell::RefCell;
use std::hint::black_box;

const SHORT: &[u8] = b"GET /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const BROWSER: &[u8] = b"GET /assets/app.3f9c1e.js?v=12 HTTP/1.1\r\n\
Host: www.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.org/account/orders?page=3\r\n\
Connection: keep-alive\r\n\
Cookie: session=9f8b7c6d5e4f3a2b1c0d; theme=dark; consent=yes\r\n\
Sec-Fetch-Dest: script\r\n\
Sec-Fetch-Mode: no-cors\r\n\
Sec-Fetch-Site: same-origin\r\n\
If-None-Match: \"3f9c1e-18a2\"\r\n\
Cache-Control: no-cache\r\n\r\n";
const UPLOAD: &[u8] = b"POST /upload HTTP/1.1\r\nHost: www.example.org\r\nContent-Type: application/octet-stream\r\n\
Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Fri, 13 Mar 2026 10:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\nContent-Length: 128\r\nETag: \"5-abc\"\r\nVary: Accept-Encoding\r\n\
Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n";
/// Routes of the table, each with a host of its own; the last one is looked for.
const ROUTES: u32 = 200;

fn parse_request(bytes: &[u8], times: u32) -> u32 {
    let (mut head, limits) = (RequestHead::new(), HeadLimits::default());
    for _ in 0..times {
        head.parse(black_box(bytes), &limits).expect("the head is valid");
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
        head.parse(black_box(ANSWER), &limits).expect("the head is valid");
        black_box(&head);
    }
    head.len as u32
}

fn parsed(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    head.parse(bytes, &HeadLimits::default()).expect("the head is valid");
    head
}

fn frame_request(bytes: &[u8], times: u32) -> u32 {
    let head = parsed(bytes);
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
    let mut head = ResponseHead::new();
    head.parse(ANSWER, &HeadLimits::default()).expect("the head is valid");
    let settled = (0..times).filter(|_| decide_answer(black_box(ANSWER), black_box(&head), Method::Get).is_ok());
    settled.count() as u32
}

/// Writes a browser's request anew for the origin, with the fields the proxy adds by default.
#[napi]
pub fn encode_browser_request(times: u32) -> u32 {
    let head = parsed(BROWSER);
    let framing = decide_request(BROWSER, &head).expect("the framing is plain");
    let encoding = RequestEncoding {
        path: head.target.of(BROWSER),
        host: head.host.of(BROWSER),
        body: framing.body,
        upgrade: false,
        expect_continue: false,
        nominated: framing.options.nominated,
        via: Some(b"millrace"),
        received_version: head.version,
        forwarding: Forwarding { x_forwarded: true, client_ip: b"127.0.0.1", proto: b"http", ..Forwarding::default() },
        edits: &[],
        te_trailers: false,
    };
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
    let route = |n: u32| plan::Route {
        name: format!("route {n}"),
        hosts: vec![if n + 1 == ROUTES { "www.example.org".into() } else { format!("host{n}.example.org") }],
        path: plan::PathMatch::Prefix { value: "/assets/".into() },
        methods: Vec::new(),
        headers: Vec::new(),
        action: plan::Action::Redirect { status: 307, location: "/".into() },
    };
    RouteTable::new(&Plan { routes: (0..ROUTES).map(route).collect(), ..empty_plan() })
}

fn empty_plan() -> Plan {
    let limits = HeadLimits::default();
    Plan {
        version: plan::PLAN_VERSION,
        name: "millrace".into(),
        workers: 1,
        listeners: Vec::new(),
        limits: plan::Limits {
            request_line_bytes: limits.request_line_bytes,
            head_bytes: limits.head_bytes,
            field_count: limits.field_count,
            chunk_extension_bytes: limits.chunk_extension_bytes,
            request_body_bytes: 0,
            pipelined_requests: 128,
            drain_bytes: 0,
            replay_body_bytes: 0,
            client_connections: 0,
            client_requests: 0,
        },
        timeouts: plan::Timeouts {
            client_head_ms: 10_000,
            client_body_ms: 30_000,
            client_idle_ms: 60_000,
            client_write_ms: 30_000,
            client_linger_ms: 2_000,
            tunnel_idle_ms: 0,
            continue_ms: 1_000,
        },
        pool: plan::Pool { shards: 1, steal: true, connections: 0, queue_length: 1, queue_wait_ms: 1_000 },
        forwarding: plan::Forwarding { via: true, x_forwarded: true, forwarded: false, trusted: Vec::new() },
        origins: Vec::new(),
        routes: Vec::new(),
        access_log: false,
    }
}

#[napi]
pub fn find_route(times: u32) -> u32 {
    TABLE.with_borrow_mut(|kept| {
        let table = kept.get_or_insert_with(routes);
        let head = parsed(BROWSER);
        let asked = Asked { bytes: BROWSER, head: &head, path: head.path.of(BROWSER) };
        (0..times)
            .fold(0, |sum: u32, _| sum.wrapping_add(table.find(black_box(&asked)).expect("the last route takes it")))
    })
}

//! What clients send: requests that are right in every way a request may be, and such as must be refused.

use crate::content::{fill, request_key};
use crate::dice::Dice;
use crate::ledger::{Ask, Ledger, Mood};

/// What answers a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    Origin,
    /// The proxy itself, with this status, on a connection that may go on.
    Own(u16),
    /// The proxy, if anything; the connection ends.
    Refusal,
}

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub struct Shot {
    pub id: u64,
    pub bytes: Vec<u8>,
    /// Where the client stops until it is told to go on.
    pub hold_at: Option<usize>,
    pub wanted: Wanted,
    /// It says that nothing will follow it.
    pub last: bool,
}

/// Behind every refused request stands one that a smuggler would like to see executed.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: sim\r\n\r\n";

/// Heads that must be refused; `{}` is the path.
const ILLEGAL: &[&str] = &[
    "POST {} HTTP/1.1\r\nHost: sim\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: sim\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "POST {} HTTP/1.1\r\nHost: sim\r\nContent-Length: +5\r\n\r\nabcde",
    "POST {} HTTP/1.1\r\nHost: sim\r\nContent-Length: 5, 5\r\n\r\nabcde",
    "POST {} HTTP/1.1\r\nHost: sim\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST {} HTTP/1.0\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: sim\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nabcde",
    "GET {} HTTP/1.1\nHost: sim\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\nX: y\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\r\nX: a\r\n b\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\r\nX: a\0b\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\r\nX: a\rb\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\r\n: novalue\r\n\r\n",
    "GET {} HTTP/1.1\r\nX: y\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\r\nHost: sim\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: si m\r\n\r\n",
    "GET  {} HTTP/1.1\r\nHost: sim\r\n\r\n",
    "GET {} HTTP/2.0\r\nHost: sim\r\n\r\n",
    "GET {} HTTP/1.1 \r\nHost: sim\r\n\r\n",
    "GET {}#frag HTTP/1.1\r\nHost: sim\r\n\r\n",
    "G(T {} HTTP/1.1\r\nHost: sim\r\n\r\n",
    "CONNECT sim:80 HTTP/1.1\r\nHost: sim\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: sim\r\nExpect: wonders\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\u{0}",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// Bodies of chunked requests that must be refused.
const BROKEN_CHUNKS: &[&str] = &[
    "zz\r\n",
    "-5\r\nabcde\r\n0\r\n\r\n",
    "5\r\nabcdeX\r\n0\r\n\r\n",
    "5\nabcde\r\n0\r\n\r\n",
    "5\r\nabcde\n0\r\n\r\n",
    "5 \r\nabcde\r\n0\r\n\r\n",
    "5;\r\nabcde\r\n0\r\n\r\n",
    "fffffffffffffffff\r\n",
    "8000000000000000\r\n",
    "0x5\r\nabcde\r\n0\r\n\r\n",
    "5\r\nabcde\r\n0\r\nContent-Length 5\r\n\r\n",
    "5\r\nabcde\r\n0\r\nX: a\n\r\n",
];

/// Makes one request. `ip`: the client's address.
pub fn make(dice: &mut Dice, ledger: &mut Ledger, mood: Mood, ip: &str, http10: bool) -> Shot {
    let wild = mood == Mood::Wild;
    match dice.below(100) {
        0..=9 if wild => illegal(dice, ledger, ip),
        10..=13 if wild && !http10 => broken(dice, ledger, ip),
        14..=17 => own(ledger, ip, http10),
        18..=21 if !http10 => upgrade(dice, ledger, ip),
        _ => honest(dice, ledger, mood, ip, http10),
    }
}

/// Makes one for a stream of HTTP/2: its head says what it is, and its body is sent by frames.
pub fn make_for_stream(dice: &mut Dice, ledger: &mut Ledger, mood: Mood, ip: &str) -> Shot {
    match dice.below(100) {
        0..=5 => own(ledger, ip, false),
        _ => honest(dice, ledger, mood, ip, false),
    }
}

fn illegal(dice: &mut Dice, ledger: &mut Ledger, ip: &str) -> Shot {
    let id = ledger.add(Ask { method: "GET", ip: ip.to_owned(), illegal: true, ..Ask::default() });
    let template = dice.pick(ILLEGAL);
    let mut bytes = template.replace("{}", &format!("/r/{id}")).into_bytes();
    if dice.chance(60) {
        bytes = format!("GET /r/{id} HTTP/1.1\r\nHost: sim\r\nX: {}", "a".repeat(40_000)).into_bytes();
    }
    bytes.extend_from_slice(SMUGGLED);
    Shot { id, bytes, hold_at: None, wanted: Wanted::Refusal, last: false }
}

fn broken(dice: &mut Dice, ledger: &mut Ledger, ip: &str) -> Shot {
    let method = dice.pick(&["POST", "PUT"]);
    let ask = Ask { method, ip: ip.to_owned(), broken_body: true, ..Ask::default() };
    let id = ledger.add(ask);
    let head = format!("{method} /r/{id} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(dice.pick(BROKEN_CHUNKS).as_bytes());
    bytes.extend_from_slice(SMUGGLED);
    Shot { id, bytes, hold_at: None, wanted: Wanted::Refusal, last: false }
}

fn own(ledger: &mut Ledger, ip: &str, http10: bool) -> Shot {
    let (path, status) = [("/own", 203), ("/none", 404)][ledger.asks.len() % 2];
    let ask = Ask { method: "GET", ip: ip.to_owned(), illegal: true, sent_whole: true, ..Ask::default() };
    let id = ledger.add(ask);
    let version = if http10 { "1.0\r\nConnection: keep-alive" } else { "1.1" };
    let bytes = format!("GET {path} HTTP/{version}\r\nHost: sim\r\n\r\n").into_bytes();
    Shot { id, bytes, hold_at: None, wanted: Wanted::Own(status), last: false }
}

fn upgrade(dice: &mut Dice, ledger: &mut Ledger, ip: &str) -> Shot {
    let (up_bytes, down_bytes) = (dice.skewed(5_000), dice.skewed(5_000));
    let ask = Ask { method: "GET", ip: ip.to_owned(), upgrade: true, up_bytes, down_bytes, ..Ask::default() };
    let id = ledger.add(ask);
    let head = format!("GET /r/{id} HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\nUpgrade: sim/1\r\n\r\n");
    Shot { id, bytes: head.into_bytes(), hold_at: None, wanted: Wanted::Origin, last: false }
}

fn honest(dice: &mut Dice, ledger: &mut Ledger, mood: Mood, ip: &str, http10: bool) -> Shot {
    let methods = ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"];
    let method = *dice.pick(&methods);
    let has_body = matches!(method, "POST" | "PUT" | "PATCH") || dice.chance(30);
    let chunked = has_body && !http10 && dice.chance(400);
    let most = if dice.chance(30) { 150_000 } else { 1_500 };
    let body_bytes = if has_body { dice.skewed(most) } else { 0 };
    let ask = Ask { method, ip: ip.to_owned(), body_bytes, ..Ask::default() };
    let id = ledger.add(ask);
    let mut head = start_line(dice, method, id, http10);
    let expects = has_body && !http10 && dice.chance(150) && body_bytes > 0;
    let last = decorate(dice, &mut head, http10, mood);
    if expects {
        head.push_str("Expect: 100-continue\r\n");
    }
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if has_body {
        head.push_str(&format!("Content-Length: {body_bytes}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    let hold_at = expects.then_some(bytes.len());
    if chunked {
        chunks(dice, request_key(id), body_bytes, id, &mut bytes);
    } else {
        fill(request_key(id), 0, body_bytes as usize, &mut bytes);
    }
    Shot { id, bytes, hold_at, wanted: Wanted::Origin, last }
}

fn start_line(dice: &mut Dice, method: &str, id: u64, http10: bool) -> String {
    let version = if http10 { "1.0" } else { "1.1" };
    let host = dice.pick(&["sim", "sim", "two.sim", "SIM:80"]);
    let query = if dice.chance(200) { "?a=/../b?c" } else { "" };
    let target = if dice.chance(80) { format!("http://{host}/r/{id}{query}") } else { format!("/r/{id}{query}") };
    let empty = if dice.chance(50) { "\r\n" } else { "" };
    format!("{empty}{method} {target} HTTP/{version}\r\nHost: {host}\r\n")
}

/// Fields that change nothing about the request. Returns whether they say that it is the last.
fn decorate(dice: &mut Dice, head: &mut String, http10: bool, mood: Mood) -> bool {
    let last = dice.chance(if http10 { 300 } else { 60 });
    match (http10, last) {
        (true, false) => head.push_str("Connection: keep-alive\r\n"),
        (false, true) => head.push_str("Connection: close\r\n"),
        _ => {}
    }
    if dice.chance(200) {
        head.push_str("Connection: X-Hop\r\nX-Hop: not beyond\r\n");
    }
    if dice.chance(200) {
        head.push_str("X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n");
    }
    if !http10 && dice.chance(200) {
        head.push_str("TE: trailers\r\nConnection: te\r\n");
    }
    if dice.chance(100) {
        let most = if mood == Mood::Wild { 6_000 } else { 2_000 };
        head.push_str(&format!("X-Pad: {}\r\n", "p".repeat(dice.below(most) as usize)));
    }
    last
}

/// A chunked body of this content: odd sizes, extensions, trailers.
pub fn chunks(dice: &mut Dice, key: u64, bytes: u64, id: u64, out: &mut Vec<u8>) {
    let mut at = 0;
    while at < bytes {
        let left = bytes - at;
        let size = if dice.chance(300) { 1 + dice.below(left.min(9)) } else { 1 + dice.below(left) }.min(left);
        let zeros = if dice.chance(100) { "00" } else { "" };
        let extension = if dice.chance(100) { ";a=\"b;c\";d" } else { "" };
        out.extend_from_slice(format!("{zeros}{size:x}{extension}\r\n").as_bytes());
        fill(key, at, size as usize, out);
        out.extend_from_slice(b"\r\n");
        at += size;
    }
    out.extend_from_slice(b"0\r\n");
    if dice.chance(300) {
        out.extend_from_slice(format!("X-Trail: {id}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

//! Writes heads anew into a vector that is used again and again. Nothing of the connection it came by survives
//! (RFC 9110 7.6.1): framing and connection fields are dropped and written afresh from what framing.rs settled. All
//! other fields keep their order, case and repetition; neighbouring lines that stay are copied as one run.

use crate::http1::encode_fields::{Copier, ends_in_head, is_edited_away, write_added_edits, write_via};
use crate::http1::fields::{FieldKind as K, KindSet, eq_ignore_case};
use crate::http1::forwarding::write_forwarding;
use crate::http1::framing::{AnswerBody, RequestBody};
use crate::http1::head::{Field, Method, RequestHead, ResponseHead, Version};
use crate::plan::FieldEdit;

pub use crate::http1::encode_fields::write_field;
pub use crate::http1::own_answer::{OwnAnswer, encode_own_answer, reason_phrase, write_http_date};

/// The last chunk; trailers and a CRLF follow.
pub const LAST_CHUNK: &[u8] = b"0\r\n";

/// What a request to an origin says besides the fields it hands on.
#[derive(Clone, Copy, Debug)]
pub struct RequestEncoding<'a> {
    /// The request target to send: origin-form or `*`.
    pub path: &'a [u8],
    pub host: &'a [u8],
    pub body: RequestBody,
    pub upgrade: bool,
    pub expect_continue: bool,
    /// `ConnectionOptions::nominated`.
    pub nominated: bool,
    /// Our pseudonym in Via.
    pub via: Option<&'a [u8]>,
    pub received_version: Version,
    pub forwarding: Forwarding<'a>,
    pub edits: &'a [FieldEdit],
    /// Write `TE: trailers`.
    pub te_trailers: bool,
    /// Fields of the client that are not handed on, because ours take their place: a cache's conditions.
    pub drops: KindSet,
    /// Lines of ours as they are to be written.
    pub lines: &'a [u8],
}

/// What the origin is told about the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forwarding<'a> {
    /// What the peer said of those before it is kept and extended; else dropped.
    pub trusted_peer: bool,
    pub x_forwarded: bool,
    pub forwarded: bool,
    /// As text, without brackets.
    pub client_ip: &'a [u8],
    pub client_is_v6: bool,
    /// `http` or `https`.
    pub proto: &'a [u8],
    /// The client's verified certificate for `Client-Cert` (RFC 9440): base64 of its DER form between colons; empty = none.
    pub client_cert: &'a [u8],
}

/// Removed from every message: they were meant for us, or some server might take them for framing.
const HOP_KINDS: KindSet = KindSet::of(&[
    K::Connection,
    K::KeepAlive,
    K::ProxyConnection,
    K::Te,
    K::TransferEncoding,
    K::ContentLength,
    K::Upgrade,
    K::ProxyAuthorization,
    K::Http2Settings,
    K::FramingAlias,
]);
const REQUEST_DROPS: KindSet = HOP_KINDS.with(K::Expect).with(K::ForwardingAlias);
const ANSWER_DROPS: KindSet = HOP_KINDS.with(K::ProxyAuthenticate);
/// What peers say about those before them.
const FORWARDING_KINDS: KindSet = KindSet::of(&[
    K::XForwardedFor,
    K::XForwardedProto,
    K::XForwardedHost,
    K::XForwardedOther,
    K::XRealIp,
    K::Forwarded,
    K::ClientCert,
]);

/// Writes the head of a request to an origin.
pub fn encode_request(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, e: &RequestEncoding<'_>) {
    debug_assert!(e.path.starts_with(b"/") || e.path == b"*");
    out.extend_from_slice(head.method_span.of(bytes));
    out.push(b' ');
    out.extend_from_slice(e.path);
    out.extend_from_slice(b" HTTP/1.1\r\n");

    let mut drops = REQUEST_DROPS.union(e.drops);
    if e.upgrade {
        drops = drops.without(K::Upgrade);
    }
    if !e.forwarding.trusted_peer {
        drops = drops.union(FORWARDING_KINDS);
    } else if e.forwarding.x_forwarded {
        drops = drops.with(K::XForwardedFor); // written anew as one field
    }
    if !e.forwarding.client_cert.is_empty() {
        drops = drops.with(K::ClientCert);
    }
    if !head.kinds.has(K::Host) {
        write_field(out, b"Host", e.host);
    }
    let counts_hops = matches!(head.method, Method::Options | Method::Trace);
    let mut copier = Copier::new(bytes, &head.fields, drops, e.nominated, e.edits);
    for field in &head.fields {
        match field.kind {
            K::Host if !(field.plain && field.value.of(bytes) == e.host) => {
                copier.flush(out);
                write_field(out, b"Host", e.host);
            }
            K::Host => copier.copy(out, field),
            K::MaxForwards if counts_hops && !copier.drops(field) => {
                copier.flush(out);
                write_max_forwards(out, field.value.of(bytes));
            }
            _ => copier.consider(out, field),
        }
    }
    copier.flush(out);
    write_request_framing(out, head.method, e);
    out.extend_from_slice(e.lines);
    write_forwarding(out, bytes, head, &e.forwarding, e.edits);
    write_via(out, e.via, e.received_version, e.edits);
    write_added_edits(out, e.edits);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 7.6.2: whoever forwards TRACE or OPTIONS takes one off. A zero never gets here: it is answered.
fn write_max_forwards(out: &mut Vec<u8>, value: &[u8]) {
    match std::str::from_utf8(value).ok().and_then(|v| v.parse::<u32>().ok()) {
        Some(hops) => {
            out.extend_from_slice(b"Max-Forwards: ");
            write_decimal(out, u64::from(hops.saturating_sub(1)));
            out.extend_from_slice(b"\r\n");
        }
        None => write_field(out, b"Max-Forwards", value),
    }
}

fn write_request_framing(out: &mut Vec<u8>, method: Method, e: &RequestEncoding<'_>) {
    // RFC 9110 8.6: methods that anticipate a body say so when there is none.
    let anticipates = matches!(method, Method::Post | Method::Put | Method::Patch);
    match e.body {
        RequestBody::None if anticipates => write_length(out, 0),
        RequestBody::None => {}
        RequestBody::Length(n) => write_length(out, n),
        RequestBody::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if e.expect_continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if e.te_trailers {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    match (e.upgrade, e.te_trailers) {
        (true, true) => out.extend_from_slice(b"Connection: te, upgrade\r\n"),
        (true, false) => out.extend_from_slice(b"Connection: upgrade\r\n"),
        (false, true) => out.extend_from_slice(b"Connection: te\r\n"),
        (false, false) => {}
    }
}

/// What an answer to a client says besides the fields it hands on.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerEncoding<'a> {
    /// How our body to the client is framed.
    pub body: AnswerBody,
    /// For answers without a body (HEAD, 304).
    pub length_told: Option<u64>,
    /// The same; only for clients that speak 1.1.
    pub chunked_told: bool,
    /// We shall close: write `Connection: close`.
    pub close: bool,
    /// Write `Connection: keep-alive` for a client that speaks 1.0.
    pub keep_alive_http10: bool,
    /// 101: write `Connection: upgrade` and keep Upgrade.
    pub upgrade: bool,
    pub nominated: bool,
    pub via: Option<&'a [u8]>,
    pub received_version: Version,
    pub edits: &'a [FieldEdit],
    /// The IMF-fixdate to add if the origin sent none (RFC 9110 6.6.1).
    pub date: Option<&'a [u8]>,
    /// Strict-Transport-Security in place of the origin's (RFC 6797); empty = as the origin says.
    pub hsts: &'a [u8],
    /// What the cache tells of the answer.
    pub cached: CacheFields<'a>,
}

/// Fields that a cache adds to an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheFields<'a> {
    /// Age of a stored answer, in seconds, in place of any that is there.
    pub age_s: Option<u64>,
    /// Our member of Cache-Status; empty = none.
    pub status: &'a [u8],
    /// Value of X-Cache; empty = none.
    pub x_cache: &'a str,
    /// Surrogate-Control was for us alone.
    pub surrogate_control: bool,
}

/// RFC 6797 6.1.
pub(super) const HSTS: &[u8] = b"Strict-Transport-Security";

/// Writes the head of an origin's answer for the client, always as HTTP/1.1 (RFC 9110 6.2).
pub fn encode_answer(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead, e: &AnswerEncoding<'_>) {
    // RFC 9110 7.8: a 426 names the protocols to ask for.
    let upgrade = e.upgrade || (head.status == 426 && head.kinds.has(K::Upgrade));
    let is_chunked = e.body == AnswerBody::Chunked || e.chunked_told;
    let mut drops = ANSWER_DROPS;
    if upgrade {
        drops = drops.without(K::Upgrade);
    }
    if !is_chunked {
        drops = drops.with(K::Trailer);
    }
    let mut copier = Copier::new(bytes, &head.fields, drops, e.nominated, e.edits);
    write_status_line(out, bytes, head);
    if e.cached.age_s.is_some() {
        copier.also_drop(K::Age);
    }
    let is_ours = |field: &Field| {
        let name = field.name.of(bytes);
        (!e.hsts.is_empty() && eq_ignore_case(name, HSTS))
            || (e.cached.surrogate_control && eq_ignore_case(name, b"Surrogate-Control"))
    };
    let is_plain = e.hsts.is_empty() && !e.cached.surrogate_control;
    let replaced = |field: &&Field| !is_plain && is_ours(field);
    head.fields.iter().filter(|field| !replaced(field)).for_each(|field| copier.consider(out, field));
    copier.flush(out);
    match (e.body, e.length_told) {
        _ if ends_in_head(head.status) => {}
        (AnswerBody::Length(n), _) | (AnswerBody::None, Some(n)) => write_length(out, n),
        _ if is_chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    match (e.close, upgrade) {
        (true, true) => out.extend_from_slice(b"Connection: close, upgrade\r\n"),
        (true, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (false, true) => out.extend_from_slice(b"Connection: upgrade\r\n"),
        (false, false) if e.keep_alive_http10 => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (false, false) => {}
    }
    write_via(out, e.via, e.received_version, e.edits);
    match e.date {
        Some(date) if !head.kinds.has(K::Date) && !is_edited_away(e.edits, b"Date") => write_field(out, b"Date", date),
        _ => {}
    }
    if !e.hsts.is_empty() {
        write_field(out, HSTS, e.hsts);
    }
    write_cache_fields(out, &e.cached, e.edits);
    write_added_edits(out, e.edits);
    out.extend_from_slice(b"\r\n");
}

/// Whether edits concern fields that a cache adds.
#[must_use]
pub fn touches_cache_fields(edits: &[FieldEdit]) -> bool {
    [b"Age".as_slice(), b"Cache-Status", b"X-Cache"].iter().any(|name| is_edited_away(edits, name))
}

/// Writes what a cache adds to an answer, as far as the edits leave it.
pub fn write_cache_fields(out: &mut Vec<u8>, cached: &CacheFields<'_>, edits: &[FieldEdit]) {
    if let Some(age_s) = cached.age_s.filter(|_| !is_edited_away(edits, b"Age")) {
        out.extend_from_slice(b"Age: ");
        write_decimal(out, age_s);
        out.extend_from_slice(b"\r\n");
    }
    if !cached.status.is_empty() && !is_edited_away(edits, b"Cache-Status") {
        write_field(out, b"Cache-Status", cached.status);
    }
    if !cached.x_cache.is_empty() && !is_edited_away(edits, b"X-Cache") {
        write_field(out, b"X-Cache", cached.x_cache.as_bytes());
    }
}

/// Writes an interim answer (1xx other than 101) for the client. It has no body, so nothing frames one.
pub fn encode_interim(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead, nominated: bool) {
    let mut copier = Copier::new(bytes, &head.fields, ANSWER_DROPS.with(K::Trailer), nominated, &[]);
    write_status_line(out, bytes, head);
    head.fields.iter().for_each(|field| copier.consider(out, field));
    copier.flush(out);
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(head.status));
    out.push(b' ');
    out.extend_from_slice(head.reason.of(bytes));
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk of `len` bytes: `1f4` CRLF. The data and a CRLF follow. A chunk is never empty.
pub fn write_chunk_header(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk would end the body");
    let mut text = [0_u8; 18];
    let mut at = 16;
    text[16..].copy_from_slice(b"\r\n");
    let mut rest = len;
    while rest > 0 {
        at -= 1;
        text[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&text[at..]);
}

/// Writes a number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut text = [0_u8; 20];
    let mut at = text.len();
    let mut rest = number;
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

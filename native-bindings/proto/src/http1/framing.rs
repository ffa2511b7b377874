//! How a message's body ends (RFC 9112 6.3), settled once: from here on nobody reads Content-Length, Transfer-Encoding
//! or Connection again. Where the RFC lets a recipient guess, this refuses: a guess agrees with only one neighbour,
//! and that is how requests are smuggled.

use crate::fault::WireFault;
use crate::http1::fields::{
    ConnectionOptions, FieldKind, KindSet, connection_options, eq_ignore_case, is_token, list_items, value_of,
};
use crate::http1::head::{Field, Method, RequestHead, ResponseHead, Version};

/// Longest Content-Length: 19 digits are enough for every 63-bit number.
const LENGTH_DIGITS_MAX: usize = 19;

/// How a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RequestBody {
    #[default]
    None,
    Length(u64),
    Chunked,
}

impl RequestBody {
    /// Whether bytes of a body follow the head.
    #[must_use]
    pub const fn follows(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// How an answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AnswerBody {
    #[default]
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Everything that framing and connection fields say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RequestFraming {
    pub body: RequestBody,
    /// The client's side of it: the connection may be used again.
    pub keep_alive: bool,
    /// The client waits for 100 (Continue) before it sends its body.
    pub expect_continue: bool,
    /// An expectation that is not 100-continue, to be answered with 417 (RFC 9110 10.1.1).
    pub expectation_unknown: bool,
    /// An upgrade we may hand on: asked for in 1.1 by both fields, to something that is not HTTP, without a body.
    pub upgrade: bool,
    /// The client takes trailers: `TE: trailers`, nominated by Connection (RFC 9110 10.1.4).
    pub te_trailers: bool,
    pub options: ConnectionOptions,
}

/// Everything that framing and connection fields say about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AnswerFraming {
    pub body: AnswerBody,
    /// The origin's side of it.
    pub keep_alive: bool,
    /// A Content-Length to hand on although there is no body: HEAD and 304.
    pub length_told: Option<u64>,
    /// The same for `Transfer-Encoding: chunked`.
    pub chunked_told: bool,
    pub options: ConnectionOptions,
    /// The origin promises by name to keep the connection, and says nothing of where the answer ends: only a close can
    /// end it, and none may come.
    pub promise_broken: bool,
    /// `Keep-Alive: timeout=N`.
    pub keep_alive_timeout_s: Option<u32>,
}

/// Kinds without which a request has no body and plain connection handling.
const REQUEST_KINDS: KindSet = KindSet::of(&[
    FieldKind::ContentLength,
    FieldKind::TransferEncoding,
    FieldKind::Connection,
    FieldKind::Expect,
    FieldKind::Upgrade,
]);

/// Settles a request that `head` found in `bytes`.
pub fn decide_request(bytes: &[u8], head: &RequestHead) -> Result<RequestFraming, WireFault> {
    let is_11 = head.version == Version::Http11;
    if !head.kinds.meets(REQUEST_KINDS) {
        return Ok(RequestFraming { keep_alive: is_11, ..RequestFraming::default() });
    }
    let options = options_of(bytes, &head.fields, head.kinds)?;
    let body = match told(bytes, &head.fields, head.kinds, head.version, Repeats::Refused)? {
        Told::Nothing => RequestBody::None,
        Told::Length(n) => RequestBody::Length(n),
        Told::Chunked => RequestBody::Chunked,
    };
    let (expect_known, expect_unknown) = match head.kinds.has(FieldKind::Expect) && is_11 {
        true => expectations(bytes, &head.fields),
        false => (false, false),
    };
    let upgrade = is_11
        && options.upgrade
        && head.kinds.has(FieldKind::Upgrade)
        && !body.follows()
        && may_upgrade(bytes, &head.fields);
    Ok(RequestFraming {
        body,
        keep_alive: keeps_alive(head.version, options),
        expect_continue: expect_known && body.follows(),
        expectation_unknown: expect_unknown,
        upgrade,
        te_trailers: options.te && head.kinds.has(FieldKind::Te) && takes_trailers(bytes, &head.fields),
        options,
    })
}

/// Settles an answer to a request of `method` that `head` found in `bytes`. An answer of 2xx to CONNECT does not occur.
pub fn decide_answer(bytes: &[u8], head: &ResponseHead, method: Method) -> Result<AnswerFraming, WireFault> {
    let options = options_of(bytes, &head.fields, head.kinds)?;
    let mut framing = AnswerFraming {
        keep_alive: keeps_alive(head.version, options),
        options,
        keep_alive_timeout_s: match head.kinds.has(FieldKind::KeepAlive) {
            true => keep_alive_timeout(bytes, &head.fields),
            false => None,
        },
        ..AnswerFraming::default()
    };
    // RFC 9110 8.6 and RFC 9112 6.1 forbid both fields here; what should not be there is not read.
    if head.status < 200 || head.status == 204 {
        return Ok(framing);
    }
    let told = told(bytes, &head.fields, head.kinds, head.version, Repeats::EqualOnes)?;
    // RFC 9112 6.3: these end with their head, whatever the fields say of the body a GET would get.
    if method == Method::Head || head.status == 304 {
        match told {
            Told::Nothing => {}
            Told::Length(n) => framing.length_told = Some(n),
            Told::Chunked => framing.chunked_told = true,
        }
        return Ok(framing);
    }
    framing.body = match told {
        Told::Length(n) => AnswerBody::Length(n),
        Told::Chunked => AnswerBody::Chunked,
        Told::Nothing => {
            framing.keep_alive = false;
            framing.promise_broken = options.keep_alive && !options.close;
            AnswerBody::UntilClose
        }
    };
    Ok(framing)
}

#[inline]
fn options_of(bytes: &[u8], fields: &[Field], kinds: KindSet) -> Result<ConnectionOptions, WireFault> {
    match kinds.has(FieldKind::Connection) {
        true => connection_options(bytes, fields),
        false => Ok(ConnectionOptions::default()),
    }
}

/// RFC 9112 9.3: `close` wins; 1.1 persists unless told otherwise, 1.0 only when it says so.
const fn keeps_alive(version: Version, options: ConnectionOptions) -> bool {
    !options.close && (matches!(version, Version::Http11) || options.keep_alive)
}

/// What the framing fields say, once they are known not to contradict each other.
enum Told {
    Nothing,
    Length(u64),
    Chunked,
}

/// Whether a Content-Length may be repeated with the same value (RFC 9110 8.6 allows to accept that).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Refused,
    EqualOnes,
}

fn told(bytes: &[u8], fields: &[Field], kinds: KindSet, version: Version, repeats: Repeats) -> Result<Told, WireFault> {
    match (kinds.has(FieldKind::ContentLength), kinds.has(FieldKind::TransferEncoding)) {
        (false, false) => Ok(Told::Nothing),
        // RFC 9112 6.1: Transfer-Encoding would override, and that is exactly what a smuggler counts on.
        (true, true) => Err(WireFault::LengthAndCoding),
        (true, false) => read_length(bytes, fields, repeats).map(Told::Length),
        (false, true) if version == Version::Http10 => Err(WireFault::CodingOnHttp10),
        (false, true) => read_coding(bytes, fields).map(|()| Told::Chunked),
    }
}

fn values<'a>(bytes: &'a [u8], fields: &'a [Field], kind: FieldKind) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |f| f.kind == kind).map(|f| f.value.of(bytes))
}

fn read_length(bytes: &[u8], fields: &[Field], repeats: Repeats) -> Result<u64, WireFault> {
    let mut length = None;
    for value in values(bytes, fields, FieldKind::ContentLength) {
        if length.is_some() && repeats == Repeats::Refused {
            return Err(WireFault::LengthDuplicate);
        }
        if repeats == Repeats::Refused {
            length = Some(parse_length(value)?);
            continue;
        }
        for item in value.split(|&b| b == b',') {
            let n = parse_length(crate::http1::fields::trim_ows(item))?;
            if length.is_some_and(|known| known != n) {
                return Err(WireFault::LengthDuplicate);
            }
            length = Some(n);
        }
    }
    length.ok_or(WireFault::LengthInvalid)
}

/// `1*DIGIT` (RFC 9110 8.6) up to 63 bits: no sign, no list, nothing around it.
fn parse_length(value: &[u8]) -> Result<u64, WireFault> {
    if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
        return Err(WireFault::LengthInvalid);
    }
    // 19 digits never overflow 64 bits.
    let length = value.iter().fold(0_u64, |n, b| n * 10 + u64::from(b - b'0'));
    if length > i64::MAX as u64 { Err(WireFault::LengthInvalid) } else { Ok(length) }
}

/// Exactly one field that is exactly `chunked`. Other codings are legal (RFC 9112 6.1), but a neighbour that reads the
/// list differently frames the body differently.
fn read_coding(bytes: &[u8], fields: &[Field]) -> Result<(), WireFault> {
    let mut codings = values(bytes, fields, FieldKind::TransferEncoding);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if eq_ignore_case(coding, b"chunked") => Ok(()),
        _ => Err(WireFault::CodingInvalid),
    }
}

/// Whether 100-continue, and whether anything else, is expected.
fn expectations(bytes: &[u8], fields: &[Field]) -> (bool, bool) {
    let mut found = (false, false);
    for item in values(bytes, fields, FieldKind::Expect).flat_map(list_items) {
        match eq_ignore_case(item, b"100-continue") {
            true => found.0 = true,
            false => found.1 = true,
        }
    }
    found
}

/// Whether the protocols of the Upgrade fields may be handed on. h2c and other HTTP versions are ours to speak on
/// this hop or not at all: tunnelled, they would carry requests past every rule of this proxy.
fn may_upgrade(bytes: &[u8], fields: &[Field]) -> bool {
    let mut any = false;
    for item in values(bytes, fields, FieldKind::Upgrade).flat_map(list_items) {
        let mut parts = item.splitn(2, |&b| b == b'/');
        let name = parts.next().unwrap_or_default();
        let is_http = eq_ignore_case(name, b"h2c") || eq_ignore_case(name, b"h2") || eq_ignore_case(name, b"http");
        if is_http || !is_token(name) || !parts.next().is_none_or(is_token) {
            return false;
        }
        any = true;
    }
    any
}

fn takes_trailers(bytes: &[u8], fields: &[Field]) -> bool {
    values(bytes, fields, FieldKind::Te).flat_map(list_items).any(|item| eq_ignore_case(item, b"trailers"))
}

fn keep_alive_timeout(bytes: &[u8], fields: &[Field]) -> Option<u32> {
    let value = value_of(bytes, fields, FieldKind::KeepAlive)?;
    let mut timeouts = list_items(value).filter_map(|item| {
        let (name, seconds) = item.split_at_checked(8)?;
        if !eq_ignore_case(name, b"timeout=") {
            return None;
        }
        std::str::from_utf8(seconds).ok()?.parse().ok()
    });
    timeouts.next()
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;

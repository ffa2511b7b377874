//! Field names and values as bytes: byte classes, the names this proxy knows, lists and hosts.
//! Never reads a head from the wire (head.rs) and never decides framing (framing.rs).

use crate::http1::head::Field;
use std::net::Ipv6Addr;

pub use crate::http1::connection::{ConnectionOptions, connection_options, is_nominated};

/// `tchar` of RFC 9110 5.6.2.
const TOKEN: u8 = 1;
/// `_` and `.`: some servers read them as `-` in field names.
const FOLDED: u8 = 2;
/// May stand in a path or a query: RFC 3986 `pchar` and `/`, and what browsers send without encoding it. Not `?`.
pub(super) const TARGET: u8 = 4;
/// `%`, which must be looked at again.
pub(super) const PERCENT: u8 = 8;
/// May stand in a `reg-name` (RFC 3986 3.2.2). No comma: a list of hosts is an attack, not a name.
const HOST: u8 = 16;

/// The class of every byte; one look-up answers all questions about it.
pub(super) const CLASS: [u8; 256] = build_classes();

const fn build_classes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut at = 0;
    while at < 256 {
        let b = at as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() {
            class |= TOKEN | TARGET | HOST;
        }
        if has(b"!#$%&'*+-.^_`|~", b) {
            class |= TOKEN;
        }
        if has(b"_.", b) {
            class |= FOLDED;
        }
        if has(b"-._~!$&'()*+,;=:@/%[]|{}^`", b) {
            class |= TARGET;
        }
        if b == b'%' {
            class |= PERCENT | HOST;
        }
        if has(b"-._~!$&'()*+;=", b) {
            class |= HOST;
        }
        table[at] = class;
        at += 1;
    }
    table
}

const fn has(set: &[u8], b: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == b {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether `b` may stand in a token (RFC 9110 5.6.2).
#[must_use]
pub const fn is_token_byte(b: u8) -> bool {
    CLASS[b as usize] & TOKEN != 0
}

/// Whether `bytes` is a token: not empty, nothing but token bytes.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().fold(TOKEN, |all, &b| all & CLASS[b as usize]) != 0
}

/// Compares without regard to ASCII case.
#[must_use]
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// `value` without optional white space around it (RFC 9110 5.6.3).
#[must_use]
pub fn trim_ows(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The items of a comma-separated list, trimmed; empty items say nothing and are skipped (RFC 9110 5.6.1.2).
pub fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim_ows).filter(|item| !item.is_empty())
}

/// The fields this proxy treats in a way of their own. `Other` is everything it hands on unread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum FieldKind {
    #[default]
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Via,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    /// Any other `X-Forwarded-…`: believed by servers just as well, so dropped from peers that are not trusted.
    XForwardedOther,
    XRealIp,
    Forwarded,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440): what the proxy that ended TLS says about the client.
    ClientCert,
    Date,
    Server,
    MaxForwards,
    Authorization,
    ProxyAuthorization,
    ProxyAuthenticate,
    WwwAuthenticate,
    Http2Settings,
    SetCookie,
    Cookie,
    ContentType,
    CacheControl,
    Location,
    ContentRange,
    IdempotencyKey,
    RetryAfter,
    Age,
    Expires,
    LastModified,
    Etag,
    Vary,
    Pragma,
    Range,
    IfRange,
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    /// A framing or connection field once every `_` and `.` is read as `-`: never forwarded, some servers fold them.
    FramingAlias,
    /// The same for the forwarding fields.
    ForwardingAlias,
}

const _: () = assert!((FieldKind::ForwardingAlias as u8) < 64); // a KindSet is one word

/// A set of kinds, so that what is not there need not be searched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KindSet(u64);

impl KindSet {
    pub const EMPTY: Self = Self(0);

    #[must_use]
    pub const fn of(kinds: &[FieldKind]) -> Self {
        let mut set = Self::EMPTY;
        let mut at = 0;
        while at < kinds.len() {
            set = set.with(kinds[at]);
            at += 1;
        }
        set
    }

    #[must_use]
    pub const fn with(self, kind: FieldKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    #[must_use]
    pub const fn without(self, kind: FieldKind) -> Self {
        Self(self.0 & !(1 << kind as u8))
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn has(self, kind: FieldKind) -> bool {
        self.0 >> kind as u8 & 1 != 0
    }

    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a field of this name is to us. `name` is a token; anything else is `Other` or worse than wrong, never a panic.
#[must_use]
pub fn classify(name: &[u8]) -> FieldKind {
    let marks = name.iter().fold(0, |marks, &b| marks | CLASS[b as usize]);
    classify_marked(name, marks)
}

/// `classify` for a caller that has already gathered the classes of the name's bytes.
#[inline]
pub(super) fn classify_marked(name: &[u8], marks: u8) -> FieldKind {
    if marks & FOLDED != 0 { classify_alias(name) } else { classify_exact(name) }
}

/// Whether the token `name` is `known` (which is lower case letters, digits and `-`). For such a pair setting bit 5
/// is exactly folding the case: the bytes it would confuse with digits and `-` are controls, which no token has.
#[inline]
pub(super) fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    match name.first_chunk::<N>() {
        Some(name) => name.iter().zip(known).fold(0, |diff, (b, k)| diff | ((b | 0x20) ^ k)) == 0,
        None => false,
    }
}

#[inline]
fn classify_exact(name: &[u8]) -> FieldKind {
    use FieldKind as K;
    let Some(&first) = name.first() else { return K::Other };
    let found = match (name.len(), first | 0x20) {
        (2, b't') if is(name, b"te") => K::Te,
        (3, b'a') if is(name, b"age") => K::Age,
        (3, b'v') if is(name, b"via") => K::Via,
        (4, b'h') if is(name, b"host") => K::Host,
        (4, b'd') if is(name, b"date") => K::Date,
        (4, b'e') if is(name, b"etag") => K::Etag,
        (4, b'v') if is(name, b"vary") => K::Vary,
        (5, b'r') if is(name, b"range") => K::Range,
        (6, b'c') if is(name, b"cookie") => K::Cookie,
        (6, b'e') if is(name, b"expect") => K::Expect,
        (6, b'p') if is(name, b"pragma") => K::Pragma,
        (6, b's') if is(name, b"server") => K::Server,
        (7, b'e') if is(name, b"expires") => K::Expires,
        (7, b't') if is(name, b"trailer") => K::Trailer,
        (7, b'u') if is(name, b"upgrade") => K::Upgrade,
        (8, b'l') if is(name, b"location") => K::Location,
        (8, b'i') if is(name, b"if-match") => K::IfMatch,
        (8, b'i') if is(name, b"if-range") => K::IfRange,
        (9, b'f') if is(name, b"forwarded") => K::Forwarded,
        (9, b'x') if is(name, b"x-real-ip") => K::XRealIp,
        (10, b'c') if is(name, b"connection") => K::Connection,
        (10, b'k') if is(name, b"keep-alive") => K::KeepAlive,
        (10, b's') if is(name, b"set-cookie") => K::SetCookie,
        (11, b'c') if is(name, b"client-cert") => K::ClientCert,
        (11, b'r') if is(name, b"retry-after") => K::RetryAfter,
        (12, b'c') if is(name, b"content-type") => K::ContentType,
        (12, b'm') if is(name, b"max-forwards") => K::MaxForwards,
        (13, b'a') if is(name, b"authorization") => K::Authorization,
        (13, b'c') if is(name, b"cache-control") => K::CacheControl,
        (13, b'c') if is(name, b"content-range") => K::ContentRange,
        (13, b'i') if is(name, b"if-none-match") => K::IfNoneMatch,
        (13, b'l') if is(name, b"last-modified") => K::LastModified,
        (14, b'c') if is(name, b"content-length") => K::ContentLength,
        (14, b'h') if is(name, b"http2-settings") => K::Http2Settings,
        (15, b'x') if is(name, b"x-forwarded-for") => K::XForwardedFor,
        (15, b'i') if is(name, b"idempotency-key") => K::IdempotencyKey,
        (16, b'p') if is(name, b"proxy-connection") => K::ProxyConnection,
        (16, b'x') if is(name, b"x-forwarded-host") => K::XForwardedHost,
        (16, b'w') if is(name, b"www-authenticate") => K::WwwAuthenticate,
        (17, b'c') if is(name, b"client-cert-chain") => K::ClientCert,
        (17, b'i') if is(name, b"if-modified-since") => K::IfModifiedSince,
        (17, b't') if is(name, b"transfer-encoding") => K::TransferEncoding,
        (17, b'x') if is(name, b"x-forwarded-proto") => K::XForwardedProto,
        (18, b'p') if is(name, b"proxy-authenticate") => K::ProxyAuthenticate,
        (19, b'i') if is(name, b"if-unmodified-since") => K::IfUnmodifiedSince,
        (19, b'p') if is(name, b"proxy-authorization") => K::ProxyAuthorization,
        _ => K::Other,
    };
    if found == K::Other && first | 0x20 == b'x' && is(name, b"x-forwarded-") { K::XForwardedOther } else { found }
}

/// A name with `_` or `.` in it: what it would be to a server that reads those as `-`.
#[cold]
fn classify_alias(name: &[u8]) -> FieldKind {
    use FieldKind as K;
    let mut folded = [0_u8; 24];
    let len = name.len().min(folded.len());
    for (to, &from) in folded.iter_mut().zip(name) {
        *to = if CLASS[from as usize] & FOLDED != 0 { b'-' } else { from };
    }
    match classify_exact(&folded[..len]) {
        K::Host | K::ContentLength | K::TransferEncoding | K::Connection | K::Expect => K::FramingAlias,
        K::Upgrade | K::Te | K::Trailer => K::FramingAlias,
        K::XForwardedFor | K::XForwardedProto | K::XForwardedHost | K::XForwardedOther => K::ForwardingAlias,
        K::Forwarded | K::ClientCert | K::XRealIp | K::Via => K::ForwardingAlias,
        _ => K::Other,
    }
}

/// Splits `uri-host [":" port]` (RFC 9110 7.2, RFC 3986 3.2.2). `None` = not a host we accept: zone identifiers,
/// IPvFuture, user information, lists and the empty host are refused. `host:` is valid and names no port.
#[must_use]
pub fn parse_host(value: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let host_len = match value.first()? {
        b'[' => {
            let end = memchr::memchr(b']', value)?;
            // Ipv6Addr's parser knows no zone identifier and no IPvFuture, which is what we want.
            std::str::from_utf8(&value[1..end]).ok()?.parse::<Ipv6Addr>().ok()?;
            end + 1
        }
        _ => {
            let mut marks = 0;
            let len = value.iter().take_while(|&&b| {
                let class = CLASS[b as usize];
                marks |= class * u8::from(class & HOST != 0);
                class & HOST != 0
            });
            let len = len.count();
            if len == 0 || (marks & PERCENT != 0 && !percents_hold(&value[..len])) {
                return None;
            }
            len
        }
    };
    let (host, rest) = value.split_at(host_len);
    match rest {
        [] | [b':'] => Some((host, None)),
        [b':', digits @ ..] => Some((host, Some(parse_port(digits)?))),
        _ => None,
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    let mut port = 0_u32;
    for &b in digits {
        if !b.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(b - b'0');
    }
    u16::try_from(port).ok()
}

/// Whether `value` is a host with an optional port, as Host or an authority must be.
#[must_use]
pub fn valid_host(value: &[u8]) -> bool {
    parse_host(value).is_some()
}

/// Whether each `%` is followed by two hexadecimal digits that are not `00`: an encoded NUL ends a string elsewhere.
#[must_use]
pub(super) fn percents_hold(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() && (*a != b'0' || *b != b'0') => {}
            _ => return false,
        }
        rest = &rest[at + 3..];
    }
    true
}

/// The first field of this kind.
#[must_use]
pub fn find(fields: &[Field], kind: FieldKind) -> Option<&Field> {
    fields.iter().find(|f| f.kind == kind)
}

/// The value of the first field of this kind.
#[must_use]
pub fn value_of<'a>(head: &'a [u8], fields: &[Field], kind: FieldKind) -> Option<&'a [u8]> {
    find(fields, kind).map(|f| f.value.of(head))
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;

//! Finds the route of a request. Hosts are indexed once when the plan is installed, so that a request looks only at
//! routes its host can match; among those the operator's order decides.

use crate::http1::fields::{FieldKind, eq_ignore_case, value_of};
use crate::http1::head::{RequestHead, Span};
use crate::plan::{HeaderMatch, PathMatch, Plan};
use std::collections::HashMap;

/// The routes of one plan, ready to be asked.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Matcher>,
    /// Candidates by exact host, in the operator's order.
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    /// Candidates by the part behind `*.`.
    wildcard: HashMap<Box<[u8]>, Vec<u32>>,
    /// Candidates for every other host.
    any: Vec<u32>,
}

#[derive(Debug)]
struct Matcher {
    path: PathTest,
    methods: Vec<String>,
    headers: Vec<HeaderMatch>,
    secure: Option<bool>,
}

#[derive(Debug)]
enum PathTest {
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Pattern(Vec<Piece>),
}

/// One piece of a path pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// `*`: any characters of one segment.
    Segment,
    /// `**`: any characters.
    Rest,
}

/// What a request is matched by.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
    /// Path without dot segments and with unreserved characters decoded: see [`normalise_path`].
    pub path: &'a [u8],
    /// See [`came_secure`].
    pub secure: bool,
}

/// Whether a request came over TLS: to us, or to a trusted peer before us that says so.
#[must_use]
pub fn came_secure(over_tls: bool, trusted_peer: bool, head: &RequestHead, bytes: &[u8]) -> bool {
    let says_https = || value_of(bytes, &head.fields, FieldKind::XForwardedProto);
    over_tls
        || (trusted_peer
            && head.kinds.has(FieldKind::XForwardedProto)
            && says_https().is_some_and(|proto| eq_ignore_case(proto, b"https")))
}

impl RouteTable {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut table = Self { routes: Vec::new(), exact: HashMap::new(), wildcard: HashMap::new(), any: Vec::new() };
        for host in plan.routes.iter().flat_map(|r| &r.hosts) {
            match host.strip_prefix("*.") {
                Some(suffix) => table.wildcard.insert(suffix.as_bytes().into(), Vec::new()),
                None => table.exact.insert(host.as_bytes().into(), Vec::new()),
            };
        }
        for (place, route) in plan.routes.iter().enumerate() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            table.routes.push(Matcher {
                path: PathTest::new(&route.path),
                methods: route.methods.clone(),
                headers: route.headers.clone(),
                secure: route.secure,
            });
            let takes = |host: &[u8]| route.hosts.is_empty() || route.hosts.iter().any(|h| host_matches(h, host));
            let takes_under =
                |suffix: &[u8]| route.hosts.is_empty() || route.hosts.iter().any(|h| wildcard_covers(h, suffix));
            table.exact.iter_mut().filter(|(h, _)| takes(h)).for_each(|(_, list)| list.push(place));
            table.wildcard.iter_mut().filter(|(s, _)| takes_under(s)).for_each(|(_, list)| list.push(place));
            if route.hosts.is_empty() {
                table.any.push(place);
            }
        }
        table
    }

    /// The first route that takes the request, as an index into the plan's routes.
    #[must_use]
    pub fn find(&self, asked: &Asked<'_>) -> Option<u32> {
        let candidates = self.candidates(asked.head.host.of(asked.bytes));
        candidates.iter().copied().find(|&place| self.routes[place as usize].takes(asked))
    }

    fn candidates(&self, host: &[u8]) -> &[u32] {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return &self.any;
        }
        let mut lower = [0; 256];
        let name = without_port(host);
        // A longer name is no name of the DNS (RFC 1035 2.3.4), so no route can be meant.
        let Some(lower) = lower.get_mut(..name.len()) else { return &self.any };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        // The dot that ends an absolute name says nothing about which host is meant.
        let name: &[u8] = lower.strip_suffix(b".").unwrap_or(lower);
        if let Some(list) = self.exact.get(name) {
            return list;
        }
        let mut rest = name;
        while let Some(dot) = memchr::memchr(b'.', rest) {
            rest = &rest[dot + 1..];
            // A dot with nothing before it makes no name below another.
            let is_below = name.len() > rest.len() + 1;
            if let Some(list) = self.wildcard.get(rest).filter(|_| is_below) {
                return list;
            }
        }
        &self.any
    }
}

impl Matcher {
    fn takes(&self, asked: &Asked<'_>) -> bool {
        self.secure.is_none_or(|wanted| wanted == asked.secure)
            && self.path.takes(asked.path)
            && (self.methods.is_empty()
                || self.methods.iter().any(|m| m.as_bytes() == asked.head.method_span.of(asked.bytes)))
            && self.headers.iter().all(|wanted| has_field(asked, wanted))
    }
}

fn has_field(asked: &Asked<'_>, wanted: &HeaderMatch) -> bool {
    let says = |span: Span| wanted.value.as_ref().is_none_or(|v| v.as_bytes() == span.of(asked.bytes));
    asked.head.fields.iter().any(|f| eq_ignore_case(f.name.of(asked.bytes), wanted.name.as_bytes()) && says(f.value))
}

impl PathTest {
    fn new(path: &PathMatch) -> Self {
        match path {
            PathMatch::Any => Self::Any,
            PathMatch::Exact { value } => Self::Exact(value.as_bytes().into()),
            PathMatch::Prefix { value } => Self::Prefix(value.as_bytes().into()),
            PathMatch::Pattern { value } => Self::Pattern(pieces(value.as_bytes())),
        }
    }

    fn takes(&self, path: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(value) => **value == *path,
            Self::Prefix(value) => path
                .strip_prefix(&**value)
                .is_some_and(|rest| rest.is_empty() || value.ends_with(b"/") || rest.starts_with(b"/")),
            Self::Pattern(pieces) => pattern_takes(pieces, path),
        }
    }
}

/// Whether a condition on the path takes `path`, for conditions that no table has made ready.
#[must_use]
pub fn takes_path(condition: &PathMatch, path: &[u8]) -> bool {
    match condition {
        PathMatch::Any => true,
        PathMatch::Exact { value } => value.as_bytes() == path,
        other => PathTest::new(other).takes(path),
    }
}

fn pieces(pattern: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut bytes = pattern.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        pieces.push(match byte {
            b'*' if bytes.next_if_eq(&b'*').is_some() => Piece::Rest,
            b'*' => Piece::Segment,
            other => Piece::Byte(other),
        });
    }
    pieces
}

/// Walks all places of the pattern at once, so that no path, however made, costs more than its length times the pattern's.
fn pattern_takes(pieces: &[Piece], path: &[u8]) -> bool {
    let mut now = vec![false; pieces.len() + 1];
    now[0] = true;
    pass_over_stars(pieces, &mut now);
    for &byte in path {
        let mut next = vec![false; pieces.len() + 1];
        for (place, piece) in pieces.iter().enumerate().filter(|(place, _)| now[*place]) {
            match piece {
                Piece::Byte(wanted) if *wanted == byte => next[place + 1] = true,
                Piece::Segment if byte != b'/' => next[place] = true,
                Piece::Rest => next[place] = true,
                Piece::Byte(_) | Piece::Segment => {}
            }
        }
        pass_over_stars(pieces, &mut next);
        now = next;
    }
    now[pieces.len()]
}

/// A star may stand for nothing at all.
fn pass_over_stars(pieces: &[Piece], places: &mut [bool]) {
    for (place, piece) in pieces.iter().enumerate() {
        if places[place] && !matches!(piece, Piece::Byte(_)) {
            places[place + 1] = true;
        }
    }
}

fn host_matches(pattern: &str, host: &[u8]) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => {
            host.strip_suffix(suffix.as_bytes()).is_some_and(|front| front.len() > 1 && front.ends_with(b"."))
        }
        None => pattern.as_bytes() == host,
    }
}

/// Whether `pattern` takes every host under `suffix`.
fn wildcard_covers(pattern: &str, suffix: &[u8]) -> bool {
    pattern.strip_prefix("*.").is_some_and(|p| {
        p.as_bytes() == suffix || suffix.strip_suffix(p.as_bytes()).is_some_and(|front| front.ends_with(b"."))
    })
}

pub fn without_port(host: &[u8]) -> &[u8] {
    if host.starts_with(b"[") {
        return memchr::memchr(b']', host).map_or(host, |end| &host[..=end]);
    }
    memchr::memchr(b':', host).map_or(host, |colon| &host[..colon])
}

/// Writes the path as routes see it into `out`: percent-encoded unreserved characters decoded, dot segments removed
/// (RFC 3986 6.2.2), an empty path as `/`. The origin is still sent the client's own spelling, and since it resolves
/// the same way, no spelling reaches a place through a route that was not meant for it.
pub fn normalise_path(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let decoded = match (byte, tail) {
            (b'%', [high, low, ..]) => hex_pair(*high, *low).filter(|b| is_unreserved(*b)),
            _ => None,
        };
        match decoded {
            Some(plain) => {
                out.push(plain);
                rest = &rest[3..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    remove_dot_segments(out);
}

fn remove_dot_segments(path: &mut Vec<u8>) {
    let whole = std::mem::take(path);
    let mut segments = whole.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." if last => path.push(b'/'),
            b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', path).unwrap_or(0);
                path.truncate(parent);
                if last {
                    path.push(b'/');
                }
            }
            other => {
                path.push(b'/');
                path.extend_from_slice(other);
            }
        }
    }
    if path.is_empty() {
        path.push(b'/');
    }
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;

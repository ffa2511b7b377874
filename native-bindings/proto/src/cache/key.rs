//! The primary key: what a request is for, in a form in which spellings of the same target are the same, made of the
//! parts the route names. It is text that people can read, and no part can run into the next: a host has no `/`, a path
//! no `?`, and nothing of a request has a line break.
//!
//! `[space|][scheme://][host[:port]]/path[?query]`, then a line for each field and cookie that the route adds, and for what
//! the client spelled in another way.

use crate::cache::message::{Asked, parameters};
use crate::http1::encode::write_decimal;
use crate::http1::fields::{FieldKind, parse_host, trim_ows};
use crate::http1::head::{RequestHead, TargetForm};
use crate::plan::{KeyPolicy, QueryKey};
use crate::route::normalise_path;

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub secure: bool,
    /// `host[:port]`.
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// The target of a request; `None` for `*` and authority-form, which name no resource that is stored.
    #[must_use]
    pub fn of(asked: Asked<'a>, secure: bool) -> Option<Self> {
        let head = asked.head;
        if !matches!(head.target_form, TargetForm::Origin | TargetForm::Absolute) || head.host.is_empty() {
            return None;
        }
        let query = head.has_query.then(|| head.query.of(asked.bytes));
        Some(Self { secure, host: head.host.of(asked.bytes), path: head.path.of(asked.bytes), query })
    }
}

/// Writes the key of `target`; fields and cookies that are part of it come from `asked`. `false` if it has none.
pub fn write_key(target: &Target<'_>, asked: Asked<'_>, policy: &KeyPolicy, out: &mut Vec<u8>) -> bool {
    if !write_target(target, policy, out) {
        return false;
    }
    write_extras(asked, policy, out);
    true
}

/// The rest of a key: fields and cookies that the route makes part of it, and the client's own spelling of the target where
/// it is not the one that the key has. The origin is sent that spelling and may make something else of it, which must not
/// become the answer to all others. Purges and unsafe methods compare the target alone, and so mean all its spellings.
pub fn write_extras(asked: Asked<'_>, policy: &KeyPolicy, out: &mut Vec<u8>) {
    for name in &policy.fields {
        write_field(name.as_bytes(), asked, out);
    }
    for name in &policy.cookies {
        out.extend_from_slice(b"\ncookie ");
        out.extend_from_slice(name.as_bytes());
        // All of one name: which of them a server reads is its own affair.
        for (_, value) in asked.cookies().filter(|(known, _)| *known == name.as_bytes()) {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    write_spelling(asked.head, asked.bytes, policy, out);
}

fn write_spelling(head: &RequestHead, bytes: &[u8], policy: &KeyPolicy, out: &mut Vec<u8>) {
    let (host, path) = (head.host.of(bytes), head.path.of(bytes));
    if policy.host && !is_spelled_host(host) {
        out.extend_from_slice(b"\nhost ");
        out.extend_from_slice(host);
    }
    if !head.path_plain && !is_spelled_path(path) {
        out.extend_from_slice(b"\npath ");
        out.extend_from_slice(path);
    }
}

/// Whether a host is written as `write_host` writes it. A port that is the usual one of either scheme counts as another
/// spelling.
fn is_spelled_host(host: &[u8]) -> bool {
    let Some((name, port)) = parse_host(host) else { return false };
    let is_plain = !name.ends_with(b".") && !name.iter().any(u8::is_ascii_uppercase);
    let digits = &host[name.len()..];
    is_plain && (digits.is_empty() || !(digits.starts_with(b":0") || matches!(port, None | Some(80 | 443))))
}

fn is_spelled_path(path: &[u8]) -> bool {
    let mut normal = Vec::with_capacity(path.len());
    write_path(path, false, &mut normal);
    path.is_empty() || normal == path
}

/// The part of a key that the target alone decides: what a purge by URL or prefix compares.
pub fn write_target(target: &Target<'_>, policy: &KeyPolicy, out: &mut Vec<u8>) -> bool {
    let Some((host, port)) = parse_host(target.host) else { return false };
    if !policy.space.is_empty() {
        out.extend_from_slice(policy.space.as_bytes());
        out.push(b'|');
    }
    if policy.scheme {
        out.extend_from_slice(if target.secure { b"https://" } else { b"http://" });
    }
    if policy.host {
        write_host(host, port, target.secure, out);
    }
    write_path(target.path, policy.fold_path_case, out);
    if let Some(query) = target.query {
        write_query(query, policy, out);
    }
    true
}

/// RFC 3986 6.2.2.1 and 6.2.3: lower case, without the port of the scheme; without the dot that ends a whole name.
fn write_host(host: &[u8], port: Option<u16>, secure: bool, out: &mut Vec<u8>) {
    let from = out.len();
    // Two dots end no name, so what has them stays what it is.
    let name = host.strip_suffix(b".").filter(|rest| !rest.is_empty() && !rest.ends_with(b"."));
    out.extend_from_slice(name.unwrap_or(host));
    out[from..].make_ascii_lowercase();
    match (port, secure) {
        (None, _) | (Some(80), false) | (Some(443), true) => {}
        (Some(port), _) => {
            out.push(b':');
            write_decimal(out, u64::from(port));
        }
    }
}

/// RFC 3986 6.2.2.2 and 6.2.2.3. What stays encoded is told by its digits, whose case says nothing (6.2.2.1).
fn write_path(path: &[u8], fold: bool, out: &mut Vec<u8>) {
    let from = out.len();
    if path.is_empty() {
        out.push(b'/');
    } else if memchr::memchr(b'%', path).is_none() && !path.windows(2).any(|two| two == b"/.") {
        // Nothing encoded and no dot segment: it is normal as it stands, and no vector is needed.
        out.extend_from_slice(path);
    } else {
        let mut normal = Vec::with_capacity(path.len());
        normalise_path(path, &mut normal);
        raise_digits(&mut normal);
        out.extend_from_slice(&normal);
    }
    if fold {
        out[from..].make_ascii_lowercase();
    }
}

fn raise_digits(text: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'%', &text[at..]) {
        let digits = at + found + 1;
        let end = (digits + 2).min(text.len());
        text[digits..end].make_ascii_uppercase();
        at = end;
    }
}

/// The parameters the route counts. A `?` with nothing behind it is not the same target as none (RFC 3986 6.2.3).
fn write_query(query: &[u8], policy: &KeyPolicy, out: &mut Vec<u8>) {
    let counts = |name: &[u8]| match &policy.query {
        QueryKey::All => true,
        QueryKey::None => false,
        QueryKey::Only { names } => names.iter().any(|n| takes_name(n.as_bytes(), name)),
        QueryKey::Except { names } => !names.iter().any(|n| takes_name(n.as_bytes(), name)),
    };
    if policy.query == QueryKey::All && !policy.sort_query {
        out.push(b'?');
        out.extend_from_slice(query);
        return;
    }
    // Where a server divides at `;` as well, one parameter can hide another: it counts, whatever its name.
    let hides = |parameter: &[u8]| policy.query != QueryKey::None && memchr::memchr(b';', parameter).is_some();
    let is_kept = |&(name, parameter): &(&[u8], &[u8])| counts(name) || hides(parameter);
    let mut kept: Vec<(&[u8], &[u8])> = parameters(query).filter(is_kept).collect();
    if policy.sort_query {
        kept.sort_by_key(|(name, _)| *name);
    }
    for (place, (_, parameter)) in kept.into_iter().enumerate() {
        out.push(if place == 0 { b'?' } else { b'&' });
        out.extend_from_slice(parameter);
    }
}

/// Whether `pattern`, which may end in `*`, takes the name of a parameter.
#[must_use]
pub fn takes_name(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.strip_suffix(b"*") {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

fn write_field(name: &[u8], asked: Asked<'_>, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend(name.to_ascii_lowercase());
    for (place, value) in asked.sent_on(name).enumerate() {
        out.extend_from_slice(if place == 0 { b"=" } else { b", " });
        out.extend_from_slice(trim_ows(value));
    }
}

/// Whether the cookies of a request send it past the cache.
#[must_use]
pub fn has_cookie(asked: Asked<'_>, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
    asked.head.kinds.has(FieldKind::Cookie) && asked.cookies().any(|(name, _)| is_wanted(name))
}

/// Whether a field of this name is there, with this value if one is given.
#[must_use]
pub fn has_field(asked: Asked<'_>, name: &str, value: Option<&str>) -> bool {
    asked.lines().named(name.as_bytes()).any(|found| value.is_none_or(|v| v.as_bytes() == found))
}

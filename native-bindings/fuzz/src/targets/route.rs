//! Paths and routes. The input is lines: a host pattern, a path pattern, a host, and the path asked for.

use crate::document::{Value, map, plan, route};
use proto::http1::head::{Parsed, RequestHead, TargetForm};
use proto::limits::HeadLimits;
use proto::plan::{PathMatch, Plan};
use proto::route::{Asked, RouteTable, normalise_path};
use std::str::from_utf8;

/// Longer patterns take more time and say nothing new.
const PATTERN_MAX: usize = 64;
/// A longer name is none, and finds only routes for any host.
const NAME_MAX: usize = 256;

pub fn run(input: &[u8]) {
    let mut lines = input.splitn(4, |&b| b == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (host_pattern, path_pattern, host, target) = (line(), line(), line(), line());
    let request = [b"GET ".as_slice(), target, b" HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat();
    let mut head = RequestHead::new();
    if head.parse(&request, &HeadLimits::default()) != Ok(Parsed::Complete) || head.target_form != TargetForm::Origin {
        return;
    }
    let raw = head.path.of(&request);
    let path = path_is_normal(raw, head.path_plain);
    let (Ok(hosts), Ok(pattern)) = (from_utf8(host_pattern), from_utf8(path_pattern)) else { return };
    if pattern.len() <= PATTERN_MAX {
        route_is_the_first(hosts, pattern, &Asked { bytes: &request, head: &head, path: &path, secure: false });
    }
}

fn normal(path: &[u8]) -> Vec<u8> {
    let mut out = b"left from another request".to_vec();
    normalise_path(path, &mut out);
    out
}

fn path_is_normal(raw: &[u8], plain: bool) -> Vec<u8> {
    let path = normal(raw);
    assert_eq!(path, by_the_letter(&decoded(raw)), "not what RFC 3986 makes of {}", raw.escape_ascii());
    assert_eq!(normal(&path), path, "normalising twice changes {}", raw.escape_ascii());
    assert!(path.starts_with(b"/"));
    let mut segments = path.split(|&b| b == b'/');
    assert!(!segments.any(|s| s == b"." || s == b".."), "a dot segment is left of {}", raw.escape_ascii());
    assert!(!plain || path == raw, "a plain path was changed");
    path
}

/// Percent-encoded unreserved characters, decoded once (RFC 3986 6.2.2.2).
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).and_then(|two| from_utf8(two).ok());
        let byte = digits.filter(|_| path[at] == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte.filter(|b| b.is_ascii_alphanumeric() || b"-._~".contains(b)) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
}

/// RFC 3986 5.2.4, step by step as it is written there.
fn by_the_letter(path: &[u8]) -> Vec<u8> {
    let mut input = path.to_vec();
    let mut output: Vec<u8> = Vec::new();
    let drop_last = |output: &mut Vec<u8>| output.truncate(output.iter().rposition(|&b| b == b'/').unwrap_or(0));
    while !input.is_empty() {
        if input.starts_with(b"/./") || input == b"/." {
            let rest = input.split_off(input.len().min(3));
            input = [b"/".as_slice(), &rest].concat();
        } else if input.starts_with(b"/../") || input == b"/.." {
            let rest = input.split_off(input.len().min(4));
            input = [b"/".as_slice(), &rest].concat();
            drop_last(&mut output);
        } else {
            let end = input.iter().skip(1).position(|&b| b == b'/').map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}

/// Three routes: by host and pattern, by prefix, and by host alone.
fn route_is_the_first(host: &str, pattern: &str, asked: &Asked<'_>) {
    // As settings leave them: lower case; an empty line is "any host".
    let host = host.to_ascii_lowercase();
    let hosts: Vec<String> = if host.is_empty() { Vec::new() } else { vec![host] };
    let paths = [
        (hosts.clone(), PathMatch::Pattern { value: pattern.to_owned() }),
        (Vec::new(), PathMatch::Prefix { value: pattern.to_owned() }),
        (hosts, PathMatch::Any),
        (vec!["*.example.org".to_owned()], PathMatch::Exact { value: "/".to_owned() }),
    ];
    let table = RouteTable::new(&plan_with(&paths));
    let name = host_name(asked.head.host.of(asked.bytes));
    let takes = |(hosts, path): &(Vec<String>, PathMatch)| {
        let is_name = name.len() <= NAME_MAX;
        let by_host = hosts.is_empty() || (is_name && hosts.iter().any(|h| host_takes(h, &name)));
        by_host && path_takes(path, asked.path)
    };
    let wanted = paths.iter().position(takes);
    assert_eq!(table.find(asked).map(|place| place as usize), wanted, "host {}", name.escape_ascii());
}

/// Lower case, without port and final dot.
fn host_name(host: &[u8]) -> Vec<u8> {
    let end = match host.iter().position(|&b| b == b']') {
        Some(bracket) => bracket + 1,
        None => host.iter().position(|&b| b == b':').unwrap_or(host.len()),
    };
    let name = host[..end].to_ascii_lowercase();
    name.strip_suffix(b".").map_or(name.clone(), <[u8]>::to_vec)
}

fn host_takes(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) if end.starts_with('.') => name.len() > end.len() && name.ends_with(end.as_bytes()),
        _ => pattern.as_bytes() == name,
    }
}

fn path_takes(pattern: &PathMatch, path: &[u8]) -> bool {
    match pattern {
        PathMatch::Any => true,
        PathMatch::Exact { value } => value.as_bytes() == path,
        PathMatch::Prefix { value } => {
            path == value.as_bytes()
                || (value.ends_with('/') && path.starts_with(value.as_bytes()))
                || path.starts_with(format!("{value}/").as_bytes())
        }
        PathMatch::Pattern { value } => pattern_takes(value.as_bytes(), path),
    }
}

/// Asks, from the end of both backwards, whether what is left of the pattern takes what is left of the path.
fn pattern_takes(pattern: &[u8], path: &[u8]) -> bool {
    let mut rests: Vec<(bool, &[u8])> = Vec::new();
    let mut left = pattern;
    while let [_, tail @ ..] = left {
        let double = left.starts_with(b"**");
        rests.push((double, left));
        left = if double { &tail[1..] } else { tail };
    }
    let mut takes: Vec<bool> = (0..=path.len()).map(|at| at == path.len()).collect();
    for (double, rest) in rests.into_iter().rev() {
        let behind = takes.clone();
        for at in (0..=path.len()).rev() {
            let here = path.get(at);
            takes[at] = match rest[0] {
                _ if double => behind[at] || (at < path.len() && takes[at + 1]),
                b'*' => behind[at] || (here.is_some_and(|&b| b != b'/') && takes[at + 1]),
                byte => here == Some(&byte) && behind[at + 1],
            };
        }
    }
    takes[0]
}

fn plan_with(paths: &[(Vec<String>, PathMatch)]) -> Plan {
    let redirect = map([("kind", "redirect".into()), ("status", 302.into()), ("location", "/".into())]);
    let routes = paths.iter().map(|(hosts, path)| {
        let hosts = hosts.iter().map(|host| host.as_str().into()).collect();
        route(hosts, path_document(path), redirect.clone())
    });
    plan(Vec::new(), routes.collect(), false)
}

fn path_document(path: &PathMatch) -> Value {
    let of = |kind: &str, value: &str| map([("kind", kind.into()), ("value", value.into())]);
    match path {
        PathMatch::Any => map([("kind", "any".into())]),
        PathMatch::Exact { value } => of("exact", value),
        PathMatch::Prefix { value } => of("prefix", value),
        PathMatch::Pattern { value } => of("pattern", value),
    }
}

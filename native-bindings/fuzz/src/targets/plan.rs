//! Plans: the document from TypeScript, decoded, checked and then used as a worker uses it. An input is the document
//! itself, or, after a byte that msgpack has no use for, a list of changes to a sound one: hardly any change of bytes
//! leaves a document that can be read at all, and what lies behind the reading wants to be tried too.

use crate::document::{Value, document, map, route};
use crate::reader::Reader;
use engine::compiled::Compiled;
use engine::host::Host;
use proto::http1::head::{Parsed, RequestHead};
use proto::limits::{HEAD_BYTES_CEILING, HeadLimits};
use proto::plan::{Action, PLAN_VERSION, Plan, WORKERS_MAX};
use proto::route::Asked;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const REQUESTS: &[&[u8]] = &[
    b"GET /a/b/c?d HTTP/1.1\r\nHost: a.x.org:80\r\nX-A: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: [::1]\r\nX-B: 1\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\n\r\n",
];

/// Begins a list of changes.
const CHANGES: u8 = 0xc1;
const TEXTS: &[&str] = &["", "a", "*.a", "/", "/a/*/**", "::1", "127.0.0.1", "10.0.0.0", "any", "forward", "redirect"];

pub fn run(input: &[u8]) {
    match input {
        [CHANGES, changes @ ..] => one_document(&changed(changes).bytes()),
        bytes => one_document(bytes),
    }
}

fn one_document(bytes: &[u8]) {
    let Ok(plan) = rmp_serde::from_slice::<Plan>(bytes) else { return };
    let again = rmp_serde::from_slice::<Plan>(bytes).map(|again| format!("{again:?}"));
    assert_eq!(again.ok(), Some(format!("{plan:?}")), "the same bytes are two plans");
    if plan.check().is_ok() {
        what_is_checked_can_be_run(plan);
    }
}

/// A sound document with leaves replaced: each change is the number of the leaf and what stands there now.
fn changed(changes: &[u8]) -> Value {
    let mut plan = sound();
    let mut reader = Reader::new(changes);
    while !reader.is_empty() {
        let mut left = usize::from(reader.byte());
        let value = match reader.byte() % 5 {
            0 => Value::Flag(reader.flag()),
            1 => Value::Number(u64::from(reader.byte())),
            2 => Value::Number(reader.take(8).iter().fold(0, |n, &byte| n << 8 | u64::from(byte))),
            3 => reader.pick(TEXTS).into(),
            _ => Vec::new().into(),
        };
        replace_leaf(&mut plan, &mut left, &value);
    }
    plan
}

/// Puts `value` where the leaf number `left` is; counts `left` down. True when that is done.
fn replace_leaf(within: &mut Value, left: &mut usize, value: &Value) -> bool {
    match within {
        Value::List(list) if !list.is_empty() => list.iter_mut().any(|one| replace_leaf(one, left, value)),
        Value::Map(entries) => entries.iter_mut().any(|(_, one)| replace_leaf(one, left, value)),
        leaf if *left == 0 => {
            *leaf = value.clone();
            true
        }
        _ => {
            *left -= 1;
            false
        }
    }
}

fn sound() -> Value {
    let target = |address: &str| {
        map([("label", "a:80".into()), ("address", address.into()), ("port", 80.into()), ("weight", 1.into())])
    };
    let origin = map([
        ("name", "origin".into()),
        ("targets", vec![target("127.0.0.1"), target("::1")].into()),
        ("host", map([("kind", "literal".into()), ("value", "a".into())])),
        ("connectMs", 1.into()),
        ("firstByteMs", 1.into()),
        ("betweenBytesMs", 1.into()),
        ("idleMs", 1.into()),
        ("ageMs", 1.into()),
        ("requests", 1.into()),
        ("targetConnections", 1.into()),
        ("targetIdle", 1.into()),
    ]);
    let forward = map([
        ("kind", "forward".into()),
        ("origin", 0.into()),
        ("rewrite", map([("kind", "prefix".into()), ("from", "/a".into()), ("to", "/".into())])),
        ("requestFields", vec![map([("kind", "remove".into()), ("name", "x".into())])].into()),
        ("answerFields", Vec::new().into()),
    ]);
    let redirect = map([("kind", "redirect".into()), ("status", 302.into()), ("location", "/".into())]);
    let path = |kind: &str| map([("kind", kind.into()), ("value", "/a".into())]);
    let routes =
        vec![route(vec!["a.x.org".into()], path("prefix"), forward), route(Vec::new(), path("pattern"), redirect)];
    document(vec![origin], routes, true)
}

fn what_is_checked_can_be_run(plan: Plan) {
    assert_eq!(plan.version, PLAN_VERSION);
    assert!((1..=WORKERS_MAX).contains(&plan.workers) && (1..=plan.workers).contains(&plan.pool.shards));
    assert!(plan.limits.head_bytes <= HEAD_BYTES_CEILING);
    let Ok(host) = Host::<()>::new(plan) else { return };
    let plan = host.plan();
    let compiled = Compiled::new(host.current());
    assert_eq!(host.inboxes.len(), plan.workers as usize);
    assert_eq!(compiled.origins.len(), plan.origins.len());
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let _ = compiled.trusts(address);
    }
    for (origin, planned) in compiled.origins.iter().zip(&plan.origins) {
        assert_eq!(origin.targets.len(), planned.targets.len());
        let reachable = planned.targets.iter().any(|target| target.weight > 0);
        assert!(reachable || !planned.unresolved.is_empty(), "an origin with nobody to choose");
    }
    for bytes in REQUESTS {
        let mut head = RequestHead::new();
        assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
        let path = if head.path.is_empty() { b"*" } else { head.path.of(bytes) };
        let Some(place) = compiled.routes.find(&Asked { bytes, head: &head, path, secure: false }) else { continue };
        if let Action::Forward { origin, .. } = &plan.routes[place as usize].action {
            assert!((*origin as usize) < compiled.origins.len(), "a route to an origin that is not there");
        }
    }
}

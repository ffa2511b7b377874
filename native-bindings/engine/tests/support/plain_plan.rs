//! The plan of counts: one worker, one route, one target, nothing that is not needed.

use super::document::{Value, map, plan, route};
use proto::plan::Plan;
use std::net::SocketAddr;

/// Everything goes to `target`; times are long enough never to come.
#[must_use]
pub fn plain_plan(target: SocketAddr, access_log: bool) -> Plan {
    let action = map([
        ("kind", "forward".into()),
        ("origin", 0.into()),
        ("requestFields", Vec::new().into()),
        ("answerFields", Vec::new().into()),
    ]);
    let everything = route(Vec::new(), map([("kind", "any".into())]), action);
    plan(vec![origin(target)], vec![everything], access_log)
}

fn origin(target: SocketAddr) -> Value {
    let target = map([
        ("label", target.to_string().as_str().into()),
        ("address", target.ip().to_string().as_str().into()),
        ("port", u64::from(target.port()).into()),
        ("weight", 1.into()),
    ]);
    map([
        ("name", "origin".into()),
        ("targets", vec![target].into()),
        ("host", map([("kind", "client".into())])),
        ("connectMs", 5_000.into()),
        ("firstByteMs", 60_000.into()),
        ("betweenBytesMs", 60_000.into()),
        ("idleMs", 60_000.into()),
        ("ageMs", 0.into()),
        ("requests", 0.into()),
        ("targetConnections", 0.into()),
        ("targetIdle", 16.into()),
    ])
}

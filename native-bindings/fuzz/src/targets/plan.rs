//! Plans: the document from TypeScript, decoded, checked and then used as a worker uses it.

use engine::compiled::Compiled;
use engine::host::Host;
use proto::http1::head::{Parsed, RequestHead};
use proto::limits::{HEAD_BYTES_CEILING, HeadLimits};
use proto::plan::{Action, PLAN_VERSION, Plan, WORKERS_MAX};
use proto::route::Asked;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const REQUESTS: &[&[u8]] = &[
    b"GET /a/b/c?d HTTP/1.1\r\nHost: a.x.org:80\r\nX-A: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: [::1]\r\nX-B: 1\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\n\r\n",
];

pub fn run(bytes: &[u8]) {
    let Ok(plan) = rmp_serde::from_slice::<Plan>(bytes) else { return };
    let again = rmp_serde::from_slice::<Plan>(bytes).map(|again| format!("{again:?}"));
    assert_eq!(again.ok(), Some(format!("{plan:?}")), "the same bytes are two plans");
    if plan.check().is_ok() {
        what_is_checked_can_be_run(plan);
    }
}

fn what_is_checked_can_be_run(plan: Plan) {
    assert_eq!(plan.version, PLAN_VERSION);
    assert!((1..=WORKERS_MAX).contains(&plan.workers) && (1..=plan.workers).contains(&plan.pool.shards));
    assert!(plan.limits.head_bytes <= HEAD_BYTES_CEILING);
    let host: Host<()> = Host::new(plan);
    let compiled = Compiled::new(Arc::clone(&host.plan), &host.pool);
    assert_eq!(host.inboxes.len(), host.plan.workers as usize);
    assert_eq!(compiled.origins.len(), host.plan.origins.len());
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let _ = compiled.trusts(address);
    }
    for (origin, planned) in compiled.origins.iter().zip(&host.plan.origins) {
        assert_eq!(origin.targets.len(), planned.targets.len());
        assert!(planned.targets.iter().any(|target| target.weight > 0), "an origin with nobody to choose");
    }
    for bytes in REQUESTS {
        let mut head = RequestHead::new();
        assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
        let path = if head.path.is_empty() { b"*" } else { head.path.of(bytes) };
        let Some(place) = compiled.routes.find(&Asked { bytes, head: &head, path }) else { continue };
        if let Action::Forward { origin, .. } = &host.plan.routes[place as usize].action {
            assert!((*origin as usize) < compiled.origins.len(), "a route to an origin that is not there");
        }
    }
}

//! What the core knows of its targets, as JSON for the admin port and for the health of targets. Looks only.

use crate::host::Host;
use crate::json::{Json, list};
use std::sync::atomic::Ordering::Relaxed;

/// Every target there ever was, with its books. `now_ms`: monotonic.
#[must_use]
pub fn targets_json<S>(host: &Host<S>, now_ms: u64) -> String {
    let plan = host.plan();
    list(host.pool.all_targets(), |target| {
        let labels = plan.origins.iter().filter(|o| o.name == target.identity.origin).flat_map(|o| &o.targets);
        let label = labels.into_iter().find(|t| t.socket_address() == target.identity.target);
        let failed = |place: usize| target.failed[place].load(Relaxed);
        Json::default()
            .number("number", target.number)
            .text("origin", &target.identity.origin)
            .text("label", label.map_or("", |t| &t.label))
            .text("address", &target.identity.target.ip().to_string())
            .number("port", target.identity.target.port())
            .text("state", target.state().token())
            .number("open", target.open.load(Relaxed))
            .number("idle", target.idle_total())
            .raw("idleByShard", &list(target.idle.iter(), |i| i.load(Relaxed).to_string()))
            .number("inflight", target.inflight.load(Relaxed))
            .number("waiting", target.waiting.load(Relaxed))
            .number("latencyMicros", target.latency_us.load(Relaxed))
            .number("learnedIdleMs", target.learned_idle.known_ms(now_ms))
            .number("standby", target.standby.load(Relaxed))
            .number("succeeded", target.succeeded.load(Relaxed))
            .number("failedTcp", failed(0))
            .number("failedTls", failed(1))
            .number("failedSilence", failed(2))
            .number("failedBroken", failed(3))
            .number("failuresInRow", target.in_row.load(Relaxed))
            .end()
    })
}

//! What the proxy would do with a request, and what it knows of its targets, as JSON for the admin port. The same route
//! table, plan and identity that serve requests answer here; nothing is sent and nothing is counted.

use crate::choose::may_be_used;
use crate::compiled::{Compiled, CompiledTarget};
use crate::host::Host;
use crate::log::write_json_text;
use crate::target::TargetShared;
use proto::http1::head::{Method, Parsed, RequestHead};
use proto::identity::bound_of;
use proto::plan::{Action, ForwardPolicy, Origin, ReusePolicy};
use proto::route::{Asked, normalise_path};
use std::sync::atomic::Ordering::Relaxed;

/// JSON written piece by piece; a value may be any JSON.
#[derive(Default)]
struct Json(Vec<u8>);

impl Json {
    fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        write_json_text(&mut self.0, key.as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        let mut quoted = Vec::new();
        write_json_text(&mut quoted, value.as_bytes());
        self.raw(key, &String::from_utf8_lossy(&quoted))
    }

    fn number(&mut self, key: &str, value: impl Into<u64>) -> &mut Self {
        self.raw(key, &value.into().to_string())
    }

    fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    fn end(&mut self) -> String {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

fn list<T>(items: impl IntoIterator<Item = T>, write: impl Fn(T) -> String) -> String {
    format!("[{}]", items.into_iter().map(write).collect::<Vec<String>>().join(","))
}

/// Every target there ever was, with its books.
#[must_use]
pub fn targets_json<S>(host: &Host<S>) -> String {
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
            .number("learnedIdleMs", target.learned_idle_ms.load(Relaxed))
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

/// Explains a request given as the bytes of its head. `Err` says what is wrong with it.
pub fn explain<S>(host: &Host<S>, bytes: &[u8]) -> Result<String, String> {
    let plan = Compiled::new(host.plan(), &host.pool);
    let mut head = RequestHead::new();
    match head.parse(bytes, &plan.head_limits) {
        Ok(Parsed::Complete) => {}
        Ok(Parsed::Partial) => return Err("the request is not complete".to_owned()),
        Err(fault) => return Err(format!("{}: {}", fault.token(), fault.sentence())),
    }
    let mut path = Vec::new();
    normalise_path(head.path.of(bytes), &mut path);
    let route = plan.routes.find(&Asked { bytes, head: &head, path: &path });
    let mut out = Json::default();
    out.text("path", &String::from_utf8_lossy(&path));
    let Some(route) = route.map(|r| &plan.plan.routes[r as usize]) else {
        return Ok(out.raw("route", "null").text("answer", "404 no_route").end());
    };
    out.text("route", &route.name);
    match &route.action {
        Action::Answer { status, .. } => out.text("action", "answer").number("status", *status),
        Action::Redirect { status, location } => {
            out.text("action", "redirect").number("status", *status).text("location", location)
        }
        Action::Forward { origin, policy, .. } => {
            out.text("action", "forward");
            explain_forward(&mut out, &plan, *origin as usize, policy, &head, bytes)
        }
    };
    Ok(out.end())
}

fn explain_forward<'a>(
    out: &'a mut Json,
    plan: &Compiled,
    index: usize,
    policy: &ForwardPolicy,
    head: &RequestHead,
    bytes: &[u8],
) -> &'a mut Json {
    let (origin, compiled) = (&plan.plan.origins[index], &plan.origins[index]);
    let bound = bound_of(&origin.match_on, head.host.of(bytes), None);
    let host = bound.and_then(|b| b.host).map(|h| String::from_utf8_lossy(&h).into_owned());
    let repeatable = head.method.is_idempotent();
    out.text("origin", &origin.name)
        .raw("candidates", &list(compiled.targets.iter(), explain_target))
        .raw("matchOn", &list(&origin.match_on, |word| format!("\"{}\"", format!("{word:?}").to_lowercase())))
        .raw("boundToHost", &host.map_or("null".to_owned(), |h| Json::default().text("host", &h).end()))
        .raw(
            "identity",
            &list(compiled.targets.iter(), |t| {
                let mut quoted = Vec::new();
                write_json_text(&mut quoted, format!("{:?}", t.shared.identity).as_bytes());
                String::from_utf8_lossy(&quoted).into_owned()
            }),
        )
        .flag("shared", compiled.shares)
        .flag("repeatable", repeatable)
        .text("idleConnection", if repeatable { "reuse" } else { reuse_word(policy.unrepeatable) })
        .raw("timeouts", &timeouts(origin, policy))
        .raw("retry", &retry(policy, head.method))
        .raw(
            "escalate",
            &list(&policy.escalate, |rule| {
                let to = &plan.plan.origins[rule.origin as usize].name;
                let statuses = list(&rule.statuses, |r| format!("\"{}-{}\"", r.from, r.to));
                let faults = list(&rule.faults, |fault| format!("\"{fault}\""));
                Json::default().text("to", to).raw("statuses", &statuses).raw("faults", &faults).end()
            }),
        )
        .text("halfClose", &format!("{:?}", policy.half_close).to_lowercase())
}

fn explain_target(target: &CompiledTarget) -> String {
    let shared: &TargetShared = &target.shared;
    let usable = may_be_used(target);
    Json::default()
        .number("number", shared.number)
        .text("address", &target.address.to_string())
        .text("state", shared.state().token())
        .flag("usable", usable)
        .number("weight", target.weight)
        .number("tier", target.tier)
        .number("idle", shared.idle_total())
        .number("open", shared.open.load(Relaxed))
        .end()
}

const fn reuse_word(policy: ReusePolicy) -> &'static str {
    match policy {
        ReusePolicy::Fresh => "fresh",
        ReusePolicy::Standby => "standby",
        ReusePolicy::Reuse => "reuse",
        ReusePolicy::ReuseIfRecent { .. } => "reuse-if-recent",
    }
}

fn timeouts(origin: &Origin, policy: &ForwardPolicy) -> String {
    Json::default()
        .number("connectMs", origin.connect_ms)
        .number("firstByteMs", policy.first_byte_ms.unwrap_or(origin.first_byte_ms))
        .number("betweenBytesMs", policy.between_bytes_ms.unwrap_or(origin.between_bytes_ms))
        .number("totalMs", policy.total_ms.unwrap_or(origin.total_ms))
        .number("idleMs", origin.idle_ms)
        .end()
}

fn retry(policy: &ForwardPolicy, method: Method) -> String {
    let retry = &policy.retry;
    Json::default()
        .number("attempts", retry.attempts)
        .number("perTryMs", retry.per_try_ms)
        .raw("statuses", &list(&retry.statuses, |r| format!("\"{}-{}\"", r.from, r.to)))
        .flag("afterBytesWereSent", method.is_idempotent())
        .flag("idempotencyKeyCounts", retry.idempotency_key)
        .end()
}

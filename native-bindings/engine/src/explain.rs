//! What the proxy would do with a request, as JSON for the admin port. The same parser, route table, plan, balancer,
//! rules of retry and encoder that serve requests answer here; nothing is sent and nothing is counted.

use crate::again::ESCALATED;
use crate::begin::{binds_connection, body_bytes_max, is_last_hop, redirect_place, refusal};
use crate::choose::{self, gather, may_be_used};
use crate::compiled::{Compiled, CompiledTarget};
use crate::exchange::{Asking, Ongoing};
use crate::explain_identity::{describe_tls, identity};
use crate::host::Host;
use crate::json::{Json, list, quoted};
use crate::send::encode_for_origin;
use crate::slab::Key;
use proto::balance::{Asked as Ask, Balancer};
use proto::exchange::Exchange;
use proto::failure::{Failure, Phase};
use proto::fault::OriginFault;
use proto::http1::encode::Forwarding;
use proto::http1::fields::{FieldKind, eq_ignore_case};
use proto::http1::framing::decide_request;
use proto::http1::head::{Method, Parsed, RequestHead, TargetForm};
use proto::identity::{asked_name, bound_of};
use proto::plan::{Action, Balance, ReusePolicy, StatusRange};
use proto::retry::{Facts, Next, decide_next};
use proto::route::{Asked, came_secure, normalise_path};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// Who asks for what, and when.
struct Question<'a> {
    bytes: &'a [u8],
    head: &'a RequestHead,
    client: IpAddr,
    /// Whether it comes over TLS: written as a target with its scheme.
    over_tls: bool,
    now_ms: u64,
}

/// Explains a request given as the bytes of its head. `Err` says why it is none.
pub fn explain<S>(host: &Host<S>, bytes: &[u8], client: IpAddr, now_ms: u64) -> Result<String, String> {
    let plan = Rc::new(Compiled::new(host.current()));
    let mut head = RequestHead::new();
    match head.parse(bytes, &plan.head_limits) {
        Ok(Parsed::Complete) => {}
        Ok(Parsed::Partial) => return Err("the request is not complete".to_owned()),
        Err(fault) => return Ok(refuse(fault.status(), fault.token(), fault.sentence())),
    }
    let bytes = &bytes[..head.len];
    let framing = match decide_request(bytes, &head) {
        Ok(framing) => framing,
        Err(fault) => return Ok(refuse(fault.status(), fault.token(), fault.sentence())),
    };
    let mut path = Vec::new();
    match head.target_form {
        TargetForm::Asterisk => path.push(b'*'),
        _ => normalise_path(head.path.of(bytes), &mut path),
    }
    let over_tls = is_https(&head, bytes);
    let secure = came_secure(over_tls, plan.trusts(client), &head, bytes);
    let route = plan.routes.find(&Asked { bytes, head: &head, path: &path, secure });
    if let Some(fault) = refusal(&head, &framing, body_bytes_max(&plan, route)) {
        return Ok(refuse(fault.status(), fault.token(), fault.sentence()));
    }
    let mut out = Json::default();
    let Some(number) = route else {
        return Ok(out.raw("route", "null").text("action", "none").number("status", 404_u16).end());
    };
    let route = &plan.plan.routes[number as usize];
    out.text("route", &route.name).text("path", &String::from_utf8_lossy(&path));
    match &route.action {
        Action::Answer { status, .. } => out.text("action", "answer").number("status", *status),
        Action::Redirect { status, location } => {
            let place = redirect_place(location, &head, bytes);
            out.text("action", "redirect").number("status", *status).text("location", &place)
        }
        Action::Forward { .. } if is_last_hop(&head, bytes) => {
            let status: u16 = if head.method == Method::Options { 204 } else { 405 };
            out.text("action", "answer").number("status", status)
        }
        Action::Forward { origin, .. } => {
            let core = Exchange::new(head.method, head.version, &framing);
            let asking = Asking { client: Key::NONE, route: number, origin_index: *origin, began_us: now_ms * 1000 };
            let mut ongoing = Ongoing::new(core, Rc::clone(&plan), &head, &framing, asking);
            let question = Question { bytes, head: &head, client, over_tls, now_ms };
            take_policy(&mut ongoing, &question);
            explain_forward(&mut out, &mut ongoing, &question)
        }
    };
    Ok(out.end())
}

fn refuse(status: u16, fault: &str, says: &str) -> String {
    Json::default()
        .raw("route", "null")
        .text("action", "refuse")
        .number("status", status)
        .text("fault", fault)
        .text("says", says)
        .end()
}

/// As the worker does at the beginning of an exchange, for a client that asks for the first time.
fn take_policy(ongoing: &mut Ongoing, question: &Question<'_>) {
    let Question { bytes, head, client, .. } = *question;
    let origin = &ongoing.plan.plan.origins[ongoing.origin_index as usize];
    let key_hash = choose::key_hash(&origin.balance, head, bytes, client.to_string().as_bytes());
    let cookie = origin.sticky.as_ref().and_then(|s| choose::cookie(head, bytes, &s.name));
    let sticky = cookie.and_then(|value| u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok());
    let policy = ongoing.policy();
    let keyed = head.kinds.has(FieldKind::IdempotencyKey) && policy.retry.idempotency_key;
    let owner = binds_connection(head, bytes, policy.connection_auth).then_some(0);
    let came = head.fields.iter().any(|f| eq_ignore_case(f.name.of(bytes), ESCALATED.as_bytes()));
    let escalated_before = !policy.escalate.is_empty() && came;
    let bound = bound_of(&origin.match_on, head.host.of(bytes), owner, asked_name(origin, head.host.of(bytes), None));
    (ongoing.keyed, ongoing.key_hash, ongoing.sticky) = (keyed, key_hash, sticky);
    (ongoing.owner, ongoing.bound, ongoing.escalated_before) = (owner, bound, escalated_before);
}

fn explain_forward<'a>(out: &'a mut Json, ongoing: &mut Ongoing, question: &Question<'_>) -> &'a mut Json {
    let plan = Rc::clone(&ongoing.plan);
    let index = ongoing.origin_index as usize;
    let (origin, compiled) = (&plan.plan.origins[index], &plan.origins[index]);
    out.text("action", "forward").text("origin", &origin.name);
    if compiled.targets.is_empty() {
        out.text("unresolved", compiled.unresolved.token());
    }
    match choose_target(ongoing, question.now_ms) {
        Some(place) => {
            ongoing.target = place as u32;
            let target = &compiled.targets[place];
            let why = why_chosen(&origin.balance, ongoing, target);
            out.raw("request", &request(ongoing, question))
                .raw("target", &describe_target(&origin.targets[place].label, target, None, why))
                .text("identity", &identity(&target.shared.identity, ongoing))
                .raw("connection", &connection(ongoing, target));
            if let Some(plan) = &origin.tls {
                let name = &origin.targets[place].name;
                out.raw("tls", &describe_tls(plan, &target.shared.identity, name, ongoing));
            }
        }
        None => {
            out.raw("target", "null");
        }
    }
    let described = origin.targets.iter().zip(&compiled.targets);
    out.raw("candidates", &list(described, |(t, c)| describe_target(&t.label, c, Some(may_be_used(c)), why_state(c))))
        .raw("timeouts", &timeouts(ongoing))
        .raw("retry", &retry(ongoing))
        .raw("escalate", &escalate(ongoing))
        .raw("answers", &answers(ongoing))
        .text("halfClose", &format!("{:?}", ongoing.policy().half_close).to_lowercase())
}

/// The target that a worker without a past would choose now.
fn choose_target(ongoing: &Ongoing, now_ms: u64) -> Option<usize> {
    let index = ongoing.origin_index as usize;
    let origin = &ongoing.plan.origins[index];
    match origin.targets.as_slice() {
        [] => None,
        [only] => may_be_used(only).then_some(0),
        several => {
            let mut candidates = Vec::new();
            gather(&mut candidates, several, ongoing, &ongoing.plan.plan.zone, now_ms, origin);
            let asked = Ask { key_hash: ongoing.key_hash, sticky: ongoing.sticky, dice: 0 };
            Balancer::new(&ongoing.plan.plan.origins[index].balance).choose(&candidates, &asked)
        }
    }
}

fn why_chosen(balance: &Balance, ongoing: &Ongoing, target: &CompiledTarget) -> &'static str {
    let usable = ongoing.plan.origins[ongoing.origin_index as usize].targets.iter().filter(|t| may_be_used(t)).count();
    if !may_be_used(target) {
        return "too few targets are up, so health is not believed";
    }
    if ongoing.sticky == Some(target.name_hash) {
        return "the client's cookie names it";
    }
    if usable == 1 {
        return "it is the only one that may be used";
    }
    match balance {
        Balance::RoundRobin => "round robin: it begins the round; a worker under way goes on where it is",
        Balance::LeastConnections => "it has the fewest requests under way for its weight",
        Balance::TwoChoices => "the better of two drawn at random; another draw may give another",
        Balance::ConsistentHash { .. } => "the request's key belongs to it",
    }
}

fn why_state(target: &CompiledTarget) -> &'static str {
    use crate::target::TargetState as S;
    match target.shared.state() {
        _ if target.weight == 0 => "its weight is 0",
        S::Up => "up",
        S::Suspect if may_be_used(target) => "on trial: it gets a few requests at a time",
        S::Suspect => "on trial, and busy with as many requests as it may have",
        S::Down => "found to be down",
        S::Draining => "drained by hand",
        S::Removed => "no longer among the origin's targets",
    }
}

fn describe_target(label: &str, target: &CompiledTarget, usable: Option<bool>, why: &str) -> String {
    let shared = &target.shared;
    let mut out = Json::default();
    out.number("number", shared.number)
        .text("label", label)
        .text("address", &target.address.ip().to_string())
        .number("port", target.address.port())
        .text("state", shared.state().token());
    if let Some(usable) = usable {
        out.flag("usable", usable);
    }
    out.text("why", why)
        .number("weight", target.weight)
        .number("tier", target.tier)
        .number("open", shared.open.load(Relaxed))
        .number("idle", shared.idle_total())
        .end()
}

fn is_https(head: &RequestHead, bytes: &[u8]) -> bool {
    let target = bytes.get(head.method_span.end() + 1..).unwrap_or(&[]);
    target.get(..8).is_some_and(|scheme| eq_ignore_case(scheme, b"https://"))
}

/// The request as the target would get it, read from the very bytes that would be sent.
fn request(ongoing: &Ongoing, question: &Question<'_>) -> String {
    let Question { bytes, head, client, .. } = *question;
    let plan = &ongoing.plan;
    let ip = client.to_string();
    let forwarding = Forwarding {
        client_cert: &[],
        trusted_peer: plan.trusts(client),
        x_forwarded: plan.plan.forwarding.x_forwarded,
        forwarded: plan.plan.forwarding.forwarded,
        client_ip: ip.as_bytes(),
        client_is_v6: client.is_ipv6(),
        proto: if question.over_tls { b"https" } else { b"http" },
    };
    let (mut sent, mut room) = (Vec::new(), Vec::new());
    encode_for_origin(&mut sent, &mut room, ongoing, head, bytes, forwarding);
    let mut lines = sent.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    let mut words = lines.next().unwrap_or(&[]).split(|b| *b == b' ');
    let (method, path) = (words.next().unwrap_or(&[]), words.next().unwrap_or(&[]));
    let fields: Vec<(&[u8], &[u8])> = lines
        .filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            Some((&line[..at], line[at + 1..].trim_ascii()))
        })
        .collect();
    let is_host = |name: &[u8]| eq_ignore_case(name, b"host");
    let host = fields.iter().find(|(name, _)| is_host(name)).map_or(&[][..], |(_, value)| value);
    let others = fields.iter().filter(|(name, _)| !is_host(name));
    Json::default()
        .raw("method", &quoted(method))
        .raw("path", &quoted(path))
        .raw("host", &quoted(host))
        .raw("headers", &list(others, |(name, value)| format!("[{},{}]", quoted(name), quoted(value))))
        .end()
}

/// Whether a connection that is there would be taken, and by which rule.
fn connection(ongoing: &Ongoing, target: &CompiledTarget) -> String {
    let (idle, ready) = (target.shared.idle_total(), target.shared.standby.load(Relaxed));
    let shares = ongoing.plan.origins[ongoing.origin_index as usize].shares;
    let policy = if ongoing.is_repeatable() { ReusePolicy::Reuse } else { ongoing.policy().unrepeatable };
    let (reused, why) = match policy {
        _ if !shares => (false, "the origin's match words let nothing be shared"),
        _ if ongoing.owner.is_some() => (false, "the client's authentication is bound to a connection of its own"),
        ReusePolicy::Fresh => {
            (false, "the request must not be sent twice, and the route wants a fresh connection then")
        }
        ReusePolicy::Standby if ready > 0 => (true, "a connection is ready that has carried nothing"),
        ReusePolicy::Standby => (false, "no connection is ready that has carried nothing"),
        _ if target.shared.multiplexed.has_room() => (true, "a stream on a connection of HTTP/2 that others use too"),
        _ if idle == 0 => (false, "no connection is idle"),
        ReusePolicy::Reuse => (true, "the first idle one that is still quiet"),
        ReusePolicy::ReuseIfRecent { .. } => (true, "one that was used recently enough, else a new one"),
    };
    Json::default().text("kind", if reused { "reused" } else { "new" }).text("why", why).end()
}

fn timeouts(ongoing: &Ongoing) -> String {
    let (origin, policy) = (ongoing.origin_plan(), ongoing.policy());
    Json::default()
        .number("connectMs", origin.connect_ms)
        .number("firstByteMs", ongoing.first_byte_ms())
        .number("betweenBytesMs", ongoing.between_bytes_ms())
        .number("totalMs", policy.total_ms.unwrap_or(origin.total_ms))
        .number("idleMs", origin.idle_ms)
        .end()
}

/// The rules of retry, asked about failures that have not happened.
fn retry(ongoing: &Ongoing) -> String {
    let retry = &ongoing.policy().retry;
    let targets = &ongoing.plan.origins[ongoing.origin_index as usize].targets;
    let usable = targets.iter().filter(|t| may_be_used(t)).count() as u32;
    let word = |class: OriginFault, reused: bool, sent_any: bool| {
        let failure = Failure {
            class,
            phase: Phase::AwaitingHead,
            target: None,
            reused,
            bytes_sent: 0,
            bytes_received: 0,
            attempt: 1,
            elapsed_us: 0,
            wire: None,
            status: 0,
        };
        let facts = Facts {
            method: ongoing.core.method,
            keyed: ongoing.keyed,
            sent_any,
            body_replayable: true,
            repeated: false,
            untried_targets: usable.saturating_sub(1),
            attempts_left: retry.attempts.saturating_sub(1),
            budget_allows: true,
            too_late: false,
        };
        match decide_next(&failure, &facts) {
            Next::FreshConnection => "fresh_connection",
            Next::NextTarget => "next_target",
            Next::Answer(why) => why.token(),
        }
    };
    let mut out = Json::default();
    out.number("attempts", retry.attempts)
        .number("perTryMs", retry.per_try_ms)
        .flag("repeatable", ongoing.is_repeatable())
        .text("why", why_repeatable(ongoing))
        .text("ifNotConnected", word(OriginFault::ConnectRefused, false, false))
        .text("ifStale", word(OriginFault::EofBeforeHeaders, true, true))
        .text("ifSilent", word(OriginFault::HeaderTimeout, false, true))
        .text("ifClosedEarly", word(OriginFault::EofBeforeHeaders, false, true));
    if !retry.statuses.is_empty() {
        out.raw("statuses", &list(&retry.statuses, |range| quoted(range_text(range).as_bytes())))
            .text("ifStatus", word(OriginFault::Status, false, true));
    }
    out.end()
}

fn why_repeatable(ongoing: &Ongoing) -> &'static str {
    match ongoing.core.method {
        _ if ongoing.keyed => "its Idempotency-Key lets it be sent twice",
        method if method.is_safe() => "its method is safe",
        method if method.is_idempotent() => "its method is idempotent",
        _ => "its method is not idempotent: once a byte was sent it is not sent again",
    }
}

fn escalate(ongoing: &Ongoing) -> String {
    list(&ongoing.policy().escalate, |rule| {
        let statuses = rule.statuses.iter().map(range_text);
        let on = statuses.chain(rule.faults.iter().cloned()).collect::<Vec<String>>();
        let (applies, why) = match () {
            () if ongoing.escalated_before => (false, "the request came by escalation of a proxy before this one"),
            () if ongoing.is_repeatable() => (true, "the request may be sent twice"),
            () if rule.any_method => (true, "only while nothing of the request was sent"),
            () => (false, "the request must not be sent twice"),
        };
        let to = &ongoing.plan.plan.origins[rule.origin as usize].name;
        let on = list(&on, |word| quoted(word.as_bytes()));
        Json::default().text("to", to).raw("on", &on).flag("applies", applies).text("why", why).end()
    })
}

fn answers(ongoing: &Ongoing) -> String {
    list(&ongoing.policy().answers, |answer| {
        let on = list(&answer.faults, |fault| quoted(fault.as_bytes()));
        Json::default().raw("on", &on).number("status", answer.status).end()
    })
}

fn range_text(range: &StatusRange) -> String {
    if range.from == range.to { range.from.to_string() } else { format!("{}-{}", range.from, range.to) }
}

//! Active checks from outside: what targets answer to them, and whether what the workers make of it is true. A check is
//! good only if its target said so, bad only where something may be wrong, and never part of what clients do.

use crate::answers::{MALFORMED, Out, Script};
use crate::books::Books;
use crate::dice::Dice;
use crate::kernel::Socket;
use crate::ledger::{Ledger, Mood, fail, say};
use crate::net;
use crate::reader::Head;
use crate::secure;
use engine::host::Host;
use engine::stats::Counter;
use proto::plan::{HealthCheck, HealthProbe, Plan, StatusRange};
use std::collections::HashMap;
use std::net::SocketAddr;

/// What a target that is well says, and what one says that is not.
const WELL: &str = "all is well";
const ILL: &str = "all is lost";

/// What one target gave to checks that no verdict has used yet.
#[derive(Clone, Copy, Default)]
pub struct Given {
    /// Answers with a good head; those of them that say that all is well; connections.
    heads: u64,
    texts: u64,
    connections: u64,
}

/// By target's address.
pub type Checkups = HashMap<SocketAddr, Given>;

/// How an origin is checked.
pub fn health(dice: &mut Dice, mood: Mood) -> HealthCheck {
    let text = if dice.chance(400) { WELL } else { "" };
    let probe = HealthProbe::Http {
        path: "/check".to_owned(),
        host: if dice.chance(500) { "checked.sim".to_owned() } else { String::new() },
        statuses: vec![StatusRange { from: 200, to: 299 }],
        body_contains: text.to_owned(),
    };
    let wild = mood == Mood::Wild;
    HealthCheck {
        probe: if dice.chance(200) { HealthProbe::Tcp } else { probe },
        // Calm runs may last for half an hour.
        interval_ms: if wild { 1_000 + dice.skewed(20_000) as u32 } else { 60_000 },
        jitter_percent: dice.skewed(100) as u32,
        timeout_ms: if wild { 20 + dice.skewed(4_000) as u32 } else { 60_000 },
    }
}

/// The same plan, in which nobody is checked.
#[must_use]
pub fn without(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.origins.iter_mut().for_each(|origin| origin.health = None);
    plan
}

#[must_use]
pub fn are_asked(plan: &Plan) -> bool {
    plan.origins.iter().any(|origin| origin.health.is_some())
}

/// A check must look like one: it speaks for nobody, and its connection is for nothing else.
pub fn judge_head(head: &Head, target: SocketAddr) {
    let one = |name: &str| head.all(name).count() == 1;
    let clean = head.get("x-forwarded-for").is_none() && head.told().is_ok_and(|told| told.is_none());
    if head.start != "GET /check HTTP/1.1" || !one("host") || head.get("connection") != Some("close") || !clean {
        fail(format!("a check came to {target} as {head:?}"));
    }
}

/// A connection reached the target: a check of connections asks for no more.
pub fn note_connection(checkups: &mut Checkups, target: SocketAddr) {
    checkups.entry(target).or_default().connections += 1;
}

/// What the target answers, noted as far as a verdict may rest on it.
pub fn answer(dice: &mut Dice, mood: Mood, target: SocketAddr, checkups: &mut Checkups) -> Script {
    let wild = mood == Mood::Wild;
    let gap = if wild && dice.chance(100) { dice.skewed(6_000_000) } else { dice.skewed(3_000) };
    match dice.below(20) {
        0 if wild => return Vec::new(),
        1 if wild => return vec![(gap, Out::Close)],
        2 if wild => return vec![(gap, Out::Reset)],
        3 if wild => return vec![(gap, Out::Bytes(dice.pick(MALFORMED).as_bytes().to_vec()))],
        _ => {}
    }
    let (unwell, ill) = (wild && dice.chance(150), wild && dice.chance(150));
    let status = if unwell { *dice.pick(&["503 Not Now", "304 Not Modified", "404 Not Found"]) } else { "200 OK" };
    let padding = ".".repeat(dice.skewed(3_000) as usize);
    let body = format!("{padding}{}\n", if ill { ILL } else { WELL });
    let (text, closes) = framed(dice, status, &body);
    let end = if wild && dice.chance(150) { dice.below(text.len() as u64) as usize } else { text.len() };
    let sent = &text[..end];
    let given = checkups.entry(target).or_default();
    let head = !unwell && sent.contains("\r\n\r\n");
    given.heads += u64::from(head);
    given.texts += u64::from(head && !ill);
    let mut script = Script::new();
    if dice.chance(150) {
        script.push((gap / 2, Out::Bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec())));
    }
    let (front, rest) = sent.split_at(dice.below(sent.len() as u64 + 1) as usize);
    script.push((gap, Out::Bytes(front.as_bytes().to_vec())));
    script.push((gap / 3, Out::Bytes(rest.as_bytes().to_vec())));
    if closes || end < text.len() || dice.chance(500) {
        let how = if wild && dice.chance(300) { Out::Reset } else { Out::Close };
        script.push((dice.skewed(3_000), how));
    }
    script
}

/// The answer's text, and whether only the close ends it.
fn framed(dice: &mut Dice, status: &str, body: &str) -> (String, bool) {
    match dice.below(3) {
        0 => (format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()), false),
        1 => {
            let (front, rest) = body.split_at(1 + dice.below(body.len() as u64 - 1) as usize);
            let chunks = [front, rest].map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).concat();
            (format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"), false)
        }
        _ => (format!("HTTP/1.{} {status}\r\n\r\n{body}", dice.below(2)), true),
    }
}

/// What a worker noted in a turn.
pub fn hear(notes: &[u8], host: &Host<Socket>, mood: Mood, ledger: &mut Ledger) {
    let text = String::from_utf8_lossy(notes);
    for line in text.lines().filter(|line| line.contains("\"event\":\"check\"")) {
        say(|| format!("  noted {line}"));
        let part = |name: &str| line.split_once(name).map(|(_, rest)| rest);
        let number = part("\"target\":").and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
        let Some(target) = host.pool.all_targets().into_iter().find(|t| Some(t.number) == number) else {
            fail(format!("a check of nobody: {line}"));
            return;
        };
        let good = part("\"ok\":").is_some_and(|rest| rest.starts_with("true"));
        ledger.tally.checks += 1;
        if !good {
            ledger.tally.checks_bad += 1;
            if mood != Mood::Wild {
                fail(format!("a check found fault with a target that is well: {line}"));
            }
            continue;
        }
        if secure::target(target.identity.target) == Some(true) {
            fail(format!("a check found a target well that nobody may believe: {line}"));
        }
        let name = &target.identity.origin;
        let given = ledger.checkups.entry(target.identity.target).or_default();
        let left = match ledger.probes.get(name) {
            Some(HealthProbe::Http { body_contains, .. }) if body_contains.is_empty() => &mut given.heads,
            Some(HealthProbe::Http { .. }) => &mut given.texts,
            Some(HealthProbe::Tcp) => &mut given.connections,
            None => {
                fail(format!("a target was checked that nobody asked to check: {line}"));
                return;
            }
        };
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None => fail(format!("a check is good though its target never said so: {line}")),
        }
    }
}

/// The counters of checks say what was noted, and those of clients' traffic leave checks out.
pub fn judge(books: &Books<'_>, host: &Host<Socket>, ledger: &Ledger) -> Result<(), String> {
    let (checks, bad) = (books.sum(Counter::Checks), books.sum(Counter::ChecksFailed));
    if (checks, bad) != (ledger.tally.checks, ledger.tally.checks_bad) {
        let noted = (ledger.tally.checks, ledger.tally.checks_bad);
        return Err(format!("books: {checks} checks, {bad} of them bad, but noted were {noted:?}"));
    }
    let (sent, reached) = net::with(|net| (net.attempts.values().map(|n| u64::from(*n)).sum::<u64>(), net.reached));
    let (succeeded, opened) =
        (host.pool.all_targets().iter().map(succeeded).sum::<u64>(), books.sum(Counter::OriginOpened));
    if succeeded > sent || opened > reached {
        let clients = format!("{succeeded} successes of {sent} requests, {opened} of {reached} connections");
        return Err(format!("books: checks count as clients' traffic: {clients}"));
    }
    Ok(())
}

fn succeeded(target: &std::sync::Arc<engine::target::TargetShared>) -> u64 {
    target.succeeded.load(std::sync::atomic::Ordering::Relaxed)
}

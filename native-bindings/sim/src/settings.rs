//! The plan and the hostility of a run, drawn from its seed.

use crate::checks::health;
use crate::dice::Dice;
use crate::document::{self, Value, map};
use crate::ledger::Mood;
use crate::net::Knobs;
use engine::cached::PIECE_BYTES_MAX;
use proto::plan::{
    Action, Balance, CachePolicy, HashBy, Limits, MatchWord, Origin, Plan, Pool, ReusePolicy, Spool, Timeouts, TtlRule,
};

/// Most request body kept for a repeat.
pub const REPLAY_BYTES: u32 = 700;
/// Room for all bodies of a run together.
const SPOOL_AMPLE_BYTES: u64 = 20_000_000;

#[must_use]
pub fn mood(dice: &mut Dice) -> Mood {
    match dice.below(10) {
        0 => Mood::Calm,
        1..=2 => Mood::Stale,
        _ => Mood::Wild,
    }
}

#[must_use]
pub fn knobs(dice: &mut Dice, mood: Mood) -> Knobs {
    let wild = mood == Mood::Wild;
    let mut some = |most: u64| if wild && dice.chance(600) { dice.skewed(most) as u32 } else { 0 };
    let (refuse, blackhole, connect_error, watch_fails) = (some(150), some(60), some(40), some(15));
    let (disk_full, disk_broken) = (some(100), some(600));
    Knobs {
        disk_full,
        disk_broken,
        refuse,
        blackhole,
        connect_error,
        watch_fails,
        stall: dice.skewed(200) as u32,
        split: dice.skewed(900) as u32,
        spurious: dice.skewed(400) as u32,
        late_event: 300,
        slow_packet: dice.skewed(100) as u32,
        buffer_bytes: if dice.chance(200) { dice.between(128, 2_000) } else { dice.between(4_000, 70_000) },
        batch: if dice.chance(300) { dice.between(1, 4) } else { 256 },
    }
}

/// Settings that no run is about keep the document's defaults.
#[must_use]
pub fn plan(dice: &mut Dice, mood: Mood) -> Plan {
    let workers = dice.between(1, 3) as u32;
    let origins = (0..2).map(|number| origin(dice, mood, number)).collect();
    let mut plan = document::plan(origins, routes(), dice.chance(300));
    "simproxy".clone_into(&mut plan.name);
    plan.workers = workers;
    set_limits(dice, mood, &mut plan.limits);
    set_timeouts(dice, mood, &mut plan.timeouts);
    set_pool(dice, mood, workers, &mut plan.pool);
    set_spool(dice, &mut plan.spool);
    (plan.forwarding.via, plan.forwarding.forwarded) = (dice.chance(500), dice.chance(300));
    plan.persistence.after_errors = dice.chance(800);
    "here".clone_into(&mut plan.zone);
    let unrepeatable = *dice.pick(&[
        ReusePolicy::Fresh,
        ReusePolicy::Standby,
        ReusePolicy::Reuse,
        ReusePolicy::ReuseIfRecent { within_ms: 500 },
    ]);
    // A dice of its own: what else a seed is about does not change by it.
    let mut apart = dice.clone();
    let caches = apart.chance(350);
    for route in &mut plan.routes {
        if let Action::Forward { policy, .. } = &mut route.action {
            policy.unrepeatable = unrepeatable;
            route.cache = caches.then(|| cache(&mut apart, mood));
        }
    }
    if caches && apart.chance(300) {
        plan.cache.memory_bytes = apart.between(2_000, 200_000);
    }
    plan.origins.iter_mut().for_each(|origin| set_policy(dice, mood, origin));
    plan
}

/// Answers are kept whatever they say. Every request has a target of its own, so whoever gets an answer that is kept gets
/// his own: what is tried is how answers come in and go out, and how everybody leaves meanwhile.
fn cache(dice: &mut Dice, mood: Mood) -> CachePolicy {
    let rule = TtlRule { force_s: Some(60), overrides: true, ..TtlRule::default() };
    let mut policy = CachePolicy { ttl: vec![rule], ..CachePolicy::default() };
    policy.object_bytes = if dice.chance(300) { dice.skewed(20_000) } else { 0 };
    if mood == Mood::Wild {
        policy.coalesce.wait_ms = dice.skewed(2_000) as u32;
        policy.coalesce.fill_bytes = dice.skewed(10_000);
        policy.grace.if_error_s = dice.below(2) as u32 * 60;
    }
    policy
}

/// The longest piece of what is cached that is given to a client at once.
#[must_use]
pub fn cached_piece(plan: &Plan) -> usize {
    if plan.routes.iter().any(|route| route.cache.is_some()) { PIECE_BYTES_MAX } else { 0 }
}

/// How connections are matched and targets chosen. (None is kept ready: such an origin never comes to rest, which every
/// seed must.)
fn set_policy(dice: &mut Dice, mood: Mood, origin: &mut Origin) {
    let tiers = dice.chance(200);
    for (place, target) in origin.targets.iter_mut().enumerate() {
        target.tier = u8::from(tiers && place == 0);
        target.zone = if place == 1 { "here".to_owned() } else { String::new() };
    }
    origin.connections = if dice.chance(200) { dice.between(1, 6) as u32 } else { 0 };
    origin.total_ms = if mood == Mood::Wild && dice.chance(200) { 100 + dice.skewed(5_000) as u32 } else { 0 };
    origin.idle_learn = dice.chance(700);
    origin.age_jitter_percent = 30;
    origin.match_on = vec![*dice.pick(&[MatchWord::Ip, MatchWord::Both, MatchWord::Hostonly])];
    origin.health = dice.chance(500).then(|| health(dice, mood));
    origin.slow_start_ms = if dice.chance(200) { 1_000 } else { 0 };
    origin.balance = match dice.between(0, 3) {
        0 => Balance::LeastConnections,
        1 => Balance::TwoChoices,
        2 => Balance::ConsistentHash { by: HashBy::Path, bound_percent: 150 },
        _ => Balance::RoundRobin,
    };
}

fn set_limits(dice: &mut Dice, mood: Mood, limits: &mut Limits) {
    let wild = mood == Mood::Wild;
    limits.request_line_bytes = 2_000;
    limits.head_bytes = 4_096;
    limits.field_count = 40;
    limits.chunk_extension_bytes = 100_000;
    limits.request_body_bytes = if wild && dice.chance(200) { dice.between(100, 3_000) } else { 0 };
    limits.pipelined_requests = if wild { dice.between(1, 8) as u32 } else { 100 };
    limits.drain_bytes = dice.skewed(5_000);
    limits.replay_body_bytes = dice.skewed(u64::from(REPLAY_BYTES)) as u32;
    limits.client_requests = if mood != Mood::Stale && dice.chance(300) { dice.between(1, 5) } else { 0 };
}

fn set_timeouts(dice: &mut Dice, mood: Mood, timeouts: &mut Timeouts) {
    let mut time = |most: u64| if mood == Mood::Wild { 20 + dice.skewed(most) as u32 } else { 300_000 };
    timeouts.client_head_ms = time(5_000);
    timeouts.client_body_ms = time(5_000);
    timeouts.client_idle_ms = time(5_000);
    timeouts.client_write_ms = time(5_000);
    timeouts.client_linger_ms = time(2_000).min(5_000);
    timeouts.tunnel_idle_ms = time(5_000);
    timeouts.continue_ms = time(2_000).min(1_000);
}

fn set_pool(dice: &mut Dice, mood: Mood, workers: u32, pool: &mut Pool) {
    let wild = mood == Mood::Wild;
    pool.shards = dice.between(1, u64::from(workers)) as u32;
    pool.steal = dice.chance(700);
    pool.connections = if dice.chance(250) { dice.between(2, 6) as u32 } else { 0 };
    pool.queue_length = if wild { dice.skewed(6) as u32 } else { 1_000 };
    pool.queue_wait_ms = if wild { 10 + dice.skewed(3_000) as u32 } else { 300_000 };
}

/// Some long bodies go into files, some find no room there.
fn set_spool(dice: &mut Dice, spool: &mut Spool) {
    if dice.chance(600) {
        "spool".clone_into(&mut spool.folder);
        spool.request_bytes = if dice.chance(300) { dice.skewed(5_000) } else { SPOOL_AMPLE_BYTES };
        spool.total_bytes = if dice.chance(300) { dice.skewed(10_000) } else { SPOOL_AMPLE_BYTES };
    }
}

/// The longest request body that is held for another attempt, whatever else is held.
#[must_use]
pub fn held_max(plan: &Plan) -> u64 {
    let ample = !plan.spool.folder.is_empty() && plan.spool.total_bytes == SPOOL_AMPLE_BYTES;
    let in_files = if ample { plan.spool.request_bytes } else { 0 };
    in_files.max(plan.limits.replay_body_bytes.into())
}

fn origin(dice: &mut Dice, mood: Mood, number: u64) -> Value {
    let wild = mood == Mood::Wild;
    let mut time = |most: u64| if wild { 50 + dice.skewed(most) } else { 300_000 };
    let times = [3_000, 3_000, 3_000, 8_000].map(&mut time);
    let target = |place: u64| {
        map([
            ("label", Value::Text(format!("t{number}-{place}:80"))),
            ("address", Value::Text(format!("10.9.{number}.{place}"))),
            ("port", 80.into()),
            ("weight", (1 + place % 2).into()),
        ])
    };
    let targets: Vec<Value> = (1..=dice.between(1, 3)).map(target).collect();
    let host = if number == 0 { "client" } else { "target" };
    let age_ms = if dice.chance(200) { dice.between(10, 20_000) } else { 0 };
    let requests = if dice.chance(200) { dice.between(1, 5) } else { 0 };
    let connections = if dice.chance(350) { dice.between(1, 4) } else { 0 };
    map([
        ("name", Value::Text(format!("origin{number}"))),
        ("targets", targets.into()),
        ("host", map([("kind", host.into())])),
        ("connectMs", times[0].into()),
        ("firstByteMs", times[1].into()),
        ("betweenBytesMs", times[2].into()),
        ("idleMs", times[3].into()),
        ("ageMs", age_ms.into()),
        ("requests", requests.into()),
        ("targetConnections", connections.into()),
        ("targetIdle", dice.between(1, 8).into()),
    ])
}

fn routes() -> Vec<Value> {
    let prefix = |path: &str| map([("kind", "prefix".into()), ("value", path.into())]);
    let forward = |origin: u64| {
        let none = || Value::List(Vec::new());
        let parts = [("kind", "forward".into()), ("origin", origin.into())];
        let edits = [("requestFields", none()), ("answerFields", none())];
        Value::Map(parts.into_iter().chain(edits).collect())
    };
    let field = map([("name", "X-Own".into()), ("value", "1".into())]);
    let own = map([
        ("kind", "answer".into()),
        ("status", 203.into()),
        ("fields", vec![field].into()),
        ("body", "own\n".into()),
    ]);
    vec![
        document::route(Vec::new(), prefix("/own"), own),
        document::route(vec!["two.sim".into()], prefix("/r"), forward(1)),
        document::route(Vec::new(), prefix("/r"), forward(0)),
    ]
}

/// The same without the last target of every origin that has another.
#[must_use]
pub fn with_fewer_targets(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for origin in plan.origins.iter_mut().filter(|origin| origin.targets.len() > 1) {
        origin.targets.pop();
    }
    plan
}

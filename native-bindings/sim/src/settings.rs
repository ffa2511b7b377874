//! The plan and the hostility of a run, drawn from its seed.

use crate::dice::Dice;
use crate::ledger::Mood;
use crate::net::Knobs;
use proto::plan::{
    Action, FieldLine, Forwarding, HostPolicy, Limits, Listener, Origin, PLAN_VERSION, PathMatch, Plan, Pool, Route,
    Target, Timeouts,
};
use std::net::{IpAddr, Ipv4Addr};

/// Most request body kept for a repeat.
pub const REPLAY_BYTES: u32 = 700;

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
    Knobs {
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

#[must_use]
pub fn plan(dice: &mut Dice, mood: Mood) -> Plan {
    let workers = dice.between(1, 3) as u32;
    let origins = (0..2).map(|number| origin(dice, mood, number)).collect();
    Plan {
        version: PLAN_VERSION,
        name: "simproxy".to_owned(),
        workers,
        listeners: vec![Listener { name: "sim".to_owned(), address: Ipv4Addr::LOCALHOST.into(), port: 80, backlog: 1 }],
        limits: limits(dice, mood),
        timeouts: timeouts(dice, mood),
        pool: pool(dice, mood, workers),
        forwarding: Forwarding { via: dice.chance(500), x_forwarded: true, forwarded: dice.chance(300), trusted: Vec::new() },
        origins,
        routes: routes(),
        access_log: dice.chance(300),
    }
}

fn limits(dice: &mut Dice, mood: Mood) -> Limits {
    let wild = mood == Mood::Wild;
    Limits {
        request_line_bytes: 2_000,
        head_bytes: 4_096,
        field_count: 40,
        chunk_extension_bytes: 100_000,
        request_body_bytes: if wild && dice.chance(200) { dice.between(100, 3_000) } else { 0 },
        pipelined_requests: if wild { dice.between(1, 8) as u32 } else { 100 },
        drain_bytes: dice.skewed(5_000),
        replay_body_bytes: dice.skewed(u64::from(REPLAY_BYTES)) as u32,
        client_connections: 0,
        client_requests: if mood != Mood::Stale && dice.chance(300) { dice.between(1, 5) } else { 0 },
    }
}

fn timeouts(dice: &mut Dice, mood: Mood) -> Timeouts {
    let mut time = |most: u64| if mood == Mood::Wild { 20 + dice.skewed(most) as u32 } else { 300_000 };
    Timeouts {
        client_head_ms: time(5_000),
        client_body_ms: time(5_000),
        client_idle_ms: time(5_000),
        client_write_ms: time(5_000),
        client_linger_ms: time(2_000).min(5_000),
        tunnel_idle_ms: time(5_000),
        continue_ms: time(2_000).min(1_000),
    }
}

fn pool(dice: &mut Dice, mood: Mood, workers: u32) -> Pool {
    let wild = mood == Mood::Wild;
    Pool {
        shards: dice.between(1, u64::from(workers)) as u32,
        steal: dice.chance(700),
        connections: if dice.chance(250) { dice.between(2, 6) as u32 } else { 0 },
        queue_length: if wild { dice.skewed(6) as u32 } else { 1_000 },
        queue_wait_ms: if wild { 10 + dice.skewed(3_000) as u32 } else { 300_000 },
    }
}

fn origin(dice: &mut Dice, mood: Mood, number: u8) -> Origin {
    let wild = mood == Mood::Wild;
    let mut time = |most: u64| if wild { 50 + dice.skewed(most) as u32 } else { 300_000 };
    let (connect_ms, first_byte_ms, between_bytes_ms, idle_ms) = (time(3_000), time(3_000), time(3_000), time(8_000));
    let targets = (1..=dice.between(1, 3) as u8).map(|place| Target {
        label: format!("t{number}-{place}:80"),
        address: IpAddr::V4(Ipv4Addr::new(10, 9, number, place)),
        port: 80,
        weight: 1 + u32::from(place % 2),
    });
    Origin {
        name: format!("origin{number}"),
        targets: targets.collect(),
        host: if number == 0 { HostPolicy::Client } else { HostPolicy::Target },
        connect_ms,
        first_byte_ms,
        between_bytes_ms,
        idle_ms,
        age_ms: if dice.chance(200) { dice.between(10, 20_000) as u32 } else { 0 },
        requests: if dice.chance(200) { dice.between(1, 5) } else { 0 },
        target_connections: if dice.chance(350) { dice.between(1, 4) as u32 } else { 0 },
        target_idle: dice.between(1, 8) as u32,
    }
}

fn routes() -> Vec<Route> {
    let route = |name: &str, hosts: &[&str], path: &str, action: Action| Route {
        name: name.to_owned(),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        path: PathMatch::Prefix { value: path.to_owned() },
        methods: Vec::new(),
        headers: Vec::new(),
        action,
    };
    let forward = |origin| Action::Forward { origin, rewrite: None, request_fields: Vec::new(), answer_fields: Vec::new() };
    let field = FieldLine { name: "X-Own".to_owned(), value: "1".to_owned() };
    vec![
        route("own", &[], "/own", Action::Answer { status: 203, fields: vec![field], body: b"own\n".to_vec() }),
        route("two", &["two.sim"], "/r", forward(1)),
        route("one", &[], "/r", forward(0)),
    ]
}

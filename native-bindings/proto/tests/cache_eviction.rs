//! How well the eviction of the cache chooses, beside LRU and SIEVE, on traces that fall the same way every time.
//! `cargo test -p millrace-proto --test cache_eviction -- --nocapture` prints the table of the decision record.

mod support;

use support::Dice;
use support::evictors::{Evictor, Lru, Ours, Sieve, Zipf, web_bytes};

/// Shards of the product's hot cache, to see what dividing costs.
const SHARDS: usize = 64;

/// A trace: keys with their weights, and the budget they are to fit in.
struct Trace {
    name: &'static str,
    budget: u64,
    requests: Vec<(u64, u64)>,
}

/// Hit ratios in percent, of requests and of bytes.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    hits: f64,
    bytes: f64,
}

fn play(trace: &Trace, evictor: &mut dyn Evictor) -> Ratio {
    let (mut hits, mut hit_bytes, mut all_bytes) = (0_u64, 0_u64, 0_u64);
    for &(key, bytes) in &trace.requests {
        all_bytes += bytes;
        if evictor.request(key, bytes) {
            hits += 1;
            hit_bytes += bytes;
        }
    }
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole as f64;
    Ratio { hits: percent(hits, trace.requests.len() as u64), bytes: percent(hit_bytes, all_bytes) }
}

const OBJECTS: usize = 100_000;
const REQUESTS: usize = 600_000;
const KIB: u64 = 1024;

fn zipf(name: &'static str, skew: f64, share: u64) -> Trace {
    let (zipf, mut dice) = (Zipf::new(OBJECTS, skew), Dice::new(7));
    let requests = (0..REQUESTS).map(|_| (zipf.draw(&mut dice), KIB)).collect();
    Trace { name, budget: OBJECTS as u64 * KIB / share, requests }
}

/// Sizes as on the web: a budget of bytes, of which a few objects could take much.
fn zipf_with_sizes() -> Trace {
    let (zipf, mut dice) = (Zipf::new(OBJECTS, 0.9), Dice::new(11));
    let with_bytes = |key| (key, web_bytes(key));
    let requests = (0..REQUESTS).map(|_| with_bytes(zipf.draw(&mut dice))).collect();
    let all: u64 = (0..OBJECTS as u64).map(web_bytes).sum();
    Trace { name: "Zipf 0.9, sizes of the web, 1/10", budget: all / 10, requests }
}

/// Every 60,000 requests somebody reads 20,000 objects once, as a crawler does.
fn zipf_with_scans() -> Trace {
    let (zipf, mut dice) = (Zipf::new(OBJECTS, 0.9), Dice::new(13));
    let mut requests = Vec::new();
    for round in 0..10_u64 {
        requests.extend((0..60_000).map(|_| (zipf.draw(&mut dice), KIB)));
        requests.extend((0..20_000).map(|n| (1_000_000 + round * 20_000 + n, KIB)));
    }
    Trace { name: "Zipf 0.9 with scans, 1/10", budget: OBJECTS as u64 * KIB / 10, requests }
}

/// A loop over a fifth more than fits: LRU lets go of each object just before it is asked for.
fn round_and_round() -> Trace {
    let requests = (0..REQUESTS as u64).map(|n| (n % 12_000, KIB)).collect();
    Trace { name: "loop over 1.2 of the budget", budget: 10_000 * KIB, requests }
}

/// What is popular changes every 60,000 requests: a policy that clings to the past loses.
fn shifting() -> Trace {
    let (zipf, mut dice) = (Zipf::new(OBJECTS, 0.9), Dice::new(17));
    let requests = (0..REQUESTS).map(|n| ((zipf.draw(&mut dice) + n as u64 / 60_000 * 1_000_000), KIB)).collect();
    Trace { name: "Zipf 0.9 that shifts, 1/10", budget: OBJECTS as u64 * KIB / 10, requests }
}

/// Ours whole, ours in shards, LRU, SIEVE.
fn compare(trace: &Trace) -> [Ratio; 4] {
    let ratios = [
        play(trace, &mut Ours::new(trace.budget, 1)),
        play(trace, &mut Ours::new(trace.budget, SHARDS)),
        play(trace, &mut Lru::new(trace.budget)),
        play(trace, &mut Sieve::new(trace.budget)),
    ];
    let cell = |ratio: &Ratio| format!("{:.1} ({:.1})", ratio.hits, ratio.bytes);
    println!("| {} | {} |", trace.name, ratios.iter().map(cell).collect::<Vec<_>>().join(" | "));
    ratios
}

#[test]
fn popular_answers_stay_better_than_by_lru() {
    for trace in [
        zipf("Zipf 0.7, 1/10", 0.7, 10),
        zipf("Zipf 0.9, 1/10", 0.9, 10),
        zipf("Zipf 0.9, 1/100", 0.9, 100),
        zipf("Zipf 1.1, 1/100", 1.1, 100),
        zipf_with_sizes(),
    ] {
        let [ours, _, lru, _] = compare(&trace);
        assert!(ours.hits > lru.hits, "{}: {ours:?} {lru:?}", trace.name);
    }
}

#[test]
fn a_scan_costs_less_than_by_lru() {
    let trace = zipf_with_scans();
    let [ours, _, lru, _] = compare(&trace);
    assert!(ours.hits > lru.hits + 2.0, "{ours:?} {lru:?}");
}

#[test]
fn a_loop_that_does_not_fit_still_hits() {
    let [ours, _, lru, _] = compare(&round_and_round());
    assert!(lru.hits < 0.1 && ours.hits > 1.0, "{ours:?} {lru:?}");
}

/// Everything changes at once, which is the worst for a queue that keeps what was used: it may cost, but not much.
#[test]
fn what_becomes_popular_is_let_in() {
    let [ours, _, lru, _] = compare(&shifting());
    assert!(ours.hits + 5.0 > lru.hits, "{ours:?} {lru:?}");
}

#[test]
fn shards_under_one_budget_hit_within_a_point_of_the_whole() {
    let trace = zipf("Zipf 0.9, 1/10, again", 0.9, 10);
    let [ours, sharded, ..] = compare(&trace);
    assert!((ours.hits - sharded.hits).abs() < 1.0, "{ours:?} {sharded:?}");
}

/// A large object weighs more in a shard than in the whole and leaves sooner: more requests hit, fewer bytes.
#[test]
fn shards_do_not_hit_less_where_objects_are_large() {
    let [ours, sharded, lru, _] = compare(&zipf_with_sizes());
    assert!(sharded.hits + 1.0 > ours.hits, "{ours:?} {sharded:?}");
    assert!(sharded.bytes > lru.bytes, "{sharded:?} {lru:?}");
}

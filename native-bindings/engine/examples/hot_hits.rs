//! What a hit in the hot cache costs: `hot_hits [SECONDS]` prints nanoseconds of CPU per hit, for one thread and two, from
//! the shared cache and from what a worker has near. All threads ask for the same targets, one after the other.

#[path = "../tests/support/hot_entries.rs"]
mod hot_entries;

use engine::hot::{HotCache, Near};
use hot_entries::{Make, Request};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Hits between two looks at the clock.
const BATCH: u64 = 10_000;

/// What this thread has used of a CPU, in seconds.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Nanoseconds per hit of the slowest of some threads.
fn measure(cache: &HotCache, threads: u32, targets: &[String], is_near: bool, seconds: f64) -> f64 {
    let run = || {
        let (request, mut near) = (Request::new(""), Near::default());
        let (begun, mut hits, mut next) = (used(), 0_u64, targets.iter().cycle());
        while used() - begun < seconds {
            for target in next.by_ref().take(BATCH as usize) {
                let wanted = request.wants(cache, black_box(target));
                if is_near && near.look_up(cache, &wanted).map(black_box).is_some() {
                    continue;
                }
                let entry = cache.look_up(&wanted, 5).entry.expect("it was kept");
                cache.touch(black_box(&entry));
                if is_near {
                    near.note(&wanted, &entry);
                }
            }
            hits += BATCH;
        }
        (used() - begun) * 1e9 / hits as f64
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).fold(0.0, f64::max)
    })
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1.0);
    let cache = HotCache::new(100_000_000, 64);
    let many: Vec<String> = (0..1_000).map(|n| format!("www.example/articles/{n}")).collect();
    for target in &many {
        assert!(cache.keep(&Make { target, ..Make::default() }.make(&cache)));
    }
    for targets in [&many[..], &many[..100], &many[..1]] {
        for (place, is_near) in [("shared", false), ("near", true)] {
            let of = |threads| measure(&cache, threads, targets, is_near, seconds);
            println!("{} targets, {place}: {:.1} ns with one thread, {:.1} ns with two", targets.len(), of(1), of(2));
        }
    }
}

//! How well the hot cache keeps its budget: two threads ask for a million objects of 1 KiB as a Zipf distribution of 0.9
//! has it, and there is room for a hundred thousand. They hit as often as the same policy without shards would, and the
//! process grows by no more than the budget.
//!
//! `cargo test --profile proof -p millrace-engine --test hot_cache_zipf -- --nocapture` prints what was counted.

mod support {
    pub mod hot_entries;
}

use engine::dice::Dice;
use engine::hot::{Body, HotCache};
use proto::cache::eviction::{S3Fifo, Slot};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use support::hot_entries::{Make, Request};

const OBJECTS: usize = 1_000_000;
const ROOM_FOR: u64 = 100_000;
const SHARDS: u32 = 64;
const THREADS: u64 = 2;
/// Of each thread; the first half warms up.
const REQUESTS: u64 = 800_000;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=600\r\n\
    ETag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

/// Sums of the weights of the ranks, to draw from.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(skew: f64) -> Self {
        let sums = (0..OBJECTS).scan(0.0, |sum, rank| {
            *sum += (rank as f64 + 1.0).powf(-skew);
            Some(*sum)
        });
        Self(sums.collect())
    }

    fn draw(&self, dice: &mut Dice) -> usize {
        let at = (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64 * self.0[OBJECTS - 1];
        self.0.partition_point(|sum| *sum <= at)
    }
}

/// One request; whether it hit.
fn request(cache: &HotCache, asked: &Request, object: usize, name: &mut String) -> bool {
    use std::fmt::Write as _;
    name.clear();
    write!(name, "www.example/articles/{object}").expect("a string takes it");
    let wanted = asked.wants(cache, name);
    if let Some(entry) = cache.look_up(&wanted, 5).entry {
        cache.touch(&entry);
        return true;
    }
    let body = Body::whole(&[object as u8; 1024]);
    cache.keep(&Make { target: name, head: HEAD, body, ..Make::default() }.make(cache));
    false
}

/// Hits of the second half of all requests, as a share.
fn play(cache: &HotCache, zipf: &Zipf) -> f64 {
    let hits = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let hits = &hits;
            scope.spawn(move || {
                let (mut dice, asked, mut name) = (Dice::new(thread), Request::new(""), String::new());
                for n in 0..REQUESTS {
                    let hit = request(cache, &asked, zipf.draw(&mut dice), &mut name);
                    hits.fetch_add(u64::from(hit && n >= REQUESTS / 2), Relaxed);
                }
            });
        }
    });
    hits.load(Relaxed) as f64 / (THREADS * REQUESTS / 2) as f64
}

/// The same for the policy alone, in one piece.
fn play_unsharded(zipf: &Zipf) -> f64 {
    let (mut policy, mut slots, mut objects) = (S3Fifo::default(), HashMap::new(), HashMap::<Slot, usize>::new());
    let mut dice: Vec<Dice> = (0..THREADS).map(Dice::new).collect();
    let mut hits = 0;
    for n in 0..REQUESTS {
        for dice in &mut dice {
            let object = zipf.draw(dice);
            if let Some(slot) = slots.get(&object) {
                policy.touch(*slot);
                hits += u64::from(n >= REQUESTS / 2);
                continue;
            }
            let slot = policy.insert(object as u64, 1);
            slots.insert(object, slot);
            objects.insert(slot, object);
            while policy.bytes() > ROOM_FOR {
                let left = policy.evict().expect("something is in");
                slots.remove(&objects.remove(&left).expect("what leaves was in"));
            }
        }
    }
    hits as f64 / (THREADS * REQUESTS / 2) as f64
}

/// Bytes of this process in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let words = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).map(str::split_whitespace);
    let kib: Option<u64> = words.and_then(|mut words| words.next()?.parse().ok());
    kib.expect("a number") * 1024
}

#[test]
fn two_threads_hit_as_often_as_one_policy_would_and_memory_stays_within_five_percent_of_the_budget() {
    let zipf = Zipf::new(0.9);
    let body = Body::whole(&[0; 1024]);
    let sample = Make { target: "www.example/articles/100000", head: HEAD, body, ..Make::default() };
    let weight = sample.make(&HotCache::new(0, 1)).weight();
    let cache = HotCache::new(weight * ROOM_FOR, SHARDS);
    let before = resident_bytes();
    let hits = play(&cache, &zipf);
    let grown = resident_bytes() - before;
    let unsharded = play_unsharded(&zipf);
    let share = grown as f64 / cache.bytes_max() as f64;
    println!("hit ratio {hits:.4}, of one policy {unsharded:.4}; {} entries of {weight} bytes", cache.entries());
    println!("the process grew by {grown} bytes, {share:.4} of the budget");
    assert!((hits - unsharded).abs() < 0.01, "{hits} beside {unsharded}");
    assert!(cache.bytes() <= cache.bytes_max() && share < 1.05, "{grown} bytes for {}", cache.bytes_max());
}

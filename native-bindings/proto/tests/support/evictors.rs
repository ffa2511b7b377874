//! Eviction policies to compare with, and the traces they are compared on. LRU moves what is used to the front; SIEVE
//! marks it, and a hand that walks towards the front lets leave what is not marked.

use super::Dice;
use proto::cache::eviction::{S3Fifo, Slot};
use std::collections::{BTreeMap, HashMap};

/// A cache of keys with weights under a budget of bytes.
pub trait Evictor {
    /// A request; whether the key was in.
    fn request(&mut self, key: u64, bytes: u64) -> bool;
}

/// The policy of the product, in shards that share one budget.
pub struct Ours {
    shards: Vec<Shard>,
    bytes: u64,
    budget: u64,
    /// Whose turn it is to make room for others.
    next: usize,
}

#[derive(Default)]
struct Shard {
    policy: S3Fifo,
    slots: HashMap<u64, Slot>,
    keys: HashMap<Slot, u64>,
}

impl Ours {
    pub fn new(budget: u64, shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Shard::default()).collect(), bytes: 0, budget, next: 0 }
    }
}

impl Evictor for Ours {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        let count = self.shards.len();
        let home = (mixed(key) % count as u64) as usize;
        let shard = &mut self.shards[home];
        if let Some(slot) = shard.slots.get(&key) {
            shard.policy.touch(*slot);
            return true;
        }
        let slot = shard.policy.insert(mixed(key), bytes);
        shard.slots.insert(key, slot);
        shard.keys.insert(slot, key);
        self.bytes += bytes;
        let share = self.budget / count as u64;
        let mut at = home;
        while self.bytes > self.budget {
            // Whoever has more than its share makes room, its own shard first: an object larger than a share does not
            // empty the shard it comes to. Somebody has more, or the budget would not be exceeded.
            while self.shards[at].policy.bytes() <= share {
                self.next = (self.next + 1) % count;
                at = self.next;
            }
            let shard = &mut self.shards[at];
            let before = shard.policy.bytes();
            let slot = shard.policy.evict().expect("it weighs something");
            let key = shard.keys.remove(&slot).expect("what leaves was in");
            shard.slots.remove(&key);
            self.bytes -= before - shard.policy.bytes();
        }
        false
    }
}

#[derive(Default)]
pub struct Lru {
    budget: u64,
    bytes: u64,
    clock: u64,
    held: HashMap<u64, (u64, u64)>,
    order: BTreeMap<u64, u64>,
}

impl Lru {
    pub fn new(budget: u64) -> Self {
        Self { budget, ..Self::default() }
    }
}

impl Evictor for Lru {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        self.clock += 1;
        let hit = match self.held.insert(key, (self.clock, bytes)) {
            Some((used, _)) => self.order.remove(&used).is_some(),
            None => {
                self.bytes += bytes;
                false
            }
        };
        self.order.insert(self.clock, key);
        while self.bytes > self.budget {
            let (_, oldest) = self.order.pop_first().expect("what weighs is in order");
            let (_, bytes) = self.held.remove(&oldest).expect("and held");
            self.bytes -= bytes;
        }
        hit
    }
}

#[derive(Default)]
pub struct Sieve {
    budget: u64,
    bytes: u64,
    clock: u64,
    /// Key → when it came; and when it came → key, weight, mark.
    held: HashMap<u64, u64>,
    order: BTreeMap<u64, (u64, u64, bool)>,
    hand: u64,
}

impl Sieve {
    pub fn new(budget: u64) -> Self {
        Self { budget, ..Self::default() }
    }
}

impl Evictor for Sieve {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(came) = self.held.get(&key) {
            self.order.get_mut(came).expect("what is held is in order").2 = true;
            return true;
        }
        while self.bytes + bytes > self.budget && !self.order.is_empty() {
            let next = self.order.range(self.hand..).next().or_else(|| self.order.iter().next());
            let (came, (victim, bytes, marked)) = next.map(|(came, entry)| (*came, *entry)).expect("not empty");
            // Past the newest the hand begins again with the oldest, not with what comes next.
            let is_newest = self.order.keys().next_back() == Some(&came);
            self.hand = if is_newest { 0 } else { came + 1 };
            match marked {
                true => self.order.get_mut(&came).expect("it is there").2 = false,
                false => {
                    self.order.remove(&came);
                    self.held.remove(&victim);
                    self.bytes -= bytes;
                }
            }
        }
        self.clock += 1;
        self.held.insert(key, self.clock);
        self.order.insert(self.clock, (key, bytes, false));
        self.bytes += bytes;
        false
    }
}

/// SplitMix64's last steps: keys of a trace are small numbers.
fn mixed(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws keys 0..n, key k with a weight of 1 / (k + 1)^skew.
pub struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    pub fn new(n: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let sums = (0..n).map(|k| {
            sum += (k as f64 + 1.0).powf(-skew);
            sum
        });
        Self { sums: sums.collect() }
    }

    pub fn draw(&self, dice: &mut Dice) -> u64 {
        let total = self.sums[self.sums.len() - 1];
        let at = (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        self.sums.partition_point(|sum| *sum <= at) as u64
    }
}

/// What one object of a trace weighs: most little, some much, as on the web; the same for a key each time.
pub fn web_bytes(key: u64) -> u64 {
    let roll = mixed(key ^ 0x5eed);
    let size = 256_u64 << (roll % 9);
    if roll >> 32 & 127 == 0 { size * 64 } else { size }
}

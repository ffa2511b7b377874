//! Threads fill, follow, read, purge and let go of one small hot cache at once. Nobody gets a wrong byte or an answer that
//! was purged before he asked, nobody who waits is forgotten, and in the end the books balance.

mod support {
    pub mod hot_entries;
}

use engine::dice::Dice;
use engine::hot::{Body, Entry, Flight, HashKey, HotCache, Joined, Landed, Near, NewEntry, Purge, Read, Waiter};
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::hot_entries::{Make, Request};

const THREADS: u32 = 4;
const TARGETS: u64 = 24;
const GROUPS: u64 = 8;
const STEPS: u64 = 20_000;
/// Whoever is not rung within this time was forgotten.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one thread is woken by.
#[derive(Default)]
struct Bell {
    rung: Mutex<HashSet<u64>>,
    changed: Condvar,
}

struct Stage {
    cache: HotCache,
    bells: Vec<Bell>,
    /// By target: the stamp of the last hard purge that has returned.
    purged: Vec<AtomicU64>,
    requests: Vec<Request>,
    counts: [AtomicU64; 6],
}

/// Places in `counts`.
const HIT: usize = 0;
const FILL: usize = 1;
const FOLLOW: usize = 2;
const STREAM: usize = 3;
const PURGE: usize = 4;
const RENEWAL: usize = 5;

struct Actor<'a> {
    stage: &'a Stage,
    number: u32,
    dice: Dice,
    near: Near,
    next_token: u64,
}

fn name(target: u64) -> String {
    format!("a/{}/{target}", target % GROUPS)
}

/// The stamp of the request that brought an entry's content, however often it was renewed since.
fn content_stamp(entry: &Entry) -> u64 {
    let name = std::str::from_utf8(&entry.tag_names[1]).expect("a number");
    name.parse().expect("a number")
}

/// Its writer gives up only while nobody reads it.
fn never_fails(entry: &Entry) -> bool {
    entry.tag_names.len() > 2
}

fn length_of(stamp: u64) -> u64 {
    1 + stamp * 7_919 % 30_000
}

impl Actor<'_> {
    fn count(&self, what: usize) {
        self.stage.counts[what].fetch_add(1, SeqCst);
    }

    fn waiter(&mut self) -> Waiter {
        self.next_token += 1;
        Waiter { worker: self.number, token: self.next_token }
    }

    fn ring(&self, waiters: &mut Vec<Waiter>) {
        for waiter in waiters.drain(..) {
            let bell = &self.stage.bells[waiter.worker as usize];
            bell.rung.lock().insert(waiter.token);
            bell.changed.notify_all();
        }
    }

    fn wait(&self, waiter: Waiter, what: &str) {
        let bell = &self.stage.bells[self.number as usize];
        let mut rung = bell.rung.lock();
        while !rung.remove(&waiter.token) {
            assert!(!bell.changed.wait_for(&mut rung, PATIENCE).timed_out(), "nobody rang who waits for {what}");
        }
    }

    fn step(&mut self) {
        let target = self.dice.up_to(TARGETS - 1);
        match self.dice.up_to(39) {
            0 => self.purge(target),
            1 => drop(self.stage.cache.top(3)),
            2 => self.near.sweep(),
            _ => self.get(target),
        }
    }

    /// A request, until it has an answer.
    fn get(&mut self, target: u64) {
        let name = name(target);
        let stage = self.stage;
        let wanted = stage.requests[self.dice.up_to(2) as usize].wants(&stage.cache, &name);
        loop {
            let purged = stage.purged[target as usize].load(SeqCst);
            let stamp = stage.cache.stamp(0);
            if let Some(entry) = self.near.look_up(&stage.cache, &wanted).cloned() {
                assert!(content_stamp(&entry) > purged, "near, and from before a purge that has returned");
                assert!(self.read(target, &entry), "what is near is whole");
                return self.renew(&entry);
            }
            let seen = stage.cache.look_up(&wanted, 5);
            if let Some(entry) = &seen.entry {
                assert!(content_stamp(entry) > purged, "an answer from before a purge that has returned");
                stage.cache.touch(entry);
                self.near.note(&wanted, entry);
                if self.read(target, entry) {
                    return self.renew(entry);
                }
            }
            let waiter = self.waiter();
            match stage.cache.join(&wanted, &seen, waiter) {
                Joined::Lead(flight) => return self.fill(target, stamp, &flight),
                Joined::LookAgain => {}
                Joined::Follow(_) => {
                    self.count(FOLLOW);
                    self.wait(waiter, "a flight");
                }
            }
        }
    }

    /// Reads an answer to its end; `false`: it failed, or is for nobody new.
    fn read(&mut self, target: u64, entry: &Entry) -> bool {
        let is_right = |bytes: &[u8]| bytes.iter().all(|b| *b == target as u8);
        if let Some(content) = entry.body.whole_content() {
            self.count(HIT);
            assert_eq!(content.length(), length_of(content_stamp(entry)));
            assert!(content.chunks().all(|chunk| is_right(chunk)));
            return true;
        }
        let Some(reader) = entry.body.enter() else { return false };
        self.count(STREAM);
        let mut at = 0;
        let is_whole = loop {
            let waiter = self.waiter();
            match entry.body.read(reader, at, waiter) {
                Read::Bytes { chunk, from, writer } => {
                    assert!(is_right(&chunk[from..]) && from < chunk.len());
                    at += (chunk.len() - from) as u64;
                    self.ring(&mut writer.into_iter().collect());
                }
                Read::Wait { writer } => {
                    self.ring(&mut writer.into_iter().collect());
                    if self.dice.up_to(50) == 0 {
                        break true;
                    }
                    self.wait(waiter, "bytes");
                }
                Read::End { .. } => {
                    assert_eq!(at, length_of(content_stamp(entry)), "an answer that was cut short");
                    break true;
                }
                Read::Failed => {
                    assert!(!never_fails(entry), "its writer saw no reader");
                    break false;
                }
            }
        };
        self.ring(&mut entry.body.leave(reader).into_iter().collect());
        is_whole
    }

    /// Now and then the origin says that it has not changed.
    fn renew(&mut self, old: &Entry) {
        if self.dice.up_to(15) > 0 || old.body.whole_content().is_none() {
            return;
        }
        let cache = &self.stage.cache;
        let stamp = cache.stamp(0);
        let mut record = old.record.clone();
        record.came_ms = stamp;
        let entry = Entry::new(NewEntry {
            place: old.place,
            target: old.target.clone(),
            extras: old.extras.clone(),
            vary: old.vary.clone(),
            variant: old.variant.clone(),
            record,
            head: old.head.clone(),
            parsed: old.parsed.clone(),
            body: Arc::clone(&old.body),
            tags: old.tags.clone(),
            tag_names: old.tag_names.clone(),
            stamp,
        });
        std::thread::sleep(Duration::from_micros(20));
        if cache.renew(old, &entry) {
            self.count(RENEWAL);
        }
    }

    /// Leads a fetch: whole at once, in pieces, too large, or failing.
    fn fill(&mut self, target: u64, stamp: u64, flight: &Arc<Flight>) {
        self.count(FILL);
        let (cache, mut waiters) = (&self.stage.cache, Vec::new());
        let how = self.dice.up_to(9);
        if self.dice.up_to(3) == 0 {
            // An origin that takes its time, so that others come to follow.
            std::thread::sleep(Duration::from_micros(50));
        }
        if how == 0 {
            cache.land(flight, Landed::Released, &mut waiters);
            return self.ring(&mut waiters);
        }
        let bytes = vec![target as u8; length_of(stamp) as usize];
        let (name, tag, of_content) = (name(target), format!("t{}", target % GROUPS), stamp.to_string());
        let tags: &[&str] = if how == 8 { &[&tag, &of_content, "never fails"] } else { &[&tag, &of_content] };
        let vary = if self.dice.up_to(3) == 0 { "X" } else { "" };
        let body = if how < 4 { Body::whole(&bytes) } else { Body::growing() };
        let entry = Make { target: &name, vary, came_ms: stamp, stamp, tags, body, ..Make::default() };
        let entry = entry.make(cache);
        if entry.body.whole_content().is_none() {
            cache.list(&entry);
            cache.land(flight, Landed::LookAgain, &mut waiters);
            self.ring(&mut waiters);
            self.pour(&entry, &bytes, how);
        }
        if entry.body.whole_content().is_some() {
            cache.keep(&entry);
        } else {
            cache.forget(&entry);
        }
        cache.land(flight, Landed::LookAgain, &mut waiters);
        self.ring(&mut waiters);
    }

    fn pour(&mut self, entry: &Entry, bytes: &[u8], how: u64) {
        let mut waiters = Vec::new();
        for (n, piece) in bytes.chunks(997).enumerate() {
            entry.body.append(piece, &mut waiters);
            self.ring(&mut waiters);
            match (how, n) {
                (4, 5) => {
                    entry.body.fail(&mut waiters);
                    return self.ring(&mut waiters);
                }
                (8, 9) if entry.body.fail_unless_read() => return,
                (5 | 6, 3) => entry.body.narrow(),
                (7, n) if n % 4 == 0 => std::thread::sleep(Duration::from_micros(20)),
                _ => {}
            }
            self.stage.cache.make_room();
            let writer = self.waiter();
            if entry.body.writer_waits(writer, 3_000) {
                self.wait(writer, "readers");
            }
        }
        entry.body.end(b"", &mut waiters);
        self.ring(&mut waiters);
    }

    fn purge(&mut self, target: u64) {
        self.count(PURGE);
        let (stage, name) = (self.stage, name(target));
        let stamp = stage.cache.stamp(0);
        let hits = |other: u64| other % GROUPS == target % GROUPS;
        let soft = self.dice.up_to(3) == 0;
        let (purge, targets): (Purge, Vec<u64>) = match self.dice.up_to(8) {
            0 => (Purge::Everything, (0..TARGETS).collect()),
            1 | 2 => {
                let tag = format!("t{}", target % GROUPS);
                (Purge::Tag(tag.into_bytes().into()), (0..TARGETS).filter(|other| hits(*other)).collect())
            }
            3 | 4 => {
                let prefix = format!("a/{}/", target % GROUPS);
                (Purge::Prefix(prefix.into_bytes().into()), (0..TARGETS).filter(|other| hits(*other)).collect())
            }
            _ => (Purge::Url(name.into_bytes().into()), vec![target]),
        };
        stage.cache.purge(&purge, soft, stamp, 5);
        if !soft {
            targets.iter().for_each(|target| {
                stage.purged[*target as usize].fetch_max(stamp, SeqCst);
            });
        }
    }
}

#[test]
fn whatever_threads_do_at_once_the_books_balance_and_no_byte_is_wrong() {
    let cache = HotCache::with_key(300_000, 8, HashKey::new([3, 4]));
    let stage = Stage {
        cache,
        bells: (0..THREADS).map(|_| Bell::default()).collect(),
        purged: (0..TARGETS).map(|_| AtomicU64::new(0)).collect(),
        requests: ["", "X: 1\r\n", "X: 2\r\n"].map(Request::new).into_iter().collect(),
        counts: Default::default(),
    };
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let stage = &stage;
            scope.spawn(move || {
                let mut actor =
                    Actor { stage, number, dice: Dice::new(number.into()), near: Near::default(), next_token: 0 };
                (0..STEPS).for_each(|_| actor.step());
            });
        }
    });
    let counts: Vec<u64> = stage.counts.iter().map(|count| count.load(SeqCst)).collect();
    assert!(counts.iter().all(|count| *count > 20), "something hardly happened: {counts:?}");
    let cache = &stage.cache;
    assert!(cache.evictions() > 100 && cache.bytes() <= cache.bytes_max());
    let names: Vec<String> = (0..TARGETS).map(name).collect();
    let left: Vec<_> = names.iter().flat_map(|name| cache.variants_of(name.as_bytes())).collect();
    // Those that are purged and that nobody has met since are in the books still, until somebody looks.
    names.iter().for_each(|name| drop(cache.look_up(&stage.requests[0].wants(cache, name), 5)));
    let weights: u64 = left.iter().map(|entry| entry.weight()).sum();
    assert_eq!((cache.bytes(), cache.entries()), (weights, left.len() as u64));
    drop(left);
    cache.purge(&Purge::Everything, false, cache.stamp(0), 5);
    names.iter().for_each(|name| drop(cache.look_up(&stage.requests[0].wants(cache, name), 5)));
    assert_eq!((cache.bytes(), cache.entries()), (0, 0));
}

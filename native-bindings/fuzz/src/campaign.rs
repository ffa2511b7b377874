//! One target's run: seeds first, then mutations of what reached something new, until time is up or a promise breaks.
//! Also makes findings small, and a corpus smaller.

use crate::corpus;
use crate::coverage;
use crate::execute::{Broken, Watch, run};
use crate::mutate::mutate;
use crate::support::Dice;
use crate::targets::Target;
use std::time::{Duration, Instant};

/// Inputs handed to a mutation for parts.
const OTHERS: usize = 2;
/// Executions spent on making one finding small.
const SHRINK_MAX: usize = 20_000;
/// Executions between two looks at the time.
const CLOCK_EVERY: u64 = 64;

/// Counters compared at once.
const BLOCK: usize = 64;

/// What a run came to.
pub struct Report {
    pub executions: u64,
    pub inputs: usize,
    pub edges: usize,
    pub finding: Option<Finding>,
}

/// An input that broke a promise, made small.
pub struct Finding {
    pub bytes: Vec<u8>,
    pub broken: Broken,
}

pub struct Campaign<'a> {
    target: &'a Target,
    watch: &'a Watch,
    dice: Dice,
    inputs: Vec<Vec<u8>>,
    /// By counter: a bit for each magnitude of count that some input reached.
    seen: Vec<u8>,
    counts: Vec<u8>,
    executions: u64,
    /// Inputs beyond the seeds are written to the cache.
    keep: bool,
}

impl<'a> Campaign<'a> {
    #[must_use]
    pub fn new(target: &'a Target, watch: &'a Watch, seed: u64, keep: bool) -> Self {
        let seen = vec![0; coverage::counter_count()];
        let counts = Vec::with_capacity(seen.len());
        Self { target, watch, dice: Dice::new(seed), inputs: Vec::new(), seen, counts, executions: 0, keep }
    }

    /// Runs for that time, or until a promise breaks.
    pub fn go(mut self, how_long: Duration) -> Report {
        let end = Instant::now() + how_long;
        for seed in corpus::seeds(self.target) {
            if let Err(broken) = self.try_one(&seed, false) {
                return self.report(Some((seed, broken)));
            }
        }
        if self.inputs.is_empty() {
            // Without counters nothing looks new; there must be something to change all the same.
            self.inputs = corpus::seeds(self.target);
        }
        while self.executions % CLOCK_EVERY != 0 || Instant::now() < end {
            let bytes = self.next_input();
            if let Err(broken) = self.try_one(&bytes, self.keep) {
                return self.report(Some((bytes, broken)));
            }
        }
        self.report(None)
    }

    fn next_input(&mut self) -> Vec<u8> {
        // Half of the time what was found last: new ground is where there is more of it.
        let len = self.inputs.len();
        let fresh = len.div_ceil(4);
        let place = if self.dice.one_in(2) { len - 1 - self.dice.below(fresh) } else { self.dice.below(len) };
        let mut bytes = self.inputs[place].clone();
        let others: [usize; OTHERS] = std::array::from_fn(|_| self.dice.below(len));
        let others = others.map(|at| self.inputs[at].as_slice());
        mutate(&mut self.dice, &mut bytes, &others, self.target.words, self.target.longest);
        bytes
    }

    fn try_one(&mut self, bytes: &[u8], save: bool) -> Result<(), Broken> {
        self.executions += 1;
        self.watch.run(self.target, bytes)?;
        coverage::read(&mut self.counts);
        if self.note_new() {
            self.inputs.push(bytes.to_vec());
            if save {
                // The run goes on without it; the next one finds it again.
                let _ = corpus::save(&corpus::found(self.target), "", bytes);
            }
        }
        Ok(())
    }

    /// Whether the last execution counted anything in a magnitude nobody did before.
    fn note_new(&mut self) -> bool {
        let mut new = 0;
        // Nearly all counters are zero, so they are looked at many at a time.
        for (seen, counts) in self.seen.chunks_mut(BLOCK).zip(self.counts.chunks(BLOCK)) {
            if counts == &[0; BLOCK][..counts.len()] {
                continue;
            }
            for (seen, &count) in seen.iter_mut().zip(counts) {
                let bit = magnitude(count);
                new |= bit & !*seen;
                *seen |= bit;
            }
        }
        new != 0
    }

    fn report(self, broken: Option<(Vec<u8>, Broken)>) -> Report {
        Report {
            executions: self.executions,
            inputs: self.inputs.len(),
            edges: self.seen.iter().filter(|&&bits| bits != 0).count(),
            finding: broken.map(|(bytes, broken)| shrink(self.target, bytes, broken)),
        }
    }
}

/// Counts that differ only a little are the same.
fn magnitude(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128.. => 128,
    }
}

/// Takes parts away as long as the same promise breaks at the same place.
fn shrink(target: &Target, bytes: Vec<u8>, broken: Broken) -> Finding {
    let at = broken.at.clone();
    let mut last = broken;
    let bytes = smaller(bytes, SHRINK_MAX, |candidate| match run(target, candidate) {
        Err(now) if now.at == at => {
            last = now;
            true
        }
        _ => false,
    });
    Finding { bytes, broken: last }
}

/// The smallest input met for which `still` holds, by taking out ever smaller parts.
fn smaller(mut bytes: Vec<u8>, tries_max: usize, mut still: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut tries = 0;
    let mut part = bytes.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < bytes.len() && tries < tries_max {
            tries += 1;
            let mut candidate = bytes.clone();
            candidate.drain(at..(at + part).min(bytes.len()));
            if still(&candidate) {
                bytes = candidate;
            } else {
                at += part;
            }
        }
        if part == 1 || tries >= tries_max {
            return bytes;
        }
        part = part.div_ceil(2);
    }
}

/// A few inputs that together reach every edge all the seeds reach, each made small, the most telling first.
#[must_use]
pub fn minimise(target: &Target, most: usize) -> Vec<Vec<u8>> {
    let mut counts = Vec::new();
    let mut edges_of = |bytes: &[u8]| -> Vec<usize> {
        if run(target, bytes).is_err() {
            return Vec::new();
        }
        coverage::read(&mut counts);
        counts.iter().enumerate().filter(|(_, count)| **count != 0).map(|(at, _)| at).collect()
    };
    let mut candidates: Vec<(Vec<u8>, Vec<usize>)> =
        corpus::seeds(target).into_iter().map(|bytes| (edges_of(&bytes), bytes)).map(|(e, b)| (b, e)).collect();
    let mut covered = vec![false; coverage::counter_count()];
    let mut chosen = Vec::new();
    while chosen.len() < most {
        let gain = |edges: &[usize]| edges.iter().filter(|&&at| !covered[at]).count();
        // The first of the best is the shortest, since seeds come in the order of their lengths.
        let best = (0..candidates.len()).rev().max_by_key(|&place| gain(&candidates[place].1));
        let Some(place) = best.filter(|&place| gain(&candidates[place].1) > 0) else { break };
        let (bytes, edges) = candidates.swap_remove(place);
        let wanted: Vec<usize> = edges.iter().copied().filter(|&at| !covered[at]).collect();
        let small = smaller(bytes, SHRINK_MAX / 10, |candidate| {
            let now = edges_of(candidate);
            wanted.iter().all(|at| now.binary_search(at).is_ok())
        });
        for at in edges_of(&small) {
            covered[at] = true;
        }
        chosen.push(small);
        candidates.sort_by_key(|(bytes, _)| bytes.len());
    }
    chosen.sort();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shrinks_to_what_it_is_about() {
        let bytes = [b"a".repeat(1000), b"X".to_vec(), b"b".repeat(500), b"Y".to_vec()].concat();
        assert_eq!(smaller(bytes, 10_000, |b| b.contains(&b'X') && b.contains(&b'Y')), b"XY");
    }

    #[test]
    fn every_magnitude_is_one_bit_and_none_falls() {
        let bits: Vec<u8> = (0..=255).map(magnitude).collect();
        assert!(bits.windows(2).all(|two| two[0] <= two[1]));
        assert!(bits[1..].iter().all(|bit| bit.count_ones() == 1));
    }
}

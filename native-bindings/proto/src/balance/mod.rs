//! Chooses a target of an origin for one request. Told everything, it keeps only what spreads the next choice: turns and
//! credits, one set a worker, so that no lock is shared. Never opens a connection, never decides who is healthy.
//!
//! The order of decision, each step a pure function below:
//! 1. a target is *usable* when it has a weight and this exchange has not tried it;
//! 2. the target that the client's cookie names, if usable, whatever its tier and zone: it holds the client's session;
//! 3. the lowest tier with a usable target;
//! 4. of that tier the targets of our zone, if at least half of the tier's usable weight is there. With less they would
//!    get more than twice their share, so then all zones take part;
//! 5. the policy, among what is left. One target alone needs none.
//!
//! No step allocates, but that a round robin grows its credits when it meets more targets than ever before.

mod consistent_hash;
mod ewma;
mod hash;
mod least_connections;
mod round_robin;
mod two_choices;
mod weights;

pub use consistent_hash::ConsistentHash;
pub use ewma::{EWMA_HALF_LIFE_US, Ewma};
pub use hash::{hash_key, target_hash};
pub use least_connections::LeastConnections;
pub use round_robin::RoundRobin;
pub use two_choices::TwoChoices;
pub use weights::{WEIGHT_UNIT, is_panicking, slow_start_weight};

use crate::plan::Balance;

/// One target as the balancer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// After slow start; 0 = may not be used now.
    pub weight: u32,
    /// Requests under way.
    pub inflight: u32,
    /// Smoothed; 0 = unknown.
    pub latency_us: u32,
    /// 0 is used first.
    pub tier: u8,
    /// It stands where this proxy stands.
    pub same_zone: bool,
    /// `target_hash`: the same over plans and processes, and another for each target of an origin. Two candidates with
    /// the same one would be one to a cookie and to a consistent hash.
    pub name_hash: u64,
    /// This exchange was there before.
    pub tried: bool,
    /// It has an idle connection.
    pub warm: bool,
}

/// What a request brings along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// `hash_key` of what the origin's `HashBy` names.
    pub key_hash: u64,
    /// `Candidate::name_hash` that the client's cookie names.
    pub sticky: Option<u64>,
    /// Random bits.
    pub dice: u64,
}

/// How a target is chosen among several that may be used.
pub(crate) trait Policy {
    /// Takes a member of a group that has at least two.
    fn choose_among(&mut self, group: &Group<'_>, asked: &Asked) -> Option<usize>;
}

/// One origin's policy in one worker.
#[derive(Debug)]
pub enum Balancer {
    RoundRobin(RoundRobin),
    LeastConnections(LeastConnections),
    TwoChoices(TwoChoices),
    ConsistentHash(ConsistentHash),
}

impl Balancer {
    #[must_use]
    pub fn new(plan: &Balance) -> Self {
        match plan {
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            Balance::LeastConnections => Self::LeastConnections(LeastConnections::default()),
            Balance::TwoChoices => Self::TwoChoices(TwoChoices),
            Balance::ConsistentHash { bound_percent, .. } => Self::ConsistentHash(ConsistentHash::new(*bound_percent)),
        }
    }

    /// The place of the target to use, or `None` when no candidate is usable. Candidates keep their places from call
    /// to call as long as the origin's targets stay the same.
    pub fn choose(&mut self, candidates: &[Candidate], asked: &Asked) -> Option<usize> {
        if let [only] = candidates {
            return is_usable(only).then_some(0);
        }
        if let Some(place) = asked.sticky.and_then(|name| decide_sticky(candidates, name)) {
            return Some(place);
        }
        let group = decide_group(candidates)?;
        if group.usable == 1 {
            return Some(group.first);
        }
        match self {
            Self::RoundRobin(policy) => policy.choose_among(&group, asked),
            Self::LeastConnections(policy) => policy.choose_among(&group, asked),
            Self::TwoChoices(policy) => policy.choose_among(&group, asked),
            Self::ConsistentHash(policy) => policy.choose_among(&group, asked),
        }
    }
}

/// Whether a candidate may take this request.
pub(crate) const fn is_usable(candidate: &Candidate) -> bool {
    candidate.weight > 0 && !candidate.tried
}

/// The usable candidate of this name.
pub(crate) fn decide_sticky(candidates: &[Candidate], name_hash: u64) -> Option<usize> {
    candidates.iter().position(|one| one.name_hash == name_hash && is_usable(one))
}

/// The candidates among which a policy chooses, and their sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a> {
    candidates: &'a [Candidate],
    tier: u8,
    /// Only the targets of our zone are members.
    near: bool,
    pub(crate) first: usize,
    /// How many members there are; at least one.
    pub(crate) usable: u32,
    pub(crate) weight: u64,
    pub(crate) inflight: u64,
}

impl<'a> Group<'a> {
    const fn new(candidates: &'a [Candidate], near: bool) -> Self {
        Self { candidates, tier: u8::MAX, near, first: 0, usable: 0, weight: 0, inflight: 0 }
    }

    const fn begin(&mut self, tier: u8) {
        *self = Self { tier, ..Self::new(self.candidates, self.near) };
    }

    fn count(&mut self, place: usize, member: &Candidate) {
        if self.usable == 0 {
            self.first = place;
        }
        self.usable += 1;
        self.weight += u64::from(member.weight);
        self.inflight += u64::from(member.inflight);
    }

    /// How many places there are, members or not.
    pub(crate) const fn places(&self) -> usize {
        self.candidates.len()
    }

    /// The candidate of a place, if it is a member.
    pub(crate) fn member(&self, place: usize) -> Option<&'a Candidate> {
        let candidate = &self.candidates[place];
        self.holds(candidate).then_some(candidate)
    }

    /// Members with their places, in order.
    pub(crate) fn members(self) -> impl Iterator<Item = (usize, &'a Candidate)> {
        self.candidates.iter().enumerate().filter(move |(_, one)| self.holds(one))
    }

    const fn holds(&self, candidate: &Candidate) -> bool {
        is_usable(candidate) && candidate.tier == self.tier && (candidate.same_zone || !self.near)
    }
}

/// The lowest tier that has a usable candidate, and of it our zone or all zones. `None` when nothing is usable.
pub(crate) fn decide_group(candidates: &[Candidate]) -> Option<Group<'_>> {
    let mut everywhere = Group::new(candidates, false);
    let mut near = Group::new(candidates, true);
    for (place, candidate) in candidates.iter().enumerate() {
        if !is_usable(candidate) || candidate.tier > everywhere.tier {
            continue;
        }
        if candidate.tier < everywhere.tier {
            everywhere.begin(candidate.tier);
            near.begin(candidate.tier);
        }
        everywhere.count(place, candidate);
        if candidate.same_zone {
            near.count(place, candidate);
        }
    }
    if everywhere.usable == 0 {
        return None;
    }
    Some(if is_enough(near.weight, everywhere.weight) { near } else { everywhere })
}

/// Whether our zone is strong enough to do without the others.
const fn is_enough(near: u64, everywhere: u64) -> bool {
    near > 0 && 2 * near >= everywhere
}

#[cfg(test)]
mod tests;

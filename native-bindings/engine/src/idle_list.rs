//! The inside of a pool shard: idle connections linked newest first, one list a target, and one slot each. Every
//! operation but the sweeps is a few stores, since it happens under the shard's lock.

use crate::link::Link;
use crate::slab::{Key, Slab};
use crate::target::TargetShared;
use proto::identity::Bound;
use std::sync::Arc;

/// What a connection carries through its whole life.
#[derive(Clone)]
pub struct Lease {
    pub target: Arc<TargetShared>,
    pub opened_ms: u64,
    pub requests: u64,
    /// Our end of the connection is old at this time (`NEVER` = at none).
    pub age_due_ms: u64,
    /// What the request that opened it brought to its identity.
    pub bound: Option<Box<Bound>>,
}

/// What a request wants of an idle connection.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub bound: Option<&'a Bound>,
    /// One that never carried a request; others want one that did.
    pub unused: bool,
    /// One that rests since this time or later.
    pub since_ms_min: u64,
}

impl Wanted<'_> {
    /// Any connection that nothing binds.
    pub const ANY: Wanted<'static> = Wanted { bound: None, unused: false, since_ms_min: 0 };

    fn fits<S>(&self, idle: &Idle<S>) -> bool {
        idle.lease.bound.as_deref() == self.bound
            && (idle.lease.requests == 0) == self.unused
            && idle.since_ms >= self.since_ms_min
    }
}

/// A resting connection.
pub struct Idle<S> {
    pub link: Link<S>,
    pub lease: Lease,
    /// The worker in whose epoll it is, and that worker's slot for it.
    pub worker: u32,
    pub slot: Key,
    pub since_ms: u64,
    pub expires_ms: u64,
}

struct Node<S> {
    idle: Idle<S>,
    list: u32,
    newer: Key,
    older: Key,
}

#[derive(Clone, Copy)]
struct Ends {
    newest: Key,
    oldest: Key,
}

const EMPTY: Ends = Ends { newest: Key::NONE, oldest: Key::NONE };
/// How far the search for one of the worker's own goes in a shard that several workers use.
const OWN_SEARCH_MAX: usize = 8;

/// The lists of one shard.
pub struct IdleLists<S> {
    nodes: Slab<Node<S>>,
    /// By target number.
    ends: Vec<Ends>,
}

impl<S> Default for IdleLists<S> {
    fn default() -> Self {
        Self { nodes: Slab::default(), ends: Vec::new() }
    }
}

impl<S> IdleLists<S> {
    pub fn put(&mut self, list: u32, idle: Idle<S>) -> Key {
        if self.ends.len() <= list as usize {
            self.ends.resize(list as usize + 1, EMPTY);
        }
        let older = self.ends[list as usize].newest;
        let key = self.nodes.insert(Node { idle, list, newer: Key::NONE, older });
        match self.nodes.get_mut(older) {
            Some(node) => node.newer = key,
            None => self.ends[list as usize].oldest = key,
        }
        self.ends[list as usize].newest = key;
        key
    }

    /// The newest that fits, or one nearly as new that rests in the worker's own epoll and so need not be registered anew.
    pub fn take_newest(&mut self, list: u32, worker: u32, wanted: &Wanted<'_>) -> Option<Idle<S>> {
        let mut at = self.ends.get(list as usize)?.newest;
        let mut chosen = None;
        let mut searched = 0;
        while let Some(node) = self.nodes.get(at) {
            if wanted.fits(&node.idle) {
                let own = node.idle.worker == worker;
                if own || chosen.is_none() {
                    chosen = Some(at);
                }
                searched += 1;
                if own || searched == OWN_SEARCH_MAX {
                    break;
                }
            }
            at = node.older;
        }
        self.remove(chosen?)
    }

    /// The one idle longest among those to targets for which `which` holds.
    pub fn take_oldest(&mut self, which: impl Fn(&TargetShared) -> bool) -> Option<Idle<S>> {
        let oldest = self.ends.iter().filter_map(|ends| Some((ends.oldest, &self.nodes.get(ends.oldest)?.idle)));
        let fitting = oldest.filter(|(_, idle)| which(&idle.lease.target));
        let key = fitting.min_by_key(|(_, idle)| idle.since_ms)?.0;
        self.remove(key)
    }

    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Idle<S>> {
        self.nodes.get(key).map(|node| &node.idle)
    }

    pub fn remove(&mut self, key: Key) -> Option<Idle<S>> {
        let node = self.nodes.remove(key)?;
        let ends = &mut self.ends[node.list as usize];
        match self.nodes.get_mut(node.newer) {
            Some(newer) => newer.older = node.older,
            None => ends.newest = node.older,
        }
        match self.nodes.get_mut(node.older) {
            Some(older) => older.newer = node.newer,
            None => ends.oldest = node.newer,
        }
        Some(node.idle)
    }

    /// Takes every connection for which `which` holds.
    pub fn take_all(&mut self, which: impl Fn(&Idle<S>) -> bool) -> Vec<Idle<S>> {
        let keys = self.nodes.keys().into_iter();
        let found: Vec<Key> = keys.filter(|k| self.get(*k).is_some_and(&which)).collect();
        found.into_iter().filter_map(|key| self.remove(key)).collect()
    }
}

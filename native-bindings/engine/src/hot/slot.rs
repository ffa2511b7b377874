//! What is kept at one place: the answers of a target, the sets of names it varied by, and the fetches under way.

use crate::hot::Wanted;
use crate::hot::entry::Entry;
use crate::hot::flight::Flight;
use proto::cache::message::Asked;
use proto::cache::vary::{VarySet, VarySets};
use std::cell::RefCell;
use std::sync::Arc;

/// Whole answers that one target keeps, the oldest goes; and growing ones that it lists beside them, then no more.
pub(super) const ENTRIES_MAX: usize = 64;

thread_local! {
    /// Room for the variant of a request.
    static VARIANT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `with` with the key of a request for a set of names.
pub(super) fn with_variant<R>(set: Option<&VarySet>, asked: Asked<'_>, with: impl FnOnce(&[u8]) -> R) -> R {
    let Some(set) = set.filter(|set| !set.is_empty()) else { return with(&[]) };
    VARIANT.with_borrow_mut(|room| {
        room.clear();
        set.write_key(asked, room);
        with(room)
    })
}

/// What most targets have none of.
#[derive(Default)]
struct Rest {
    /// Entries behind the first.
    more: Vec<Arc<Entry>>,
    /// None while nothing varies.
    sets: Option<VarySets>,
    flights: Vec<Arc<Flight>>,
}

/// See the file.
#[derive(Default)]
pub(super) struct Slot {
    /// Mostly the only one.
    first: Option<Arc<Entry>>,
    /// The number of its last change.
    pub(super) changes: u64,
    rest: Option<Box<Rest>>,
}

impl Slot {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(|rest| rest.flights.is_empty())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let more = self.rest.as_ref().map_or([].as_slice(), |rest| &rest.more);
        self.first.iter().chain(more)
    }

    /// Whether whoever asks for the target gets its only entry.
    pub(super) fn has_one(&self) -> bool {
        self.first.is_some() && self.rest.as_ref().is_none_or(|rest| rest.more.is_empty() && rest.sets.is_none())
    }

    /// The sets of names, latest first; none while nothing varies.
    pub(super) fn sets(&self) -> Option<&VarySets> {
        self.rest.as_ref().and_then(|rest| rest.sets.as_ref())
    }

    pub(super) fn latest_set(&self) -> Option<&VarySet> {
        self.sets().and_then(|sets| sets.iter().next())
    }

    /// The newest entry that a request selects and `is_live` lets pass.
    pub(super) fn select(&self, wanted: &Wanted<'_>, mut is_live: impl FnMut(&Entry) -> bool) -> Option<&Arc<Entry>> {
        let mut best: Option<&Arc<Entry>> = None;
        let mut take = |variant: &[u8]| {
            for entry in self.entries() {
                let newer = best.is_none_or(|best| best.record.came_ms <= entry.record.came_ms);
                if newer && entry.is_variant(variant) && entry.is_of(wanted.target, wanted.extras) && is_live(entry) {
                    best = Some(entry);
                }
            }
        };
        match self.sets() {
            None => take(&[]),
            Some(sets) => sets.iter().for_each(|set| with_variant(Some(set), wanted.asked, &mut take)),
        }
        best
    }

    /// Puts an entry in. What has to go for it is moved into `out`.
    pub(super) fn insert(&mut self, entry: &Arc<Entry>, out: &mut Vec<Arc<Entry>>) {
        self.entries().for_each(|entry| entry.set_alone(false));
        self.note_set(&entry.vary, out);
        match &self.first {
            None => self.first = Some(Arc::clone(entry)),
            Some(_) => self.rest.get_or_insert_default().more.push(Arc::clone(entry)),
        }
    }

    /// The oldest of the whole entries, if there are too many of them.
    pub(super) fn surplus(&self) -> Option<&Arc<Entry>> {
        let kept = || self.entries().filter(|entry| entry.slot().is_some());
        if self.may_be_full() && kept().count() > ENTRIES_MAX {
            kept().min_by_key(|entry| entry.record.came_ms)
        } else {
            None
        }
    }

    pub(super) fn lists_no_more(&self) -> bool {
        self.may_be_full() && self.entries().filter(|entry| entry.slot().is_none()).count() >= ENTRIES_MAX
    }

    fn may_be_full(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.more.len() >= ENTRIES_MAX - 1)
    }

    fn note_set(&mut self, vary: &VarySet, out: &mut Vec<Arc<Entry>>) {
        if vary.is_empty() && self.sets().is_none() {
            return;
        }
        let sets = self.rest.get_or_insert_default().sets.get_or_insert_with(|| {
            let mut sets = VarySets::default();
            if self.first.is_some() {
                sets.note(VarySet::default());
            }
            sets
        });
        if sets.iter().next() == Some(vary) {
            return;
        }
        if let Some(gone) = sets.note(vary.clone()) {
            let from = out.len();
            out.extend(self.entries().filter(|entry| entry.vary == gone).cloned());
            out[from..].iter().for_each(|entry| drop(self.remove(entry)));
        }
    }

    /// Takes an entry out, if it is in.
    pub(super) fn remove(&mut self, entry: &Entry) -> Option<Arc<Entry>> {
        let is_it = |one: &Arc<Entry>| std::ptr::eq(&raw const **one, entry);
        let more = self.rest.as_mut().map(|rest| &mut rest.more);
        if self.first.as_ref().is_some_and(is_it) {
            let next = more.filter(|more| !more.is_empty()).map(|more| more.remove(0));
            return std::mem::replace(&mut self.first, next);
        }
        let more = more?;
        more.iter().position(is_it).map(|place| more.remove(place))
    }

    /// The flight that a request joins, or the one it leads now (`true`).
    pub(super) fn join(&mut self, wanted: &Wanted<'_>, leader: u32) -> (Arc<Flight>, bool) {
        let Wanted { place, target, extras, asked } = *wanted;
        with_variant(self.latest_set(), asked, |variant| {
            if let Some(flight) = self.flights().iter().find(|flight| flight.is_for(target, extras, variant)) {
                return (Arc::clone(flight), false);
            }
            let flight = Arc::new(Flight::new(place, target, extras, variant, leader));
            (flight, true)
        })
    }

    pub(super) fn flights(&self) -> &[Arc<Flight>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.flights)
    }

    pub(super) fn add_flight(&mut self, flight: Arc<Flight>) {
        self.rest.get_or_insert_default().flights.push(flight);
    }

    pub(super) fn remove_flight(&mut self, flight: &Arc<Flight>) {
        let Some(rest) = &mut self.rest else { return };
        rest.flights.retain(|one| !Arc::ptr_eq(one, flight));
        if rest.flights.is_empty() && rest.sets.is_none() && rest.more.is_empty() {
            self.rest = None;
        }
    }
}

//! One purge key's memory: up to which stamp everything is gone, and since when what is older than a stamp is stale.

/// Soft purges of one key that are told apart.
const SOFTS_MAX: usize = 8;

/// What purges say of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Live,
    /// Stale since then.
    Soft(u64),
    Gone,
}

impl Standing {
    /// Both hold: the harder one, and of two soft ones the earlier.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gone, _) | (_, Self::Gone) => Self::Gone,
            (Self::Soft(one), Self::Soft(two)) => Self::Soft(one.min(two)),
            (Self::Live, other) => other,
            (soft, Self::Live) => soft,
        }
    }
}

/// Stamps of the requests that an answer comes from. A hard purge is about its content: a validation that was sent when
/// the purge had its stamp already, and was over before it was noted, must not save it. A soft one is about when the
/// origin last stood by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Age {
    pub content: u64,
    pub validated: u64,
}

#[cfg(test)]
impl Age {
    /// Of what was never renewed.
    pub(super) const fn of(stamp: u64) -> Self {
        Self { content: stamp, validated: stamp }
    }
}

/// See the file.
#[derive(Default, Debug, Clone)]
pub(super) struct Generation {
    hard: u64,
    /// Stamps and moments in ms, rising.
    softs: Vec<(u64, u64)>,
}

impl Generation {
    pub(super) fn note(&mut self, soft: bool, stamp: u64, now_ms: u64) {
        if !soft {
            self.hard = self.hard.max(stamp);
            self.softs.retain(|(soft, _)| *soft > stamp);
            return;
        }
        let place = self.softs.partition_point(|(known, _)| *known < stamp);
        self.softs.insert(place, (stamp, now_ms));
        if self.softs.len() > SOFTS_MAX {
            // The two oldest become one, which makes what lies between them stale sooner, never later.
            let first_ms = self.softs.remove(0).1;
            self.softs[0].1 = self.softs[0].1.min(first_ms);
        }
    }

    /// It says nothing of what was asked for after `stamp`.
    pub(super) fn is_over(&self, stamp: u64) -> bool {
        self.hard <= stamp && self.softs.last().is_none_or(|(soft, _)| *soft <= stamp)
    }

    /// What it means for an answer of this age.
    pub(super) fn standing(&self, age: Age) -> Standing {
        if age.content <= self.hard {
            return Standing::Gone;
        }
        let soft = self.softs.iter().find(|(soft, _)| age.validated <= *soft);
        soft.map_or(Standing::Live, |(_, since_ms)| Standing::Soft(*since_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_saves_from_soft_purges_and_not_from_hard_ones() {
        let mut generation = Generation::default();
        generation.note(true, 10, 100);
        assert_eq!(generation.standing(Age { content: 5, validated: 11 }), Standing::Live);
        generation.note(false, 10, 100);
        assert_eq!(generation.standing(Age { content: 5, validated: 11 }), Standing::Gone);
    }

    #[test]
    fn a_hard_purge_takes_what_is_not_younger_and_forgets_older_soft_ones() {
        let mut generation = Generation::default();
        generation.note(true, 5, 50);
        generation.note(false, 10, 100);
        generation.note(true, 20, 200);
        let seen = [5, 10, 11, 20, 21].map(|stamp| generation.standing(Age::of(stamp)));
        let soft = Standing::Soft(200);
        assert_eq!(seen, [Standing::Gone, Standing::Gone, soft, soft, Standing::Live]);
        assert_eq!(generation.softs.len(), 1);
    }

    #[test]
    fn each_is_stale_since_the_first_soft_purge_behind_it() {
        let mut generation = Generation::default();
        (1..=SOFTS_MAX as u64).for_each(|n| generation.note(true, n * 10, n * 1_000));
        assert_eq!(generation.standing(Age::of(11)), Standing::Soft(2_000));
        assert_eq!(generation.standing(Age::of(21)), Standing::Soft(3_000));
        generation.note(true, 1_000, 100_000);
        assert_eq!(generation.standing(Age::of(11)), Standing::Soft(1_000), "never later than it was");
        assert_eq!(generation.standing(Age::of(1_000)), Standing::Soft(100_000));
        assert_eq!(generation.softs.len(), SOFTS_MAX);
    }
}

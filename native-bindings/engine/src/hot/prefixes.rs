//! Purged prefixes of targets, found by binary search: in their order, every prefix of a target stands before it, and
//! each of them begins with the shorter ones.

use crate::hot::generation::Generation;

/// "No row" in a link.
const NONE: u32 = u32::MAX;

struct Row {
    prefix: Box<[u8]>,
    generation: Generation,
    /// The longest other prefix that this one begins with.
    shorter: u32,
}

/// See the file.
#[derive(Default)]
pub(super) struct Prefixes {
    rows: Vec<Row>,
}

impl Prefixes {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn generation(&mut self, prefix: &[u8]) -> &mut Generation {
        let found = self.rows.binary_search_by(|row| (*row.prefix).cmp(prefix));
        let place = found.unwrap_or_else(|place| {
            let row = Row { prefix: prefix.into(), generation: Generation::default(), shorter: NONE };
            self.rows.insert(place, row);
            self.link();
            place
        });
        &mut self.rows[place].generation
    }

    fn link(&mut self) {
        for place in 0..self.rows.len() {
            let before = if place == 0 { NONE } else { place as u32 - 1 };
            let prefix = &self.rows[place].prefix;
            let mut shorter = before;
            while let Some(row) = self.rows.get(shorter as usize).filter(|row| !prefix.starts_with(&row.prefix)) {
                shorter = row.shorter;
            }
            self.rows[place].shorter = shorter;
        }
    }

    /// Those that a target begins with.
    pub(super) fn of<'a>(&'a self, target: &'a [u8]) -> impl Iterator<Item = &'a Generation> {
        let behind = self.rows.partition_point(|row| *row.prefix <= *target);
        let row = |place: usize| self.rows.get(place);
        let first = behind.checked_sub(1).and_then(row);
        let chain = std::iter::successors(first, move |known| row(known.shorter as usize));
        chain.filter(|row| target.starts_with(&row.prefix)).map(|row| &row.generation)
    }

    pub(super) fn retain(&mut self, mut is_needed: impl FnMut(&Generation) -> bool) {
        self.rows.retain(|row| is_needed(&row.generation));
        self.link();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::hot::generation::{Age, Standing};
    use std::collections::BTreeMap;

    #[test]
    fn all_prefixes_of_a_target_are_found_and_no_others() {
        let mut dice = Dice::new(3);
        let mut text = |most| -> Vec<u8> {
            let length = dice.up_to(most);
            (0..length).map(|_| b"ab/"[dice.up_to(2) as usize]).collect()
        };
        for _ in 0..50 {
            let (mut prefixes, mut known) = (Prefixes::default(), BTreeMap::new());
            for stamp in 1..60 {
                let prefix = text(6);
                prefixes.generation(&prefix).note(false, stamp, 0);
                known.insert(prefix, stamp);
            }
            prefixes.retain(|generation| generation.standing(Age::of(20)) == Standing::Gone);
            known.retain(|_, stamp| *stamp >= 20);
            assert_eq!(prefixes.len(), known.len());
            for _ in 0..50 {
                let target = text(9);
                let wanted = || known.iter().filter(|(prefix, _)| target.starts_with(prefix)).map(|(_, stamp)| *stamp);
                let newest = wanted().max().unwrap_or(0);
                let seen: Vec<&Generation> = prefixes.of(&target).collect();
                let is_gone = |stamp: u64| seen.iter().any(|one| one.standing(Age::of(stamp)) == Standing::Gone);
                assert_eq!((seen.len(), is_gone(newest + 1)), (wanted().count(), false));
                assert!(newest == 0 || is_gone(newest));
            }
        }
    }
}

//! Slots with generations: a key from before a slot was reused finds nothing, so a late event for a connection that
//! has gone is harmless. Freed slots are taken again newest first.

/// Names one entry of one slab for as long as that entry lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Key {
    pub index: u32,
    pub generation: u32,
}

impl Key {
    /// Finds nothing in any slab.
    pub const NONE: Key = Key { index: u32::MAX, generation: u32::MAX };

    #[must_use]
    pub fn is_none(self) -> bool {
        self.index == u32::MAX
    }
}

/// Generations are this wide, because a key travels through epoll beside its kind.
const GENERATION_MASK: u32 = (1 << 24) - 1;

struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

/// Slots of one worker for one kind of thing.
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, entry: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.entry.is_none());
        slot.entry = Some(entry);
        Key { index, generation: slot.generation }
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize).filter(|s| s.generation == key.generation)?;
        let entry = slot.entry.take()?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(key.index);
        Some(entry)
    }

    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.index as usize).filter(|s| s.generation == key.generation)?.entry.as_ref()
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.index as usize).filter(|s| s.generation == key.generation)?.entry.as_mut()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut())
    }

    /// Keys of all entries, for sweeps that may remove as they go.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let live = self.slots.iter().enumerate().filter(|(_, s)| s.entry.is_some());
        live.map(|(index, s)| Key { index: index as u32, generation: s.generation }).collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_from_before_a_slot_was_reused_finds_nothing() {
        let mut slab = Slab::default();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b');
        assert_eq!(old.index, new.index);
        assert!(slab.get(old).is_none() && slab.remove(old).is_none());
        assert_eq!(slab.get(new), Some(&'b'));
        assert_eq!(slab.len(), 1);
    }
}

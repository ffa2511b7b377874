//! Timers of one worker: a hierarchical wheel with a coarse tick. Arming, putting off and cancelling are plain stores;
//! a timer that was put off is found early, looked at and linked again. Nothing is allocated once a node exists.

/// Length of a tick.
pub const TICK_MS: u64 = 4;
/// A due time that never comes.
pub const NEVER: u64 = u64::MAX;

const LEVELS: usize = 4;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;
const NIL: u32 = u32::MAX;

/// Names one node. Copying it is a convenience of whoever owns the timer; `remove` ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId(u32);

struct Node {
    /// What the owner wants, in ms; `NEVER` = nothing.
    due_ms: u64,
    /// Where the node is linked: tick it will be looked at, or `NEVER` when it is not linked.
    linked_tick: u64,
    place: u16,
    prev: u32,
    next: u32,
    owner: u64,
}

/// All timers of one worker.
pub struct Wheel {
    nodes: Vec<Node>,
    free: Vec<u32>,
    heads: [[u32; SLOTS]; LEVELS],
    /// One bit for every slot that holds a node.
    filled: [u64; LEVELS],
    /// Every tick before this one has been handled.
    tick: u64,
    linked: usize,
}

impl Wheel {
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            heads: [[NIL; SLOTS]; LEVELS],
            filled: [0; LEVELS],
            tick: now_ms / TICK_MS,
            linked: 0,
        }
    }

    /// A timer that is not armed. `owner` comes back when it is due.
    pub fn add(&mut self, owner: u64) -> TimerId {
        let node = Node { due_ms: NEVER, linked_tick: NEVER, place: 0, prev: NIL, next: NIL, owner };
        match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                TimerId(index)
            }
            None => {
                self.nodes.push(node);
                TimerId((self.nodes.len() - 1) as u32)
            }
        }
    }

    /// For an owner whose own key is known only after its timer was made.
    pub fn set_owner(&mut self, id: TimerId, owner: u64) {
        self.nodes[id.0 as usize].owner = owner;
    }

    pub fn remove(&mut self, id: TimerId) {
        self.unlink(id.0);
        self.free.push(id.0);
    }

    /// Sets when the timer is due; `NEVER` disarms it. Later than before costs two loads and a store.
    pub fn arm(&mut self, id: TimerId, due_ms: u64) {
        let node = &mut self.nodes[id.0 as usize];
        node.due_ms = due_ms;
        if due_ms == NEVER {
            return;
        }
        let wanted = due_ms.div_ceil(TICK_MS);
        if node.linked_tick > wanted {
            self.unlink(id.0);
            self.link(id.0, wanted);
        }
    }

    #[must_use]
    pub fn due_ms(&self, id: TimerId) -> u64 {
        self.nodes[id.0 as usize].due_ms
    }

    /// Moves the owners of all timers due at `now_ms` to `due`, and disarms those timers.
    pub fn expire(&mut self, now_ms: u64, due: &mut Vec<u64>) {
        let until = now_ms / TICK_MS;
        while self.tick <= until {
            if self.linked == 0 {
                self.tick = until + 1;
                return;
            }
            self.cascade();
            let slot = (self.tick % SLOTS as u64) as usize;
            let mut at = self.take_slot(0, slot);
            while at != NIL {
                let node = &mut self.nodes[at as usize];
                let next = node.next;
                node.linked_tick = NEVER;
                self.linked -= 1;
                if node.due_ms <= now_ms {
                    node.due_ms = NEVER;
                    due.push(node.owner);
                } else if node.due_ms != NEVER {
                    let wanted = node.due_ms.div_ceil(TICK_MS);
                    self.link(at, wanted);
                }
                at = next;
            }
            self.tick += 1;
            self.skip_empty(until);
        }
    }

    /// When `expire` has something to look at next, if ever. May be early, never late.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        if self.linked == 0 {
            return None;
        }
        let mut earliest = u64::MAX;
        for level in 0..LEVELS {
            if self.filled[level] == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let here = self.tick >> shift;
            let turned = self.filled[level].rotate_right((here % SLOTS as u64) as u32);
            let ahead = u64::from(turned.trailing_zeros());
            // On an upper level the slot that is being stood in was cascaded already: what it holds is a lap away.
            let ahead = if level > 0 && ahead == 0 && self.tick & ((1 << shift) - 1) != 0 { 1 } else { ahead };
            earliest = earliest.min(((here + ahead) << shift).max(self.tick));
        }
        Some(earliest * TICK_MS)
    }

    /// Jumps over ticks in which nothing is linked, up to the next turn of the second level.
    fn skip_empty(&mut self, until: u64) {
        if self.filled[0] == 0 {
            let turn = (self.tick / SLOTS as u64 + u64::from(self.tick % SLOTS as u64 != 0)) * SLOTS as u64;
            self.tick = turn.min(until + 1).max(self.tick);
        }
    }

    /// Brings the nodes of upper levels down whenever a level below starts a new lap.
    fn cascade(&mut self) {
        for level in 1..LEVELS {
            let shift = SLOT_BITS * level as u32;
            if self.tick & ((1 << shift) - 1) != 0 {
                return;
            }
            let slot = ((self.tick >> shift) % SLOTS as u64) as usize;
            let mut at = self.take_slot(level, slot);
            while at != NIL {
                let node = &mut self.nodes[at as usize];
                let next = node.next;
                let wanted = node.due_ms.div_ceil(TICK_MS);
                node.linked_tick = NEVER;
                self.linked -= 1;
                if node.due_ms != NEVER {
                    self.link(at, wanted);
                }
                at = next;
            }
        }
    }

    fn take_slot(&mut self, level: usize, slot: usize) -> u32 {
        self.filled[level] &= !(1 << slot);
        std::mem::replace(&mut self.heads[level][slot], NIL)
    }

    fn link(&mut self, index: u32, wanted: u64) {
        let tick = wanted.max(self.tick);
        let ahead = tick - self.tick;
        let level = (0..LEVELS - 1).find(|l| ahead < 1 << (SLOT_BITS * (*l as u32 + 1))).unwrap_or(LEVELS - 1);
        let shift = SLOT_BITS * level as u32;
        // Beyond the last lap: looked at once a lap until it comes near.
        let tick = tick.min(self.tick + (((SLOTS as u64) - 1) << shift));
        let slot = ((tick >> shift) % SLOTS as u64) as usize;
        let head = self.heads[level][slot];
        if head != NIL {
            self.nodes[head as usize].prev = index;
        }
        let node = &mut self.nodes[index as usize];
        (node.prev, node.next, node.linked_tick) = (NIL, head, tick);
        node.place = (level * SLOTS + slot) as u16;
        self.heads[level][slot] = index;
        self.filled[level] |= 1 << slot;
        self.linked += 1;
    }

    fn unlink(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        if node.linked_tick == NEVER {
            return;
        }
        node.linked_tick = NEVER;
        let (prev, next, place) = (node.prev, node.next, node.place as usize);
        self.linked -= 1;
        if next != NIL {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NIL {
            self.nodes[prev as usize].next = next;
            return;
        }
        let (level, slot) = (place / SLOTS, place % SLOTS);
        self.heads[level][slot] = next;
        if next == NIL {
            self.filled[level] &= !(1 << slot);
        }
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;

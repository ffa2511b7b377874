//! How HTTP/2's state machine says that something can go on: each connection and each stream has a bell, and a bell that
//! rings puts its name on the list of its worker. The worker walks the list at the end of each pass. A bell may be rung by
//! another worker's thread, which then rings that worker itself.

use crate::io::Token;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};
use std::task::{Wake, Waker};

/// Whose bells rang, of one worker.
#[derive(Default)]
pub struct Rung {
    list: Mutex<Vec<u64>>,
    any: AtomicBool,
    /// Its worker was rung for by another since the list was last taken.
    told: AtomicBool,
}

impl Rung {
    /// Whether a bell rang since the list was last taken.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any.load(SeqCst)
    }

    /// Moves the names into `into`, in the order they rang.
    pub fn take(&self, into: &mut Vec<u64>) {
        if self.any.swap(false, AcqRel) {
            into.append(&mut self.list.lock());
        }
    }

    /// Its worker looks at the list now: whoever puts something on it from here on rings again. Stored and loaded in one
    /// order with `must_ring`, or a name could lie on the list with everybody believing that somebody had rung.
    pub fn look(&self) {
        self.told.store(false, SeqCst);
    }

    /// Whether somebody else who finds the list not empty has to ring its worker: nobody has yet.
    #[must_use]
    pub fn must_ring(&self) -> bool {
        self.any.load(SeqCst) && !self.told.swap(true, SeqCst)
    }

    /// Puts a name on the list.
    pub fn ring(&self, name: u64) {
        self.list.lock().push(name);
        self.any.store(true, SeqCst);
    }
}

/// The bell of one connection or stream.
pub struct Bell {
    rung: Arc<Rung>,
    /// A packed `Token`; 0 before it is known.
    name: AtomicU64,
    /// It is on the list.
    waits: AtomicBool,
}

impl Bell {
    #[must_use]
    pub fn new(rung: &Arc<Rung>) -> Arc<Self> {
        Arc::new(Self { rung: Arc::clone(rung), name: AtomicU64::new(0), waits: AtomicBool::new(false) })
    }

    pub fn set_name(&self, token: Token) {
        self.name.store(token.pack(), Relaxed);
    }

    /// It was taken from the list: it may ring again.
    pub fn hush(&self) {
        self.waits.store(false, Release);
    }

    pub fn ring(&self) {
        if !self.waits.swap(true, AcqRel) {
            self.rung.ring(self.name.load(Relaxed));
        }
    }

    #[must_use]
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Key;

    #[test]
    fn a_bell_that_rings_twice_is_on_the_list_once() {
        let rung = Arc::new(Rung::default());
        let bell = Bell::new(&rung);
        let token = Token::Client(Key { index: 7, generation: 3 });
        bell.set_name(token);
        bell.waker().wake();
        bell.waker().wake_by_ref();
        let mut names = Vec::new();
        rung.take(&mut names);
        assert_eq!(names, [token.pack()]);
        assert!(!rung.any());
        bell.waker().wake();
        assert!(!rung.any(), "not before it was hushed");
        bell.hush();
        bell.waker().wake();
        assert!(rung.any());
    }
}

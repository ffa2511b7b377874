//! Whom to ring when what was waited for is there. The hot cache rings nobody: it hands waiters back to whoever changed
//! something.

/// An exchange of a worker, its key packed by the worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    pub worker: u32,
    pub token: u64,
}

//! What all threads of one proxy share: the plan, the pool, an inbox for each worker, and the few flags by which the
//! main thread steers them.

use crate::pool::Pool;
use crate::slab::Key;
use crate::target::TargetShared;
use crossbeam_queue::ArrayQueue;
use proto::plan::Plan;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Accepted sockets and calls that may lie before a worker; a full inbox means the next worker is asked.
pub const INBOX_LENGTH: usize = 4096;

/// What a worker finds in its inbox.
pub enum Message<S> {
    Client {
        socket: S,
        peer: SocketAddr,
        listener: u16,
    },
    /// A connection that this exchange waits for may be free now.
    Called {
        exchange: Key,
        target: Arc<TargetShared>,
    },
}

/// One proxy, as all its threads see it.
pub struct Host<S> {
    pub plan: Arc<Plan>,
    pub pool: Pool<S>,
    pub inboxes: Box<[ArrayQueue<Message<S>>]>,
    pub draining: AtomicBool,
    pub workers: Box<[WorkerShared]>,
}

/// One worker as others see it, alone on its cache lines.
#[repr(align(128))]
#[derive(Default)]
pub struct WorkerShared {
    /// Milliseconds (monotonic) at which the worker last emptied its inbox.
    pub beat_ms: AtomicU64,
    /// The worker runs; sockets may be given to it.
    pub alive: AtomicBool,
    /// A test asked for a panic in the next turn.
    pub panic_asked: AtomicBool,
}

impl<S> Host<S> {
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let workers = plan.workers;
        Self {
            pool: Pool::new(workers, plan.pool.shards, plan.pool.steal, plan.pool.connections),
            inboxes: (0..workers).map(|_| ArrayQueue::new(INBOX_LENGTH)).collect(),
            draining: AtomicBool::new(false),
            workers: (0..workers).map(|_| WorkerShared::default()).collect(),
            plan: Arc::new(plan),
        }
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

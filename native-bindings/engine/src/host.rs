//! What all threads of one proxy share: the plan, the pool, an inbox for each worker, and the few flags by which the
//! main thread steers them.

use crate::budget::Budget;
use crate::hot::HotCache;
use crate::http2::bell::Rung;
use crate::pool::Pool;
use crate::slab::Key;
use crate::store_queue::StoreQueue;
use crate::target::{TargetShared, TargetState};
use crate::tls_plan::TlsPlan;
use crate::tls_server::Tickets;
use crossbeam_queue::ArrayQueue;
use parking_lot::RwLock;
use proto::identity::{Identity, identity_of};
use proto::plan::Plan;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Accepted sockets and calls that may lie before a worker; a full inbox means the next worker is asked.
pub const INBOX_LENGTH: usize = 4096;

/// What a worker finds in its inbox.
pub enum Message<S> {
    Client {
        socket: S,
        peer: SocketAddr,
        listener: u16,
    },
    /// The main thread wants to see the worker's connections.
    Dump {
        ticket: u32,
    },
    /// A connection that this exchange waits for may be free now.
    Called {
        exchange: Key,
        target: Arc<TargetShared>,
    },
}

/// A plan and what was compiled of it for all workers.
#[derive(Clone)]
pub struct Current {
    pub plan: Arc<Plan>,
    pub tls: Arc<TlsPlan>,
}

/// One proxy, as all its threads see it.
pub struct Host<S> {
    /// The present plan and its number; workers take a new one at the beginning of a turn.
    current: RwLock<Current>,
    tickets: Tickets,
    pub generation: AtomicU32,
    /// Rises whenever a target's state changes in a way that ends idle connections.
    pub targets_changed: AtomicU32,
    pub budget: Budget,
    /// Client connections of all workers.
    pub clients_open: AtomicU64,
    /// Request bodies in files, of all workers.
    pub spool_bytes: Arc<AtomicU64>,
    pub pool: Pool<S>,
    /// Stored answers in memory, and what the store is to write of them.
    pub hot: HotCache,
    pub store: StoreQueue,
    pub inboxes: Box<[ArrayQueue<Message<S>>]>,
    /// By worker: connections and streams of HTTP/2 that can go on.
    pub rungs: Box<[Arc<Rung>]>,
    /// Workers ring each other: some had a connection of HTTP/2 that others may use too, or a route caches.
    pub multiplexes: AtomicBool,
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
    /// Fails with a sentence, place first, when certificates, keys or authorities of the plan cannot be used.
    pub fn new(plan: Plan) -> Result<Self, String> {
        let workers = plan.workers;
        let tickets = Tickets::default();
        let tls = Arc::new(TlsPlan::new(&plan, &tickets, &TlsPlan::default())?);
        Ok(Self {
            hot: HotCache::new(plan.cache.memory_bytes, plan.cache.shards),
            store: StoreQueue::default(),
            pool: Pool::new(workers, plan.pool.shards, plan.pool.steal, plan.pool.connections),
            inboxes: (0..workers).map(|_| ArrayQueue::new(INBOX_LENGTH)).collect(),
            rungs: (0..workers).map(|_| Arc::default()).collect(),
            multiplexes: AtomicBool::new(caches(&plan)),
            draining: AtomicBool::new(false),
            workers: (0..workers).map(|_| WorkerShared::default()).collect(),
            clients_open: AtomicU64::new(0),
            spool_bytes: Arc::default(),
            budget: Budget::new(&plan.retry_budget),
            generation: AtomicU32::new(0),
            targets_changed: AtomicU32::new(0),
            current: RwLock::new(Current { plan: Arc::new(plan), tls }),
            tickets,
        })
    }

    #[must_use]
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.current.read().plan)
    }

    #[must_use]
    pub fn current(&self) -> Current {
        self.current.read().clone()
    }

    /// Puts another plan in the place of the present one. Targets that it does not have are no longer used. A plan whose
    /// TLS cannot be compiled changes nothing; the sentence says why.
    pub fn install(&self, plan: Plan, now_ms: u64) -> Result<(), String> {
        let tls = Arc::new(TlsPlan::new(&plan, &self.tickets, &self.current().tls)?);
        self.tickets.keep(&tls.listeners);
        let kept: HashSet<Identity> =
            plan.origins.iter().flat_map(|o| o.targets.iter().map(|t| identity_of(o, t))).collect();
        for target in self.pool.all_targets() {
            match (kept.contains(&target.identity), target.state()) {
                (false, _) => target.set_state(TargetState::Removed, now_ms),
                (true, TargetState::Removed) => target.set_state(TargetState::Up, now_ms),
                (true, _) => {}
            }
        }
        if caches(&plan) {
            self.multiplexes.store(true, Relaxed);
        }
        *self.current.write() = Current { plan: Arc::new(plan), tls };
        self.generation.fetch_add(1, Relaxed);
        self.targets_changed.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Sets a target's state for all workers; false when there is no such target.
    pub fn set_target_state(&self, number: u32, state: TargetState, now_ms: u64) -> bool {
        let Some(target) = self.pool.all_targets().into_iter().find(|t| t.number == number) else { return false };
        target.set_state(state, now_ms);
        self.targets_changed.fetch_add(1, Relaxed);
        true
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

/// Whether any route does.
fn caches(plan: &Plan) -> bool {
    plan.routes.iter().any(|route| route.cache.is_some())
}

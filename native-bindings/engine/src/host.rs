//! What all threads of one proxy share: the plan, the pool, an inbox for each worker, and the few flags by which the
//! main thread steers them.

use crate::budget::Budget;
use crate::cached::searches::Searches;
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
use proto::identity::identity_of;
use proto::plan::{Listener, Origin, Plan};
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
    /// As `plan.origins` and their targets.
    pub targets: Arc<[Box<[Arc<TargetShared>]>]>,
}

/// A plan that every worker can run, before any of them does.
pub struct Prepared {
    plan: Plan,
    tls: TlsPlan,
}

impl Prepared {
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
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
    /// Bytes, entries and evictions of the cache as the workers' rows tell them.
    pub cache_told: [AtomicU64; 3],
    pub searches: Searches,
    pub inboxes: Box<[ArrayQueue<Message<S>>]>,
    /// By worker: connections and streams of HTTP/2 that can go on.
    pub rungs: Box<[Arc<Rung>]>,
    /// Workers ring each other: some had a connection of HTTP/2 that others may use too, or a route caches.
    pub multiplexes: AtomicBool,
    pub draining: AtomicBool,
    /// While draining: idle clients may still ask once.
    pub idle_stays: AtomicBool,
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
    /// Number of the plan that it runs.
    pub generation: AtomicU32,
}

impl<S> Host<S> {
    /// Fails with a sentence, place first, when certificates, keys or authorities of the plan cannot be used.
    pub fn new(plan: Plan) -> Result<Self, String> {
        let workers = plan.workers;
        let tickets = Tickets::default();
        let tls = Arc::new(TlsPlan::new(&plan, &tickets, &TlsPlan::default())?);
        let pool = Pool::new(workers, plan.pool.shards, plan.pool.steal, plan.pool.connections);
        let targets = bind(&plan, &tls, &pool);
        Ok(Self {
            hot: HotCache::new(plan.cache.memory_bytes, plan.cache.shards),
            store: StoreQueue::default(),
            cache_told: Default::default(),
            searches: Searches::default(),
            pool,
            inboxes: (0..workers).map(|_| ArrayQueue::new(INBOX_LENGTH)).collect(),
            rungs: (0..workers).map(|_| Arc::default()).collect(),
            multiplexes: AtomicBool::new(caches(&plan)),
            draining: AtomicBool::new(false),
            idle_stays: AtomicBool::new(false),
            workers: (0..workers).map(|_| WorkerShared::default()).collect(),
            clients_open: AtomicU64::new(0),
            spool_bytes: Arc::default(),
            budget: Budget::new(&plan.retry_budget),
            generation: AtomicU32::new(0),
            targets_changed: AtomicU32::new(0),
            current: RwLock::new(Current { plan: Arc::new(plan), tls, targets }),
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

    /// Puts another plan in the place of the present one. A plan that cannot be run changes nothing; the sentence says
    /// why.
    pub fn install(&self, plan: Plan, now_ms: u64) -> Result<(), String> {
        self.commit(self.prepare(plan)?, now_ms);
        Ok(())
    }

    /// Everything of a new plan that may fail; changes nothing. What can change only with a restart is refused here.
    pub fn prepare(&self, plan: Plan) -> Result<Prepared, String> {
        let Current { plan: present, tls, .. } = self.current();
        let keeps = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(format!("plan.{what}: cannot change while the proxy runs")) }
        };
        keeps(plan.workers == present.workers, "workers")?;
        keeps(plan.pool.shards == present.pool.shards, "pool.shards")?;
        keeps(plan.pool.steal == present.pool.steal, "pool.steal")?;
        keeps(plan.access_log == present.access_log, "accessLog")?;
        let mut places = present.listeners.iter().zip(&plan.listeners);
        let same = |(was, now): (&Listener, &Listener)| (was.address, was.port) == (now.address, now.port);
        keeps(plan.listeners.len() >= present.listeners.len() && places.all(same), "listeners: their places")?;
        let tls = TlsPlan::new(&plan, &self.tickets, &tls)?;
        Ok(Prepared { plan, tls })
    }

    /// Puts a plan in the place of the present one; cannot fail. Targets that it does not have get no more requests but
    /// from exchanges that began under a plan that had them.
    pub fn commit(&self, prepared: Prepared, now_ms: u64) {
        let Prepared { plan, tls } = prepared;
        self.tickets.keep(&tls.listeners);
        self.budget.set(&plan.retry_budget);
        self.pool.set_open_max(plan.pool.connections);
        self.pool.forget_removed();
        let targets = bind(&plan, &tls, &self.pool);
        let kept: HashSet<u32> = targets.iter().flatten().map(|target| target.number).collect();
        for target in self.pool.all_targets() {
            match (kept.contains(&target.number), target.state()) {
                (false, _) => target.set_state(TargetState::Removed, now_ms),
                (true, TargetState::Removed) => target.set_state(TargetState::Up, now_ms),
                (true, _) => {}
            }
        }
        if caches(&plan) {
            self.multiplexes.store(true, Relaxed);
        }
        *self.current.write() = Current { plan: Arc::new(plan), tls: Arc::new(tls), targets };
        self.generation.fetch_add(1, Relaxed);
        self.targets_changed.fetch_add(1, Relaxed);
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

    #[must_use]
    pub fn idle_stays(&self) -> bool {
        self.idle_stays.load(Relaxed)
    }

    /// Lets the proxy leave. Asked a second time without `idle_stays`, it ends what idle clients were given.
    pub fn drain(&self, idle_stays: bool) {
        self.idle_stays.store(idle_stays && (!self.is_draining() || self.idle_stays()), Relaxed);
        self.draining.store(true, Relaxed);
    }
}

/// Whether any route does.
fn caches(plan: &Plan) -> bool {
    plan.routes.iter().any(|route| route.cache.is_some())
}

/// What all workers share about each target of a plan, in its order.
fn bind<S>(plan: &Plan, tls: &TlsPlan, pool: &Pool<S>) -> Arc<[Box<[Arc<TargetShared>]>]> {
    let of_origin = |(at, origin): (usize, &Origin)| {
        let secured = tls.origins.get(at).map_or(&[][..], Vec::as_slice);
        let bound = origin.targets.iter().enumerate().map(|(place, target)| {
            let shared = pool.target(&identity_of(origin, target));
            if let Some(tls) = secured.get(place) {
                // Whoever is first settles it; under one identity all are the same but for their tickets.
                shared.tls.get_or_init(|| Arc::clone(tls));
            }
            shared
        });
        bound.collect()
    };
    plan.origins.iter().enumerate().map(of_origin).collect()
}

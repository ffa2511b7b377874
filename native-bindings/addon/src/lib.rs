//! What `src/native.ts` sees of the native core. Names and types here are the other half of that file; there is no
//! logic on either side.

mod loop_bridge;
mod mailbox;

use engine::acceptor::Acceptor;
use engine::explain::explain as explain_request;
use engine::host::{Host, Message};
use engine::readings::targets_json;
use engine::stats::{ROW_WORDS, Row, layout_json};
use engine::sys::{SysIo, SysShared, listen as open_listener, monotonic_ms};
use engine::target::TargetState;
use engine::worker::{Worker, settle};
use loop_bridge::Driver;
use mailbox::{Callback, Part, StatsBlock};
use napi::bindgen_prelude::{Function, Uint8Array, Unknown};
use napi::{Env, JsValue, Result};
use napi_derive::napi;
use proto::plan::Plan;
use std::ffi::c_void;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One proxy of this process.
struct Running {
    host: Arc<Host<OwnedFd>>,
    sys: Arc<SysShared>,
    block: StatsBlock,
    listeners: Mutex<Vec<OwnedFd>>,
    /// A test asked for a panic in the acceptor's next turn.
    acceptor_panic_asked: AtomicBool,
}

impl Running {
    /// Settled for the life of the proxy: a plan with another number is refused.
    fn workers(&self) -> u32 {
        self.host.workers.len() as u32
    }

    fn ring_all(&self) {
        (0..self.workers()).for_each(|worker| self.sys.ring(worker));
    }

    fn row(&self, row: u32) -> Result<Row> {
        Row::of_block(self.block.words, row as usize).ok_or_else(|| fault("the stats block is too short"))
    }
}

static HOSTS: Mutex<Vec<Option<Arc<Running>>>> = Mutex::new(Vec::new());

fn hosts() -> MutexGuard<'static, Vec<Option<Arc<Running>>>> {
    HOSTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(says: impl Into<String>) -> napi::Error {
    napi::Error::from_reason(says.into())
}

fn running(host: u32) -> Result<Arc<Running>> {
    hosts().get(host as usize).cloned().flatten().ok_or_else(|| fault(format!("there is no proxy number {host}")))
}

fn decode(plan: &[u8]) -> Result<Plan> {
    let plan: Plan = rmp_serde::from_slice(plan).map_err(|error| fault(format!("the plan cannot be read: {error}")))?;
    plan.check().map_err(fault)?;
    Ok(plan)
}

/// Version of the core.
#[napi(catch_unwind)]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// JSON description of the stats block.
#[napi(catch_unwind)]
#[must_use]
pub fn stats_layout() -> String {
    layout_json()
}

/// Decodes and checks a plan; throws what the core cannot run.
#[napi(catch_unwind)]
pub fn check_plan(plan: Uint8Array) -> Result<()> {
    decode(&plan).map(|_| ())
}

/// Creates what all threads of one proxy share; returns its number.
#[napi(catch_unwind)]
pub fn open_host(env: Env, plan: Uint8Array, stats: Unknown<'_>) -> Result<u32> {
    let plan = decode(&plan)?;
    let sys = SysShared::new(plan.workers)
        .map_err(|trouble| fault(format!("no descriptors for {} workers: {trouble:?}", plan.workers)))?;
    let mut block = StatsBlock::of_typed_array(env.raw(), stats.raw())
        .ok_or_else(|| fault("the stats block must be a BigUint64Array over a SharedArrayBuffer"))?;
    if block.words.len() < (plan.workers as usize + 1) * ROW_WORDS {
        block.release();
        return Err(fault("the stats block is too short"));
    }
    let mut hosts = hosts();
    let free = hosts.iter().position(Option::is_none).unwrap_or(hosts.len());
    if !block.at_end(environment_ends, free) {
        block.release();
        return Err(fault("the environment takes no clean-up hook"));
    }
    if free == hosts.len() {
        hosts.push(None);
    }
    hosts[free] = Some(Arc::new(Running {
        host: Arc::new(Host::new(plan)),
        sys: Arc::new(sys),
        block,
        listeners: Mutex::new(Vec::new()),
        acceptor_panic_asked: AtomicBool::new(false),
    }));
    Ok(free as u32)
}

/// A proxy goes with the thread that opened it: nobody else can close it, and its sockets must not stay open. Node has
/// ended that thread's own workers by now, so nothing runs on the host any more.
extern "C" fn environment_ends(number: *mut c_void) {
    let _ = catch_unwind(|| hosts().get_mut(number as usize).map(Option::take));
}

/// Where a listener listens.
#[napi(object)]
pub struct Listening {
    pub name: String,
    pub address: String,
    pub port: u32,
}

/// Opens all listening sockets of a proxy.
#[napi(catch_unwind)]
pub fn listen(host: u32) -> Result<Vec<Listening>> {
    let running = running(host)?;
    let mut opened = Vec::new();
    let mut places = Vec::new();
    for listener in &running.host.plan().listeners {
        let at = SocketAddr::new(listener.address, listener.port);
        let (socket, place) = open_listener(at, listener.backlog).map_err(|error| {
            let code = errno_name(&error);
            fault(format!("{code}: listener \"{}\" cannot listen on {at}: {error}", listener.name))
        })?;
        opened.push(socket);
        places.push(Listening {
            name: listener.name.clone(),
            address: place.ip().to_string(),
            port: u32::from(place.port()),
        });
    }
    *running.listeners.lock().unwrap_or_else(PoisonError::into_inner) = opened;
    Ok(places)
}

fn errno_name(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "EADDRINUSE",
        std::io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        std::io::ErrorKind::PermissionDenied => "EACCES",
        _ => "ELISTEN",
    }
}

struct AcceptorDriver {
    acceptor: Acceptor,
    running: Arc<Running>,
    on_failure: Callback,
}

impl Driver for AcceptorDriver {
    fn turn(&mut self) {
        assert!(!self.running.acceptor_panic_asked.swap(false, Relaxed), "a test asked the acceptor to panic");
        self.acceptor.turn();
    }

    fn report(&mut self, panic: Option<&str>) {
        if let Some(text) = panic {
            self.on_failure.call(&[Part::Text(text)]);
        }
    }

    fn close(&mut self, alive: bool) {
        if alive {
            self.on_failure.release();
        }
    }
}

/// In the acceptor thread: accepts on this thread's event loop until `stopThread`.
#[napi(catch_unwind)]
pub fn start_acceptor(env: Env, host: u32, on_failure: Function<'_>) -> Result<()> {
    loop_bridge::expect_none().map_err(fault)?;
    let running = running(host)?;
    let workers = running.workers();
    let rows = (0..workers).map(|worker| running.row(worker)).collect::<Result<Vec<Row>>>()?;
    let listeners = running.listeners.lock().unwrap_or_else(PoisonError::into_inner);
    let copies = listeners.iter().map(OwnedFd::try_clone).collect::<std::io::Result<Vec<OwnedFd>>>();
    drop(listeners);
    let listeners = copies.map_err(|error| fault(format!("no descriptor for the acceptor: {error}")))?;
    let (host, sys) = (Arc::clone(&running.host), Arc::clone(&running.sys));
    let acceptor = Acceptor::new(host, sys, rows, running.row(workers)?, listeners)
        .map_err(|trouble| fault(format!("the acceptor cannot watch its sockets: {trouble:?}")))?;
    let fd = acceptor.epoll().as_raw_fd();
    let on_failure = callback(&env, &on_failure)?;
    loop_bridge::never_preempt();
    loop_bridge::start(env.raw(), fd, Box::new(AcceptorDriver { acceptor, running, on_failure })).map_err(fault)
}

fn callback(env: &Env, function: &Function<'_>) -> Result<Callback> {
    Callback::new(env.raw(), function.raw()).ok_or_else(|| fault("a callback cannot be kept"))
}

struct EdgeDriver {
    worker: Option<Worker<SysIo>>,
    on_turn: Callback,
    on_failure: Callback,
}

impl Driver for EdgeDriver {
    fn turn(&mut self) {
        if let Some(worker) = &mut self.worker {
            worker.turn();
        }
    }

    fn report(&mut self, panic: Option<&str>) {
        if let Some(text) = panic {
            // What a panic interrupted takes no further step but to close what it holds, so that its books balance.
            if let Some(mut worker) = self.worker.take() {
                let _ = catch_unwind(AssertUnwindSafe(|| worker.close_all()));
            }
            self.on_failure.call(&[Part::Text(text)]);
            return;
        }
        let Some(worker) = &mut self.worker else { return };
        let log = worker.log();
        if log.lines().is_empty() && log.notes().is_empty() {
            return;
        }
        let (mut lines, mut notes) = (std::mem::take(log.lines()), std::mem::take(log.notes()));
        // An environment that ends takes nothing any more: these lines go with it.
        self.on_turn.call(&[Part::Bytes(&lines), Part::Bytes(&notes)]);
        lines.clear();
        notes.clear();
        if let Some(worker) = &mut self.worker {
            *worker.log().lines() = lines;
            *worker.log().notes() = notes;
        }
    }

    fn close(&mut self, alive: bool) {
        if let Some(mut worker) = self.worker.take() {
            worker.close_all();
        }
        if alive {
            self.on_turn.release();
            self.on_failure.release();
        }
    }
}

/// In an edge thread: runs the engine on this thread's event loop until `stopThread`.
#[napi(catch_unwind)]
pub fn start_edge(env: Env, host: u32, worker: u32, on_turn: Function<'_>, on_failure: Function<'_>) -> Result<()> {
    loop_bridge::expect_none().map_err(fault)?;
    let running = running(host)?;
    if worker >= running.workers() {
        return Err(fault(format!("there is no worker {worker}")));
    }
    let io = SysIo::new(Arc::clone(&running.sys), worker)
        .map_err(|trouble| fault(format!("no descriptor for worker {worker}: {trouble:?}")))?;
    let driver = EdgeDriver {
        worker: Some(Worker::new(io, Arc::clone(&running.host), worker, running.row(worker)?)),
        on_turn: callback(&env, &on_turn)?,
        on_failure: callback(&env, &on_failure)?,
    };
    let fd = running.sys.epoll(worker).as_raw_fd();
    loop_bridge::start(env.raw(), fd, Box::new(driver)).map_err(fault)?;
    // Sockets may have come while no worker was here to hear the bell.
    running.sys.ring(worker);
    Ok(())
}

/// Detaches this thread's acceptor or engine and closes its connections. Safe to call twice.
#[napi(catch_unwind)]
pub fn stop_thread() {
    loop_bridge::stop();
}

/// From any thread: no new connections, what is in flight is answered with `Connection: close`, idle ones close.
#[napi(catch_unwind)]
pub fn drain(host: u32) -> Result<()> {
    let running = running(host)?;
    running.host.draining.store(true, Relaxed);
    running.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
    running.sys.ring_acceptor();
    running.ring_all();
    Ok(())
}

/// From the thread that opened it, after all threads of the proxy ended.
#[napi(catch_unwind)]
pub fn close_host(env: Env, host: u32) -> Result<()> {
    let running = running(host)?;
    if !running.block.is_of(env.raw()) {
        return Err(fault(format!("proxy number {host} was opened by another thread")));
    }
    hosts()[host as usize] = None;
    running.block.release();
    Ok(())
}

/// Settles the books of a dead worker before its replacement starts. The acceptor (row = workers) has none to settle.
#[napi(catch_unwind)]
pub fn settle_worker(host: u32, worker: u32) -> Result<()> {
    let running = running(host)?;
    if worker == running.workers() {
        return Ok(());
    }
    if worker > running.workers() {
        return Err(fault(format!("there is no worker {worker}")));
    }
    settle::<SysIo>(&running.host, worker, running.row(worker)?);
    Ok(())
}

/// Fault injection for tests: the worker's next turn panics; the acceptor's, where `worker` is the number of workers.
#[napi(catch_unwind)]
pub fn provoke_panic(host: u32, worker: u32) -> Result<()> {
    let running = running(host)?;
    if worker == running.workers() {
        running.acceptor_panic_asked.store(true, Relaxed);
        running.sys.ring_acceptor();
        return Ok(());
    }
    let shared = running.host.workers.get(worker as usize).ok_or_else(|| fault("there is no such worker"))?;
    shared.panic_asked.store(true, Relaxed);
    running.sys.ring(worker);
    Ok(())
}

/// Replaces the plan: workers take it at their next turn. Listeners, workers and shards stay as they are; a target that
/// is gone takes no more requests and its idle connections close.
#[napi(catch_unwind)]
pub fn install_plan(host: u32, plan: Uint8Array) -> Result<()> {
    let running = running(host)?;
    let plan = decode(&plan)?;
    if plan.workers != running.workers() {
        return Err(fault("the number of workers cannot change while the proxy runs"));
    }
    running.host.install(plan, monotonic_ms());
    running.ring_all();
    Ok(())
}

/// Every target ever known, with its state and books, as JSON.
#[napi(catch_unwind)]
pub fn read_targets(host: u32) -> Result<String> {
    Ok(targets_json(&running(host)?.host))
}

/// Sets a target's state for all workers at once.
#[napi(catch_unwind)]
pub fn set_target_state(host: u32, target: u32, state: String) -> Result<()> {
    let running = running(host)?;
    let state = TargetState::of_token(&state).filter(|s| *s != TargetState::Removed);
    let state = state.ok_or_else(|| fault("a target's state is up, down, suspect or draining"))?;
    if !running.host.set_target_state(target, state, monotonic_ms()) {
        return Err(fault(format!("there is no target {target}")));
    }
    running.ring_all();
    Ok(())
}

/// What the proxy would do with a request of this client, given as the bytes of its head; nothing is sent.
#[napi(catch_unwind)]
pub fn explain(host: u32, request: Uint8Array, client: String) -> Result<String> {
    let client = client.parse().map_err(|_| fault(format!("{client} is not an IP address")))?;
    explain_request(&running(host)?.host, &request, client, monotonic_ms()).map_err(fault)
}

/// Asks every worker for its connections; each answers with one note that carries the ticket.
#[napi(catch_unwind)]
pub fn dump_connections(host: u32, ticket: u32) -> Result<()> {
    let running = running(host)?;
    for inbox in &running.host.inboxes {
        // A worker whose inbox is full says nothing; whoever asked has a deadline.
        let _ = inbox.push(Message::Dump { ticket });
    }
    running.ring_all();
    Ok(())
}

//! What `src/native.ts` sees of the native core. Names and types here are the other half of that file; there is no
//! logic on either side.

mod loop_bridge;
mod mailbox;
pub mod threads;

use engine::explain::explain as explain_request;
use engine::host::{Host, Message};
use engine::listening::listen as open_listener;
use engine::readings::targets_json;
use engine::stats::{ROW_WORDS, Row, layout_json};
use engine::sys::{SysIo, SysShared, monotonic_ms};
use engine::target::TargetState;
use engine::worker::settle;
use mailbox::StatsBlock;
use napi::bindgen_prelude::{Uint8Array, Unknown};
use napi::{Env, JsValue, Result};
use napi_derive::napi;
use proto::plan::Plan;
use std::ffi::c_void;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::catch_unwind;
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

    /// Copies of the listening sockets, for the thread that takes connections from them.
    fn listeners(&self) -> Result<Vec<OwnedFd>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = listeners.iter().map(OwnedFd::try_clone).collect::<std::io::Result<Vec<OwnedFd>>>();
        copies.map_err(|error| fault(format!("no descriptor for a listening socket: {error}")))
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
    Host::<OwnedFd>::new(decode(&plan)?).map(|_| ()).map_err(fault)
}

/// Shakes hands with itself over the loopback in every way this build can; JSON, a row a case with `fault` null where it
/// went well. Takes some tens of milliseconds.
#[napi(catch_unwind)]
#[must_use]
pub fn tls_self_test() -> String {
    let cases = engine::tls_self_test::run(&["http/1.1", "h2"]);
    engine::tls_self_test::to_json(&cases)
}

/// Creates what all threads of one proxy share; returns its number.
#[napi(catch_unwind)]
pub fn open_host(env: Env, plan: Uint8Array, stats: Unknown<'_>) -> Result<u32> {
    let plan = decode(&plan)?;
    let sys = SysShared::new(plan.workers)
        .map_err(|trouble| fault(format!("no descriptors for {} workers: {trouble:?}", plan.workers)))?;
    let workers = plan.workers;
    let host = Host::new(plan).map_err(fault)?;
    let mut block = StatsBlock::of_typed_array(env.raw(), stats.raw())
        .ok_or_else(|| fault("the stats block must be a BigUint64Array over a SharedArrayBuffer"))?;
    if block.words.len() < (workers as usize + 1) * ROW_WORDS {
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
        host: Arc::new(host),
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
    // Others may have had streams on its connections.
    running.ring_all();
    Ok(())
}

/// Fault injection for tests: the worker's next turn panics; the acceptor's, where `worker` is the number of workers.
#[napi(catch_unwind)]
pub fn provoke_panic(host: u32, worker: u32) -> Result<()> {
    let running = running(host)?;
    if worker == running.workers() && worker > 1 {
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
    running.host.install(plan, monotonic_ms()).map_err(fault)?;
    running.ring_all();
    Ok(())
}

/// Every target ever known, with its state and books, as JSON.
#[napi(catch_unwind)]
pub fn read_targets(host: u32) -> Result<String> {
    Ok(targets_json(&running(host)?.host, monotonic_ms()))
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

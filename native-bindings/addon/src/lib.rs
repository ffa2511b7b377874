//! What `src/native.ts` sees of the native core. Names and types here are the other half of that file; there is no
//! logic on either side.

mod inherited;
pub mod locks;
mod loop_bridge;
mod mailbox;
pub mod store_border;
pub mod threads;

use engine::explain::explain as explain_request;
use engine::host::{Host, Message};
use engine::listening::{Socket, adopt, listen as open_listener, place_of, set_backlog};
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
    /// A test asked for a panic in the acceptor's next turn.
    acceptor_panic_asked: AtomicBool,
    /// Batches of answers of the store, by worker.
    answers: Box<[Mutex<Vec<Vec<u8>>>]>,
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
        acceptor_panic_asked: AtomicBool::new(false),
        answers: (0..workers).map(|_| Mutex::default()).collect(),
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

/// Opens all listening sockets of a proxy. `inherited` has one descriptor a listener that is taken over instead, or -1.
#[napi(catch_unwind)]
pub fn listen(host: u32, inherited: Vec<i32>) -> Result<Vec<Listening>> {
    let running = running(host)?;
    let plan = running.host.plan();
    let present = plan.listeners.iter().zip(inherited).map(|(listener, fd)| {
        if fd < 0 {
            return Ok(None);
        }
        let socket = inherited::take(fd)?;
        let unusable = |error| fault(format!("listener \"{}\" cannot use descriptor {fd}: {error}", listener.name));
        adopt(&socket, listener.backlog).map_err(unusable)?;
        Ok(Some(socket))
    });
    let (opened, places) = open_sockets(&plan, present.collect::<Result<_>>()?)?;
    running.sys.listening.put(opened);
    Ok(places)
}

/// The sockets of a plan's listeners: those that are open already as they are, the others opened now; and where they
/// listen. On failure nothing is changed.
fn open_sockets(plan: &Plan, mut present: Vec<Socket>) -> Result<(Vec<Socket>, Vec<Listening>)> {
    let mut places = Vec::new();
    present.resize_with(plan.listeners.len(), || None);
    for (listener, socket) in plan.listeners.iter().zip(&mut present) {
        if listener.gone {
            *socket = None;
            continue;
        }
        let at = SocketAddr::new(listener.address, listener.port);
        let refused = |error: std::io::Error| {
            let code = errno_name(&error);
            fault(format!("{code}: listener \"{}\" cannot listen on {at}: {error}", listener.name))
        };
        let place = match socket {
            Some(open) => place_of(open).map_err(refused)?,
            None => {
                let (opened, place) = open_listener(at, listener.backlog).map_err(refused)?;
                *socket = Some(opened);
                place
            }
        };
        let (address, port) = (place.ip().to_string(), u32::from(place.port()));
        places.push(Listening { name: listener.name.clone(), address, port });
    }
    Ok((present, places))
}

/// A place in the network.
#[napi(object)]
pub struct Place {
    pub address: String,
    pub port: u32,
}

/// Where a descriptor that this process was started with listens; throws when it is no listening socket of TCP.
#[napi(catch_unwind)]
pub fn inherited_place(fd: i32) -> Result<Place> {
    let place = inherited::place(fd)?;
    Ok(Place { address: place.ip().to_string(), port: u32::from(place.port()) })
}

/// A listening socket, and what the settings say where it listens.
#[napi(object)]
pub struct OpenSocket {
    pub fd: i32,
    pub name: String,
    pub address: String,
    pub port: u32,
}

/// The listening sockets as descriptors, for a process that takes them over. They are open until another plan does
/// without them, or `drain`.
#[napi(catch_unwind)]
pub fn listening_sockets(host: u32) -> Result<Vec<OpenSocket>> {
    let running = running(host)?;
    let fds = running.sys.listening.descriptors();
    let plan = running.host.plan();
    let open = plan.listeners.iter().zip(fds).filter_map(|(listener, fd)| Some((listener, fd?)));
    let named = open.map(|(listener, fd)| OpenSocket {
        fd,
        name: listener.name.clone(),
        address: listener.address.to_string(),
        port: u32::from(listener.port),
    });
    Ok(named.collect())
}

/// Sends a datagram to a socket of the file system, or with an address that begins with "@" to an abstract one.
#[napi(catch_unwind)]
pub fn notify(address: String, text: String) -> Result<()> {
    engine::notify::send(&address, text.as_bytes()).map_err(|error| fault(format!("{address}: {error}")))
}

fn errno_name(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "EADDRINUSE",
        std::io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        std::io::ErrorKind::PermissionDenied => "EACCES",
        _ => "ELISTEN",
    }
}

/// From any thread: no new connections, what is in flight is answered with `Connection: close`, idle ones close; with
/// `idleStays` only after one more answer, or when this is called again without.
#[napi(catch_unwind)]
pub fn drain(host: u32, idle_stays: bool) -> Result<()> {
    let running = running(host)?;
    running.host.drain(idle_stays);
    running.sys.listening.put(Vec::new());
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

/// Replaces the plan: all that can fail comes first and changes nothing, then all workers take it at their next turn. A
/// target that is gone takes no more requests and its idle connections close. Returns where it is listened then.
#[napi(catch_unwind)]
pub fn install_plan(host: u32, plan: Uint8Array) -> Result<Vec<Listening>> {
    let running = running(host)?;
    if running.host.is_draining() {
        return Err(fault("the proxy is stopping"));
    }
    let prepared = running.host.prepare(decode(&plan)?).map_err(fault)?;
    let no_descriptor = |trouble| fault(format!("no descriptor for a listening socket: {trouble:?}"));
    let (present, _) = running.sys.listening.copies().map_err(no_descriptor)?;
    let open: Vec<bool> = present.iter().map(Option::is_some).collect();
    let (sockets, places) = open_sockets(prepared.plan(), present)?;
    let before = running.host.plan();
    for ((socket, now), was) in sockets.iter().zip(&prepared.plan().listeners).zip(&before.listeners) {
        if let Some(socket) = socket.as_ref().filter(|_| now.backlog != was.backlog) {
            // A socket that listens takes another backlog; there is nothing that could refuse it.
            let _ = set_backlog(socket, now.backlog);
        }
    }
    running.host.commit(prepared, monotonic_ms());
    if sockets.iter().map(Option::is_some).ne(open) {
        // After the plan that names them: whoever comes through a new one is never taken by an older plan.
        running.sys.listening.put(sockets);
    }
    running.ring_all();
    running.sys.ring_acceptor();
    Ok(places)
}

/// How far a plan has come.
#[napi(object)]
pub struct PlanTaken {
    /// By worker: the number of the plan it runs, counted from 0.
    pub workers: Vec<u32>,
    /// The listening sockets are as the present plan has them.
    pub listeners: bool,
}

/// Which plan each worker runs.
#[napi(catch_unwind)]
pub fn plan_taken(host: u32) -> Result<PlanTaken> {
    let running = running(host)?;
    let workers = running.host.workers.iter().map(|worker| worker.generation.load(Relaxed)).collect();
    Ok(PlanTaken { workers, listeners: running.sys.listening.are_taken() })
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

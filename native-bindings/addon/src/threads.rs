//! What an acceptor or edge thread runs in its event loop: an engine, and what is told to JavaScript after its turns.

use crate::loop_bridge::{self, Driver};
use crate::mailbox::{Callback, Part};
use crate::store_border::for_each_answer;
use crate::{Running, fault, running};
use engine::acceptor::Acceptor;
use engine::stats::Row;
use engine::sys::SysIo;
use engine::worker::Worker;
use napi::bindgen_prelude::Function;
use napi::{Env, JsValue, Result};
use napi_derive::napi;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

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

/// In the acceptor thread, which a proxy of one worker does not have: accepts on this thread's event loop until
/// `stopThread`.
#[napi(catch_unwind)]
pub fn start_acceptor(env: Env, host: u32, on_failure: Function<'_>) -> Result<()> {
    loop_bridge::expect_none().map_err(fault)?;
    let running = running(host)?;
    let workers = running.workers();
    let rows = (0..workers).map(|worker| running.row(worker)).collect::<Result<Vec<Row>>>()?;
    if workers == 1 {
        return Err(fault("a proxy of one worker has no acceptor"));
    }
    let (host, sys) = (Arc::clone(&running.host), Arc::clone(&running.sys));
    let acceptor = Acceptor::new(host, sys, rows, running.row(workers)?)
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
    running: Arc<Running>,
    number: u32,
    /// Questions to the store of one turn.
    questions: Vec<u8>,
    on_turn: Callback,
    on_failure: Callback,
}

impl Driver for EdgeDriver {
    fn turn(&mut self) {
        if let Some(worker) = &mut self.worker {
            for_each_answer(&self.running, self.number, |ticket, found| worker.give_store_answer(ticket, found));
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
        worker.take_store_questions(&mut self.questions);
        let log = worker.log();
        if log.lines().is_empty() && log.notes().is_empty() && self.questions.is_empty() {
            return;
        }
        let (mut lines, mut notes) = (std::mem::take(log.lines()), std::mem::take(log.notes()));
        // An environment that ends takes nothing any more: these lines go with it.
        self.on_turn.call(&[Part::Bytes(&lines), Part::Bytes(&notes), Part::Bytes(&self.questions)]);
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
    let no_descriptor = |trouble| fault(format!("no descriptor for worker {worker}: {trouble:?}"));
    let mut io = SysIo::new(Arc::clone(&running.sys), worker).map_err(no_descriptor)?;
    if running.workers() == 1 {
        io.listen().map_err(no_descriptor)?;
    }
    let driver = EdgeDriver {
        worker: Some(Worker::new(io, Arc::clone(&running.host), worker, running.row(worker)?)),
        running: Arc::clone(&running),
        number: worker,
        questions: Vec::new(),
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

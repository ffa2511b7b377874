//! Runs an engine in the event loop of the thread it was started on. Its epoll descriptor is watched by one `uv_poll`;
//! when it is ready, one turn is taken.
//!
//! ```text
//! state    left by
//! RUNNING  stop() from JavaScript, the end of the environment (async clean-up hook), a panic in a turn
//! CLOSING  libuv's close callback, which frees everything and lets the environment go on with its own end
//! ```
//! An open handle at the end of a worker aborts the whole process, so the hook is registered before the handle starts
//! and removed only after it was closed.

use napi::sys;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// What runs in a loop. Its turn must not wait.
pub trait Driver {
    fn turn(&mut self);
    /// After a turn, and after the panic that was its last: says what there is to say to JavaScript.
    fn report(&mut self, panic: Option<&str>);
    /// Closes everything. `alive`: JavaScript can still be reached, so references are to be let go.
    fn close(&mut self, alive: bool);
}

const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;

/// Linux: a thread that computes in batches, and so never takes the processor from another by waking up.
const SCHED_BATCH: c_int = 3;

#[repr(C)]
struct SchedParam {
    priority: c_int,
}

unsafe extern "C" {
    fn sched_setscheduler(pid: c_int, policy: c_int, param: *const SchedParam) -> c_int;
}

/// Lets this thread wait for its turn on a busy processor instead of interrupting whoever runs there. For the acceptor:
/// where it shares a processor with a worker, it then takes connections by the handful and not one by one.
pub fn never_preempt() {
    let ordinary = SchedParam { priority: 0 };
    // SAFETY: the parameter is read during the call only; 0 names the calling thread. A refusal changes nothing.
    unsafe { sched_setscheduler(0, SCHED_BATCH, &ordinary) };
}

// The node binary exports libuv; nothing is linked.
unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_poll_init(uv_loop: *mut c_void, handle: *mut c_void, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut c_void, events: c_int, callback: PollCallback) -> c_int;
    fn uv_poll_stop(handle: *mut c_void) -> c_int;
    fn uv_close(handle: *mut c_void, callback: CloseCallback);
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
}

type PollCallback = extern "C" fn(*mut c_void, c_int, c_int);
type CloseCallback = extern "C" fn(*mut c_void);

struct Bridge {
    driver: Box<dyn Driver>,
    handle: *mut c_void,
    /// The memory of the handle, as words so that it is aligned.
    _memory: Box<[u64]>,
    hook: sys::napi_async_cleanup_hook_handle,
    closing: bool,
    /// A turn is running: JavaScript called from it may ask to stop, which then waits for its end.
    in_turn: bool,
    stop_asked: bool,
}

thread_local! {
    /// The one bridge of this thread. No destructor: the close callback frees it.
    static RUNNING: Cell<*mut Bridge> = const { Cell::new(ptr::null_mut()) };
}

/// One thread runs one driver; asked before a driver is made, because making one already changes what others see.
pub fn expect_none() -> Result<(), &'static str> {
    if RUNNING.get().is_null() { Ok(()) } else { Err("this thread already runs an engine") }
}

/// Starts a driver on this thread's loop, or closes it.
pub fn start(env: sys::napi_env, fd: c_int, mut driver: Box<dyn Driver>) -> Result<(), &'static str> {
    if let Err(says) = expect_none() {
        driver.close(true);
        return Err(says);
    }
    let mut uv_loop = ptr::null_mut();
    // SAFETY: env is live in this call. The handle's memory is as large as libuv says, aligned, and owned by the bridge,
    // which lives until the close callback. The hook's argument is the bridge, and the hook is removed before it dies.
    unsafe {
        if sys::napi_get_uv_event_loop(env, &mut uv_loop) != sys::Status::napi_ok {
            driver.close(true);
            return Err("this runtime has no event loop that a native core can use");
        }
        let mut memory = vec![0u64; uv_handle_size(UV_POLL).div_ceil(8)].into_boxed_slice();
        let handle = memory.as_mut_ptr().cast::<c_void>();
        let bridge = Box::into_raw(Box::new(Bridge {
            driver,
            handle,
            _memory: memory,
            hook: ptr::null_mut(),
            closing: false,
            in_turn: false,
            stop_asked: false,
        }));
        if uv_poll_init(uv_loop.cast(), handle, fd) != 0 {
            Box::from_raw(bridge).driver.close(true);
            return Err("the event loop cannot watch the engine");
        }
        uv_handle_set_data(handle, bridge.cast());
        RUNNING.set(bridge);
        let mut hook = ptr::null_mut();
        if sys::napi_add_async_cleanup_hook(env, Some(environment_ends), bridge.cast(), &mut hook)
            != sys::Status::napi_ok
        {
            close(bridge, true);
            return Err("the environment takes no clean-up hook");
        }
        (*bridge).hook = hook;
        if uv_poll_start(handle, UV_READABLE, ready) != 0 {
            close(bridge, true);
            return Err("the event loop cannot poll the engine");
        }
    }
    Ok(())
}

/// Stops this thread's driver, if one runs. Safe to call twice, and from a call that a turn made.
pub fn stop() {
    let bridge = RUNNING.get();
    if bridge.is_null() {
        return;
    }
    // SAFETY: a bridge in RUNNING is alive: the close callback clears the cell before it frees.
    unsafe {
        if (*bridge).in_turn {
            (*bridge).stop_asked = true;
        } else {
            close(bridge, true);
        }
    }
}

extern "C" fn ready(handle: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: the handle's data is its bridge from before polling starts until the close callback. No reference to the
    // bridge is held across the driver's calls into JavaScript; only raw fields are touched.
    unsafe {
        let bridge = uv_handle_get_data(handle).cast::<Bridge>();
        if bridge.is_null() || (*bridge).closing {
            return;
        }
        (*bridge).in_turn = true;
        let driver: *mut dyn Driver = &mut *(*bridge).driver;
        let turn = catch_unwind(AssertUnwindSafe(|| (*driver).turn()));
        let failure = turn.err().map(|payload| panic_text(&*payload));
        if failure.is_some() {
            uv_poll_stop(handle);
        }
        // The report of a panicked driver must not take the process with it either.
        let _ = catch_unwind(AssertUnwindSafe(|| (*driver).report(failure.as_deref())));
        (*bridge).in_turn = false;
        if failure.is_some() || (*bridge).stop_asked {
            close(bridge, true);
        }
    }
}

unsafe extern "C" fn environment_ends(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the hook is removed in the close callback, before the bridge is freed.
    unsafe { close(data.cast::<Bridge>(), false) };
}

/// Closes the driver and then the handle.
///
/// # Safety
/// `bridge` must be alive, and this its thread.
unsafe fn close(bridge: *mut Bridge, alive: bool) {
    // SAFETY: the caller's promise; `closing` makes the second call a no-op.
    unsafe {
        if (*bridge).closing {
            return;
        }
        (*bridge).closing = true;
        let driver: *mut dyn Driver = &mut *(*bridge).driver;
        let _ = catch_unwind(AssertUnwindSafe(|| (*driver).close(alive)));
        uv_poll_stop((*bridge).handle);
        uv_close((*bridge).handle, closed);
    }
}

extern "C" fn closed(handle: *mut c_void) {
    // SAFETY: libuv calls this once, when it has let go of the handle; nothing else frees the bridge.
    unsafe {
        let bridge = uv_handle_get_data(handle).cast::<Bridge>();
        RUNNING.set(ptr::null_mut());
        let hook = (*bridge).hook;
        drop(Box::from_raw(bridge));
        if !hook.is_null() {
            sys::napi_remove_async_cleanup_hook(hook);
        }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

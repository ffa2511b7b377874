//! Memory and calls that cross the border: the stats block that JavaScript allocated, and the functions that are called
//! at most once a turn with everything the turn had to say.

use napi::sys;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// The stats block: words in a SharedArrayBuffer, kept alive by a strong reference.
pub struct StatsBlock {
    pub words: &'static [AtomicU64],
}

impl StatsBlock {
    /// Takes a `BigUint64Array` over a SharedArrayBuffer. (The buffer itself is refused by Node 20; a typed array over
    /// it gives its address on every line.) The array is never released: workers hold its address for as long as they
    /// live, and a block is a few dozen kilobytes.
    pub fn of_typed_array(env: sys::napi_env, array: sys::napi_value) -> Option<Self> {
        let (mut kind, mut length, mut data) = (0, 0usize, ptr::null_mut::<c_void>());
        let mut reference = ptr::null_mut();
        // SAFETY: env and array are live in this call; all out-pointers point at locals.
        let found = unsafe {
            sys::napi_get_typedarray_info(
                env,
                array,
                &mut kind,
                &mut length,
                &mut data,
                ptr::null_mut(),
                ptr::null_mut(),
            ) == sys::Status::napi_ok
                && sys::napi_create_reference(env, array, 1, &mut reference) == sys::Status::napi_ok
        };
        let aligned = (data as usize) % align_of::<AtomicU64>() == 0;
        if !found || kind != sys::TypedarrayType::biguint64_array || data.is_null() || !aligned {
            return None;
        }
        // SAFETY: the array has `length` aligned 64-bit words, shared memory that neither moves nor shrinks, and the
        // reference just made keeps it for the life of the process. All access on this side is atomic.
        let words = unsafe { std::slice::from_raw_parts(data.cast::<AtomicU64>(), length) };
        Some(Self { words })
    }
}

/// A JavaScript function that this thread calls from its event loop.
pub struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
    context: sys::napi_async_context,
    resource: sys::napi_ref,
}

/// What a call came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Called {
    Yes,
    /// The environment ends: no further call will succeed.
    EnvironmentEnds,
}

impl Callback {
    pub fn new(env: sys::napi_env, function: sys::napi_value) -> Option<Self> {
        let (mut made, mut resource_made) = (ptr::null_mut(), ptr::null_mut());
        let (mut context, mut name, mut resource) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let label = "millrace";
        // SAFETY: env and function are live in this call; all out-pointers point at locals; the label has its length.
        let ok = unsafe {
            sys::napi_create_reference(env, function, 1, &mut made) == sys::Status::napi_ok
                && sys::napi_create_string_utf8(env, label.as_ptr().cast(), label.len() as isize, &mut name)
                    == sys::Status::napi_ok
                && sys::napi_create_object(env, &mut resource) == sys::Status::napi_ok
                && sys::napi_create_reference(env, resource, 1, &mut resource_made) == sys::Status::napi_ok
                && sys::napi_async_init(env, resource, name, &mut context) == sys::Status::napi_ok
        };
        ok.then_some(Self { env, function: made, context, resource: resource_made })
    }

    /// Calls the function with buffers (`null` for an empty one), inside a callback scope so that promises and ticks
    /// run before this returns. An exception goes where uncaught ones go.
    pub fn call(&self, parts: &[&[u8]]) -> Called {
        let env = self.env;
        let (mut handles, mut scope) = (ptr::null_mut(), ptr::null_mut());
        let (mut function, mut resource, mut receiver) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: called on the thread of env, outside any JavaScript, while the references of this object live. Every
        // scope that is opened is closed below; no handle made here is used after its scope.
        unsafe {
            if sys::napi_open_handle_scope(env, &mut handles) != sys::Status::napi_ok {
                return Called::EnvironmentEnds;
            }
            let ready = sys::napi_get_reference_value(env, self.function, &mut function) == sys::Status::napi_ok
                && sys::napi_get_reference_value(env, self.resource, &mut resource) == sys::Status::napi_ok
                && sys::napi_get_undefined(env, &mut receiver) == sys::Status::napi_ok
                && sys::napi_open_callback_scope(env, resource, self.context, &mut scope) == sys::Status::napi_ok;
            let mut outcome = Called::EnvironmentEnds;
            if ready {
                let arguments: Vec<sys::napi_value> = parts.iter().map(|part| buffer(env, part)).collect();
                let status = sys::napi_call_function(
                    env,
                    receiver,
                    function,
                    arguments.len(),
                    arguments.as_ptr(),
                    ptr::null_mut(),
                );
                outcome = settle_exception(env, status);
                sys::napi_close_callback_scope(env, scope);
                // Ticks and promises ran in the closing; what they threw is pending now.
                settle_exception(env, sys::Status::napi_pending_exception);
            }
            sys::napi_close_handle_scope(env, handles);
            outcome
        }
    }

    /// Lets go of the function; not needed when the whole environment goes.
    pub fn release(&self) {
        // SAFETY: on the thread of env, once, while env lives.
        unsafe {
            sys::napi_async_destroy(self.env, self.context);
            sys::napi_delete_reference(self.env, self.function);
            sys::napi_delete_reference(self.env, self.resource);
        }
    }
}

/// A copy of the bytes as a Buffer, or `null`.
///
/// # Safety
/// `env` must be live and a handle scope open.
unsafe fn buffer(env: sys::napi_env, bytes: &[u8]) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: the caller's promise; a failed creation leaves `value` to be replaced by null.
    unsafe {
        let made = !bytes.is_empty()
            && sys::napi_create_buffer_copy(env, bytes.len(), bytes.as_ptr().cast(), ptr::null_mut(), &mut value)
                == sys::Status::napi_ok;
        if !made {
            sys::napi_get_null(env, &mut value);
        }
    }
    value
}

/// Hands a pending exception to the process's handlers, so that later calls are not refused for its sake.
///
/// # Safety
/// `env` must be live and a handle scope open.
unsafe fn settle_exception(env: sys::napi_env, status: sys::napi_status) -> Called {
    if status == sys::Status::napi_ok {
        return Called::Yes;
    }
    let (mut pending, mut exception) = (false, ptr::null_mut());
    // SAFETY: the caller's promise.
    let handed_over = unsafe {
        sys::napi_is_exception_pending(env, &mut pending) == sys::Status::napi_ok
            && pending
            && sys::napi_get_and_clear_last_exception(env, &mut exception) == sys::Status::napi_ok
            && sys::napi_fatal_exception(env, exception) == sys::Status::napi_ok
    };
    if handed_over { Called::Yes } else { Called::EnvironmentEnds }
}

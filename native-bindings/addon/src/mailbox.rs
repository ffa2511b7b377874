//! Memory and calls that cross the border: the stats block that JavaScript allocated, and the functions that are called
//! at most once a turn with everything the turn had to say.

use napi::sys;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// The stats block: words in a SharedArrayBuffer that JavaScript allocated, kept by a strong reference for as long as
/// its proxy is there.
pub struct StatsBlock {
    /// Never read after the block was released, nor after the end of the environment it came from: both come after the
    /// end of every thread that holds a row.
    pub words: &'static [AtomicU64],
    env: sys::napi_env,
    reference: sys::napi_ref,
    /// What `at_end` was told, and under which number.
    hook: Option<(AtEnd, usize)>,
}

/// Called with the number it was registered under, on the thread of an environment that ends.
pub type AtEnd = unsafe extern "C" fn(*mut c_void);

// SAFETY: the words are shared memory behind atomics; `env` and `reference` are used only after `is_of` said that this
// is their thread.
unsafe impl Send for StatsBlock {}
// SAFETY: as above; no method changes anything through a shared reference but the words.
unsafe impl Sync for StatsBlock {}

impl StatsBlock {
    /// Takes a `BigUint64Array` over a SharedArrayBuffer. (The buffer itself is refused by Node 20; a typed array over
    /// it gives its address on every line.)
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
        };
        let aligned = (data as usize) % align_of::<AtomicU64>() == 0;
        if !found || kind != sys::TypedarrayType::biguint64_array || data.is_null() || !aligned {
            return None;
        }
        // SAFETY: as above.
        if unsafe { sys::napi_create_reference(env, array, 1, &mut reference) } != sys::Status::napi_ok {
            return None;
        }
        // SAFETY: the array has `length` aligned 64-bit words, shared memory that neither moves nor shrinks, and the
        // reference just made keeps it until `release`. All access on this side is atomic.
        let words = unsafe { std::slice::from_raw_parts(data.cast::<AtomicU64>(), length) };
        Some(Self { words, env, reference, hook: None })
    }

    /// Has `call` called with this number when the environment ends before the block is released.
    #[must_use]
    pub fn at_end(&mut self, call: AtEnd, number: usize) -> bool {
        // SAFETY: the block was just made by a call on the thread of env.
        let added = unsafe { sys::napi_add_env_cleanup_hook(self.env, Some(call), number as *mut c_void) };
        self.hook = Some((call, number)).filter(|_| added == sys::Status::napi_ok);
        self.hook.is_some()
    }

    /// Whether the block came from this environment.
    #[must_use]
    pub fn is_of(&self, env: sys::napi_env) -> bool {
        self.env == env
    }

    /// Gives the memory back to JavaScript. Only where `is_of` holds, once, and when no thread holds a row any more.
    pub fn release(&self) {
        // SAFETY: the caller is on the thread of env, which is live; the hook was added and the reference made once.
        unsafe {
            if let Some((call, number)) = self.hook {
                sys::napi_remove_env_cleanup_hook(self.env, Some(call), number as *mut c_void);
            }
            sys::napi_delete_reference(self.env, self.reference);
        }
    }
}

/// A JavaScript function that this thread calls from its event loop.
pub struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
    context: sys::napi_async_context,
    resource: sys::napi_ref,
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

    /// Calls the function inside a callback scope, so that promises and ticks run before this returns. An exception
    /// goes where uncaught ones go; an environment that ends takes no calls any more.
    pub fn call(&self, parts: &[Part<'_>]) {
        let env = self.env;
        let (mut handles, mut scope) = (ptr::null_mut(), ptr::null_mut());
        let (mut function, mut resource, mut receiver) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: called on the thread of env, outside any JavaScript, while the references of this object live. Every
        // scope that is opened is closed below; no handle made here is used after its scope.
        unsafe {
            if sys::napi_open_handle_scope(env, &mut handles) != sys::Status::napi_ok {
                return;
            }
            let ready = sys::napi_get_reference_value(env, self.function, &mut function) == sys::Status::napi_ok
                && sys::napi_get_reference_value(env, self.resource, &mut resource) == sys::Status::napi_ok
                && sys::napi_get_undefined(env, &mut receiver) == sys::Status::napi_ok
                && sys::napi_open_callback_scope(env, resource, self.context, &mut scope) == sys::Status::napi_ok;
            if ready {
                let arguments: Vec<sys::napi_value> = parts.iter().map(|part| part.to_value(env)).collect();
                let status = sys::napi_call_function(
                    env,
                    receiver,
                    function,
                    arguments.len(),
                    arguments.as_ptr(),
                    ptr::null_mut(),
                );
                settle_exception(env, status);
                sys::napi_close_callback_scope(env, scope);
                // Ticks and promises ran in the closing; what they threw is pending now.
                settle_exception(env, sys::Status::napi_pending_exception);
            }
            sys::napi_close_handle_scope(env, handles);
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

/// One argument of a call.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// Becomes a Buffer with a copy of the bytes, or `null` when there are none.
    Bytes(&'a [u8]),
    /// Becomes a string.
    Text(&'a str),
}

impl Part<'_> {
    /// # Safety
    /// `env` must be live and a handle scope open.
    unsafe fn to_value(self, env: sys::napi_env) -> sys::napi_value {
        let mut value = ptr::null_mut();
        // SAFETY: the caller's promise; a failed creation leaves `value` to be replaced by null.
        unsafe {
            let status = match self {
                Part::Bytes([]) => sys::Status::napi_invalid_arg,
                Part::Bytes(bytes) => {
                    sys::napi_create_buffer_copy(env, bytes.len(), bytes.as_ptr().cast(), ptr::null_mut(), &mut value)
                }
                Part::Text(text) => {
                    sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len() as isize, &mut value)
                }
            };
            if status != sys::Status::napi_ok {
                sys::napi_get_null(env, &mut value);
            }
        }
        value
    }
}

/// Hands a pending exception to the process's handlers, so that later calls are not refused for its sake.
///
/// # Safety
/// `env` must be live and a handle scope open.
unsafe fn settle_exception(env: sys::napi_env, status: sys::napi_status) {
    if status == sys::Status::napi_ok {
        return;
    }
    let (mut pending, mut exception) = (false, ptr::null_mut());
    // SAFETY: the caller's promise. A refusal of any of these means that the environment ends, and its exceptions too.
    unsafe {
        let taken = sys::napi_is_exception_pending(env, &mut pending) == sys::Status::napi_ok
            && pending
            && sys::napi_get_and_clear_last_exception(env, &mut exception) == sys::Status::napi_ok;
        if taken {
            sys::napi_fatal_exception(env, exception);
        }
    }
}

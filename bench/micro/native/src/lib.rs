//! The steps of the data path that `npm run bench` times, each as a function that does it `times` times and returns
//! something that depends on all of them. Inputs are prepared once, and are those that the core's own counts work on.

#[path = "../../../../native-bindings/engine/tests/support/document.rs"]
mod document;
mod http;
mod pool;
#[path = "../../../../native-bindings/engine/examples/support/samples.rs"]
mod samples;

use napi::bindgen_prelude::Function;
use napi_derive::napi;

/// JavaScript to native: an empty call.
#[napi]
pub fn cross() {}

/// Native to JavaScript: calls `hook` with a number.
#[napi]
pub fn cross_back(hook: Function<'_, u32, u32>, times: u32) -> napi::Result<u32> {
    (0..times).try_fold(0_u32, |sum, n| Ok(sum.wrapping_add(hook.call(n)?)))
}

//! Everything of the native core that touches the kernel: the worker and its turn, sockets, timers, the origin pool.
//! No Node here: the addon drives a `Worker` and never looks inside.
#![forbid(unsafe_code)]

pub mod idle_list;
pub mod io;
pub mod pool;
pub mod slab;
pub mod stats;
pub mod sys;
pub mod target;
pub mod wheel;

//! Everything of the native core that touches the kernel: the worker and its turn, sockets, timers, the origin pool.
//! No Node here: the addon drives a `Worker` and never looks inside.
#![forbid(unsafe_code)]

pub mod acceptor;
mod again;
mod alone;
pub mod answer;
mod answer_heads;
mod begin;
pub mod blocks;
pub mod budget;
pub mod census;
mod checks;
mod choose;
pub mod client;
pub mod compiled;
pub mod dice;
mod download;
mod dump;
pub mod exchange;
pub mod explain;
mod finish;
pub mod forward;
mod heads;
pub mod host;
pub mod idle_list;
pub mod io;
mod json;
pub mod keeper;
pub mod learned;
mod leaving;
mod line;
pub mod listening;
pub mod log;
pub mod origin;
pub mod outbox;
pub mod pool;
pub mod readings;
mod send;
pub mod slab;
pub mod spool;
pub mod stats;
pub mod sys;
pub mod target;
mod tunnel;
mod upload;
pub mod wheel;
pub mod worker;

//! Protocol and policy of Millrace without I/O. This crate knows no socket, no clock and no thread: it is told the
//! time, the bytes and the dice, so that everything it decides can be replayed.
#![forbid(unsafe_code)]

pub mod balance;
pub mod cache;
pub mod client_hello;
pub mod exchange;
pub mod failure;
pub mod fault;
pub mod http1;
pub mod http2;
pub mod identity;
pub mod limits;
pub mod plan;
pub mod probe;
pub mod proxy_header;
pub mod retry;
pub mod route;

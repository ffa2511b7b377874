//! HTTP/2 around one connection, driven by hand: no runtime, no task, no socket. Bytes go in and come out through memory
//! (`wire.rs`), and what the protocol's state machine (the crate `h2`) woke is read from a list (`bell.rs`). A stream
//! (`stream.rs`) is to the rest of the engine what a connection is: something that is read, written and ended. Heads
//! pass as HTTP/1 text (`text.rs`), so that every rule about heads is asked in one place.
//!
//! Connections of clients are `session.rs` here and `multiplexed.rs` beside this room; those to targets are `outgoing.rs`
//! here, and `origin_sessions.rs` and `origin_streams.rs` beside it.

pub mod bell;
pub mod outgoing;
pub mod session;
pub mod stream;
pub mod text;
pub mod wire;

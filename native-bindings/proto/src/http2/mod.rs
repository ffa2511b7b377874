//! What this proxy asks of HTTP/2 beyond the protocol itself. The protocol's state machine is a library's, in the engine.

pub mod meter;

pub use meter::{Limit, Meter};

//! What the engine does about caching; what is to be done is said by `proto::cache`, what is kept lies in `hot/`. A request
//! on a caching route takes this way: `request.rs` finds its key and what is stored for it, and what is here whole and small
//! leaves at once (`serve.rs`). Anything else is read out piece by piece (`reading.rs`), waits for another one's fetch
//! (`waiting.rs`), or goes to the origin, whose answer comes to `answer.rs` and, if it is kept, to `fill.rs` (parts of one content in
//! `parts.rs`). However an
//! exchange ends, `leave.rs` settles what others wait for. What is told of it all is written in `told.rs`.
//!
//! An answer that is kept and does not come at once belongs to nobody: its exchange goes on without its client
//! (`apart.rs`), and the client reads what is kept like everybody else, at its own speed.

pub(crate) mod answer;
pub(crate) mod apart;
pub(crate) mod fill;
pub(crate) mod leave;
pub(crate) mod parts;
pub(crate) mod reading;
pub(crate) mod ready_heads;
pub(crate) mod request;
pub mod searches;
pub(crate) mod serve;
pub(crate) mod side;
pub mod store;
pub(crate) mod told;
pub(crate) mod waiting;

pub use reading::PIECE_BYTES_MAX;

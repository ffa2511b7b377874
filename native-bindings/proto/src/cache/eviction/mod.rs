//! Which stored answer leaves when memory is short. `S3Fifo` decides; it knows slots, weights and how often each slot
//! was used, and nothing of what is in them, of locks, or of how much memory there is: who keeps the answers asks for one
//! to leave until there is room, so that several of these may share one budget.

mod ghost;
mod s3_fifo;

pub use ghost::AsItIs;
pub use s3_fifo::{S3Fifo, Slot};

//! Byte buffers of one worker, used again and again. An idle connection holds none; a buffer that grew large is kept
//! only in small number, so that one burst does not become the worker's size for ever.

use crate::tls::Sealed;
use proto::limits::BLOCK_BYTES;

/// Buffers up to this capacity are kept as small ones.
const SMALL_BYTES_MAX: usize = 4 * BLOCK_BYTES;
const SMALL_KEPT_MAX: usize = 1024;
const LARGE_KEPT_MAX: usize = 16;

/// Free buffers, small and large apart, and the two through which TLS passes.
#[derive(Default)]
pub struct Blocks {
    /// Bytes of a socket that speaks TLS, while they are opened.
    pub wire: Vec<u8>,
    pub sealed: Sealed,
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Blocks {
    /// An empty buffer with room for at least `bytes`.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= BLOCK_BYTES {
            return self.small.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES));
        }
        match self.large.pop() {
            Some(mut block) => {
                block.reserve(bytes);
                block
            }
            None => Vec::with_capacity(bytes),
        }
    }

    pub fn give(&mut self, mut block: Vec<u8>) {
        let (list, kept_max) = match block.capacity() {
            0 => return,
            small if small <= SMALL_BYTES_MAX => (&mut self.small, SMALL_KEPT_MAX),
            _ => (&mut self.large, LARGE_KEPT_MAX),
        };
        if list.len() < kept_max {
            block.clear();
            list.push(block);
        }
    }

    /// Appends to a buffer that may not have been taken yet.
    pub fn append(&mut self, to: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if to.capacity() == 0 {
            *to = self.take(bytes.len());
        }
        to.extend_from_slice(bytes);
    }

    /// Gives a buffer back in place.
    pub fn release(&mut self, block: &mut Vec<u8>) {
        self.give(std::mem::take(block));
    }
}

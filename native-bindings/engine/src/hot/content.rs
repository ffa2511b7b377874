//! Content that is whole: chunks that never change, so that a hit copies nothing and takes no lock.

use std::slice::from_ref;
use std::sync::Arc;

/// Content up to this size becomes one chunk, larger one chunks of at least `CHUNK_BYTES_MIN`.
pub const ONE_CHUNK_BYTES_MAX: usize = 1024 * 1024;
pub const CHUNK_BYTES_MIN: usize = 256 * 1024;

enum Chunks {
    One(Arc<[u8]>),
    /// Each with where it starts; none is empty.
    Many {
        chunks: Box<[Arc<[u8]>]>,
        starts: Box<[u64]>,
    },
}

/// See the file.
pub struct Content {
    chunks: Chunks,
    trailers: Arc<[u8]>,
}

impl Content {
    /// Of chunks as they are; empty ones are left out.
    #[must_use]
    pub(super) fn of(mut chunks: Vec<Arc<[u8]>>, trailers: Arc<[u8]>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        if chunks.len() <= 1 {
            return Self { chunks: Chunks::One(chunks.pop().unwrap_or_default()), trailers };
        }
        let next = |at: &mut u64, chunk: &Arc<[u8]>| Some(std::mem::replace(at, *at + chunk.len() as u64));
        let starts = chunks.iter().scan(0, next).collect();
        Self { chunks: Chunks::Many { chunks: chunks.into_boxed_slice(), starts }, trailers }
    }

    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.chunks {
            Chunks::One(chunk) => chunk.len() as u64,
            Chunks::Many { chunks, starts } => {
                starts.last().copied().unwrap_or(0) + chunks.last().map_or(0, |chunk| chunk.len() as u64)
            }
        }
    }

    /// Trailer fields as lines; empty = none.
    #[must_use]
    pub fn trailers(&self) -> &Arc<[u8]> {
        &self.trailers
    }

    /// The rest of the chunk that holds byte `at`; empty behind the end.
    #[must_use]
    pub fn at(&self, at: u64) -> &[u8] {
        let (chunk, from) = self.chunk_at(at);
        &chunk[from..]
    }

    /// The chunk that holds byte `at`, and where in it that is.
    #[must_use]
    pub fn chunk_at(&self, at: u64) -> (&Arc<[u8]>, usize) {
        let (chunk, start) = match &self.chunks {
            Chunks::One(chunk) => (chunk, 0),
            Chunks::Many { chunks, starts } => {
                let place = starts.partition_point(|start| *start <= at).saturating_sub(1);
                (&chunks[place], starts[place])
            }
        };
        let from = usize::try_from(at - start).unwrap_or(usize::MAX);
        (chunk, from.min(chunk.len()))
    }

    pub fn chunks(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        match &self.chunks {
            Chunks::One(chunk) => from_ref(chunk).iter(),
            Chunks::Many { chunks, .. } => chunks.iter(),
        }
    }

    /// Bytes it takes on the heap, by blocks.
    pub(super) fn weigh(&self, block: impl Fn(usize) -> u64) -> u64 {
        let shared = |bytes: &Arc<[u8]>| if bytes.is_empty() { 0 } else { block(bytes.len() + ARC_BYTES) };
        let table = match &self.chunks {
            Chunks::One(_) => 0,
            Chunks::Many { chunks, .. } => block(chunks.len() * 16) + block(chunks.len() * 8),
        };
        table + self.chunks().map(shared).sum::<u64>() + shared(&self.trailers)
    }
}

/// The two counts before the bytes of an `Arc`.
pub(super) const ARC_BYTES: usize = 16;

/// One chunk of several.
#[must_use]
pub(super) fn join(chunks: &[Arc<[u8]>]) -> Arc<[u8]> {
    let mut all = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
    all.into()
}

/// Joins chunks of an answer that has ended: see `ONE_CHUNK_BYTES_MAX`.
#[must_use]
pub(super) fn joined(chunks: Vec<Arc<[u8]>>) -> Vec<Arc<[u8]>> {
    let whole: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    if chunks.len() <= 1 {
        return chunks;
    }
    if whole <= ONE_CHUNK_BYTES_MAX {
        return vec![join(&chunks)];
    }
    let (mut out, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (place, chunk) in chunks.iter().enumerate() {
        bytes += chunk.len();
        if bytes >= CHUNK_BYTES_MIN || place + 1 == chunks.len() {
            out.push(if from == place { Arc::clone(chunk) } else { join(&chunks[from..=place]) });
            (from, bytes) = (place + 1, 0);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: usize, value: u8) -> Arc<[u8]> {
        vec![value; bytes].into()
    }

    #[test]
    fn each_byte_is_found_in_its_chunk() {
        let content = Content::of(vec![chunk(3, 1), chunk(0, 9), chunk(2, 2), chunk(4, 3)], Arc::default());
        assert_eq!(content.length(), 9);
        let seen: Vec<&[u8]> = (0..10).map(|at| content.at(at)).collect();
        assert_eq!(seen[0], [1, 1, 1]);
        assert_eq!(seen[2], [1]);
        assert_eq!(seen[3], [2, 2]);
        assert_eq!(seen[5], [3, 3, 3, 3]);
        assert_eq!(seen[8], [3]);
        assert!(seen[9].is_empty());
        assert_eq!(content.chunks().count(), 3);
    }

    #[test]
    fn no_content_is_content_too() {
        let content = Content::of(Vec::new(), Arc::default());
        assert!(content.length() == 0 && content.at(0).is_empty() && content.weigh(|n| n as u64) == 0);
    }

    #[test]
    fn small_content_becomes_one_chunk_and_large_has_no_small_chunk_but_the_last() {
        let small = joined((0..64).map(|n| chunk(16 * 1024, n)).collect());
        assert_eq!(small.iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [ONE_CHUNK_BYTES_MAX]);
        let large = joined((0..200).map(|n| chunk(16 * 1024, n)).collect());
        let (last, rest) = large.split_last().expect("chunks");
        assert!(rest.iter().all(|chunk| chunk.len() == CHUNK_BYTES_MIN) && last.len() == 128 * 1024);
        assert_eq!(join(&large), join(&(0..200).map(|n| chunk(16 * 1024, n)).collect::<Vec<_>>()));
    }
}

//! Request bodies that outgrow memory go on in a file without a name, so that a retry or an escalation can send them
//! again. What is in memory (`Ongoing::kept`) is the beginning of the body, the file is what follows it.
//!
//! A file is written in pieces to the page cache and read back in pieces as the origin takes them. Whatever stands
//! against it (a limit, the disk) leaves a request that goes on and can no longer be sent again.

use crate::exchange::Ongoing;
use crate::io::{File, Io, Trouble};
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Most that is read back at once.
pub const PIECE_BYTES: u64 = 64 * 1024;

/// The part of one request's body that is in a file.
pub struct Spooled {
    file: Box<dyn File>,
    bytes: u64,
    /// How much of it the present attempt was given.
    given: u64,
    /// What all files of the process hold; ours is taken off when the file goes, however it goes.
    total: Arc<AtomicU64>,
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Relaxed);
    }
}

/// Why bytes were not kept.
enum WhyNotSpooled {
    /// The body is longer than one may be, or the files of the process hold all they may.
    OverLimit,
    Disk(Trouble),
}

impl Ongoing {
    /// The present attempt has not been given all that is in the file; the client's rest comes after it.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.spool.as_ref().is_some_and(|s| s.given < s.bytes)
    }

    /// A new attempt needs all of the file again.
    pub fn replay_from_start(&mut self) {
        if let Some(spooled) = &mut self.spool {
            spooled.given = 0;
        }
    }

    /// Appends body bytes to the file, which is made for the first of them. They are given to the present attempt by
    /// whoever received them.
    fn append_to_file<I: Io>(&mut self, io: &mut I, total: &Arc<AtomicU64>, data: &[u8]) -> Result<(), WhyNotSpooled> {
        debug_assert!(!self.is_replaying(), "the client is not read before its beginning was sent");
        let settings = &self.plan.plan.spool;
        let length = data.len() as u64;
        if self.core.upload_bytes > settings.request_bytes {
            return Err(WhyNotSpooled::OverLimit);
        }
        if total.fetch_add(length, Relaxed) + length > settings.total_bytes {
            total.fetch_sub(length, Relaxed);
            return Err(WhyNotSpooled::OverLimit);
        }
        let written = self.write_to_file(io, total, data);
        if written.is_err() {
            total.fetch_sub(length, Relaxed);
        }
        written.map_err(WhyNotSpooled::Disk)
    }

    fn write_to_file<I: Io>(&mut self, io: &mut I, total: &Arc<AtomicU64>, data: &[u8]) -> Result<(), Trouble> {
        if self.spool.is_none() {
            let file = io.create_file(&self.plan.plan.spool.folder)?;
            self.spool = Some(Box::new(Spooled { file, bytes: 0, given: 0, total: Arc::clone(total) }));
        }
        if let Some(spooled) = &mut self.spool {
            spooled.file.write_at(spooled.bytes, data)?;
            spooled.bytes += data.len() as u64;
            spooled.given = spooled.bytes;
        }
        Ok(())
    }
}

impl<I: Io> Worker<I> {
    /// Keeps body bytes that memory has no room for, where that is of any use.
    pub(crate) fn spool(&mut self, exchange: Key, data: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        // An answer that has begun cannot be taken back, so nothing is sent again.
        let useful = ongoing.is_repeatable() && ongoing.core.stage != Stage::Relaying;
        if !useful || ongoing.plan.plan.spool.folder.is_empty() {
            self.hold_no_more(exchange);
            return;
        }
        let first = ongoing.spool.is_none();
        match ongoing.append_to_file(&mut self.io, &self.host.spool_bytes, data) {
            Ok(()) => {
                if first {
                    self.row.one(Counter::Spooled);
                }
                self.row.add(Counter::SpoolBytes, data.len() as u64);
            }
            Err(why) => {
                self.row.one(Counter::SpoolRefused);
                if let WhyNotSpooled::Disk(trouble) = why {
                    self.log.spool_failed(trouble);
                }
                self.hold_no_more(exchange);
            }
        }
    }

    /// The request cannot be sent again from here on; what was held of its body is given back.
    pub(crate) fn hold_no_more(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.kept_whole = false;
        self.blocks.release(&mut ongoing.kept);
        let spooled = ongoing.spool.take();
        self.count_file_gone(spooled);
    }

    /// An answer begins: what was spooled for another attempt is of no more use, unless this one still needs it.
    pub(crate) fn release_spool(&mut self, exchange: Key) {
        if self.exchanges.get(exchange).is_some_and(|o| o.spool.is_some() && !o.is_replaying()) {
            self.hold_no_more(exchange);
        }
    }

    pub(crate) fn count_file_gone(&mut self, spooled: Option<Box<Spooled>>) {
        if let Some(spooled) = spooled {
            self.row.add(Counter::SpoolBytes, spooled.bytes.wrapping_neg());
        }
    }

    /// Gives the present attempt the next piece of the file.
    pub(crate) fn replay_piece(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let uploaded = ongoing.core.upload_done();
        let Some(spooled) = &mut ongoing.spool else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let room = (spooled.bytes - spooled.given).min(PIECE_BYTES) as usize;
        let read = spooled.file.read_at(spooled.given, &mut scratch[..room]);
        let over = match read {
            Ok(()) => {
                spooled.given += room as u64;
                spooled.given == spooled.bytes
            }
            Err(trouble) => {
                self.scratch = scratch;
                self.log.spool_failed(trouble);
                self.hold_no_more(exchange);
                self.attempt_failed(exchange, OriginFault::LocalResource);
                return;
            }
        };
        self.send_body(exchange, &scratch[..room], over && uploaded);
        self.scratch = scratch;
        if over {
            self.arm_for_upload(exchange);
            self.propagate_fin(exchange);
        }
    }
}

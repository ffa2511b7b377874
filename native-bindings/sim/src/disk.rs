//! The virtual disk: files that live in memory, on a disk that may be full or not give back what it holds. A file that is
//! used otherwise than from its beginning to its end is reported here, where it happens.

use crate::net;
use engine::io::{File, Trouble};
use std::cell::RefCell;

/// The errnos of a full disk and of a broken one.
const NO_SPACE: i32 = 28;
const BROKEN: i32 = 5;

/// Files of the proxy's that are there, their bytes, and how often one was read.
#[derive(Default)]
pub struct Disk {
    pub files: u32,
    pub bytes: u64,
    pub reads: u64,
}

/// A file of the proxy's; dropping it frees its bytes.
pub struct SimFile {
    run: u32,
    bytes: RefCell<Vec<u8>>,
}

impl SimFile {
    pub fn create() -> Result<Self, Trouble> {
        net::with(|net| {
            let fails = net.knobs.disk_full;
            if net.dice().chance(fails) {
                net.say(|| "no file can be made".to_owned());
                return Err(Trouble::Local(NO_SPACE));
            }
            net.disk.files += 1;
            Ok(Self { run: net.run, bytes: RefCell::default() })
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let (run, length) = (self.run, self.bytes.get_mut().len() as u64);
        net::with_if_there(|net| {
            if net.run == run {
                net.disk.files -= 1;
                net.disk.bytes -= length;
            }
        });
    }
}

impl File for SimFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), Trouble> {
        let mut held = self.bytes.borrow_mut();
        net::with(|net| {
            if at != held.len() as u64 {
                net.fail(format!("a file of {} bytes is written at {at}", held.len()));
            }
            let full = net.knobs.disk_full;
            let full = net.dice().chance(full);
            // What a disk takes before it is full stays on it.
            let taken = if full { net.dice().below(bytes.len() as u64) as usize } else { bytes.len() };
            held.extend_from_slice(&bytes[..taken]);
            net.disk.bytes += taken as u64;
            net.say(|| format!("file write {} at {at} -> {taken}", bytes.len()));
            if full { Err(Trouble::Local(NO_SPACE)) } else { Ok(()) }
        })
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), Trouble> {
        let held = self.bytes.borrow();
        net::with(|net| {
            let broken = net.knobs.disk_broken;
            let broken = net.dice().chance(broken);
            net.say(|| format!("file read {} at {at}, broken: {broken}", bytes.len()));
            if broken {
                return Err(Trouble::Local(BROKEN));
            }
            match held.get(at as usize..at as usize + bytes.len()) {
                Some(there) => bytes.copy_from_slice(there),
                None => net.fail(format!("a file of {} bytes is read at {at} for {}", held.len(), bytes.len())),
            }
            net.disk.reads += 1;
            Ok(())
        })
    }
}

//! Real files: behind `io.rs`, where request bodies lie that outgrew memory (what is written there and when it is read back
//! is decided in `spool.rs`), and locks on files for the control plane.

use crate::io::{File, Trouble};
use crate::sys::trouble;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// A file without a name: its bytes are gone when its descriptor is, whatever ends the process.
pub struct SpoolFile(OwnedFd);

impl SpoolFile {
    /// Tries of names on a file system that makes no nameless files.
    const NAMES_MAX: u32 = 8;

    pub fn create(folder: &str) -> Result<Self, Trouble> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            other => return other.map(Self).map_err(trouble),
        }
        let mut last = Errno::EXIST;
        for _ in 0..Self::NAMES_MAX {
            let at = clock_gettime(ClockId::Monotonic);
            let pid = rustix::process::getpid().as_raw_nonzero();
            let path = format!("{folder}/millrace-{pid}-{}-{}", at.tv_sec, at.tv_nsec);
            match rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    rustix::fs::unlink(&path).map_err(trouble)?;
                    return Ok(Self(file));
                }
                Err(errno) => last = errno,
            }
            if last != Errno::EXIST {
                break;
            }
        }
        Err(trouble(last))
    }
}

impl File for SpoolFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), Trouble> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&self.0, &bytes[done..], at + done as u64) {
                Ok(0) => return Err(Trouble::Local(Errno::NOSPC.raw_os_error())),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(trouble(errno)),
            }
        }
        Ok(())
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), Trouble> {
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pread(&self.0, &mut bytes[done..], at + done as u64) {
                Ok(0) => return Err(Trouble::Local(Errno::IO.raw_os_error())),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(trouble(errno)),
            }
        }
        Ok(())
    }
}

/// Locks a file, which is made if it is not there, for as long as the descriptor lives: whatever ends the process ends the
/// lock. `None` = somebody has it, in this process or another.
pub fn lock_file(path: &str) -> std::io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

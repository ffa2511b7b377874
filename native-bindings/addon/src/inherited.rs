//! Descriptors this process was started with: a service manager or a process that is being replaced has opened them.

use crate::fault;
use engine::listening::place_of;
use napi::Result;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Below are standard input, output and error.
const FIRST: RawFd = 3;

/// Where an inherited descriptor listens.
pub fn place(fd: RawFd) -> Result<SocketAddr> {
    if fd < FIRST {
        return Err(fault(format!("{fd} is no inherited descriptor")));
    }
    // SAFETY: it is not -1, and used only within this call; a number that is not open is an error of the kernel.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    place_of(borrowed).map_err(|error| fault(format!("descriptor {fd}: {error}")))
}

/// Takes an inherited descriptor over: it closes with what is returned.
pub fn take(fd: RawFd) -> Result<OwnedFd> {
    place(fd)?;
    // SAFETY: it is open and a socket, and `src/control/inherited.ts` gives each number it was started with away once;
    // nothing else in this process knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

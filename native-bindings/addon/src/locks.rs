//! Locks on files, each under a number: Node.js has none of its own.

use crate::fault;
use engine::sys_file::lock_file as lock;
use napi::Result;
use napi_derive::napi;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

static LOCKS: Mutex<(u32, Option<HashMap<u32, OwnedFd>>)> = Mutex::new((0, None));

/// Locks a file, made if it is not there, until `unlockFile` or the end of the process; null = somebody has it already.
#[napi(catch_unwind)]
pub fn lock_file(path: String) -> Result<Option<u32>> {
    let taken = lock(&path).map_err(|error| fault(format!("{path} cannot be locked: {error}")))?;
    Ok(taken.map(|file| {
        let (last, held) = &mut *LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        held.get_or_insert_default().insert(*last, file);
        *last
    }))
}

/// Gives a lock back.
#[napi(catch_unwind)]
pub fn unlock_file(lock: u32) {
    let (_, held) = &mut *LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    held.get_or_insert_default().remove(&lock);
}

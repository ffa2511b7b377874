//! The coverage counters: one byte for each edge of the instrumented code, counted up by that code itself. The only
//! file of this crate with `unsafe`, because the counters lie in a section that only the linker knows.

use std::ptr;
use std::sync::Mutex;

/// First byte and length of every block of counters. Linkers merge them, so there is usually one.
static BLOCKS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by instrumented modules before `main`. In a build without instrumentation nobody calls it.
///
/// # Safety
/// `start..stop` are the compiler's own counters: they live as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let block = (start as usize, (stop as usize).saturating_sub(start as usize));
    if let Ok(mut blocks) = BLOCKS.lock() {
        if block.1 > 0 && !blocks.contains(&block) {
            blocks.push(block);
        }
    }
}

/// How many counters there are; 0 in a build without instrumentation.
#[must_use]
pub fn counter_count() -> usize {
    BLOCKS.lock().map_or(0, |blocks| blocks.iter().map(|(_, len)| len).sum())
}

/// Copies all counters into `into`.
pub fn read(into: &mut Vec<u8>) {
    into.clear();
    let Ok(blocks) = BLOCKS.lock() else { return };
    for &(start, len) in blocks.iter() {
        into.reserve(len);
        // SAFETY: the block is the compiler's and lives as long as the process, `into` has room for it, and the two
        // are different memory. Code counting meanwhile on another thread can at worst lose a count.
        unsafe {
            ptr::copy_nonoverlapping(start as *const u8, into.as_mut_ptr().add(into.len()), len);
            into.set_len(into.len() + len);
        }
    }
}

/// Sets all counters to zero.
pub fn clear() {
    let Ok(blocks) = BLOCKS.lock() else { return };
    for &(start, len) in blocks.iter() {
        // SAFETY: as in `read`; bytes have no value that would be invalid.
        unsafe { ptr::write_bytes(start as *mut u8, 0, len) };
    }
}

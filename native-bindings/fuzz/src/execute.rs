//! Runs one input through one target: catches the panic of a broken promise, reads what was covered, and watches that
//! an execution ends at all.

use crate::coverage;
use crate::targets::Target;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No input may keep a target busy for longer; the largest takes milliseconds.
const HANG: Duration = Duration::from_secs(10);

/// Why an input is a finding: the message of the panic and where it was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub says: String,
    pub at: String,
}

static LAST_PANIC: Mutex<Option<Broken>> = Mutex::new(None);

/// From now on panics are remembered instead of printed.
pub fn remember_panics() {
    set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let says = text.unwrap_or("a panic without a message").to_owned();
        let at = info.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(Broken { says, at });
    }));
}

/// Runs `bytes` through `target`, leaving only its own counts in the counters.
pub fn run(target: &Target, bytes: &[u8]) -> Result<(), Broken> {
    coverage::clear();
    match catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))) {
        Ok(()) => Ok(()),
        Err(_) => Err(LAST_PANIC
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or_else(|| Broken { says: "a panic nobody saw".to_owned(), at: String::new() })),
    }
}

/// What is being executed, for the watch.
pub struct Watch {
    number: AtomicU64,
    input: Mutex<Vec<u8>>,
}

impl Watch {
    /// Starts a thread that calls `on_hang` with the input that does not end.
    pub fn start(on_hang: impl Fn(&[u8]) + Send + 'static) -> Arc<Self> {
        let watch = Arc::new(Self { number: AtomicU64::new(0), input: Mutex::new(Vec::new()) });
        let watched = Arc::clone(&watch);
        thread::spawn(move || {
            let mut seen = (0, Instant::now());
            loop {
                thread::sleep(Duration::from_millis(500));
                let number = watched.number.load(Relaxed);
                if number != seen.0 || number % 2 == 0 {
                    seen = (number, Instant::now());
                } else if seen.1.elapsed() > HANG {
                    on_hang(&watched.input.lock().unwrap_or_else(PoisonError::into_inner));
                    return;
                }
            }
        });
        watch
    }

    /// Runs one input under the watch. An odd number means that one is running.
    pub fn run(&self, target: &Target, bytes: &[u8]) -> Result<(), Broken> {
        {
            let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
            input.clear();
            input.extend_from_slice(bytes);
        }
        self.number.fetch_add(1, Relaxed);
        let result = run(target, bytes);
        self.number.fetch_add(1, Relaxed);
        result
    }
}

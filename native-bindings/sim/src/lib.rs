//! Seeded simulation of whole workers: a virtual kernel under `engine::io::Io`, hostile and honest peers around it, and
//! invariants swept after every turn. One seed is one conversation, the same every time.
//!
//! In every sixth run a listener or some targets speak TLS. Then the peers' own sessions stand between their bytes and the
//! network (`line.rs`), which tears, delays and cuts records like any bytes; some peers spoil their sessions (`secure.rs`).
//! Whoever judges reads plain bytes on both sides, and in what the proxy writes to targets (`sniff.rs`). Certificates,
//! tickets and secrets are drawn anew in every process, and no length, hence nothing that happens, depends on them.
#![forbid(unsafe_code)]

mod actor;
mod agenda;
mod answers;
mod books;
mod certificates;
mod checks;
mod client;
mod content;
mod dice;
mod disk;
#[path = "../../engine/tests/support/document.rs"]
mod document;
mod end;
mod kernel;
mod ledger;
mod line;
mod multiplexer;
mod net;
mod origin;
mod reader;
mod requests;
mod secure;
mod sessions;
mod settings;
mod sniff;
mod stream;
mod trust;
mod verdict;
mod world;

pub use ledger::Tally;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// A seed that broke a promise.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: u64,
    pub what: String,
    /// The conversation, if it was asked for.
    pub trace: Vec<String>,
}

/// Runs one seed to its end.
pub fn run_seed(seed: u64, traced: bool) -> Result<Tally, Failure> {
    let mut world = World::new(seed, traced);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let step = world.steps;
    let trace = net::with(|net| net.trace.take()).unwrap_or_default();
    match result {
        Ok(Ok(tally)) => Ok(tally),
        Ok(Err(what)) => Err(Failure { seed, step, what, trace }),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Err(Failure { seed, step, what: format!("panic: {text}"), trace })
        }
    }
}

//! `millrace-sim --seeds 1000 [--from N] [--seed N] [--trace]`: runs seeds until one breaks a promise, then shows its
//! conversation and exits with 1.

use sim::{Tally, run_seed};
use std::process::ExitCode;
use std::time::Instant;

/// Lines of the conversation shown without `--trace`.
const SHOWN_LINES: usize = 120;
const USAGE: &str = "usage: millrace-sim [--seeds COUNT] [--from SEED] [--seed SEED] [--trace]";

struct Asked {
    from: u64,
    seeds: u64,
    trace: bool,
}

fn main() -> ExitCode {
    let asked = match read_arguments(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("{what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A panic is a finding: it is told with its seed, not with a backtrace of its own.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let mut tally = Tally::default();
    for seed in asked.from..asked.from.saturating_add(asked.seeds) {
        match run_seed(seed, asked.trace && asked.seeds == 1) {
            Ok(one) => tally.add(&one),
            Err(_) => return tell(seed, asked.trace),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{} seeds clean, {:.0} a second\n{tally:#?}", asked.seeds, asked.seeds as f64 / seconds);
    ExitCode::SUCCESS
}

/// Runs a failed seed once more and shows how it went.
fn tell(seed: u64, all: bool) -> ExitCode {
    match run_seed(seed, true) {
        Err(failure) => {
            let shown = if all { usize::MAX } else { SHOWN_LINES };
            let from = failure.trace.len().saturating_sub(shown);
            for line in &failure.trace[from..] {
                println!("{line}");
            }
            println!("seed {} failed at step {}: {}", failure.seed, failure.step, failure.what);
        }
        Ok(_) => println!("seed {seed} failed, and not a second time: the simulation itself is at fault"),
    }
    ExitCode::FAILURE
}

fn read_arguments(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked { from: 0, seeds: 1000, trace: false };
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{text} is not a number"))
        };
        match word.as_str() {
            "--seeds" => asked.seeds = number()?,
            "--from" => asked.from = number()?,
            "--seed" => (asked.from, asked.seeds) = (number()?, 1),
            "--trace" => asked.trace = true,
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(asked)
}

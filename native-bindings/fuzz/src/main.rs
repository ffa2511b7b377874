//! The fuzzer's command line: `millrace-fuzz [--target NAME] [--seconds N] [--seed N] [--minimise] [--replay FILE]`.
//! Started by `scripts/fuzz.mjs`, which builds it with coverage counters. Exit code 1: a promise was broken.

use fuzz::campaign::{Campaign, Finding, minimise};
use fuzz::corpus;
use fuzz::coverage;
use fuzz::execute::{Watch, remember_panics, run};
use fuzz::targets::{SELF_CHECK, TARGETS, Target};
use std::process::{ExitCode, exit};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most inputs the committed corpus has for one target.
const COMMITTED_MAX: usize = 33;
/// The planted bug is three bytes deep: guidance needs tens of thousands of executions, blind luck millions.
const SELF_CHECK_SECONDS: u64 = 60;

struct Options {
    target: Option<String>,
    seconds: u64,
    seed: u64,
    minimise: bool,
    replay: Option<String>,
}

fn options() -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64 % 1_000_000_007);
    let mut options = Options { target: None, seconds: 20, seed: now, minimise: false, replay: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--target" => options.target = Some(value()?),
            "--seconds" => options.seconds = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--replay" => options.replay = Some(value()?),
            "--minimise" => options.minimise = true,
            other => return Err(format!("{other} is not an option")),
        }
    }
    Ok(options)
}

fn chosen(options: &Options) -> Result<Vec<&'static Target>, String> {
    let Some(name) = &options.target else { return Ok(TARGETS.iter().collect()) };
    let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
    let found = TARGETS.iter().find(|t| t.name == name);
    found.map(|t| vec![t]).ok_or(format!("there is no target {name}; there are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let parsed = options().and_then(|options| chosen(&options).map(|targets| (options, targets)));
    let (options, targets) = match parsed {
        Ok(parsed) => parsed,
        Err(says) => {
            eprintln!("fuzz: {says}");
            return ExitCode::from(64);
        }
    };
    remember_panics();
    if let Some(file) = &options.replay {
        return replay(file, &targets);
    }
    if coverage::counter_count() == 0 {
        eprintln!("fuzz: this build has no coverage counters and would search blindly; start it by `npm run fuzz`");
        return ExitCode::from(64);
    }
    if options.minimise {
        return rewrite_corpus(&targets);
    }
    if let Err(says) = check_self(options.seed) {
        eprintln!("fuzz: {says}");
        return ExitCode::FAILURE;
    }
    let broken = targets.iter().filter(|target| !fuzz_one(target, &options)).count();
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one target; false when a promise of it was broken.
fn fuzz_one(target: &'static Target, options: &Options) -> bool {
    let seed = options.seed;
    let watch = Watch::start(move |bytes| {
        print_finding(target, seed, bytes, "does not end", "");
        exit(1);
    });
    let report = Campaign::new(target, &watch, seed, true).go(Duration::from_secs(options.seconds));
    println!(
        "{:<13} seed {seed}: {} executions in {} s, {} edges, {} inputs that reached something new",
        target.name, report.executions, options.seconds, report.edges, report.inputs
    );
    let Some(Finding { bytes, broken }) = report.finding else { return true };
    print_finding(target, seed, &bytes, &broken.says, &broken.at);
    false
}

fn print_finding(target: &Target, seed: u64, bytes: &[u8], says: &str, at: &str) {
    let saved = corpus::save(&corpus::findings(), &format!("{}-", target.name), bytes);
    let place = saved.map_or_else(|e| format!("nowhere ({e})"), |path| path.display().to_string());
    println!("\n{} is broken: {}", target.name, target.promises);
    println!("  {at}: {says}");
    println!("  input ({} bytes): \"{}\"", bytes.len(), bytes.escape_ascii());
    println!("  found with seed {seed}, saved as {place}");
    println!("  again: npm run fuzz -- --target {} --replay {place}\n", target.name);
}

/// A search that is not guided finds nothing and looks healthy; so it must first find what was planted.
fn check_self(seed: u64) -> Result<(), String> {
    let watch = Watch::start(|_| exit(1));
    let report = Campaign::new(&SELF_CHECK, &watch, seed, false).go(Duration::from_secs(SELF_CHECK_SECONDS));
    match report.finding {
        Some(_) => Ok(()),
        None => Err(format!("the planted bug was not found in {} executions (seed {seed})", report.executions)),
    }
}

fn replay(file: &str, targets: &[&'static Target]) -> ExitCode {
    let Ok(bytes) = std::fs::read(file) else {
        eprintln!("fuzz: {file} cannot be read");
        return ExitCode::from(64);
    };
    let mut broken = false;
    for target in targets {
        match run(target, &bytes) {
            Ok(()) => println!("{}: holds", target.name),
            Err(found) => {
                println!("{}: broken at {}: {}", target.name, found.at, found.says);
                broken = true;
            }
        }
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn rewrite_corpus(targets: &[&'static Target]) -> ExitCode {
    for target in targets {
        let inputs = minimise(target, COMMITTED_MAX);
        let bytes: usize = inputs.iter().map(Vec::len).sum();
        println!("{:<13} {} inputs, {bytes} bytes", target.name, inputs.len());
        if let Err(error) = corpus::replace(&corpus::committed(target), &inputs) {
            eprintln!("fuzz: the corpus of {} cannot be written: {error}", target.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

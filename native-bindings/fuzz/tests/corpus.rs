//! Every committed input of every target, without any guidance: what was once found stays found.

use fuzz::corpus::{committed, load, seeds};
use fuzz::targets::{SELF_CHECK, TARGETS};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn every_promise_holds_for_the_corpus() {
    for target in TARGETS {
        let inputs = seeds(target);
        assert!(inputs.len() > 5, "the corpus of {} got lost", target.name);
        for bytes in inputs {
            let held = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
            assert!(held.is_ok(), "{}: \"{}\"", target.name, bytes.escape_ascii());
        }
    }
}

#[test]
fn the_corpus_is_small() {
    let inputs: Vec<Vec<u8>> = TARGETS.iter().flat_map(|target| load(&committed(target))).collect();
    let bytes: usize = inputs.iter().map(Vec::len).sum();
    assert!(inputs.len() <= 36 * TARGETS.len() && bytes <= 500 * 1024, "{} inputs, {bytes} bytes", inputs.len());
}

#[test]
fn the_planted_bug_is_there_to_be_found() {
    assert!(catch_unwind(|| (SELF_CHECK.run)(&[0x91, 0x3d, 0xe7])).is_err());
    assert!(catch_unwind(|| (SELF_CHECK.run)(&[0x91, 0x3d])).is_ok());
}

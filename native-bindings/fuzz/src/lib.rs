//! Coverage-guided fuzzing of the native core. Built by `scripts/fuzz.mjs` with the compiler's own coverage counters
//! (`-Cpasses=sancov-module`), which stable Rust can place; this crate reads them, mutates inputs and keeps what
//! reached something new. libFuzzer would do the same but needs a C++ compiler.
//!
//! Each target states what must hold of every input (`targets`), not only that nothing panics.

pub mod campaign;
pub mod corpus;
pub mod coverage;
pub mod execute;
pub mod mutate;
pub mod naive;
pub mod reader;
pub mod targets;

// The same vectors, dice and plans as the tests of proto and engine: a second copy would drift.
#[path = "../../engine/tests/support/document.rs"]
pub mod document;
#[path = "../../proto/tests/support/mod.rs"]
pub mod support;

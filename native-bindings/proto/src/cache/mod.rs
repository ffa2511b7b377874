//! HTTP caching as rules: RFC 9111 with RFC 5861, 8246, 9211, 9213 and 9875. Nothing here stores, waits or knows the time:
//! it is told heads, records and the moment, and says what is to be done and why.
//!
//! A request comes to `judge.rs`: does it have to do with the cache (`decide_use`), what is its key (`key.rs`, then
//! `vary.rs`), and, with what was found, what is done (`decide_request`, which asks `conditional.rs`, `range.rs` and
//! `stale.rs`). If the origin is asked, `validation.rs` says how. Its answer comes to `judge_answer.rs`: may it be stored
//! (`storable.rs`, by the directives that `targeted.rs` found), how long is it fresh (`freshness.rs`, which makes the
//! `Record`), does it renew the stored one (`update.rs`) or make others stale (`invalidation.rs`, `groups.rs`). Every
//! verdict has a reason of `why.rs`.
//!
//! The rules as vectors are in `test/vectors/cache-*.md`.

pub mod cache_status;
pub mod conditional;
pub mod dates;
pub mod directives;
pub mod eviction;
pub mod explain;
pub mod freshness;
pub mod groups;
pub mod invalidation;
mod items;
pub mod judge;
pub mod judge_answer;
pub mod key;
pub mod message;
pub mod no_vary_search;
pub mod range;
pub mod record;
pub mod request_directives;
pub mod stale;
pub mod storable;
pub mod structured;
pub mod tags;
pub mod targeted;
pub mod update;
pub mod validation;
pub mod validator;
pub mod vary;
pub mod why;

#[cfg(test)]
mod tests;

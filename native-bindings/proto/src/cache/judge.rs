//! What is done with a request: the one function that the engine, `explain` and the tests ask. It is told the request,
//! what was found for it, and the time; it answers with a verdict and the reason for it, and changes nothing.
//!
//! A hit without conditions costs a few comparisons and no allocation.

use crate::cache::conditional::{Serve, Unserved, decide_serve};
use crate::cache::key::{Target, has_cookie, has_field, takes_name};
use crate::cache::message::Asked;
use crate::cache::record::Record;
use crate::cache::request_directives::RequestDirectives;
use crate::cache::stale::decide_before;
use crate::cache::storable::is_cached_method;
use crate::cache::why::Why;
use crate::http1::fields::{FieldKind, eq_ignore_case};
use crate::plan::{AuthorizationUse, BypassWhen, CachePolicy, CookieUse};
use crate::route::takes_path;

/// A request, and what else is known when it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    pub asked: Asked<'a>,
    /// Its path in normal form, as routes see it.
    pub path: &'a [u8],
    /// Content follows the head, as `decide_request` of `http1/framing.rs` settled.
    pub has_body: bool,
    pub upgrade: bool,
    pub policy: &'a CachePolicy,
    /// No target of the origin may be used now.
    pub origin_down: bool,
    pub now_ms: u64,
}

/// What is stored for a request's key.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    Nothing,
    /// Answers to requests that differ in the fields they vary by.
    OtherVariants,
    /// A marker: an answer a short time ago could not be stored, so that nobody waits for the next one.
    Uncacheable,
    Record(&'a Record),
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The stored answer is given.
    Hit(Serve),
    /// The same, and it is validated meanwhile.
    HitAndRevalidate(Serve),
    /// The origin is asked whether the stored answer is still right.
    Validate,
    /// The origin is asked; its answer may be stored.
    Miss,
    /// 504, for `only-if-cached`.
    GatewayTimeout,
    /// The request goes to the origin as if there were no cache.
    Bypass,
}

/// A verdict and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub what: What,
    pub why: Why,
}

/// Whether the request has to do with the cache at all; asked before a key is made.
pub fn decide_use(lookup: &Lookup<'_>) -> Result<RequestDirectives, Why> {
    let Lookup { asked, policy, .. } = *lookup;
    if !policy.enabled {
        return Err(Why::Off);
    }
    if !is_cached_method(asked) {
        return Err(Why::MethodNotCached);
    }
    if lookup.has_body {
        return Err(Why::RequestBody);
    }
    if lookup.upgrade {
        return Err(Why::Upgrade);
    }
    if overrides_method(asked) {
        return Err(Why::MethodOverride);
    }
    if policy.authorization == AuthorizationUse::Bypass && asked.head.kinds.has(FieldKind::Authorization) {
        return Err(Why::BypassAuthorization);
    }
    let stopped_by_cookie = match &policy.cookies {
        CookieUse::Ignore => false,
        CookieUse::BypassExcept { names } => has_cookie(asked, |name| !is_among(names, name)),
        CookieUse::BypassOn { names } => has_cookie(asked, |name| is_among(names, name)),
    };
    if stopped_by_cookie {
        return Err(Why::BypassCookie);
    }
    if policy.bypass.iter().any(|condition| holds(condition, lookup)) {
        return Err(Why::BypassCondition);
    }
    // Which scheme it came by does not matter here.
    if Target::of(asked, false).is_none() {
        return Err(Why::NoKey);
    }
    let wants = RequestDirectives::under(asked.lines(), policy);
    if wants.no_store { Err(Why::ClientNoStore) } else { Ok(wants) }
}

/// Whether a field asks the origin to take the request for one of another method, as many frameworks do: its answer is none
/// to the method that the key has.
fn overrides_method(asked: Asked<'_>) -> bool {
    let known: [&[u8]; 3] = [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"];
    let others = asked.head.fields.iter().filter(|field| field.kind == FieldKind::Other);
    others.map(|field| field.name.of(asked.bytes)).any(|name| {
        name.first().is_some_and(|first| first | 0x20 == b'x') && known.iter().any(|known| eq_ignore_case(name, known))
    })
}

fn is_among(names: &[String], name: &[u8]) -> bool {
    names.iter().any(|known| takes_name(known.as_bytes(), name))
}

fn holds(condition: &BypassWhen, lookup: &Lookup<'_>) -> bool {
    match condition {
        BypassWhen::Field { name, value } => has_field(lookup.asked, name, value.as_deref()),
        BypassWhen::Cookie { name } => has_cookie(lookup.asked, |known| takes_name(name.as_bytes(), known)),
        BypassWhen::Query { name } => lookup.asked.parameters().any(|(known, _)| takes_name(name.as_bytes(), known)),
        BypassWhen::Path { path } => takes_path(path, lookup.path),
    }
}

/// The verdict on a request.
#[must_use]
pub fn decide_request(lookup: &Lookup<'_>, found: Found<'_>) -> Decision {
    match decide_use(lookup) {
        Ok(wants) => decide_found(lookup, wants, found),
        Err(why) => Decision { what: What::Bypass, why },
    }
}

/// The verdict on a request that `decide_use` let in, with what it said the client wants.
#[must_use]
pub fn decide_found(lookup: &Lookup<'_>, wants: RequestDirectives, found: Found<'_>) -> Decision {
    let decision = match found {
        Found::Nothing => Decision { what: What::Miss, why: Why::UriMiss },
        Found::OtherVariants => Decision { what: What::Miss, why: Why::VaryMiss },
        Found::Uncacheable => Decision { what: What::Miss, why: Why::Uncacheable },
        Found::Record(record) => judge_record(lookup, wants, record),
    };
    match decision.what {
        What::Validate | What::Miss if wants.only_if_cached => {
            Decision { what: What::GatewayTimeout, why: Why::OnlyIfCached }
        }
        _ => decision,
    }
}

fn judge_record(lookup: &Lookup<'_>, wants: RequestDirectives, record: &Record) -> Decision {
    let serve = match decide_serve(lookup.asked, record, lookup.now_ms) {
        Ok(serve) => serve,
        Err(Unserved::Precondition) => return Decision { what: What::Miss, why: Why::Precondition },
        Err(Unserved::PartMissing) => return Decision { what: What::Miss, why: Why::PartMissing },
    };
    match judge_freshness(lookup, wants, record) {
        Ok(why @ Why::WhileRevalidating) => Decision { what: What::HitAndRevalidate(serve), why },
        Ok(why) => Decision { what: What::Hit(serve), why },
        Err(why) => Decision { what: What::Validate, why },
    }
}

/// Why the record may be used as it is, or why the origin must be asked.
fn judge_freshness(lookup: &Lookup<'_>, wants: RequestDirectives, record: &Record) -> Result<Why, Why> {
    let now_ms = lookup.now_ms;
    let fresh = record.is_fresh(now_ms);
    if record.always_validate {
        return Err(Why::NoCache);
    }
    if wants.no_cache {
        return Err(Why::ClientNoCache);
    }
    // RFC 8246: a reload of what never changes asks nobody; a reload by force is no-cache.
    let unchanging = record.immutable && fresh;
    if !unchanging && wants.max_age_s.is_some_and(|most| record.age_s(now_ms) > u64::from(most)) {
        return Err(Why::ClientMaxAge);
    }
    if let Some(least) = wants.min_fresh_s {
        let until_ms = now_ms.saturating_add(u64::from(least) * 1000);
        if !record.is_fresh(until_ms) {
            return Err(Why::ClientMinFresh);
        }
    }
    if fresh {
        return Ok(Why::Fresh);
    }
    decide_before(record, wants, lookup.origin_down, now_ms).ok_or(Why::Stale)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

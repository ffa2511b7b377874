//! What a route says about caching. Every default is what RFC 9111 asks of a shared cache that was told nothing more;
//! what an operator changes here is read by `cache/` and nowhere else. Times are seconds, as in the fields they stand for.

use crate::plan::{PathMatch, StatusRange};
use serde::Deserialize;

/// The cache of one route.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CachePolicy {
    pub enabled: bool,
    pub key: KeyPolicy,
    /// The first that fits an answer changes how long it is fresh.
    pub ttl: Vec<TtlRule>,
    pub heuristic: Heuristic,
    pub grace: Grace,
    pub authorization: AuthorizationUse,
    pub cookies: CookieUse,
    pub set_cookie: SetCookieUse,
    /// A request that fits any of these is answered by the origin, and the answer is not stored.
    pub bypass: Vec<BypassWhen>,
    /// Longest body that is stored; 0 = no limit.
    pub object_bytes: u64,
    pub client_directives: ClientDirectives,
    /// Fields that speak to this cache in place of Cache-Control (RFC 9213), the first that is valid wins.
    pub targets: Vec<String>,
    /// Read `Surrogate-Control` where no target speaks, and keep it from clients.
    pub surrogate_control: bool,
    /// Read `No-Vary-Search`.
    pub no_vary_search: bool,
    /// Read `Cache-Groups` and `Cache-Group-Invalidation` (RFC 9875).
    pub groups: bool,
    /// Fields whose words are tags to purge by.
    pub tag_fields: Vec<String>,
    pub partial: PartialUse,
    /// Write `Cache-Status` (RFC 9211).
    pub cache_status: bool,
    /// Tell the key in `Cache-Status`.
    pub cache_status_key: bool,
    /// Write `X-Cache: HIT` or `MISS`.
    pub x_cache: bool,
    pub coalesce: Coalesce,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            key: KeyPolicy::default(),
            ttl: Vec::new(),
            heuristic: Heuristic::default(),
            grace: Grace::default(),
            authorization: AuthorizationUse::default(),
            cookies: CookieUse::default(),
            set_cookie: SetCookieUse::default(),
            bypass: Vec::new(),
            object_bytes: 0,
            client_directives: ClientDirectives::default(),
            targets: vec!["CDN-Cache-Control".to_owned()],
            surrogate_control: false,
            no_vary_search: false,
            groups: true,
            tag_fields: vec!["Cache-Tag".to_owned(), "Surrogate-Key".to_owned()],
            partial: PartialUse::default(),
            cache_status: true,
            cache_status_key: false,
            x_cache: false,
            coalesce: Coalesce::default(),
        }
    }
}

/// How requests for the same thing share one fetch. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Coalesce {
    /// How long a request waits for another one's answer before it asks for itself; 0 = it does not wait.
    pub wait_ms: u32,
    /// A fetch whose client left goes on if at least so much of a body of known length is there, …
    pub fill_percent: u32,
    /// … or if at most so much of it is missing.
    pub fill_bytes: u64,
}

impl Default for Coalesce {
    fn default() -> Self {
        Self { wait_ms: 5000, fill_percent: 50, fill_bytes: 1024 * 1024 }
    }
}

/// What all routes that cache share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CachePlan {
    /// What the hot cache of the process may weigh.
    pub memory_bytes: u64,
    /// Parts of it that are locked for themselves; a power of two.
    pub shards: u32,
    /// Whether there is a store on a disk, which is asked for what is not in memory.
    pub store: bool,
}

impl Default for CachePlan {
    fn default() -> Self {
        Self { memory_bytes: 128 * 1024 * 1024, shards: 64, store: false }
    }
}

/// Most shards of the hot cache.
pub const CACHE_SHARDS_MAX: u32 = 1024;

/// What tells two stored answers apart before `Vary` does.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeyPolicy {
    /// Stands before every key of the route: routes with the same space share what they store.
    pub space: String,
    pub scheme: bool,
    pub host: bool,
    pub query: QueryKey,
    /// Order the parameters of the query by name; those of one name keep their order.
    pub sort_query: bool,
    /// Take paths that differ in case only for the same.
    pub fold_path_case: bool,
    /// Request fields that are part of the key.
    pub fields: Vec<String>,
    /// Cookies that are part of the key.
    pub cookies: Vec<String>,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            space: String::new(),
            scheme: true,
            host: true,
            query: QueryKey::default(),
            sort_query: false,
            fold_path_case: false,
            fields: Vec::new(),
            cookies: Vec::new(),
        }
    }
}

/// Which parameters of the query are part of the key. A name that ends in `*` stands for all that begin so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum QueryKey {
    /// The query as it is.
    #[default]
    All,
    None,
    Only {
        names: Vec<String>,
    },
    Except {
        names: Vec<String>,
    },
}

/// How long answers of some statuses and paths are fresh, whatever they say of it. An answer that must not be stored
/// is not stored because of a rule, unless the rule says that what the origin says does not count.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TtlRule {
    /// Empty = any.
    pub statuses: Vec<StatusRange>,
    pub path: PathMatch,
    /// Exactly so long.
    pub force_s: Option<u32>,
    /// At least so long.
    pub floor_s: Option<u32>,
    /// At most so long.
    pub cap_s: Option<u32>,
    /// So long where the answer says nothing: negative caching.
    pub default_s: Option<u32>,
    /// What `no-store`, `private` and `no-cache` say does not count.
    pub overrides: bool,
}

impl Default for TtlRule {
    fn default() -> Self {
        Self {
            statuses: Vec::new(),
            path: PathMatch::Any,
            force_s: None,
            floor_s: None,
            cap_s: None,
            default_s: None,
            overrides: false,
        }
    }
}

/// Freshness that nobody stated (RFC 9111 4.2.2).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Heuristic {
    /// Of the time since the last modification; 0 = none.
    pub percent: u32,
    pub longest_s: u32,
}

impl Default for Heuristic {
    fn default() -> Self {
        Self { percent: 10, longest_s: 86_400 }
    }
}

/// How long answers may be used that are not fresh any more, where they do not say so themselves (RFC 5861).
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Grace {
    pub while_revalidate_s: u32,
    /// Also while the origin is down.
    pub if_error_s: u32,
    /// Let an answer with `s-maxage` be stale where it says `stale-…` itself. RFC 9111 5.2.2.10 does not.
    pub despite_s_maxage: bool,
}

/// What Authorization of a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthorizationUse {
    /// Its answer is stored only if it says that it may be (RFC 9111 3.5).
    #[default]
    Rfc,
    /// The request goes to the origin.
    Bypass,
    /// Nothing: the answers of this route do not depend on it.
    Ignore,
}

/// What cookies of a request mean.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum CookieUse {
    /// Nothing, which is what RFC 9111 says of them.
    #[default]
    Ignore,
    /// A request with any cookie but these goes to the origin.
    BypassExcept { names: Vec<String> },
    /// A request with one of these goes to the origin.
    BypassOn { names: Vec<String> },
}

/// What Set-Cookie of an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SetCookieUse {
    /// Stored with it, if the answer says how long it is fresh (RFC 9111 7.3); not by heuristic.
    #[default]
    Explicit,
    /// Not stored.
    Refuse,
    /// Stored without it.
    Strip,
}

/// A condition by which a request passes the cache by.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum BypassWhen {
    /// A field of this name, with this value if one is given.
    Field {
        name: String,
        value: Option<String>,
    },
    Cookie {
        name: String,
    },
    Query {
        name: String,
    },
    Path {
        path: PathMatch,
    },
}

/// Whether clients may ask for fresher answers than are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientDirectives {
    #[default]
    Honour,
    /// `Cache-Control` and `Pragma` of requests say nothing, but for `only-if-cached` and `no-store`.
    Ignore,
}

/// What is done with parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartialUse {
    /// A range that is not stored is asked for as it is, and a 206 is stored as the part it is.
    #[default]
    Store,
    /// The whole is asked for in its place, stored, and the range served from it.
    Fill,
    /// Asked for as it is, not stored.
    Pass,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, MapDeserializer};

    fn decoded(settings: &[(&'static str, bool)]) -> Result<CachePolicy, Error> {
        CachePolicy::deserialize(MapDeserializer::new(settings.iter().copied()))
    }

    #[test]
    fn what_a_plan_does_not_say_is_as_rfc_9111_has_it() {
        let policy = decoded(&[]).expect("a policy");
        assert!(policy.enabled && policy.key.host && policy.key.scheme && policy.key.query == QueryKey::All);
        assert_eq!(policy.authorization, AuthorizationUse::Rfc);
        assert_eq!(policy.client_directives, ClientDirectives::Honour);
        assert_eq!(policy.cookies, CookieUse::Ignore);
        assert_eq!((policy.grace.while_revalidate_s, policy.grace.if_error_s), (0, 0));
        assert_eq!(policy.targets, ["CDN-Cache-Control"]);
        assert_eq!((policy.coalesce.wait_ms, policy.coalesce.fill_percent), (5000, 50));
    }

    #[test]
    fn names_are_those_of_the_plan_and_unknown_ones_are_refused() {
        let policy = decoded(&[("noVarySearch", true), ("xCache", true), ("enabled", false)]).expect("a policy");
        assert!(policy.no_vary_search && policy.x_cache && !policy.enabled);
        assert!(decoded(&[("no_vary_search", true)]).is_err());
    }
}

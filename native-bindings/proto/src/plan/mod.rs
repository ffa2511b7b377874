//! The plan: the operator's settings compiled in TypeScript (`src/config/plan.ts`) into the one document that crosses
//! the border, decoded here into types. Times are milliseconds and sizes bytes unless a name says otherwise; a zero in
//! a field that says so means "no limit". Nothing here is changed after decoding: workers share one plan behind an `Arc`.

mod cache;
mod http2;
mod origin;
mod route;
mod tls;

pub use cache::{
    AuthorizationUse, BypassWhen, CACHE_SHARDS_MAX, CachePlan, CachePolicy, ClientDirectives, Coalesce, CookieUse,
    Grace, Heuristic, KeyPolicy, PartialUse, QueryKey, SetCookieUse, TtlRule,
};
pub use http2::Http2;
pub use origin::{
    Balance, HashBy, HealthCheck, HealthProbe, HostPolicy, MatchWord, Origin, OriginHttp, StickyCookie, Target,
};
pub use route::{
    Action, ConnectionAuth, Escalation, FaultAnswer, FieldEdit, FieldLine, ForwardPolicy, HalfClose, HeaderMatch,
    PathMatch, Retry, ReusePolicy, Rewrite, Route, StatusRange,
};

pub use tls::{Certificate, ClientAuth, ListenerTls, NamePolicy, OriginTls, Secret, SniPolicy, TlsVersion, VerifyName};

use serde::Deserialize;
use std::net::IpAddr;

/// The only document version this core runs.
pub const PLAN_VERSION: u32 = 1;
/// Most edge workers one process may have; bit sets over workers rest on it.
pub const WORKERS_MAX: u32 = 256;
/// Most places of listeners, of those included that are gone.
pub const LISTENERS_MAX: usize = 1024;

/// The whole document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    pub version: u32,
    /// Pseudonym in `Via` and name in `Server` of proxy-made answers.
    pub name: String,
    pub workers: u32,
    pub listeners: Vec<Listener>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub pool: Pool,
    pub forwarding: Forwarding,
    pub origins: Vec<Origin>,
    /// In order of precedence: the first that matches takes the request.
    pub routes: Vec<Route>,
    pub access_log: bool,
    #[serde(default)]
    pub persistence: Persistence,
    #[serde(default)]
    pub retry_budget: RetryBudget,
    #[serde(default)]
    pub spool: Spool,
    /// Where this proxy stands; targets of the same zone are preferred. Empty = nowhere in particular.
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub http2: Http2,
    #[serde(default)]
    pub cache: CachePlan,
}

/// Whether connections outlive their first exchange.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Persistence {
    pub client: bool,
    pub origin: bool,
    /// Keep a client's connection after an answer of 400 and above.
    pub after_errors: bool,
    /// A client connection this old is closed after its present answer; 0 = no limit.
    pub client_age_ms: u32,
}

impl Default for Persistence {
    fn default() -> Self {
        Self { client: true, origin: true, after_errors: true, client_age_ms: 0 }
    }
}

/// How many of the process's requests may be further attempts, so that a failing origin is not finished off by retries.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryBudget {
    /// Share of the requests of the last ten seconds; 0 = none but the floor.
    pub percent: u32,
    /// Always allowed, a second.
    pub per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}

/// Where request bodies are kept for a repeat when they outgrow `Limits::replay_body_bytes`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spool {
    /// Empty = nothing is spooled.
    pub folder: String,
    /// Of one request.
    pub request_bytes: u64,
    /// Of the whole process.
    pub total_bytes: u64,
}

/// Where clients connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    pub name: String,
    #[serde(deserialize_with = "address_text")]
    pub address: IpAddr,
    /// 0 asks the kernel for a free port.
    pub port: u16,
    pub backlog: u32,
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Trusted peers say in a PROXY header whom they speak for, and nobody else may connect.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Without TLS: a connection that begins with HTTP/2's preface speaks it (RFC 9113 3.3). With TLS, ALPN says so.
    #[serde(default)]
    pub http2: bool,
    /// Nobody connects here any more; it keeps its place for those who are connected.
    #[serde(default)]
    pub gone: bool,
}

/// What one client may ask of us.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    pub request_line_bytes: u32,
    pub head_bytes: u32,
    pub field_count: u32,
    pub chunk_extension_bytes: u32,
    /// Request body; 0 = no limit.
    pub request_body_bytes: u64,
    /// Requests of one connection answered while more of them already wait in our buffer; the one after gets `close`.
    pub pipelined_requests: u32,
    /// Unread request body that is read and thrown away after an early answer before the connection is closed instead.
    pub drain_bytes: u64,
    /// Request body kept for one repeat on a fresh connection.
    pub replay_body_bytes: u32,
    /// Client connections of the whole process; 0 = no limit.
    pub client_connections: u32,
    /// Requests on one client connection; 0 = no limit.
    pub client_requests: u64,
}

/// How long clients and tunnels may keep us waiting.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a head (or the start of the connection) to its end.
    pub client_head_ms: u32,
    /// Between two reads of a request body.
    pub client_body_ms: u32,
    /// Between two requests.
    pub client_idle_ms: u32,
    /// While the client takes nothing of an answer that waits for it.
    pub client_write_ms: u32,
    /// How long a closing connection is still read so that the last answer is not lost to a reset.
    pub client_linger_ms: u32,
    /// While neither side of a tunnel sends; 0 = no limit.
    pub tunnel_idle_ms: u32,
    /// How long the origin's 100 (Continue) is waited for before the body is sent anyway.
    pub continue_ms: u32,
}

/// Bounds of the origin pool that hold over all origins.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// 1 … workers.
    pub shards: u32,
    pub steal: bool,
    /// Origin connections of the whole process; 0 = no limit.
    pub connections: u32,
    /// Requests that may wait for a connection, per target.
    pub queue_length: u32,
    pub queue_wait_ms: u32,
}

/// What origins are told about the client.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forwarding {
    /// Add `Via` to requests and answers.
    pub via: bool,
    /// Set `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: bool,
    /// Set `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Peers whose forwarding fields are kept and extended; from all others they are dropped.
    pub trusted: Vec<Cidr>,
    /// Send the client's verified certificate as `Client-Cert` (RFC 9440).
    #[serde(default)]
    pub client_certificate: bool,
}

/// A range of addresses of one family.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cidr {
    #[serde(deserialize_with = "address_text")]
    pub address: IpAddr,
    pub prefix_bits: u8,
}

/// An address as text: msgpack is a binary format, for which serde would read an enum.
fn address_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| serde::de::Error::custom(format_args!("{text} is not an IP address")))
}

/// The same for one that need not be there.
fn address_text_if_any<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let parse =
        |text: String| text.parse().map_err(|_| serde::de::Error::custom(format_args!("{text} is not an IP address")));
    text.map(parse).transpose()
}

impl Plan {
    /// Everything a worker rests on that types alone do not say. TypeScript has checked the settings and named every
    /// complaint; this is the second lock, so it stops at the first one.
    pub fn check(&self) -> Result<(), String> {
        let ensure = |holds: bool, says: &str| if holds { Ok(()) } else { Err(says.to_owned()) };
        ensure(self.version == PLAN_VERSION, "plan: this version of the document is not known")?;
        ensure(self.workers >= 1 && self.workers <= WORKERS_MAX, "plan.workers: must be 1 to 256")?;
        ensure(self.pool.shards >= 1 && self.pool.shards <= self.workers, "plan.pool.shards: must be 1 to workers")?;
        ensure(
            self.limits.head_bytes <= crate::limits::HEAD_BYTES_CEILING
                && self.limits.request_line_bytes <= self.limits.head_bytes,
            "plan.limits: headBytes must be at most 61440 and requestLineBytes at most headBytes",
        )?;
        ensure(self.listeners.iter().any(|l| !l.gone), "plan.listeners: at least one is needed")?;
        ensure(self.listeners.len() <= LISTENERS_MAX, "plan.listeners: at most 1024 places")?;
        ensure(
            !self.name.is_empty() && self.name.bytes().all(crate::http1::fields::is_token_byte),
            "plan.name: must be a token",
        )?;
        ensure(
            self.cache.shards.is_power_of_two() && self.cache.shards <= CACHE_SHARDS_MAX,
            "plan.cache.shards: must be a power of two up to 1024",
        )?;
        for origin in &self.origins {
            if origin.targets.is_empty() {
                let known = crate::fault::OriginFault::of_token(&origin.unresolved).is_some();
                ensure(known, "plan.origins: an origin without targets must say why")?;
                continue;
            }
            ensure(origin.targets.iter().any(|t| t.weight > 0), "plan.origins: a target needs a weight above 0")?;
        }
        for route in &self.routes {
            if let Action::Forward { origin, .. } = &route.action {
                ensure(
                    (*origin as usize) < self.origins.len(),
                    "plan.routes: a route names an origin that is not there",
                )?;
            }
        }
        Ok(())
    }
}

//! Origins as the plan describes them: targets, times, limits, and how connections and targets are chosen.

use super::{OriginTls, StatusRange, address_text, address_text_if_any};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// A service behind us, with its own times and limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    pub name: String,
    /// May be empty only together with `unresolved`.
    pub targets: Vec<Target>,
    /// Why its name gave no address: the token of one of the DNS faults. Empty = it did.
    #[serde(default)]
    pub unresolved: String,
    /// What the origin sees as Host.
    pub host: HostPolicy,
    pub connect_ms: u32,
    pub first_byte_ms: u32,
    pub between_bytes_ms: u32,
    pub idle_ms: u32,
    /// 0 = no limit.
    pub age_ms: u32,
    /// Requests on one connection; 0 = no limit.
    pub requests: u64,
    /// Connections to one target, idle ones included; 0 = no limit.
    pub target_connections: u32,
    /// Idle connections to one target over all shards.
    pub target_idle: u32,
    /// Connections to all targets together; 0 = no limit.
    #[serde(default)]
    pub connections: u32,
    /// From the request's head to the end of its answer, over all attempts and waits; 0 = no limit.
    #[serde(default)]
    pub total_ms: u32,
    /// Leave an idle connection before the origin does, as far as its habits are known.
    #[serde(default = "yes")]
    pub idle_learn: bool,
    /// Each connection's greatest age lies this far around `age_ms`, so that they do not all end at once.
    #[serde(default)]
    pub age_jitter_percent: u32,
    /// Connections kept ready that have never carried a request, per target.
    #[serde(default)]
    pub standby: u32,
    /// Silence after which TCP asks whether the other end lives; 0 = never.
    #[serde(default)]
    pub tcp_keepalive_ms: u32,
    /// How long sent bytes may stay unacknowledged; 0 = the system's time.
    #[serde(default)]
    pub tcp_user_timeout_ms: u32,
    /// Our end of its connections.
    #[serde(default, deserialize_with = "address_text_if_any")]
    pub local_address: Option<IpAddr>,
    /// What must be equal for a connection to be shared. Empty = nothing is shared.
    #[serde(default = "by_address")]
    pub match_on: Vec<MatchWord>,
    #[serde(default)]
    pub balance: Balance,
    #[serde(default)]
    pub sticky: Option<StickyCookie>,
    /// A target that came back takes its full share after this time; 0 = at once.
    #[serde(default)]
    pub slow_start_ms: u32,
    /// With fewer usable targets than this share, health is not believed and all are used.
    #[serde(default = "half")]
    pub panic_percent: u32,
    #[serde(default)]
    pub health: Option<HealthCheck>,
    #[serde(default)]
    pub tls: Option<OriginTls>,
    #[serde(default)]
    pub http: OriginHttp,
}

/// Which versions of HTTP an origin is spoken to in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OriginHttp {
    #[default]
    Http1,
    /// What ALPN settles, HTTP/2 first.
    Either,
    /// HTTP/2 only: over TLS ALPN must agree, else it is begun without asking (RFC 9113 3.3).
    Http2,
}

impl OriginHttp {
    #[must_use]
    pub const fn has_http2(self) -> bool {
        !matches!(self, Self::Http1)
    }

    #[must_use]
    pub const fn has_http1(self) -> bool {
        !matches!(self, Self::Http2)
    }
}

const fn yes() -> bool {
    true
}

const fn half() -> u32 {
    50
}

fn by_address() -> Vec<MatchWord> {
    vec![MatchWord::Ip]
}

/// Traffic Server's words for what must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MatchWord {
    /// Address and port.
    Ip,
    /// Name, and on TLS also that the name is the one the session was opened for.
    Host,
    /// `Ip` and `Host`.
    Both,
    /// Name alone.
    Hostonly,
    /// Outbound SNI.
    Sni,
    /// Client certificate.
    Cert,
}

/// How a target is chosen among those that may be used.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Balance {
    /// Weighted, smooth.
    #[default]
    RoundRobin,
    /// Fewest requests under way for its weight.
    LeastConnections,
    /// The better of two drawn at random, by latency and requests under way.
    TwoChoices,
    /// The same key goes to the same target, unless that has more than `bound_percent` of its even share.
    ConsistentHash { by: HashBy, bound_percent: u32 },
}

/// What a consistent hash is taken of.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq, Hash)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum HashBy {
    Path,
    ClientAddress,
    /// Lower case.
    Header {
        name: String,
    },
    Cookie {
        name: String,
    },
}

/// A cookie that brings a client back to its target for as long as that may be used.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StickyCookie {
    pub name: String,
    /// 0 = for the session.
    pub max_age_s: u32,
}

/// An active check of each target; when it says up or down is decided in `control/health.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    pub probe: HealthProbe,
    pub interval_ms: u32,
    pub jitter_percent: u32,
    pub timeout_ms: u32,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum HealthProbe {
    /// A connection is enough.
    Tcp,
    Http {
        path: String,
        /// Host of the request; empty = the target's label.
        host: String,
        statuses: Vec<StatusRange>,
        /// What the first 64 KiB of the body must hold; empty = anything.
        body_contains: String,
    },
}

/// One address of an origin, resolved.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// As the operator wrote it, for logs: `name:port`.
    pub label: String,
    /// Its host name without port, or its address, as the operator wrote it: for SNI and verification.
    #[serde(default)]
    pub name: String,
    #[serde(deserialize_with = "address_text")]
    pub address: IpAddr,
    pub port: u16,
    pub weight: u32,
    /// 0 is used first; a higher tier only when no target of a lower one may be used.
    #[serde(default)]
    pub tier: u8,
    #[serde(default)]
    pub zone: String,
}

impl Target {
    #[must_use]
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Where the Host that an origin sees comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum HostPolicy {
    /// What the client asked for.
    Client,
    /// The target's label.
    Target,
    Literal {
        value: String,
    },
}

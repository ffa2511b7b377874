//! TLS as the plan describes it, on both sides. Certificates, keys and lists come as PEM text; what is wrong with them is
//! found when the engine compiles them (`engine/tls_keys.rs`), before any worker sees the plan.

use serde::Deserialize;

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerTls {
    pub certificates: Vec<Certificate>,
    /// The certificate for clients that name nobody, or somebody that no certificate is for; none = they are refused.
    pub fallback: Option<u32>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// In order of preference.
    pub alpn: Vec<String>,
    /// Give clients tickets to resume with.
    pub tickets: bool,
    /// The whole handshake.
    pub handshake_ms: u32,
    pub host_policy: NamePolicy,
    /// The first whose names hold decides; without one that does, no certificate is asked for.
    pub client_auth: Vec<ClientAuth>,
    /// `Strict-Transport-Security` of every final answer over this listener, in place of an origin's own; empty = none.
    #[serde(default)]
    pub hsts: String,
}

/// A certificate with its chain and key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// What messages call it.
    pub label: String,
    /// Leaf first.
    pub chain: String,
    pub key: Secret,
}

/// Text that no debug print shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// What is done when a request's Host falls under another rule for client certificates than its connection was opened
/// under (S0-20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamePolicy {
    Ignore,
    Warn,
    Refuse,
}

/// Which clients must show a certificate, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientAuth {
    /// Exact names or `*.` with a name, by SNI; empty = every name.
    pub hosts: Vec<String>,
    pub required: bool,
    pub ca: String,
    /// Empty = none.
    pub crl: String,
}

/// TLS to an origin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OriginTls {
    /// Trust whom this system trusts.
    pub system_roots: bool,
    /// Trust these besides; empty = nobody.
    pub roots: String,
    /// False takes any certificate.
    pub verify: bool,
    pub sni: SniPolicy,
    pub verify_name: VerifyName,
    /// Shown to targets that ask for one.
    pub certificate: Option<Certificate>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    pub alpn: Vec<String>,
    /// Base64 of SHA-256 of a public key in the chain, one of which must be there; empty = any.
    pub pins: Vec<String>,
    /// The whole handshake.
    pub handshake_ms: u32,
}

/// The name a target is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum SniPolicy {
    /// The Host that the origin is sent.
    Host,
    /// The one the client itself asked for.
    ServerName,
    /// The name the target was written as.
    Target,
    Literal {
        value: String,
    },
    None,
}

/// The name a target's certificate must be for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum VerifyName {
    /// The one it was asked for.
    Sni,
    /// The name the target was written as.
    Target,
    Literal {
        value: String,
    },
}

//! What an explanation says about a connection: the key of the pool as a sentence, and what its handshake insists on.

use crate::exchange::Ongoing;
use crate::json::Json;
use proto::identity::Identity;
use proto::plan::{OriginHttp, OriginTls, TlsVersion};

/// The key of the pool as a sentence: what must be equal for a connection to be shared.
pub(crate) fn identity(identity: &Identity, ongoing: &Ongoing) -> String {
    let over = if identity.tls.is_some() { "TLS" } else { "plain TCP" };
    let mut text = format!("{} over {over}, of origin {}", identity.target, identity.origin);
    if let Some(tls) = &identity.tls {
        let asked = identity.server_name(ongoing.bound.as_deref());
        let named = |name: &str| if name.is_empty() { "no name".to_owned() } else { name.to_owned() };
        text.push_str(&format!(", asked for {}, trust {:016x}", named(asked), tls.trust_digest));
        if tls.client_certificate != 0 {
            text.push_str(&format!(", client certificate {:016x}", tls.client_certificate));
        }
    }
    text.push_str(match identity.http {
        OriginHttp::Http1 => "",
        OriginHttp::Either => ", HTTP/2 or HTTP/1.1 by ALPN",
        OriginHttp::Http2 => ", HTTP/2",
    });
    if let Some(local) = identity.local {
        text.push_str(&format!(", from {local}"));
    }
    if let Some(host) = ongoing.bound.as_ref().and_then(|b| b.host.as_ref()) {
        text.push_str(&format!(", for host {}", String::from_utf8_lossy(host)));
    }
    if ongoing.owner.is_some() {
        text.push_str(", for this client alone");
    }
    text
}

/// What a handshake with the target would ask for and insist on.
pub(crate) fn describe_tls(plan: &OriginTls, identity: &Identity, name: &str, ongoing: &Ongoing) -> String {
    let asked = identity.server_name(ongoing.bound.as_deref());
    let own = identity.tls.as_ref().map_or("", |tls| tls.verified_name.as_str());
    let verified = [own, asked, name].into_iter().find(|name| !name.is_empty()).unwrap_or("");
    let version = |version: TlsVersion| if version == TlsVersion::Tls12 { "1.2" } else { "1.3" };
    Json::default()
        .text("sni", asked)
        .flag("verify", plan.verify)
        .text("verifyName", verified)
        .flag("systemRoots", plan.system_roots)
        .flag("ownRoots", !plan.roots.is_empty())
        .number("pins", plan.pins.len() as u64)
        .text("clientCertificate", plan.certificate.as_ref().map_or("", |own| own.label.as_str()))
        .text("minVersion", version(plan.min_version))
        .text("maxVersion", version(plan.max_version))
        .number("handshakeMs", plan.handshake_ms)
        .end()
}

//! TLS to a target, compiled: whom it trusts, what it is asked for, which certificate it is shown, and the tickets it
//! gave. One for all workers and for exactly one identity: what was learned under one is never used under another.

use crate::multiplexed::ALPN;
use crate::tls::TlsTrouble;
use crate::tls_keys::{certified_key, provider, roots, versions};
use proto::plan::OriginTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Names whose tickets are kept for one target.
const NAMES_KEPT: usize = 256;

/// TLS to one target, or to all of an origin that are asked for by the request's own names.
pub struct TargetTls {
    offer: Offer,
    /// HTTP/1 alone, where the other offers more.
    http1: Option<Offer>,
    /// Certificates are verified.
    verifies: bool,
    /// What stands in for a name in the library where none is asked for; never sent.
    address: ServerName<'static>,
}

/// What a target is offered.
struct Offer {
    config: Arc<ClientConfig>,
    /// Asks for no name.
    nameless: Arc<ClientConfig>,
}

impl Offer {
    fn new(config: ClientConfig) -> Self {
        let mut nameless = config.clone();
        nameless.enable_sni = false;
        Self { config: Arc::new(config), nameless: Arc::new(nameless) }
    }
}

/// Of an origin: what its targets have in common.
pub struct OriginTrust {
    verifier: Arc<Verifier>,
    certificate: Option<Arc<CertifiedKey>>,
}

impl OriginTrust {
    pub fn new(place: &str, plan: &OriginTls) -> Result<Self, String> {
        let inner = if plan.verify {
            let trusted = Arc::new(roots(place, &plan.roots, plan.system_roots)?);
            let built = WebPkiServerVerifier::builder_with_provider(trusted, provider()).build();
            Some(built.map_err(|error| format!("{place}: {error}"))?)
        } else {
            None
        };
        let own = plan.certificate.as_ref();
        let certificate = own.map(|own| certified_key(&format!("{place}.clientCertificate"), own)).transpose()?;
        Ok(Self { verifier: Arc::new(Verifier { inner, name: None, pins: plan.pins.clone() }), certificate })
    }
}

impl TargetTls {
    /// `verified`: the name its certificate must be for, where that is not the name it is asked for.
    pub fn new(
        place: &str,
        plan: &OriginTls,
        trust: &OriginTrust,
        address: std::net::IpAddr,
        verified: Option<&str>,
    ) -> Result<Self, String> {
        let name = verified.map(|name| {
            ServerName::try_from(name.to_owned())
                .map_err(|_| format!("{place}.verifyName: {name} is no name a certificate can be for"))
        });
        let verifier = Arc::new(Verifier { name: name.transpose()?, ..(*trust.verifier).clone() });
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(plan.min_version, plan.max_version))
            .map_err(|error| format!("{place}: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &trust.certificate {
            None => builder.with_no_client_auth(),
            Some(key) => {
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(key))))
            }
        };
        config.alpn_protocols = plan.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        config.resumption = Resumption::in_memory_sessions(NAMES_KEPT);
        let is_http2 = |name: &Vec<u8>| name == ALPN;
        let http1 = config.alpn_protocols.iter().any(is_http2).then(|| {
            let mut config = config.clone();
            config.alpn_protocols.retain(|name| !is_http2(name));
            Offer::new(config)
        });
        let address = ServerName::IpAddress(address.into());
        Ok(Self { offer: Offer::new(config), http1, verifies: plan.verify, address })
    }

    /// Whether a certificate that was verified once is good for this name too (S0-10). Where none is verified nobody knows.
    #[must_use]
    pub fn is_good_for(&self, certificate: &CertificateDer<'_>, name: &str) -> bool {
        let (Ok(parsed), Ok(name)) = (webpki::EndEntityCert::try_from(certificate), ServerName::try_from(name)) else {
            return false;
        };
        self.verifies && parsed.verify_is_valid_for_subject_name(&name).is_ok()
    }

    /// A connection that asks for this name; empty = for none. `http1`: HTTP/2 is not offered.
    pub fn connect(&self, name: &str, http1: bool) -> Result<UnbufferedClientConnection, TlsTrouble> {
        let offer = self.http1.as_ref().filter(|_| http1).unwrap_or(&self.offer);
        let (config, name) = if name.is_empty() {
            (&offer.nameless, self.address.clone())
        } else {
            let name = ServerName::try_from(name.to_owned());
            (&offer.config, name.map_err(|_| TlsTrouble::Local("the name to ask for is no DNS name".to_owned()))?)
        };
        UnbufferedClientConnection::new(Arc::clone(config), name).map_err(|error| TlsTrouble::Local(error.to_string()))
    }
}

/// Checks a target's certificate by the origin's rules.
#[derive(Clone, Debug)]
struct Verifier {
    /// None takes any certificate, as long as its holder signs with it.
    inner: Option<Arc<WebPkiServerVerifier>>,
    name: Option<ServerName<'static>>,
    pins: Vec<String>,
}

impl Verifier {
    fn holds_pin(&self, chain: &[&CertificateDer<'_>]) -> bool {
        self.pins.is_empty()
            || chain.iter().any(|certificate| pin_of(certificate).is_some_and(|pin| self.pins.contains(&pin)))
    }
}

/// Base64 of the SHA-256 of a certificate's public key.
fn pin_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let key = parsed.subject_public_key_info();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_ref());
    Some(base64(digest.as_ref()))
}

/// SHA-256 in hexadecimal digits: what people compare certificates by.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4648 4.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all: Vec<&CertificateDer<'_>> = std::iter::once(leaf).chain(chain).collect();
        if !self.holds_pin(&all) {
            return Err(Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure));
        }
        match &self.inner {
            None => Ok(ServerCertVerified::assertion()),
            Some(inner) => inner.verify_server_cert(leaf, chain, self.name.as_ref().unwrap_or(asked), ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

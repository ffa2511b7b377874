//! Certificates, keys, authorities and revocation lists: from the text an operator wrote to what the TLS library takes.
//! Every complaint begins with the place in the settings it is about.

use proto::plan::{Certificate, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion};
use std::sync::{Arc, OnceLock};

/// The one set of algorithms of this process, post-quantum key exchange first.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// The versions from one to the other.
pub fn versions(min: TlsVersion, max: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static OLD: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    static NEW: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match (min, max) {
        (TlsVersion::Tls12, TlsVersion::Tls12) => &OLD,
        (TlsVersion::Tls12, TlsVersion::Tls13) => &BOTH,
        (TlsVersion::Tls13, _) => &NEW,
    }
}

/// Reads a chain and its key, which must belong together.
pub fn certified_key(place: &str, certificate: &Certificate) -> Result<Arc<CertifiedKey>, String> {
    let label = &certificate.label;
    let chain = certificates(place, label, &certificate.chain)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.0.as_bytes())
        .map_err(|error| format!("{place}: {label}: the key cannot be read: {error}"))?;
    CertifiedKey::from_der(chain, key, &provider())
        .map(Arc::new)
        .map_err(|error| format!("{place}: {label}: the certificate and the key cannot be used together: {error}"))
}

/// Every certificate of a text; none is a complaint.
pub fn certificates(place: &str, label: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| format!("{place}: {label}: a certificate cannot be read: {error}"))?;
    if found.is_empty() { Err(format!("{place}: {label}: there is no certificate in it")) } else { Ok(found) }
}

/// Whom this system trusts, read once in the life of the process. What cannot be read is not trusted.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        store
    })
}

/// The authorities of a text, and the system's.
pub fn roots(place: &str, pem: &str, system: bool) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    if system {
        store.extend(system_roots().roots.iter().cloned());
    }
    if !pem.is_empty() {
        for certificate in certificates(place, "ca", pem)? {
            store.add(certificate).map_err(|error| format!("{place}: ca: an authority cannot be used: {error}"))?;
        }
    }
    if store.is_empty() { Err(format!("{place}: nobody is trusted: there is no authority")) } else { Ok(store) }
}

/// The revocation lists of a text; it may be empty.
pub fn revocations(place: &str, pem: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| format!("{place}: crl: a revocation list cannot be read: {error}"))?;
    if found.is_empty() && !pem.trim().is_empty() {
        return Err(format!("{place}: crl: there is no revocation list in it"));
    }
    Ok(found)
}

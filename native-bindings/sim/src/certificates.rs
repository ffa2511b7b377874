//! The certificates of all runs, made once in a process: an authority, and what it and another issued. Ed25519 with serial
//! numbers of one length, so that every signature and every certificate is as long in the next process as in this one: the
//! network's dice follow lengths.

use proto::plan::{Certificate, Secret};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519, SerialNumber, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, OnceLock};

/// The name whose clients must show a certificate, in runs that ask for some.
pub const SECRET_NAME: &str = "secret.sim";
/// What origins may be asked for as.
pub const ORIGIN_NAME: &str = "origin.sim";

/// A chain with its key, for the proxy's plan and for a peer's session.
pub struct Issued {
    pub pem: Certificate,
    pub key: Arc<CertifiedKey>,
    /// As `Client-Cert` carries it (RFC 9440).
    pub field: String,
}

pub struct Kit {
    /// PEM, as the plan takes it, and as peers do.
    pub authority: String,
    pub roots: Arc<RootCertStore>,
    /// For every name and address of a run.
    pub server: Issued,
    /// Clients', all of one authority. The proxy itself shows the last.
    pub clients: Vec<Issued>,
    /// By an authority that nobody trusts.
    pub foreign: Issued,
    /// For another name; out of date.
    pub misnamed: Issued,
    pub expired: Issued,
}

/// The kit of this process.
pub fn kit() -> &'static Kit {
    static KIT: OnceLock<Kit> = OnceLock::new();
    KIT.get_or_init(|| make().expect("certificates of fixed shape can be made"))
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn make() -> Result<Kit, rcgen::Error> {
    let (ours, theirs) = (authority()?, authority()?);
    let names = server_names();
    let authority = ours.pem();
    let mut roots = RootCertStore::empty();
    roots.add(ours.der().clone()).expect("an authority of our own");
    let clients = ["client0.sim", "client1.sim", "client2.sim"];
    Ok(Kit {
        authority,
        roots: Arc::new(roots),
        server: issue(&ours, &names, 1, 2090)?,
        clients: clients
            .iter()
            .zip(2..)
            .map(|(name, serial)| issue(&ours, &[(*name).to_owned()], serial, 2090))
            .collect::<Result<_, _>>()?,
        foreign: issue(&theirs, &names, 7, 2090)?,
        misnamed: issue(&ours, &["elsewhere.invalid".to_owned()], 8, 2090)?,
        expired: issue(&ours, &names, 9, 2020)?,
    })
}

/// Names clients ask the proxy for, and it asks targets for; checks take a target's label.
fn server_names() -> Vec<String> {
    let mut names = ["sim", "two.sim", "checked.sim", SECRET_NAME, ORIGIN_NAME].map(str::to_owned).to_vec();
    for (origin, place) in [0, 1].into_iter().flat_map(|origin| (1..=3).map(move |place| (origin, place))) {
        let label = format!("t{origin}-{place}");
        names.extend([format!("{label}.sim"), label, format!("10.9.{origin}.{place}")]);
    }
    names
}

fn authority() -> Result<Issuer, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from(100));
    CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ED25519)?)
}

fn issue(issuer: &Issuer, names: &[String], serial: u64, until: i32) -> Result<Issued, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.serial_number = Some(SerialNumber::from(serial));
    (params.not_before, params.not_after) = (date_time_ymd(2010, 1, 1), date_time_ymd(until, 1, 1));
    let certificate = params.signed_by(&key, issuer)?;
    let pem = Certificate {
        label: format!("certificate {serial}"),
        chain: certificate.pem(),
        key: Secret(key.serialize_pem()),
    };
    let der = CertificateDer::from_pem_slice(pem.chain.as_bytes()).expect("what was just written");
    let field = format!(":{}:", engine::tls_client::base64(&der));
    let private = PrivateKeyDer::from_pem_slice(pem.key.0.as_bytes()).expect("what was just written");
    let key = CertifiedKey::from_der(vec![der], private, &default_provider()).expect("a certificate and its key");
    Ok(Issued { pem, key: Arc::new(key), field })
}

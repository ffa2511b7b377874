//! TLS of a listener, compiled: which certificate a name is answered with, whose certificates clients must show, and the
//! tickets by which they come back. One for all workers, so a ticket from one is good at any other.

use crate::tls::TlsTrouble;
use crate::tls_keys::{certified_key, provider, revocations, roots, versions};
use proto::client_hello::name_holds;
use proto::identity::digest_of;
use proto::plan::{ClientAuth, ListenerTls};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, UnbufferedServerConnection,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The makers of tickets of one proxy. They outlive a change of settings, so that clients resume across it; each rule for
/// client certificates has its own, so that nobody resumes past a rule that would ask for another certificate.
#[derive(Default)]
pub struct Tickets {
    by_rule: Mutex<HashMap<u64, Arc<dyn ProducesTickets>>>,
}

impl Tickets {
    fn of(&self, rule: u64) -> Result<Arc<dyn ProducesTickets>, String> {
        let mut by_rule = self.by_rule.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = by_rule.get(&rule) {
            return Ok(Arc::clone(found));
        }
        let made = Ticketer::new().map_err(|error| format!("no keys for tickets can be made: {error}"))?;
        by_rule.insert(rule, Arc::clone(&made));
        Ok(made)
    }

    /// Forgets the makers of rules that no listener has any more: nobody resumes under them.
    pub fn keep(&self, listeners: &[Option<Arc<ServerTls>>]) {
        let used: HashSet<u64> = listeners.iter().flatten().flat_map(|tls| rule_digests(&tls.plan)).collect();
        self.by_rule.lock().unwrap_or_else(PoisonError::into_inner).retain(|rule, _| used.contains(rule));
    }
}

/// TLS of one listener.
pub struct ServerTls {
    /// Where no rule holds: no certificate is asked for.
    open: Arc<ServerConfig>,
    rules: Vec<Rule>,
    certificates: Arc<Certificates>,
    pub plan: ListenerTls,
}

struct Rule {
    /// Tells it apart by what it asks, and of whom: the same in a later plan whose lists and authorities were renewed.
    mark: u64,
    hosts: Vec<String>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Compiles what a listener says; `place` is its path in the settings.
    pub fn new(place: &str, plan: &ListenerTls, tickets: &Tickets) -> Result<Self, String> {
        let certificates = Arc::new(Certificates::new(place, plan)?);
        let rules = plan.client_auth.iter().enumerate().map(|(at, auth)| {
            let place = format!("{place}.clientCertificates[{at}]");
            let config = server_config(&place, plan, Some(auth), &certificates, tickets)?;
            let hosts: Vec<String> = auth.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
            Ok(Rule { mark: digest_of(&(&hosts, auth.required)), hosts, config })
        });
        Ok(Self {
            rules: rules.collect::<Result<_, String>>()?,
            open: server_config(place, plan, None, &certificates, tickets)?,
            certificates,
            plan: plan.clone(),
        })
    }

    /// The mark of the rule for client certificates that a name falls under.
    #[must_use]
    pub fn rule_of(&self, name: Option<&str>) -> Option<u64> {
        self.find_rule(name).map(|rule| rule.mark)
    }

    fn find_rule(&self, name: Option<&str>) -> Option<&Rule> {
        let holds = |host: &String| name.is_some_and(|name| name_holds(host, name));
        self.rules.iter().find(|rule| rule.hosts.is_empty() || rule.hosts.iter().any(holds))
    }

    /// Whether there is a certificate for a client that asks for this name.
    #[must_use]
    pub fn serves(&self, name: Option<&str>) -> bool {
        self.certificates.fallback.is_some() || self.certificates.named(name).is_some()
    }

    /// A connection under the rule of this name.
    pub fn accept(&self, name: Option<&str>) -> Result<(UnbufferedServerConnection, Option<u64>), TlsTrouble> {
        let rule = self.find_rule(name);
        let config = rule.map_or(&self.open, |rule| &rule.config);
        let connection = UnbufferedServerConnection::new(Arc::clone(config));
        let mark = rule.map(|rule| rule.mark);
        connection.map(|made| (made, mark)).map_err(|error| TlsTrouble::Local(error.to_string()))
    }
}

fn server_config(
    place: &str,
    plan: &ListenerTls,
    auth: Option<&ClientAuth>,
    certificates: &Arc<Certificates>,
    tickets: &Tickets,
) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(plan.min_version, plan.max_version))
        .map_err(|error| format!("{place}: {error}"))?;
    let builder = match auth {
        None => builder.with_no_client_auth(),
        Some(auth) => {
            let trusted = Arc::new(roots(place, &auth.ca, false)?);
            let mut verifier = WebPkiClientVerifier::builder_with_provider(trusted, provider())
                .with_crls(revocations(place, &auth.crl)?);
            if !auth.required {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("{place}: {error}"))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = plan.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if plan.tickets {
        config.ticketer = tickets.of(rule_digest(auth))?;
    } else {
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn rule_digests(plan: &ListenerTls) -> impl Iterator<Item = u64> {
    std::iter::once(rule_digest(None)).chain(plan.client_auth.iter().map(|auth| rule_digest(Some(auth))))
}

/// Tells rules apart by what they ask of a client.
fn rule_digest(auth: Option<&ClientAuth>) -> u64 {
    digest_of(&auth.map(|auth| (&auth.hosts, auth.required, &auth.ca, &auth.crl)))
}

/// The certificates of a listener by the names they are for.
#[derive(Debug)]
struct Certificates {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Without the `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    fallback: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    fn new(place: &str, plan: &ListenerTls) -> Result<Self, String> {
        let mut made = Self { exact: HashMap::new(), wildcard: HashMap::new(), fallback: None };
        for (at, certificate) in plan.certificates.iter().enumerate() {
            let key = certified_key(&format!("{place}.certificates[{at}]"), certificate)?;
            for name in names_of(&key.cert[0]) {
                match name.strip_prefix("*.") {
                    Some(parent) => made.wildcard.entry(parent.to_owned()).or_default().push(Arc::clone(&key)),
                    None => made.exact.entry(name).or_default().push(Arc::clone(&key)),
                }
            }
            if plan.fallback == Some(at as u32) {
                made.fallback = Some(key);
            }
        }
        Ok(made)
    }

    /// The certificates for a name in lower case: those for exactly it, else those for everything beside it.
    fn named(&self, name: Option<&str>) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name?;
        let exact = self.exact.get(name);
        exact.or_else(|| self.wildcard.get(name.split_once('.').map_or("", |(_, parent)| parent)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = self.named(name.as_deref());
        // Elliptic curves cost a fraction of RSA, so they come first for whoever takes them.
        let curve = |key: &&Arc<CertifiedKey>| key.key.algorithm() != SignatureAlgorithm::RSA;
        let best = named.and_then(|keys| {
            keys.iter().filter(fits).find(curve).or_else(|| keys.iter().find(fits)).or_else(|| keys.first())
        });
        best.or(self.fallback.as_ref()).cloned()
    }
}

/// The DNS names a certificate is for, lower case.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    parsed.valid_dns_names().map(str::to_ascii_lowercase).collect()
}

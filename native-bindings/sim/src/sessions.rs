//! What the peers' TLS sessions are made of: whose certificate they show, where they keep tickets and whose they take, and
//! the secrets they agree on, by which the virtual kernel reads what the proxy writes to targets.

use crate::certificates::{Issued, kit};
use crate::dice::Dice;
use crate::ledger::fail;
use proto::plan::TlsVersion;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::ServerName;
use rustls::server::{ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, KeyLog, NamedGroup, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// Whose certificate a client shows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Shown {
    #[default]
    Nothing,
    Client(usize),
    Foreign,
}

/// What a session and its peer agreed on.
#[derive(Default)]
pub struct Secrets {
    /// TLS 1.3: of the client's handshake, and of what it says first behind it.
    pub handshake: Vec<u8>,
    pub traffic: Vec<u8>,
    /// TLS 1.2.
    pub master: Vec<u8>,
}

thread_local! {
    static SPEAKER: Cell<Shown> = const { Cell::new(Shown::Nothing) };
    /// By the client's random bytes.
    static SECRETS: RefCell<HashMap<Vec<u8>, Secrets>> = RefCell::new(HashMap::new());
    /// Tickets that targets gave, and which target.
    static TICKETS: RefCell<HashMap<Vec<u8>, SocketAddr>> = RefCell::new(HashMap::new());
}

/// Forgets what other runs agreed on.
pub fn forget() {
    SECRETS.with(|secrets| secrets.borrow_mut().clear());
    TICKETS.with(|tickets| tickets.borrow_mut().clear());
}

/// Who works with a session from here on.
pub fn speak_as(shown: Shown) {
    SPEAKER.set(shown);
}

/// What the sessions of a client's random bytes agreed on.
pub fn with_secrets<T>(random: &[u8], look: impl FnOnce(Option<&Secrets>) -> T) -> T {
    SECRETS.with(|secrets| look(secrets.borrow().get(random)))
}

#[derive(Debug)]
struct Telling;

impl KeyLog for Telling {
    fn log(&self, label: &str, random: &[u8], secret: &[u8]) {
        SECRETS.with(|secrets| {
            let mut secrets = secrets.borrow_mut();
            let known = secrets.entry(random.to_vec()).or_default();
            match label {
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => known.handshake = secret.to_vec(),
                "CLIENT_TRAFFIC_SECRET_0" => known.traffic = secret.to_vec(),
                "CLIENT_RANDOM" => known.master = secret.to_vec(),
                _ => {}
            }
        });
    }
}

/// One certificate resolver for all clients, since the library gives no ticket to a session with another.
#[derive(Debug)]
struct Showing;

impl ResolvesClientCert for Showing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        match SPEAKER.get() {
            Shown::Nothing => None,
            Shown::Client(number) => Some(Arc::clone(&kit().clients[number].key)),
            Shown::Foreign => Some(Arc::clone(&kit().foreign.key)),
        }
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Where clients keep their tickets: each its own, but in some runs those of all names in one place, so that what was
/// given under one name is shown under another.
#[derive(Debug)]
pub struct Purse {
    mixes: bool,
    inside: ClientSessionMemoryCache,
}

impl Purse {
    #[must_use]
    pub fn new(mixes: bool) -> Self {
        Self { mixes, inside: ClientSessionMemoryCache::new(64) }
    }

    fn place(&self, name: &ServerName<'_>) -> ServerName<'static> {
        let whose = match SPEAKER.get() {
            Shown::Nothing => "nobody".to_owned(),
            Shown::Client(number) => format!("client{number}"),
            Shown::Foreign => "foreign".to_owned(),
        };
        let name = if self.mixes { whose } else { format!("{whose}.{}", name.to_str()) };
        ServerName::try_from(name).expect("a name")
    }
}

impl ClientSessionStore for Purse {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.inside.set_kx_hint(self.place(&name), group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.inside.kx_hint(&self.place(name))
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.inside.set_tls12_session(self.place(&name), value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.inside.tls12_session(&self.place(name))
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.inside.remove_tls12_session(&self.place(name));
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.inside.insert_tls13_ticket(self.place(&name), value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.inside.take_tls13_ticket(&self.place(name))
    }
}

/// Tickets of one target; shown to another, they break a promise.
#[derive(Debug)]
struct Tickets {
    target: SocketAddr,
    inside: Arc<dyn ProducesTickets>,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.inside.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ticket = self.inside.encrypt(plain)?;
        TICKETS.with(|tickets| tickets.borrow_mut().insert(ticket.clone(), self.target));
        Some(ticket)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let giver = TICKETS.with(|tickets| tickets.borrow().get(cipher).copied());
        if let Some(giver) = giver.filter(|giver| *giver != self.target) {
            fail(format!("{} was shown a ticket that {giver} gave", self.target));
        }
        self.inside.decrypt(cipher)
    }
}

fn protocol(versions: (TlsVersion, TlsVersion)) -> &'static [&'static SupportedProtocolVersion] {
    engine::tls_keys::versions(versions.0, versions.1)
}

/// One suite for either version, so that one cipher opens all that is written; one of the groups, so that some hellos are
/// long and some are asked for again.
fn provider(dice: &mut Dice) -> Arc<CryptoProvider> {
    static MADE: OnceLock<[Arc<CryptoProvider>; 3]> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let groups = [vec![X25519], vec![X25519MLKEM768, X25519], vec![SECP256R1]];
        groups.map(|kx_groups| {
            let cipher_suites = vec![TLS13_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
            Arc::new(CryptoProvider { cipher_suites, kx_groups, ..default_provider() })
        })
    });
    Arc::clone(&made[[0, 0, 0, 1, 2][dice.below(5) as usize]])
}

/// Small records in some sessions: a message of the handshake may come in several.
fn fragment(dice: &mut Dice) -> Option<usize> {
    dice.chance(200).then(|| 64 + dice.skewed(2_000) as usize)
}

/// How a target speaks. `asks`: for the proxy's certificate.
pub fn server_config(
    dice: &mut Dice,
    target: SocketAddr,
    shows: &Issued,
    versions: (TlsVersion, TlsVersion),
    asks: bool,
) -> Arc<ServerConfig> {
    let provider = provider(dice);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(protocol(versions))
        .expect("versions the library has");
    let builder = if asks {
        let roots = Arc::clone(&kit().roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        builder.with_client_cert_verifier(verifier.expect("an authority"))
    } else {
        builder.with_no_client_auth()
    };
    let key: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(Arc::clone(&shows.key)));
    let mut config = builder.with_cert_resolver(key);
    config.alpn_protocols = if dice.chance(500) { vec![b"http/1.1".to_vec()] } else { Vec::new() };
    config.max_fragment_size = fragment(dice);
    config.send_tls13_tickets = dice.below(5) as usize;
    if dice.chance(700) {
        let inside = Ticketer::new().expect("random bytes");
        config.ticketer = Arc::new(Tickets { target, inside });
    }
    config.key_log = Arc::new(Telling);
    Arc::new(config)
}

/// One for all clients, for the same reason as `Showing`.
fn verifier() -> Arc<WebPkiServerVerifier> {
    static MADE: OnceLock<Arc<WebPkiServerVerifier>> = OnceLock::new();
    let make = || {
        let built = WebPkiServerVerifier::builder_with_provider(Arc::clone(&kit().roots), default_provider().into());
        built.build().expect("an authority")
    };
    Arc::clone(MADE.get_or_init(make))
}

/// How a client speaks.
pub fn client_config(
    dice: &mut Dice,
    purse: &Arc<Purse>,
    versions: (TlsVersion, TlsVersion),
    nameless: bool,
) -> Arc<ClientConfig> {
    static SHOWING: OnceLock<Arc<dyn ResolvesClientCert>> = OnceLock::new();
    let showing = SHOWING.get_or_init(|| Arc::new(Showing));
    let mut config = ClientConfig::builder_with_provider(provider(dice))
        .with_protocol_versions(protocol(versions))
        .expect("versions the library has")
        .with_webpki_verifier(verifier())
        .with_client_cert_resolver(Arc::clone(showing));
    config.alpn_protocols = if dice.chance(500) { vec![b"http/1.1".to_vec()] } else { Vec::new() };
    config.max_fragment_size = fragment(dice);
    config.enable_sni = !nameless;
    config.resumption = Resumption::store(Arc::clone(purse) as Arc<dyn ClientSessionStore>);
    Arc::new(config)
}

//! Which connections of a run speak TLS, and how its peers do. Drawn on dice of their own, so that a run without TLS is the
//! same conversation whatever is drawn here.

use crate::certificates::{Issued, ORIGIN_NAME, SECRET_NAME, kit};
use crate::dice::{Dice, mix};
use crate::ledger::Mood;
use crate::net;
use crate::sessions::{self, Purse, Shown};
use proto::plan::{
    ClientAuth, HostPolicy, ListenerTls, NamePolicy, OriginTls, Plan, SniPolicy, TlsVersion, VerifyName,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// With so much room at a peer that reads, TLS's last word finds some.
const END_ROOM_BYTES: u64 = 4_000;
/// One run in so many speaks TLS somewhere: a handshake costs as much as a quarter of a run without.
const RUNS_PER_TLS: u64 = 6;

/// What a peer does to its own bytes once so many of them have left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Says nothing more.
    Silence,
    /// Ends without TLS's word, wherever a record may be.
    Fin,
    Reset,
    /// Says one thing wrong.
    Flip,
    Alert,
}

/// How one peer speaks on one connection.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manner {
    pub deed: Option<(u64, Deed)>,
    /// Its first words are no TLS.
    pub garbage: bool,
    /// New keys before so many of 1,000 records.
    pub updates: u32,
    /// It leaves without TLS's word.
    pub blunt: bool,
    /// It may be refused: the proxy owes it nothing but an alert.
    pub refusable: bool,
    /// Whose certificate it shows.
    pub shown: Shown,
}

/// Which clients must show a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asks {
    Nobody,
    Secret,
    Whoever,
    Everybody,
}

/// A listener that speaks TLS.
struct Listening {
    asks: Asks,
    fallback: bool,
    versions: (TlsVersion, TlsVersion),
    /// Origins are told the client's certificate.
    tells: bool,
    purse: Arc<Purse>,
}

/// A target that speaks TLS.
pub struct Target {
    config: Arc<ServerConfig>,
    /// Nobody may believe it.
    pub bad: bool,
    /// It may refuse the proxy, or have nothing in common with it.
    refuses: bool,
}

#[derive(Default)]
pub struct Security {
    dice: Option<Dice>,
    wild: bool,
    listening: Option<Listening>,
    targets: HashMap<SocketAddr, Target>,
    /// Somebody said one thing wrong.
    spoke_wrong: bool,
}

/// A client of a listener that speaks TLS.
pub struct Visitor {
    pub session: Connection,
    pub manner: Manner,
    pub kind: Kind,
    /// What origins must be told as its certificate.
    pub field: Option<String>,
}

/// What a client of such a listener is after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Guest,
    /// It cannot show what is asked for: nothing of its may be heard.
    Uninvited,
    /// It speaks HTTP where TLS is spoken.
    Plain,
    Garbage,
}

thread_local! {
    static SECURITY: RefCell<Security> = RefCell::new(Security::default());
}

/// The security of this thread's run. Never held while a session works.
pub fn with<T>(look: impl FnOnce(&mut Security) -> T) -> T {
    SECURITY.with(|security| look(&mut security.borrow_mut()))
}

/// Throws the dice that are only TLS's.
pub fn dice<T>(throw: impl FnOnce(&mut Dice) -> T) -> T {
    with(|security| throw(security.dice()))
}

/// Begins a run: draws what of its plan speaks TLS.
pub fn begin(seed: u64, mood: Mood, plan: &mut Plan) {
    sessions::forget();
    let wild = mood == Mood::Wild;
    let mut security = Security { dice: Some(Dice::new(mix(seed ^ 0x74_6c73))), wild, ..Security::default() };
    let dice = security.dice();
    if dice.below(RUNS_PER_TLS) == 0 {
        let (clients, origins) = (dice.chance(700), [dice.chance(500), dice.chance(500)]);
        if clients || origins == [false, false] {
            security.secure_listener(plan);
        }
        for (number, _) in origins.iter().enumerate().filter(|(_, drawn)| **drawn) {
            security.secure_origin(number, plan);
        }
    }
    with(|held| *held = security);
}

fn versions(dice: &mut Dice) -> (TlsVersion, TlsVersion) {
    *dice.pick(&[
        (TlsVersion::Tls12, TlsVersion::Tls12),
        (TlsVersion::Tls12, TlsVersion::Tls13),
        (TlsVersion::Tls13, TlsVersion::Tls13),
    ])
}

fn alpn(dice: &mut Dice) -> Vec<String> {
    if dice.chance(500) { vec!["http/1.1".to_owned()] } else { Vec::new() }
}

impl Security {
    fn dice(&mut self) -> &mut Dice {
        self.dice.get_or_insert_with(|| Dice::new(0))
    }

    fn handshake_ms(&mut self) -> u32 {
        let wild = self.wild;
        if wild { 50 + self.dice().skewed(5_000) as u32 } else { 300_000 }
    }

    fn secure_listener(&mut self, plan: &mut Plan) {
        let handshake_ms = self.handshake_ms();
        let dice = self.dice();
        let asks = *dice.pick(&[Asks::Nobody, Asks::Secret, Asks::Whoever, Asks::Everybody]);
        let (versions, fallback, tells) = (versions(dice), dice.chance(700), dice.chance(600));
        let rule = |hosts: &[&str], required: bool| ClientAuth {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            required,
            ca: kit().authority.clone(),
            crl: String::new(),
        };
        let client_auth = match asks {
            Asks::Nobody => Vec::new(),
            Asks::Secret => vec![rule(&[SECRET_NAME], true)],
            Asks::Whoever => vec![rule(&[], false)],
            Asks::Everybody => vec![rule(&[], true)],
        };
        plan.listeners[0].tls = Some(ListenerTls {
            certificates: vec![kit().server.pem.clone()],
            fallback: fallback.then_some(0),
            min_version: versions.0,
            max_version: versions.1,
            alpn: alpn(dice),
            tickets: dice.chance(800),
            handshake_ms,
            host_policy: *dice.pick(&[NamePolicy::Ignore, NamePolicy::Warn]),
            hsts: String::new(),
            client_auth,
        });
        plan.forwarding.client_certificate = tells;
        let purse = Arc::new(Purse::new(dice.chance(500)));
        self.listening = Some(Listening { asks, fallback, versions, tells, purse });
    }

    fn secure_origin(&mut self, number: usize, plan: &mut Plan) {
        let handshake_ms = self.handshake_ms();
        let wild = self.wild;
        let origin = &mut plan.origins[number];
        let dice = self.dice();
        let literal = || ORIGIN_NAME.to_owned();
        let mut sni = match dice.below(5) {
            0 => SniPolicy::Host,
            1 => SniPolicy::ServerName,
            2 => SniPolicy::Target,
            3 => SniPolicy::Literal { value: literal() },
            _ => SniPolicy::None,
        };
        if matches!((&sni, &origin.host), (SniPolicy::Host, HostPolicy::Target)) {
            sni = SniPolicy::Target;
        }
        let verify_name = match dice.below(3) {
            0 => VerifyName::Sni,
            1 => VerifyName::Target,
            _ => VerifyName::Literal { value: literal() },
        };
        let (versions, shows) = (versions(dice), dice.chance(400));
        origin.tls = Some(OriginTls {
            system_roots: false,
            roots: kit().authority.clone(),
            verify: true,
            sni,
            verify_name,
            certificate: shows.then(|| kit().clients[2].pem.clone()),
            min_version: versions.0,
            max_version: versions.1,
            alpn: alpn(dice),
            pins: Vec::new(),
            handshake_ms,
        });
        let mut made = Vec::new();
        for (place, target) in origin.targets.iter_mut().enumerate() {
            target.name = format!("t{number}-{}.sim", place + 1);
            made.push((target.socket_address(), draw_target(dice, wild, target.socket_address(), versions, shows)));
        }
        self.targets.extend(made);
    }

    /// How the next peer of a kind speaks.
    fn manner(&mut self) -> Manner {
        let wild = self.wild;
        let dice = self.dice();
        let mut manner = Manner {
            updates: if dice.chance(150) { dice.below(300) as u32 } else { 0 },
            blunt: dice.chance(400),
            ..Manner::default()
        };
        if wild && dice.chance(200) {
            let deed = *dice.pick(&[Deed::Silence, Deed::Fin, Deed::Reset, Deed::Flip, Deed::Alert]);
            manner.deed = Some((dice.skewed(4_000), deed));
        }
        manner
    }
}

fn draw_target(
    dice: &mut Dice,
    wild: bool,
    address: SocketAddr,
    plan: (TlsVersion, TlsVersion),
    shows: bool,
) -> Target {
    let kit = kit();
    let bad = wild && dice.chance(120);
    let wrong: [&Issued; 3] = [&kit.foreign, &kit.misnamed, &kit.expired];
    let issued = if bad { *dice.pick(&wrong) } else { &kit.server };
    let asks = shows && dice.chance(600) || wild && dice.chance(40);
    let versions = if wild && dice.chance(60) {
        versions(dice)
    } else {
        *dice.pick(&[plan, (TlsVersion::Tls12, TlsVersion::Tls13)])
    };
    let refuses = asks && !shows || versions.0 > plan.1 || versions.1 < plan.0;
    let config = sessions::server_config(dice, address, issued, versions, asks);
    Target { config, bad, refuses }
}

/// Whether connections to this target speak TLS, and whether nobody may believe it.
#[must_use]
pub fn target(address: SocketAddr) -> Option<bool> {
    with(|security| security.targets.get(&address).map(|target| target.bad))
}

/// Whether the proxy has no excuse for an end without TLS's word: nobody disturbs it, and the kernel takes what it is given.
#[must_use]
pub fn is_owed_an_end() -> bool {
    let takes_all = net::with(|net| net.knobs.stall == 0 && net.knobs.buffer_bytes >= END_ROOM_BYTES);
    takes_all && with(|security| !security.wild)
}

/// Whether anybody speaks TLS in this run.
#[must_use]
pub fn is_spoken() -> bool {
    with(|security| security.listening.is_some() || !security.targets.is_empty())
}

/// Whether some target shows a certificate that is no good.
#[must_use]
pub fn any_bad_target() -> bool {
    with(|security| security.targets.values().any(|target| target.bad))
}

/// Somebody says one thing wrong.
pub fn note_wrong() {
    with(|security| security.spoke_wrong = true);
}

#[must_use]
pub fn some_spoke_wrong() -> bool {
    with(|security| security.spoke_wrong)
}

/// A session of a target that was just reached.
#[must_use]
pub fn host(address: SocketAddr) -> Option<(Connection, Manner)> {
    with(|security| {
        let mut manner = security.manner();
        let target = security.targets.get(&address)?;
        manner.refusable = target.bad || target.refuses;
        let config = Arc::clone(&target.config);
        manner.garbage = security.wild && security.dice().chance(20);
        let session = ServerConnection::new(config).expect("a session of a target");
        Some((Connection::Server(session), manner))
    })
}

/// A session of a client that comes to the listener.
#[must_use]
pub fn visitor() -> Option<Visitor> {
    with(|security| {
        let mut manner = security.manner();
        let wild = security.wild;
        let Security { dice: Some(dice), listening: Some(listening), .. } = security else { return None };
        let mut kind = match dice.below(100) {
            0..=3 if wild => Kind::Plain,
            4..=7 if wild => Kind::Garbage,
            _ => Kind::Guest,
        };
        let nameless = listening.fallback && dice.chance(150);
        let names = if listening.asks == Asks::Secret { ["sim", SECRET_NAME] } else { ["sim", "two.sim"] };
        let name = *dice.pick(&names);
        let asked = match listening.asks {
            Asks::Nobody => false,
            Asks::Secret => name == SECRET_NAME && !nameless,
            Asks::Whoever | Asks::Everybody => true,
        };
        let required = asked && listening.asks != Asks::Whoever;
        manner.shown = match dice.below(10) {
            0..=3 => Shown::Client(0),
            4..=6 => Shown::Client(1),
            7 if wild => Shown::Foreign,
            _ if required && !wild => Shown::Client(0),
            _ => Shown::Nothing,
        };
        let good = matches!(manner.shown, Shown::Client(_));
        if kind == Kind::Guest && (required && !good || asked && manner.shown == Shown::Foreign) {
            (kind, manner.refusable) = (Kind::Uninvited, true);
        }
        manner.garbage = kind == Kind::Garbage;
        let versions = *dice.pick(&[listening.versions, (TlsVersion::Tls12, TlsVersion::Tls13)]);
        let config = sessions::client_config(dice, &listening.purse, versions, nameless);
        let field = match manner.shown {
            Shown::Client(number) if asked && listening.tells => Some(kit().clients[number].field.clone()),
            _ => None,
        };
        sessions::speak_as(manner.shown);
        let name = ServerName::try_from(name).expect("a name");
        let session = ClientConnection::new(config, name).expect("a session of a client");
        Some(Visitor { session: Connection::Client(session), manner, kind, field })
    })
}

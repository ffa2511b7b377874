//! Before a proxy says that it is ready, it shakes hands with itself: over the loopback, with the linked crypto, for each
//! version and protocol it may offer, with and without a client certificate (S1-06). A fault of this side's TLS is found
//! here and not by the first client, and never blamed on an origin.

use crate::blocks::Blocks;
use crate::json::{Json, list, quoted};
use crate::tls::{Sealed, Session, TlsTrouble};
use crate::tls_client::{OriginTrust, TargetTls};
use crate::tls_server::{ServerTls, Tickets};
use proto::plan::{
    Certificate, ClientAuth, ListenerTls, NamePolicy, OriginTls, Secret, SniPolicy, TlsVersion, VerifyName,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The name the two sides of the test call each other.
pub const NAME: &str = "self-test.invalid";
const WORDS: &[u8] = b"a proxy that speaks to itself";
/// One read may wait this long; a handshake over the loopback takes about a millisecond.
const WAIT: Duration = Duration::from_secs(5);
const HANDSHAKE_MS: u32 = 5000;

/// How one handshake went.
pub struct Case {
    pub name: String,
    /// `None` = well.
    pub fault: Option<String>,
}

/// Runs every case.
#[must_use]
pub fn run(alpns: &[&str]) -> Vec<Case> {
    let kit = match Kit::new() {
        Ok(kit) => kit,
        Err(error) => return vec![Case { name: "keys and certificates".to_owned(), fault: Some(error.to_string()) }],
    };
    let mut cases = Vec::new();
    for (version, label) in [(TlsVersion::Tls12, "TLSv1.2"), (TlsVersion::Tls13, "TLSv1.3")] {
        for alpn in alpns {
            for shown in [false, true] {
                let with = if shown { "with" } else { "without" };
                let name = format!("{label}, {alpn}, {with} a client certificate");
                cases.push(Case { name, fault: kit.converse(version, alpn, shown).err() });
            }
        }
    }
    cases
}

/// The cases as a JSON list.
#[must_use]
pub fn to_json(cases: &[Case]) -> String {
    list(cases, |case| {
        let fault = case.fault.as_ref().map_or("null".to_owned(), |fault| quoted(fault.as_bytes()));
        Json::default().text("name", &case.name).raw("fault", &fault).end()
    })
}

/// An authority of its own, and a certificate for either side. Proofs of this project shake hands with it too.
pub struct Kit {
    authority: String,
    server: Certificate,
    client: Certificate,
}

impl Kit {
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let issue = |label: &str| -> Result<Certificate, rcgen::Error> {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &issuer)?;
            Ok(Certificate { label: label.to_owned(), chain: certificate.pem(), key: Secret(key.serialize_pem()) })
        };
        Ok(Self { authority: issuer.pem(), server: issue("server")?, client: issue("client")? })
    }

    /// What a listener says that speaks this version only; `shown`: and wants a certificate.
    #[must_use]
    pub fn listener(&self, version: TlsVersion, alpn: &str, shown: bool) -> ListenerTls {
        let auth = ClientAuth { hosts: Vec::new(), required: true, ca: self.authority.clone(), crl: String::new() };
        ListenerTls {
            certificates: vec![self.server.clone()],
            fallback: None,
            min_version: version,
            max_version: version,
            alpn: vec![alpn.to_owned()],
            tickets: true,
            handshake_ms: HANDSHAKE_MS,
            host_policy: NamePolicy::Ignore,
            hsts: String::new(),
            client_auth: if shown { vec![auth] } else { Vec::new() },
        }
    }

    /// What an origin says that is asked in this version only; `shown`: and is shown a certificate.
    #[must_use]
    pub fn origin(&self, version: TlsVersion, alpn: &str, shown: bool) -> OriginTls {
        OriginTls {
            system_roots: false,
            roots: self.authority.clone(),
            verify: true,
            sni: SniPolicy::Target,
            verify_name: VerifyName::Sni,
            certificate: shown.then(|| self.client.clone()),
            min_version: version,
            max_version: version,
            alpn: vec![alpn.to_owned()],
            pins: Vec::new(),
            handshake_ms: HANDSHAKE_MS,
        }
    }

    /// One handshake and one word each way.
    fn converse(&self, version: TlsVersion, alpn: &str, shown: bool) -> Result<(), String> {
        let server = ServerTls::new("self-test", &self.listener(version, alpn, shown), &Tickets::default())?;
        let origin = self.origin(version, alpn, shown);
        let trust = OriginTrust::new("self-test", &origin)?;
        let target = TargetTls::new("self-test", &origin, &trust, IpAddr::V4(Ipv4Addr::LOCALHOST), None)?;
        let (near, far) = connected().map_err(|error| format!("no connection over the loopback: {error}"))?;
        let answering = std::thread::spawn(move || {
            let mut end = End::new(far, Session::server(Arc::new(server)));
            end.hear().and_then(|heard| end.say(&heard)).map(|()| end.session.peer_certificate().is_some())
        });
        let mut end = End::new(near, Session::client(&target, NAME, false).map_err(says)?);
        let heard = end.begin().and_then(|()| end.say(WORDS)).and_then(|()| end.hear());
        let seen = answering.join().map_err(|_| "the server's side panicked".to_owned())?;
        match (heard?, seen?) {
            (heard, seen) if heard != WORDS || seen != shown => Err("the two sides heard different things".to_owned()),
            _ if end.session.alpn() != Some(alpn.as_bytes()) => Err("the protocol is not the one offered".to_owned()),
            _ => Ok(()),
        }
    }
}

fn says(trouble: TlsTrouble) -> String {
    format!("{}: {}", trouble.token(), trouble.says())
}

fn connected() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for end in [&near, &far] {
        end.set_read_timeout(Some(WAIT))?;
        end.set_write_timeout(Some(WAIT))?;
    }
    Ok((near, far))
}

/// One side of the conversation, which waits where a worker never would.
struct End {
    stream: TcpStream,
    session: Session,
    blocks: Blocks,
    heard: Vec<u8>,
}

impl End {
    fn new(stream: TcpStream, session: Session) -> Self {
        Self { stream, session, blocks: Blocks::default(), heard: Vec::new() }
    }

    /// Speaks first, and goes on until the handshake is over.
    fn begin(&mut self) -> Result<(), String> {
        let mut words = Vec::new();
        self.session.begin(&mut words).map_err(says)?;
        self.write(&words)?;
        while !self.session.is_open() {
            self.read()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| error.to_string())
    }

    fn read(&mut self) -> Result<(), String> {
        let mut wire = self.session.pending().to_vec();
        let held = wire.len();
        wire.resize(held + 16 * 1024, 0);
        let count = loop {
            match self.stream.read(&mut wire[held..]) {
                Ok(0) => return Err("the other side closed".to_owned()),
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        };
        let (mut buf, mut reply) = ([0u8; 1024], Vec::new());
        let opened = self.session.open(&mut wire[..held + count], &mut buf, &mut self.blocks, &mut reply);
        self.write(&reply)?;
        self.heard.extend_from_slice(&buf[..opened.map_err(says)?]);
        Ok(())
    }

    fn hear(&mut self) -> Result<Vec<u8>, String> {
        while self.heard.len() < WORDS.len() {
            self.read()?;
        }
        Ok(self.heard.clone())
    }

    fn say(&mut self, words: &[u8]) -> Result<(), String> {
        let mut sealed = Sealed::default();
        self.session.seal(&[words], false, &mut sealed).map_err(says)?;
        self.write(sealed.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_06_this_build_shakes_hands_with_itself_in_every_case() {
        let cases = run(&["http/1.1", "h2"]);
        assert_eq!(cases.len(), 8);
        for case in cases {
            assert_eq!(case.fault, None, "{}", case.name);
        }
    }
}

//! One TLS session: bytes of the wire in, bytes of the application out, and back. No socket here: `link.rs` moves the
//! bytes; `tls_records.rs` has the steps of rustls. A session keeps no buffer of its own but the part of a record that has
//! not come whole.
//!
//! ```text
//! state    promises                                             left for
//! HELLO    a client's first message is not whole yet            SHAKING (rules chosen by its name), failed
//! SHAKING  the handshake runs                                   OPEN, failed
//! OPEN     both directions carry the application's bytes        ended (either side said so), failed
//! ```

use crate::blocks::Blocks;
use crate::tls_client::TargetTls;
pub use crate::tls_records::Sealed;
use crate::tls_records::{Sealing, Side, Sink, Words};
use crate::tls_server::ServerTls;
use proto::client_hello::{HELLO_BYTES_MAX, Hello, read_hello};
use rustls::pki_types::CertificateDer;
use rustls::unbuffered::EncryptError;
use rustls::{AlertDescription, CommonState, Error, HandshakeKind};
use std::sync::Arc;

/// What speaks TLS here, for messages about faults of this side.
pub const TLS_LIBRARY: &str = "rustls 0.23, aws-lc-rs";
/// What a record adds to what it carries, at most: header, content type, explicit nonce, tag.
const RECORD_EXTRA: usize = 64;
const RECORD_BYTES: usize = 16 * 1024;
/// Fatal alerts as records: unrecognized_name (RFC 6066 3) and decode_error (RFC 8446 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// Why a session failed. Whose fault it is, is said by the row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsTrouble {
    /// The peer's certificate is not good for the name, or not by anybody trusted.
    Verify(String),
    /// The peer ended it with an alert.
    Alert(AlertDescription),
    /// The peer's bytes are not TLS, or not a TLS both sides speak.
    Peer(String),
    /// The peer left before the handshake was over.
    Eof,
    /// The handshake took too long.
    Timeout,
    /// This side's own fault: random numbers, memory, a key that cannot sign.
    Local(String),
    /// A client spoke plain HTTP.
    PlainHttp,
}

impl TlsTrouble {
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(why) => Self::Verify(format!("{why:?}")),
            Error::NoCertificatesPresented => Self::Verify("no certificate was shown".to_owned()),
            Error::AlertReceived(alert) => Self::Alert(alert),
            Error::FailedToGetRandomBytes
            | Error::FailedToGetCurrentTime
            | Error::EncryptError
            | Error::General(_)
            | Error::InconsistentKeys(_)
            | Error::HandshakeNotComplete => Self::Local(error.to_string()),
            other => Self::Peer(other.to_string()),
        }
    }

    /// The name of this trouble in logs.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::Verify(_) => "tls_verify",
            Self::Alert(_) => "tls_alert",
            Self::Peer(_) => "tls_peer",
            Self::Eof => "tls_eof",
            Self::Timeout => "tls_timeout",
            Self::Local(_) => "tls_local_error",
            Self::PlainHttp => "tls_plain_http",
        }
    }

    /// What is known beyond the name.
    #[must_use]
    pub fn says(&self) -> String {
        match self {
            Self::Verify(says) | Self::Peer(says) | Self::Local(says) => says.clone(),
            Self::Alert(alert) => format!("{alert:?}"),
            Self::Eof | Self::Timeout => String::new(),
            Self::PlainHttp => "plain HTTP was sent to a TLS listener".to_owned(),
        }
    }
}

enum Inner {
    Hello(Arc<ServerTls>),
    Shaking(Box<dyn Side>),
}

/// A TLS session of one connection.
pub struct Session {
    inner: Inner,
    /// Bytes of the wire that are no whole record yet.
    pending: Vec<u8>,
    /// The application's bytes that nobody fetched yet.
    plain: Vec<u8>,
    /// The name the client asked for, or the one this side asked for.
    name: Option<Box<str>>,
    /// Which rule for client certificates the session was opened under.
    rule: Option<u64>,
    peer_ended: bool,
    said_end: bool,
    open: bool,
    pub failed: Option<TlsTrouble>,
}

impl Session {
    /// A session with a client, whose first bytes choose the rules.
    #[must_use]
    pub fn server(rules: Arc<ServerTls>) -> Self {
        Self::new(Inner::Hello(rules), None)
    }

    /// A session with a target, asked for by this name. (An empty name asks for none.)
    /// `http1`: HTTP/2 is not offered, whatever the plan says.
    pub fn client(target: &TargetTls, name: &str, http1: bool) -> Result<Self, TlsTrouble> {
        let connection = target.connect(name, http1)?;
        let name = (!name.is_empty()).then(|| name.into());
        Ok(Self::new(Inner::Shaking(Box::new(connection)), name))
    }

    fn new(inner: Inner, name: Option<Box<str>>) -> Self {
        Self {
            inner,
            pending: Vec::new(),
            plain: Vec::new(),
            name,
            rule: None,
            peer_ended: false,
            said_end: false,
            open: false,
            failed: None,
        }
    }

    /// The handshake is over, and well.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The peer said that it sends nothing more.
    #[must_use]
    pub fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    /// Bytes of the application wait to be fetched.
    #[must_use]
    pub fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    #[must_use]
    pub fn rule(&self) -> Option<u64> {
        self.rule
    }

    fn common(&self) -> Option<&CommonState> {
        match &self.inner {
            Inner::Hello(_) => None,
            Inner::Shaking(side) => Some(side.common()),
        }
    }

    /// The handshake was shortened by a ticket.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.common().and_then(CommonState::handshake_kind) == Some(HandshakeKind::Resumed)
    }

    /// "TLSv1.3" and the like.
    #[must_use]
    pub fn version(&self) -> &'static str {
        match self.common().and_then(CommonState::protocol_version) {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        }
    }

    /// The cipher suite's name in the registry of IANA.
    #[must_use]
    pub fn cipher(&self) -> &'static str {
        let suite = self.common().and_then(CommonState::negotiated_cipher_suite);
        suite.and_then(|suite| suite.suite().as_str()).unwrap_or("")
    }

    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.common()?.alpn_protocol()
    }

    /// The peer's certificate, verified.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.common()?.peer_certificates()?.first()
    }

    /// Begins this side's part, where it speaks first.
    pub fn begin(&mut self, reply: &mut Vec<u8>) -> Result<(), TlsTrouble> {
        self.run(&mut [], &mut [], reply).map(|_| ())
    }

    /// How many bytes of the wire must stand before the next ones.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Fetches bytes of the application that an earlier `open` had no room for.
    pub fn fetch(&mut self, buf: &mut [u8], blocks: &mut Blocks) -> usize {
        let count = self.plain.len().min(buf.len());
        buf[..count].copy_from_slice(&self.plain[..count]);
        self.plain.drain(..count);
        if self.plain.is_empty() {
            blocks.release(&mut self.plain);
        }
        count
    }

    /// Opens what came. `wire` begins with what `pending` gave. Returns how much of the application's bytes is in `buf`;
    /// what is to be sent in reply is appended to `reply`, also when the session fails. Then what came whole before waits
    /// to be fetched.
    pub fn open(
        &mut self,
        wire: &mut [u8],
        buf: &mut [u8],
        blocks: &mut Blocks,
        reply: &mut Vec<u8>,
    ) -> Result<usize, TlsTrouble> {
        if let Inner::Hello(rules) = &self.inner {
            match read_hello(wire) {
                Hello::Partial if wire.len() <= HELLO_BYTES_MAX => {
                    self.keep(wire, blocks);
                    return Ok(0);
                }
                // The library would hold four times as much before it refuses.
                Hello::Partial | Hello::TooLong => {
                    reply.extend_from_slice(&DECODE_ERROR);
                    return Err(TlsTrouble::Peer(format!("a ClientHello of more than {HELLO_BYTES_MAX} bytes")));
                }
                // Whatever else it is, the library finds the right alert for it; but people get a sentence.
                Hello::NotTls if wire.first().is_some_and(u8::is_ascii_uppercase) => return Err(TlsTrouble::PlainHttp),
                Hello::NotTls => self.inner = Inner::Shaking(Box::new(rules.accept(None)?.0)),
                Hello::Name(name) if !rules.serves(name.as_deref()) => {
                    // The library would say access_denied, which clients show as if it were about them.
                    reply.extend_from_slice(&UNRECOGNIZED_NAME);
                    return Err(TlsTrouble::Peer("no certificate is for the name asked for".into()));
                }
                Hello::Name(name) => {
                    let (connection, rule) = rules.accept(name.as_deref())?;
                    (self.name, self.rule) = (name.map(Into::into), rule);
                    self.inner = Inner::Shaking(Box::new(connection));
                }
            }
        }
        let (used, len) = self.run(wire, buf, reply)?;
        self.keep(&wire[used..], blocks);
        Ok(len)
    }

    fn keep(&mut self, rest: &[u8], blocks: &mut Blocks) {
        if rest.is_empty() {
            blocks.release(&mut self.pending);
        } else {
            self.pending.clear();
            blocks.append(&mut self.pending, rest);
        }
    }

    /// Lets the library work until it wants more bytes. Returns how many of the wire's bytes it used, and how many of the
    /// application's it wrote into `buf`.
    fn run(&mut self, wire: &mut [u8], buf: &mut [u8], reply: &mut Vec<u8>) -> Result<(usize, usize), TlsTrouble> {
        let Inner::Shaking(side) = &mut self.inner else { return Ok((0, 0)) };
        let mut at = 0;
        let mut sink = Sink { buf: &mut *buf, len: 0, rest: &mut self.plain, peer_ended: self.peer_ended };
        let trouble = loop {
            let (used, next) = side.open_step(&mut wire[at..], &mut sink, reply);
            at += used;
            match next {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(TlsTrouble::of(error)),
            }
        };
        let len = sink.len;
        if let Some(trouble) = trouble {
            side.alert_step(&mut wire[at..], reply);
            // What came whole before it was the peer's, and stands before what did not fit any more.
            self.plain.splice(0..0, buf[..len].iter().copied());
            return Err(trouble);
        }
        self.peer_ended = sink.peer_ended;
        self.open = self.open || !side.common().is_handshaking();
        Ok((at, len))
    }

    /// Appends the application's bytes to `out` as records. `last`: and the word that nothing follows.
    pub fn seal(&mut self, parts: &[&[u8]], last: bool, out: &mut Sealed) -> Result<(), TlsTrouble> {
        for part in parts.iter().filter(|part| !part.is_empty()) {
            self.write(out, Words::Bytes(part))?;
        }
        if last { self.end(out) } else { Ok(()) }
    }

    /// Appends the word that this side sends nothing more, once.
    pub fn end(&mut self, out: &mut Sealed) -> Result<(), TlsTrouble> {
        if self.said_end || !self.open {
            return Ok(());
        }
        self.said_end = true;
        self.write(out, Words::End)
    }

    /// Nothing more is said, not even that.
    pub fn break_off(&mut self) {
        self.said_end = true;
    }

    fn write(&mut self, out: &mut Sealed, words: Words<'_>) -> Result<(), TlsTrouble> {
        if let Some(trouble) = &self.failed {
            // The library may not see again the bytes it failed at: it would tell the peer twice.
            return Err(trouble.clone());
        }
        let Inner::Shaking(side) = &mut self.inner else {
            return Err(TlsTrouble::Local("nothing can be sealed before the handshake".into()));
        };
        let bytes = if let Words::Bytes(bytes) = words { bytes.len() } else { 0 };
        let mut room = bytes + RECORD_EXTRA * (bytes / RECORD_BYTES + 2);
        loop {
            match side.seal_step(&mut self.pending, words, room, out)? {
                Sealing::Again => {}
                Sealing::PeerEnded => self.peer_ended = true,
                Sealing::Done(Ok(count)) => {
                    out.len += count;
                    return Ok(());
                }
                Sealing::Done(Err(EncryptError::InsufficientSize(needed))) => room = needed.required_size,
                Sealing::Done(Err(EncryptError::EncryptExhausted)) => {
                    return Err(TlsTrouble::Local("the session's keys are spent".into()));
                }
            }
        }
    }

    /// Gives the buffers back.
    pub fn release(&mut self, blocks: &mut Blocks) {
        blocks.release(&mut self.pending);
        blocks.release(&mut self.plain);
    }
}

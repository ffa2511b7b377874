//! A peer's way to the network: its bytes as they are, or a TLS session of a library of its own between it and the
//! network, which tears, delays and cuts what the session wrote. Whoever uses a line reads and writes the plain bytes.
//!
//! A peer may spoil its own session (`secure::Manner`). One that does not is owed TLS without a fault: every complaint of
//! its session is a broken promise.

use crate::ledger::{fail, say};
use crate::net;
use crate::secure::{self, Deed, Manner};
use crate::sessions;
use engine::io::Trouble;
use rustls::{Connection, Error};
use std::io::{Read as _, Write as _};
use std::ops::Range;

/// Most of the application's bytes in one go.
const PIECE_BYTES: usize = 16 * 1024;
/// handshake_failure, as anybody may say it before keys are agreed on.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
/// What a target says that speaks no TLS.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
/// Neither TLS nor, by its first byte, a request.
const GARBAGE: &[u8] = b"\x05\x01\x00 some protocol that nobody speaks here \xff\xfe\x00\x00";

const HANDSHAKE_RECORD: u8 = 22;
const SEALED_RECORD: u8 = 23;
const HEADER_BYTES: usize = 5;
/// Where the random bytes stand in either side's first record.
const RANDOM: Range<usize> = 11..43;

/// How a peer leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// With all that belongs to it.
    Politely,
    /// As a peer leaves that has nothing to lose: what was said is whole, but TLS's word may be missing.
    Idle,
    /// Cuts what it was about to say.
    Cut,
}

/// What came.
pub struct Came {
    pub bytes: Vec<u8>,
    /// Bytes of the wire were taken, whatever was in them.
    pub any: bool,
    /// The proxy says nothing more, and said all.
    pub end: bool,
    /// The connection broke, or ended without TLS's word.
    pub cut: bool,
}

pub struct Line {
    end: u32,
    sealed: Option<Box<Sealed>>,
}

/// A session, and what it wants sent.
struct Sealed {
    session: Connection,
    manner: Manner,
    out: Vec<u8>,
    /// The byte of `out` that makes bytes whole that no request asked for.
    stray_at: Option<usize>,
    sent: u64,
    /// Bytes of the application were sealed, and opened.
    spoke: bool,
    heard: bool,
    /// Its handshake went wrong, so nothing behind it counts.
    void: bool,
    said_end: bool,
    fin_due: bool,
    close_due: bool,
    /// Nothing it says counts any more.
    silent: bool,
    /// Something it said was wrong.
    spoilt: bool,
    failed: bool,
}

impl Line {
    #[must_use]
    pub fn plain(end: u32) -> Self {
        Self { end, sealed: None }
    }

    #[must_use]
    pub fn sealed(end: u32, session: Connection, manner: Manner) -> Self {
        let mut sealed = Sealed {
            session,
            manner,
            out: Vec::new(),
            stray_at: None,
            sent: 0,
            spoke: false,
            void: false,
            said_end: false,
            fin_due: false,
            close_due: false,
            silent: false,
            spoilt: manner.garbage,
            failed: false,
            heard: false,
        };
        sealed.session.set_buffer_limit(None);
        if manner.garbage {
            let plain = matches!(sealed.session, Connection::Server(_)) && manner.blunt;
            sealed.out = if plain { PLAIN.to_vec() } else { GARBAGE.to_vec() };
        }
        Self { end, sealed: Some(Box::new(sealed)) }
    }

    /// Takes what came, at most so much of the wire.
    pub fn take(&mut self, most: usize) -> Came {
        let (bytes, fin, reset) = net::with(|net| {
            let bytes = net.take(self.end, most);
            let end = &net.ends[self.end as usize];
            let drained = end.unread() == 0;
            (bytes, end.fin_in && drained, end.reset_in && drained)
        });
        let Some(sealed) = &mut self.sealed else {
            return Came { any: !bytes.is_empty(), bytes, end: fin, cut: reset };
        };
        let plain = sealed.open(&bytes, self.end);
        sealed.flush(self.end);
        let ended = sealed.session.peer_ended();
        sealed.heard |= !plain.is_empty();
        // Who leaves in the middle of its handshake owes no word, and the other side may be through with its own already.
        let shaking = sealed.session.is_handshaking() || !sealed.heard && !sealed.spoke;
        if fin && !(reset || ended || sealed.spoilt || sealed.failed || shaking) && secure::is_owed_an_end() {
            fail(format!("e{} was left without TLS's word", self.end));
        }
        Came { bytes: plain, any: !bytes.is_empty(), end: ended, cut: sealed.failed || !ended && (fin || reset) }
    }

    /// Gives so many bytes to the network or, sealed, to the line, which takes a piece when the last has left.
    pub fn send(&mut self, bytes: &[u8], stray: bool) -> usize {
        let Some(sealed) = &mut self.sealed else {
            return net::with(|net| net.send(self.end, bytes, stray)).unwrap_or(0);
        };
        sealed.send(bytes, stray, self.end)
    }

    /// Nothing follows in this direction.
    pub fn send_fin(&mut self) {
        match &mut self.sealed {
            None => net::with(|net| net.send_fin(self.end)),
            Some(sealed) => {
                sealed.say_end();
                sealed.fin_due = true;
                sealed.flush(self.end);
            }
        }
    }

    pub fn leave(&mut self, how: Leave) {
        let Some(sealed) = &mut self.sealed else {
            net::with(|net| if how == Leave::Cut { net.reset_end(self.end) } else { net.close(self.end) });
            return;
        };
        let blunt = how == Leave::Idle && sealed.manner.blunt;
        let torn = how == Leave::Cut && !sealed.manner.blunt;
        if how == Leave::Cut && !torn {
            net::with(|net| net.reset_end(self.end));
            sealed.stop();
            return;
        }
        if torn {
            say(|| format!("  e{} ends without TLS's word", self.end));
            sealed.out.clear();
        } else if !blunt {
            sealed.say_end();
        }
        sealed.close_due = true;
        self.linger();
    }

    /// Goes on leaving: what was said before has to leave first.
    pub fn linger(&mut self) {
        if let Some(sealed) = &mut self.sealed {
            sealed.flush(self.end);
        }
    }

    /// Bytes came that were not taken yet.
    #[must_use]
    pub fn holds_unread(&self) -> bool {
        net::with(|net| net.ends[self.end as usize].unread() > 0)
    }

    /// Nothing that is said here may be heard, as the handshake went wrong.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.void)
    }

    /// The proxy has said that it says nothing more.
    #[must_use]
    pub fn peer_ended(&mut self) -> bool {
        match &mut self.sealed {
            None => net::with(|net| net.ends[self.end as usize].fin_in),
            Some(sealed) => sealed.session.peer_ended(),
        }
    }
}

trait PeerEnded {
    fn peer_ended(&mut self) -> bool;
}

impl PeerEnded for Connection {
    fn peer_ended(&mut self) -> bool {
        // Nothing is there to be processed, so nothing changes.
        self.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }
}

impl Sealed {
    fn stop(&mut self) {
        self.out.clear();
        self.stray_at = None;
        (self.silent, self.spoilt) = (true, true);
    }

    /// Opens what came; what the session has to say to it waits to be sent.
    fn open(&mut self, wire: &[u8], end: u32) -> Vec<u8> {
        let mut plain = Vec::new();
        if self.manner.garbage {
            return plain;
        }
        sessions::speak_as(self.manner.shown);
        let mut rest = wire;
        while !rest.is_empty() && !self.failed {
            let read = self.session.read_tls(&mut rest).map_err(|error| Error::General(error.to_string()));
            match read.and_then(|_| self.session.process_new_packets()) {
                Ok(state) => {
                    let at = plain.len();
                    plain.resize(at + state.plaintext_bytes_to_read(), 0);
                    self.session.reader().read_exact(&mut plain[at..]).expect("bytes that are there");
                }
                Err(error) => {
                    self.failed = true;
                    say(|| format!("  e{end} is through with TLS: {error}"));
                    let refused = matches!(
                        error,
                        Error::AlertReceived(_) | Error::NoCertificatesPresented | Error::PeerIncompatible(_)
                    );
                    let told = refused && self.manner.refusable;
                    if !self.spoilt && !told {
                        fail(format!("e{end}, which spoke TLS as it should, was sent what ended it: {error}"));
                    }
                }
            }
        }
        self.collect();
        plain
    }

    /// Fetches what the session wants sent. What is to be said wrong is said wrong here, where a record begins: the other
    /// side must not read as lengths what is random.
    fn collect(&mut self) {
        if !self.session.wants_write() || self.manner.garbage {
            return;
        }
        let due = self.manner.deed.filter(|(at, _)| *at <= self.sent && self.out.is_empty());
        if let Some((_, Deed::Alert)) = due {
            self.out.extend_from_slice(&ALERT);
        }
        while self.session.wants_write() {
            self.session.write_tls(&mut self.out).expect("memory takes all");
        }
        if let Some((at, Deed::Flip)) = due {
            let place = flip_at(&self.out, self.sent == 0, at as usize);
            self.out[place] ^= 0x80;
            secure::note_wrong();
        }
        if matches!(due, Some((_, Deed::Alert | Deed::Flip))) {
            self.manner.deed = None;
            (self.spoilt, self.void) = (true, !self.spoke);
        }
    }

    fn send(&mut self, bytes: &[u8], stray: bool, end: u32) -> usize {
        let mut taken = 0;
        loop {
            self.flush(end);
            let rest = &bytes[taken..];
            let shut = self.session.is_handshaking() || self.failed || self.silent || self.said_end;
            if rest.is_empty() || shut || !self.out.is_empty() {
                return taken;
            }
            let piece = &rest[..rest.len().min(PIECE_BYTES)];
            if self.manner.updates > 0 && secure::dice(|d| d.chance(self.manner.updates)) {
                // Only TLS 1.3 has new keys.
                let _ = self.session.refresh_traffic_keys();
            }
            self.spoke = true;
            self.session.writer().write_all(piece).expect("memory takes all");
            self.collect();
            if stray {
                self.stray_at = Some(self.out.len() - 1);
            }
            taken += piece.len();
        }
    }

    fn say_end(&mut self) {
        if !self.said_end && !self.session.is_handshaking() && !self.failed {
            self.session.send_close_notify();
            self.collect();
        }
        self.said_end = true;
    }

    /// Gives the network what it has room for.
    fn flush(&mut self, end: u32) {
        self.collect();
        if self.spoilt {
            net::with(|net| net.spoil(end));
        }
        if let (Connection::Server(_), 0, Some(random)) = (&self.session, self.sent, self.out.get(RANDOM)) {
            net::with(|net| net.tell_random(end, random));
        }
        loop {
            if self.silent {
                self.out.clear();
            }
            let mut upto = self.out.len();
            let stops = |deed| matches!(deed, Deed::Silence | Deed::Fin | Deed::Reset);
            if let Some((at, deed)) = self.manner.deed.filter(|(_, deed)| upto > 0 && stops(*deed)) {
                match at.saturating_sub(self.sent) {
                    0 => {
                        self.manner.deed = None;
                        self.spoil(deed, end);
                        continue;
                    }
                    left => upto = upto.min(left as usize),
                }
            }
            if upto == 0 {
                break;
            }
            let stray = self.stray_at == Some(0);
            upto = if stray { 1 } else { self.stray_at.map_or(upto, |at| at.min(upto)) };
            match net::with(|net| net.send(end, &self.out[..upto], stray)) {
                Ok(count) => {
                    self.out.drain(..count);
                    self.sent += count as u64;
                    self.stray_at = if stray { None } else { self.stray_at.map(|at| at - count) };
                    if count < upto {
                        return;
                    }
                }
                Err(Trouble::WouldBlock) => return,
                Err(_) => self.stop(),
            }
        }
        if self.fin_due {
            net::with(|net| net.send_fin(end));
        }
        if self.close_due {
            net::with(|net| net.close(end));
        }
    }

    fn spoil(&mut self, deed: Deed, end: u32) {
        say(|| format!("  e{end} spoils its TLS: {deed:?}"));
        self.spoilt = true;
        match deed {
            Deed::Silence => self.stop(),
            Deed::Fin => {
                self.stop();
                self.fin_due = true;
            }
            Deed::Reset => {
                self.stop();
                self.failed = true;
                net::with(|net| net.reset_end(end));
            }
            Deed::Flip | Deed::Alert => {}
        }
    }
}

/// Which byte is to be wrong, in one of the records: of a sealed one any; of a hello one of its random bytes, as what
/// stands behind them is in an order of the library's own dice; of others the last.
fn flip_at(records: &[u8], hello: bool, chance: usize) -> usize {
    let len_at = |at: usize| usize::from(u16::from_be_bytes([records[at + 3], records[at + 4]]));
    let mut begins = vec![0];
    while let Some(next) = begins.last().map(|at| at + HEADER_BYTES + len_at(*at)).filter(|next| *next < records.len())
    {
        begins.push(next);
    }
    let at = begins[chance % begins.len()];
    match records[at] {
        SEALED_RECORD => at + HEADER_BYTES + chance % len_at(at),
        HANDSHAKE_RECORD if hello => RANDOM.start + chance % RANDOM.len(),
        _ => at + HEADER_BYTES + len_at(at) - 1,
    }
}

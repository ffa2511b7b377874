//! Two of our TLS sessions that talk to each other over a wire that cuts anywhere, and on which one of them (the server's
//! or the client's, by target) may be told anything. The first byte chooses version, client certificate and resumption;
//! the others are steps. Keys are random, so one input is not the same bytes on the wire each time: a finding may want
//! to be replayed more than once.

use crate::reader::Reader;
use engine::blocks::Blocks;
use engine::tls::{Sealed, Session};
use engine::tls_client::{OriginTrust, TargetTls};
use engine::tls_self_test::{Kit, NAME};
use engine::tls_server::{ServerTls, Tickets};
use proto::plan::TlsVersion;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

/// Long enough for several records.
const LONG_BYTES: usize = 40_000;
/// Deliveries to and fro within which two honest sides must have said all.
const ROUNDS_MAX: u32 = 32;

pub fn run_server(input: &[u8]) {
    run(input, Who::Server);
}

pub fn run_client(input: &[u8]) {
    run(input, Who::Client);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Server,
    Client,
}

/// What both sides were set up with; made once, because a key and its certificate cost more than a handshake.
struct Setup {
    server: Arc<ServerTls>,
    trust: OriginTrust,
    origin: proto::plan::OriginTls,
}

fn setup(version: TlsVersion, shown: bool) -> &'static Setup {
    static ALL: OnceLock<Vec<Setup>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let kit = Kit::new().expect("keys can be made");
        let ways = [TlsVersion::Tls12, TlsVersion::Tls13].into_iter().flat_map(|v| [(v, false), (v, true)]);
        let made = ways.map(|(version, shown)| {
            let listener = kit.listener(version, "http/1.1", shown);
            let server = ServerTls::new("fuzz", &listener, &Tickets::default()).expect("a good listener");
            let origin = kit.origin(version, "http/1.1", shown);
            let trust = OriginTrust::new("fuzz", &origin).expect("a good origin");
            Setup { server: Arc::new(server), trust, origin }
        });
        made.collect()
    });
    &all[usize::from(version == TlsVersion::Tls13) * 2 + usize::from(shown)]
}

/// One side: its session, what is on the wire to it, what it said and what it heard.
struct End {
    session: Session,
    wire: Vec<u8>,
    said: Vec<u8>,
    heard: Vec<u8>,
    ended: bool,
    /// Nothing on the wire to it was disturbed.
    honest: bool,
}

impl End {
    fn new(session: Session) -> Self {
        Self { session, wire: Vec::new(), said: Vec::new(), heard: Vec::new(), ended: false, honest: true }
    }

    fn fetch(&mut self, room: usize, blocks: &mut Blocks) {
        let mut buf = vec![0; room];
        let count = self.session.fetch(&mut buf, blocks);
        self.heard.extend_from_slice(&buf[..count]);
    }

    /// Takes bytes off the wire, as `engine::link` does. Returns the reply.
    fn hear(&mut self, count: usize, room: usize, blocks: &mut Blocks) -> Vec<u8> {
        self.fetch(room, blocks);
        let mut reply = Vec::new();
        // The library holds, where assertions are on, that no alert follows the word of the end; so who said that one hears
        // nothing that might be wrong.
        if self.session.failed.is_some() || self.session.peer_ended() || self.ended && !self.honest {
            self.wire.clear();
            return reply;
        }
        let mut bytes = self.session.pending().to_vec();
        bytes.extend(self.wire.drain(..count.min(self.wire.len())));
        let mut buf = vec![0; room];
        match self.session.open(&mut bytes, &mut buf, blocks, &mut reply) {
            Ok(count) => self.heard.extend_from_slice(&buf[..count]),
            Err(trouble) => self.session.failed = Some(trouble),
        }
        reply
    }

    /// Seals that many bytes. Also a session that failed is asked to: an answer may be under way when a read fails.
    fn say(&mut self, count: usize, out: &mut Sealed) {
        if !self.session.is_open() || self.ended {
            return;
        }
        let first = self.said.len();
        let bytes: Vec<u8> = (first..first + count).map(|at| (at % 251) as u8).collect();
        let (front, back) = bytes.split_at(count / 3);
        if self.session.seal(&[front, back], false, out).is_ok() {
            self.said.extend_from_slice(&bytes);
        }
    }

    fn end(&mut self, out: &mut Sealed) {
        if self.session.is_open() && self.session.failed.is_none() {
            self.ended |= self.session.end(out).is_ok();
        }
    }
}

struct Talk {
    server: End,
    client: End,
    blocks: Blocks,
    sealed: Sealed,
    honest: bool,
}

fn run(input: &[u8], target: Who) {
    let mut reader = Reader::new(input);
    let flags = reader.byte();
    let version = if flags & 1 == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    let setup = setup(version, flags & 2 != 0);
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let asked = TargetTls::new("fuzz", &setup.origin, &setup.trust, address, None).expect("a good origin");
    if flags & 4 != 0 {
        // A first visit leaves tickets, with which the second one resumes.
        let mut first = Talk::new(setup, &asked);
        first.finish();
    }
    let mut talk = Talk::new(setup, &asked);
    while !reader.is_empty() {
        talk.step(&mut reader, target);
        talk.holds();
    }
    if talk.honest {
        talk.finish();
        let resumed = talk.server.session.is_resumed();
        assert!(resumed || flags & 4 == 0, "a ticket was given and not taken");
    }
}

impl Talk {
    fn new(setup: &Setup, asked: &TargetTls) -> Self {
        let mut client = End::new(Session::client(asked, NAME, false).expect("a good name"));
        let mut server = End::new(Session::server(Arc::clone(&setup.server)));
        client.session.begin(&mut server.wire).expect("a client can begin");
        Self { server, client, blocks: Blocks::default(), sealed: Sealed::default(), honest: true }
    }

    /// The side, and the other one.
    fn sides(&mut self, who: Who) -> (&mut End, &mut End, &mut Blocks, &mut Sealed) {
        match who {
            Who::Server => (&mut self.server, &mut self.client, &mut self.blocks, &mut self.sealed),
            Who::Client => (&mut self.client, &mut self.server, &mut self.blocks, &mut self.sealed),
        }
    }

    fn step(&mut self, reader: &mut Reader<'_>, target: Who) {
        match reader.byte() % 8 {
            0 | 1 => self.deliver(Who::Server, reader),
            2 | 3 => self.deliver(Who::Client, reader),
            4 => self.say(Who::Server, reader),
            5 => self.say(Who::Client, reader),
            6 => self.disturb(target, reader),
            _ => {
                let who = if reader.flag() { Who::Server } else { Who::Client };
                let (end, other, _, sealed) = self.sides(who);
                sealed.clear();
                end.end(sealed);
                other.wire.extend_from_slice(sealed.as_bytes());
            }
        }
    }

    /// Everything that is on the wire, or a piece of it.
    fn deliver(&mut self, who: Who, reader: &mut Reader<'_>) {
        let count = match reader.byte() {
            0 => usize::MAX,
            count => usize::from(count),
        };
        let room = reader.pick(&[LONG_BYTES, 0, 1, 300]);
        let (end, other, blocks, _) = self.sides(who);
        let reply = end.hear(count, room, blocks);
        other.wire.extend_from_slice(&reply);
    }

    fn say(&mut self, who: Who, reader: &mut Reader<'_>) {
        let count = match reader.byte() {
            255 => LONG_BYTES,
            count => usize::from(count),
        };
        let (end, other, _, sealed) = self.sides(who);
        sealed.clear();
        end.say(count, sealed);
        other.wire.extend_from_slice(sealed.as_bytes());
    }

    /// Somebody on the way changes what comes to the target.
    fn disturb(&mut self, target: Who, reader: &mut Reader<'_>) {
        let (kind, place, len) = (reader.byte() % 5, usize::from(reader.byte()), usize::from(reader.byte() % 64));
        let (end, ..) = self.sides(target);
        let wire = &mut end.wire;
        let at = if wire.is_empty() { 0 } else { place * wire.len() / 256 };
        let until = (at + len).min(wire.len());
        match kind {
            0 if at < wire.len() => wire[at] ^= reader.byte() | 1,
            1 => drop(wire.splice(at..at, reader.take(len).iter().copied())),
            2 => drop(wire.drain(at..until)),
            3 => {
                let again = wire[at..until].to_vec();
                drop(wire.splice(at..at, again));
            }
            _ => wire.truncate(at),
        }
        end.honest = false;
        self.honest = false;
    }

    /// What is true after every step.
    fn holds(&self) {
        for (end, other) in [(&self.server, &self.client), (&self.client, &self.server)] {
            assert!(other.said.starts_with(&end.heard), "something was opened that nobody had sealed");
            let ended = end.session.is_open() && end.session.peer_ended();
            assert!(!ended || other.ended, "an end was heard that nobody had said");
            assert!(!self.honest || end.session.failed.is_none(), "failed: {:?}", end.session.failed);
        }
    }

    /// Nobody disturbs any more: all that was said is heard.
    fn finish(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for who in [Who::Server, Who::Client] {
                let (end, other, blocks, _) = self.sides(who);
                let reply = end.hear(usize::MAX, LONG_BYTES, blocks);
                other.wire.extend_from_slice(&reply);
            }
            self.holds();
        }
        for who in [Who::Server, Who::Client] {
            let (end, other, blocks, _) = self.sides(who);
            assert!(end.session.is_open(), "two honest sides did not come together");
            while end.session.has_plain() {
                end.fetch(LONG_BYTES, blocks);
            }
            assert_eq!(end.heard.len(), other.said.len(), "something that was said was never heard");
            assert_eq!(end.session.peer_ended(), other.ended, "an end was said and not heard");
        }
    }
}

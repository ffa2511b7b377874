//! What a worker has to say: access-log lines and notes (`notes.rs`), both as JSON lines in a buffer that crosses the
//! border once a turn. A buffer that is full loses lines and counts them; it never holds anything up.

use crate::cached::told::outcome;
use crate::exchange::Ongoing;
use crate::ip_text::IpText;
use crate::tls::Session;
use crate::tls_client::sha256_hex;
use proto::cache::judge::Decision;
use proto::failure::Phase;
use proto::fault::ClientFault;
use proto::http1::encode::{write_decimal, write_http_date};
use proto::http1::head::{RequestHead, Version};

/// Most that one turn may say.
const LINES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What one worker has said since its lines were last taken.
pub struct Log {
    access: bool,
    lines: Vec<u8>,
    pub(crate) notes: Vec<u8>,
    count: u64,
    lost: u64,
    pub(crate) unix_ms: u64,
    date: [u8; 29],
    date_second: u64,
    pub(crate) notes_second: u64,
    pub(crate) notes_count: u32,
    /// By target number: when its trouble was last told.
    pub(crate) told_ms: Vec<u64>,
}

/// Whom a line is about; none when the connection is gone by the time it is written.
pub(crate) type Peer<'a> = Option<PeerText<'a>>;

pub(crate) struct PeerText<'a> {
    pub ip: &'a IpText,
    pub port: u16,
    pub tls: Option<&'a Session>,
}

impl Log {
    #[must_use]
    pub fn new(access: bool) -> Self {
        Self {
            access,
            lines: Vec::new(),
            notes: Vec::new(),
            count: 0,
            lost: 0,
            unix_ms: 0,
            date: [0; 29],
            date_second: u64::MAX,
            notes_second: 0,
            notes_count: 0,
            told_ms: Vec::new(),
        }
    }

    pub(crate) fn begin_turn(&mut self, unix_ms: u64) {
        self.unix_ms = unix_ms;
    }

    /// The time of this turn as IMF-fixdate, written once a second.
    pub(crate) fn date(&mut self) -> [u8; 29] {
        let second = self.unix_ms / 1000;
        if second != self.date_second {
            write_http_date(&mut self.date, second);
            self.date_second = second;
        }
        self.date
    }

    /// Whether an exchange leaves anything behind.
    pub(crate) fn wants(&self, ongoing: &Ongoing) -> bool {
        self.access || ongoing.faults.origin.is_some()
    }

    pub(crate) fn exchange(&mut self, now_us: u64, client: Peer<'_>, ongoing: &Ongoing) {
        if let Some(fault) = ongoing.faults.origin {
            self.note_fault(ongoing, fault.token());
        }
        if !self.begin_line(client) {
            return;
        }
        let plan = &ongoing.plan.plan;
        let route = &plan.routes[ongoing.route as usize].name;
        self.text("method", ongoing.method.of(&ongoing.head));
        self.text("host", ongoing.host.of(&ongoing.head));
        self.text("path", ongoing.url.of(&ongoing.head));
        self.protocol(ongoing.core.version);
        self.number("status", u64::from(ongoing.core.status));
        self.number("bytes", ongoing.core.download_bytes);
        self.number("request_bytes", ongoing.core.upload_bytes);
        self.text("route", route.as_bytes());
        let origin = &plan.origins[ongoing.origin_index as usize];
        self.text("origin", origin.name.as_bytes());
        if let Some(target) = origin.targets.get(ongoing.target as usize) {
            self.text("target", target.label.as_bytes());
        }
        if let Some(side) = &ongoing.cached {
            self.cached(side.decision, side.collapsed, side.forwarded_status);
        }
        self.flag("reused", ongoing.core.reused);
        if !ongoing.core.reused && ongoing.times.sent_us != 0 {
            self.text("why_new", ongoing.why_new.reason().as_bytes());
        }
        if ongoing.escalations > 0 {
            self.number("escalations", u64::from(ongoing.escalations));
        }
        self.number("attempts", u64::from(ongoing.core.attempts));
        let times = &ongoing.times;
        self.number("duration_us", now_us.saturating_sub(times.began_us));
        if times.connect_us != 0 && !ongoing.core.reused {
            self.number("connect_us", times.sent_us.saturating_sub(times.connect_us));
        }
        if times.first_byte_us != 0 {
            self.number("first_byte_us", times.first_byte_us.saturating_sub(times.sent_us));
        }
        if let Some(fault) = ongoing.faults.client {
            self.text("fault", fault.token().as_bytes());
            self.text("whose", b"client");
        } else if let Some(fault) = ongoing.faults.origin {
            self.text("fault", fault.token().as_bytes());
            self.text("whose", if fault.blames_origin() { b"origin" } else { b"proxy" });
            self.text("phase", ongoing.faults.phase.map_or("", Phase::token).as_bytes());
            self.number("failures", u64::from(ongoing.faults.count));
        }
        if let Some(wire) = ongoing.faults.wire {
            self.text("detail", wire.token().as_bytes());
        }
        if let Some(why) = ongoing.faults.no_retry {
            self.text("not_repeated", why.token().as_bytes());
        }
        self.end_line();
    }

    /// An exchange that went on without its client: only its faults are of interest.
    pub(crate) fn ended_apart(&mut self, ongoing: &Ongoing) {
        if let Some(fault) = ongoing.faults.origin {
            self.note_fault(ongoing, fault.token());
        }
    }

    /// A request that was answered out of what is stored.
    pub(crate) fn served(
        &mut self,
        client: Peer<'_>,
        head: &RequestHead,
        bytes: &[u8],
        (version, status, length): (Version, u16, usize),
        (route, decision): (&str, Decision),
    ) {
        if !self.begin_line(client) {
            return;
        }
        self.asked(head, bytes, version, status);
        self.number("bytes", length as u64);
        self.text("route", route.as_bytes());
        self.cached(decision, false, None);
        self.end_line();
    }

    /// What was asked, and what the answer's status was.
    fn asked(&mut self, head: &RequestHead, bytes: &[u8], version: Version, status: u16) {
        self.text("method", head.method_span.of(bytes));
        self.text("host", head.host.of(bytes));
        self.text("path", head.target.of(bytes));
        self.protocol(version);
        self.number("status", u64::from(status));
    }

    /// What the cache had to do with it, and why.
    fn cached(&mut self, decision: Decision, collapsed: bool, forwarded_status: Option<u16>) {
        self.text("cache", outcome(decision, collapsed, forwarded_status).as_bytes());
        self.text("cache_reason", decision.why.token().as_bytes());
    }

    /// A request that this proxy answered by itself; one without a route has nobody else to answer it.
    pub(crate) fn answered_here(
        &mut self,
        client: Peer<'_>,
        head: &RequestHead,
        bytes: &[u8],
        (version, status): (Version, u16),
        route: &str,
    ) {
        if !self.begin_line(client) {
            return;
        }
        self.asked(head, bytes, version, status);
        self.text("route", route.as_bytes());
        if route.is_empty() {
            self.text("fault", ClientFault::NoRoute.token().as_bytes());
            self.text("whose", b"client");
        }
        self.end_line();
    }

    /// A refusal; there may be no request one could name.
    pub(crate) fn refused(&mut self, client: Peer<'_>, status: u16, fault: &str) {
        if !self.begin_line(client) {
            return;
        }
        self.number("status", u64::from(status));
        self.text("fault", fault.as_bytes());
        self.text("whose", b"client");
        self.end_line();
    }

    fn begin_line(&mut self, client: Peer<'_>) -> bool {
        if !self.access {
            return false;
        }
        if self.lines.len() >= LINES_BYTES_MAX {
            self.lost += 1;
            return false;
        }
        self.lines.extend_from_slice(b"{\"time\":");
        write_decimal(&mut self.lines, self.unix_ms);
        if let Some(peer) = client {
            self.text("client", peer.ip.as_bytes());
            self.number("port", u64::from(peer.port));
            if let Some(session) = peer.tls.filter(|session| session.is_open()) {
                self.session(session);
            }
        }
        true
    }

    /// What kind of TLS the client speaks, and who it proved to be.
    fn session(&mut self, session: &Session) {
        self.text("tls", session.version().as_bytes());
        self.text("cipher", session.cipher().as_bytes());
        if let Some(name) = session.name() {
            self.text("server_name", name.as_bytes());
        }
        self.flag("resumed", session.is_resumed());
        if let Some(certificate) = session.peer_certificate() {
            self.text("client_cert_sha256", sha256_hex(certificate).as_bytes());
        }
    }

    /// What the client spoke.
    fn protocol(&mut self, version: Version) {
        let name: &[u8] = match version {
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
            Version::Http2 => b"HTTP/2",
        };
        self.text("protocol", name);
    }

    fn end_line(&mut self) {
        self.lines.extend_from_slice(b"}\n");
        self.count += 1;
    }

    fn key(&mut self, key: &str) {
        self.lines.extend_from_slice(b",\"");
        self.lines.extend_from_slice(key.as_bytes());
        self.lines.extend_from_slice(b"\":");
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        write_decimal(&mut self.lines, value);
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.lines.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        write_json_text(&mut self.lines, value);
    }

    pub(crate) fn take_line_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Access-log lines of this turn; the caller clears them when they are taken.
    pub fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.lines
    }

    /// Notes of this turn.
    pub fn notes(&mut self) -> &mut Vec<u8> {
        &mut self.notes
    }
}

/// A JSON string of bytes that need not be UTF-8: what is not printable ASCII becomes `\u00XX`, so a log line is one
/// line whatever a client sent.
pub(crate) fn write_json_text(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]);
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_stays_one_line_whatever_a_client_sent() {
        let mut out = Vec::new();
        write_json_text(&mut out, b"a\"b\\c\n\xff");
        assert_eq!(out, br#""a\"b\\c\u000a\u00ff""#);
    }
}

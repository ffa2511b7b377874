//! What a worker has to say: access-log lines and notes, both as JSON lines in a buffer that crosses the border once a
//! turn. A buffer that is full loses lines and counts them; it never holds anything up.

use crate::client::IpText;
use crate::exchange::Ongoing;
use crate::io::Trouble;
use crate::pool::Lease;
use crate::target::TargetShared;
use crate::tls::{Session, TLS_LIBRARY, TlsTrouble};
use crate::tls_client::sha256_hex;
use proto::failure::{Failure, Phase, Rung};
use proto::fault::{ClientFault, OriginFault};
use proto::http1::encode::{write_decimal, write_http_date};
use proto::http1::head::RequestHead;
use proto::plan::NamePolicy;
use proto::probe::WhyBad;
use std::sync::atomic::Ordering::Relaxed;

/// Most that one turn may say.
const LINES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Notes of one worker in one second; the rest is in the counters.
const NOTES_A_SECOND: u32 = 20;

/// What one worker has said since its lines were last taken.
pub struct Log {
    access: bool,
    lines: Vec<u8>,
    notes: Vec<u8>,
    count: u64,
    lost: u64,
    unix_ms: u64,
    date: [u8; 29],
    date_second: u64,
    notes_second: u64,
    notes_count: u32,
    /// By target number: when its trouble was last told.
    told_ms: Vec<u64>,
}

/// A target's trouble is told at most this often by one worker; the counters hold every failure.
const TROUBLE_EVERY_MS: u64 = 20;

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
        self.number("status", u64::from(ongoing.core.status));
        self.number("bytes", ongoing.core.download_bytes);
        self.number("request_bytes", ongoing.core.upload_bytes);
        self.text("route", route.as_bytes());
        let origin = &plan.origins[ongoing.origin_index as usize];
        self.text("origin", origin.name.as_bytes());
        if let Some(target) = origin.targets.get(ongoing.target as usize) {
            self.text("target", target.label.as_bytes());
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

    /// A request that this proxy answered by itself; one without a route has nobody else to answer it.
    pub(crate) fn answered_here(
        &mut self,
        client: Peer<'_>,
        head: &RequestHead,
        bytes: &[u8],
        route: &str,
        status: u16,
    ) {
        if !self.begin_line(client) {
            return;
        }
        self.text("method", head.method_span.of(bytes));
        self.text("host", head.host.of(bytes));
        self.text("path", head.target.of(bytes));
        self.number("status", u64::from(status));
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

    /// A failure that says something about its target: tells the main thread to look at the target's books.
    pub(crate) fn failure(&mut self, failure: &Failure, rung: Rung, target: &TargetShared, now_ms: u64) {
        if rung == Rung::Nothing && failure.class != OriginFault::LocalResource {
            return;
        }
        let place = target.number as usize;
        if self.told_ms.len() <= place {
            self.told_ms.resize(place + 1, 0);
        }
        if now_ms < self.told_ms[place] + TROUBLE_EVERY_MS && self.told_ms[place] != 0 {
            return;
        }
        self.told_ms[place] = now_ms;
        let line = format!(
            "{{\"level\":\"debug\",\"event\":\"target_troubled\",\"target\":{},\"class\":\"{}\",\"phase\":\"{}\",\"rung\":{}}}\n",
            target.number,
            failure.class.token(),
            failure.phase.token(),
            rung as u8
        );
        self.notes.extend_from_slice(line.as_bytes());
    }

    /// A request asked for a name whose rule for client certificates is not that of its connection (S0-20).
    pub(crate) fn name_differs(&mut self, host: &str, asked: &str, policy: NamePolicy) {
        if !self.may_note() {
            return;
        }
        self.notes.extend_from_slice(b"{\"level\":\"warn\",\"event\":\"tls_name_mismatch\",\"host\":");
        write_json_text(&mut self.notes, host.as_bytes());
        self.notes.extend_from_slice(b",\"serverName\":");
        write_json_text(&mut self.notes, asked.as_bytes());
        let refused = policy == NamePolicy::Refuse;
        self.notes.extend_from_slice(format!(",\"refused\":{refused}}}\n").as_bytes());
    }

    /// A client's handshake failed. Said at debug level: anybody can do that to us as often as he likes.
    pub(crate) fn handshake_failed(&mut self, client: &PeerText<'_>, trouble: &TlsTrouble) {
        if !self.may_note() {
            return;
        }
        let (ip, port) = (String::from_utf8_lossy(client.ip.as_bytes()), client.port);
        let line = format!(
            "{{\"level\":\"debug\",\"event\":\"tls_handshake_failed\",\"client\":\"{ip}\",\"port\":{port},\"fault\":\"{}\",\"says\":",
            trouble.token()
        );
        self.notes.extend_from_slice(line.as_bytes());
        write_json_text(&mut self.notes, trouble.says().as_bytes());
        self.notes.extend_from_slice(b"}\n");
    }

    /// A handshake with a target failed: everything that tells whose fault it is (S1-01, S1-02).
    pub(crate) fn origin_handshake_failed(&mut self, lease: &Lease, fault: OriginFault, trouble: &TlsTrouble) {
        if !self.may_note() {
            return;
        }
        let identity = &lease.target.identity;
        let fixed = identity.tls.as_ref().map_or("", |tls| tls.sni.as_str());
        let sni = lease.bound.as_ref().and_then(|bound| bound.sni.as_deref()).unwrap_or(fixed);
        let line = format!(
            "{{\"level\":\"warn\",\"event\":\"origin_tls_failed\",\"fault\":\"{}\",\"address\":\"{}\",\"library\":\"{TLS_LIBRARY}\",\"sni\":",
            fault.token(),
            identity.target,
        );
        self.notes.extend_from_slice(line.as_bytes());
        write_json_text(&mut self.notes, sni.as_bytes());
        self.notes.extend_from_slice(b",\"origin\":");
        write_json_text(&mut self.notes, identity.origin.as_bytes());
        self.notes.extend_from_slice(b",\"says\":");
        write_json_text(&mut self.notes, trouble.says().as_bytes());
        self.notes.extend_from_slice(b"}\n");
    }

    /// The result of a check. No note's rate bounds it: each is one step of its target's health.
    pub(crate) fn check(&mut self, target: u32, micros: u64, bad: Option<WhyBad>) {
        let (ok, why) = (bad.is_none(), bad.map_or("".into(), WhyBad::token));
        let line = format!(
            "{{\"level\":\"debug\",\"event\":\"check\",\"target\":{target},\"ok\":{ok},\"micros\":{micros},\"why\":\"{why}\"}}\n"
        );
        self.notes.extend_from_slice(line.as_bytes());
    }

    /// This host lacks something that a check needs: no word about the target, but one for the alarm.
    pub(crate) fn check_not_made(&mut self, target: u32) {
        let class = OriginFault::LocalResource.token();
        let line = format!(
            "{{\"level\":\"debug\",\"event\":\"target_troubled\",\"target\":{target},\"class\":\"{class}\",\
             \"phase\":\"connecting\",\"rung\":0}}\n"
        );
        self.notes.extend_from_slice(line.as_bytes());
    }

    /// A request body could not be kept in a file, or not be read back.
    pub(crate) fn spool_failed(&mut self, trouble: Trouble) {
        if self.may_note() {
            let errno = if let Trouble::Local(errno) = trouble { errno } else { 0 };
            let line = format!(
                "{{\"level\":\"warn\",\"event\":\"spool_failed\",\"errno\":{errno},\
                 \"says\":\"A request body could not be kept in the spool folder; its request cannot be sent again.\"}}\n"
            );
            self.notes.extend_from_slice(line.as_bytes());
        }
    }

    /// Whether this second has room for another note.
    fn may_note(&mut self) -> bool {
        let second = self.unix_ms / 1000;
        if second != self.notes_second {
            (self.notes_second, self.notes_count) = (second, 0);
        }
        self.notes_count += 1;
        self.notes_count <= NOTES_A_SECOND
    }

    fn note_fault(&mut self, ongoing: &Ongoing, fault: &str) {
        if !self.may_note() {
            return;
        }
        let detail = ongoing.faults.wire.map_or("", |w| w.token());
        let says = ongoing.faults.wire.map_or("", |w| w.sentence());
        let line = format!(
            "{{\"level\":\"warn\",\"event\":\"origin_fault\",\"fault\":\"{fault}\",\"detail\":\"{detail}\",\"says\":\"{says}\",\
             \"reused\":{},\"status\":{},\"origin\":",
            ongoing.core.reused, ongoing.core.status
        );
        self.note_of_target(&line, ongoing);
    }

    /// An origin promised to keep a connection whose answer only its close can end (S4-14): said once of a target.
    pub(crate) fn promise_broken(&mut self, ongoing: &Ongoing) {
        let target = &ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared;
        if !target.promise_broken.swap(true, Relaxed) {
            let line = "{\"level\":\"warn\",\"event\":\"keep_alive_broken\",\"says\":\"The origin promises to keep a connection \
                        and does not say where its answer ends; pauses of such answers are cut short.\",\"origin\":";
            self.note_of_target(line, ongoing);
        }
    }

    /// Ends a note, begun up to the name of the origin, with whom it is about.
    fn note_of_target(&mut self, begun: &str, ongoing: &Ongoing) {
        let origin = &ongoing.plan.plan.origins[ongoing.origin_index as usize];
        let target = origin.targets.get(ongoing.target as usize).map_or("", |t| t.label.as_str());
        self.notes.extend_from_slice(begun.as_bytes());
        write_json_text(&mut self.notes, origin.name.as_bytes());
        self.notes.extend_from_slice(b",\"target\":");
        write_json_text(&mut self.notes, target.as_bytes());
        self.notes.extend_from_slice(b"}\n");
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

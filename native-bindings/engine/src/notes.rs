//! Notes: what a worker tells the main thread besides access-log lines, for its log, for health and for tests. JSON
//! lines; a worker's notes of one second are bounded where anybody could provoke them.

use crate::exchange::Ongoing;
use crate::io::Trouble;
use crate::log::{Log, PeerText, write_json_text};
use crate::pool::Lease;
use crate::target::TargetShared;
use crate::tls::{TLS_LIBRARY, TlsTrouble};
use proto::failure::{Failure, Rung};
use proto::fault::OriginFault;
use proto::plan::NamePolicy;
use proto::probe::WhyBad;
use std::sync::atomic::Ordering::Relaxed;

/// Notes of one worker in one second; the rest is in the counters.
const NOTES_A_SECOND: u32 = 20;
/// A target's trouble is told at most this often by one worker; the counters hold every failure.
const TROUBLE_EVERY_MS: u64 = 20;

impl Log {
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
        let sni = identity.server_name(lease.bound.as_deref());
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

    pub(crate) fn note_fault(&mut self, ongoing: &Ongoing, fault: &str) {
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
}

//! Whether what workers say and count about TLS is true: a certificate is doubted only where it is no good, this side's
//! faults are nobody's, and where nobody is hostile nothing fails at all.

use crate::books::Books;
use crate::ledger::{Ledger, Mood, fail, say};
use crate::secure;
use proto::fault::OriginFault;
use std::collections::HashMap;
use std::net::SocketAddr;

const TLS_FAULTS: [OriginFault; 4] =
    [OriginFault::TlsVerify, OriginFault::TlsAlert, OriginFault::TlsEof, OriginFault::TlsTimeout];

/// Connections for clients' requests that reached targets with a certificate that is no good.
pub type Doubted = HashMap<SocketAddr, u64>;

/// What a worker noted in a turn.
pub fn hear(notes: &[u8], mood: Mood) {
    let text = String::from_utf8_lossy(notes);
    for line in text.lines().filter(|line| line.contains("\"event\":\"origin_tls_failed\"")) {
        say(|| format!("  noted {line}"));
        let part = |name: &str| line.split_once(name).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("");
        let address = part("\"address\":\"").parse::<SocketAddr>().ok();
        let bad = address.and_then(secure::target);
        match (part("\"fault\":\""), bad) {
            (_, None) => fail(format!("a handshake failed where no TLS is spoken: {line}")),
            // What a target got wrong in its own words may be its signature.
            ("tls_verify", Some(false)) if secure::some_spoke_wrong() => {}
            ("tls_verify", Some(false)) => fail(format!("a good certificate was doubted: {line}")),
            ("tls_local_error", _) => fail(format!("TLS failed on this side, where nothing does: {line}")),
            _ if mood != Mood::Wild => fail(format!("a handshake failed that nobody disturbed: {line}")),
            _ => {}
        }
    }
    if mood != Mood::Wild && text.contains("\"event\":\"tls_handshake_failed\"") {
        fail(format!("a client's handshake failed that nobody disturbed: {text}"));
    }
}

/// A connection reached a target.
pub fn note_connection(doubted: &mut Doubted, target: SocketAddr, check: bool) {
    if !check && secure::target(target) == Some(true) {
        *doubted.entry(target).or_default() += 1;
    }
}

/// The counters, and how often targets were tried that nobody may believe: once for a request, since another connection to
/// the same address shows the same certificate.
pub fn judge(books: &Books<'_>, mood: Mood, ledger: &Ledger) -> Result<(), String> {
    let count = |fault: OriginFault| books.fault(fault);
    if count(OriginFault::TlsLocalError) > 0 {
        return Err("books: a fault of this side's TLS, where nothing fails".to_owned());
    }
    if count(OriginFault::TlsVerify) > 0 && !secure::any_bad_target() && !secure::some_spoke_wrong() {
        return Err("books: a certificate was doubted, and all are good".to_owned());
    }
    if mood != Mood::Wild && TLS_FAULTS.into_iter().any(|fault| count(fault) > 0) {
        return Err("books: a handshake with a target failed that nobody disturbed".to_owned());
    }
    match ledger.doubted.iter().find(|(_, count)| **count > ledger.asks.len() as u64) {
        Some((target, count)) => Err(format!("{target} was tried {count} times for {} requests", ledger.asks.len())),
        None => Ok(()),
    }
}

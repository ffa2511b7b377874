//! The one event that every failed attempt leaves behind. Retry, next target, health, escalation, log and counters all
//! read this event and nothing else, so that no class of failure is seen by one of them and missed by another.

use crate::fault::{OriginFault, WireFault};

/// Where an attempt was when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No connection yet: names, targets, places, the line.
    Choosing,
    Connecting,
    /// The request was being written.
    Sending,
    /// The request was out, the answer's head was not here.
    AwaitingHead,
    /// The answer's head was usable; its body was not.
    Body,
}

impl Phase {
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Choosing => "choosing",
            Self::Connecting => "connecting",
            Self::Sending => "sending",
            Self::AwaitingHead => "awaiting_head",
            Self::Body => "body",
        }
    }
}

/// What is known about a failed attempt. Exactly one is made for each.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub class: OriginFault,
    pub phase: Phase,
    /// Number of the target in the pool; `None` when none was chosen.
    pub target: Option<u32>,
    pub reused: bool,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// 1 for the first.
    pub attempt: u8,
    pub elapsed_us: u64,
    /// What was wrong with the bytes, for malformed answers.
    pub wire: Option<WireFault>,
    /// The answer's status, for the class `Status`.
    pub status: u16,
}

/// How much a failure says against its target: the rungs of the ladder from which an operator chooses. A rung includes
/// those below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Rung {
    /// Says nothing about the target.
    Nothing = 0,
    /// TCP: refused, unreachable, no connection in time.
    Tcp = 1,
    /// TLS: the certificate, an alert, silence or a close in the handshake.
    Tls = 2,
    /// Silence: nothing came before the time was over.
    Silence = 3,
    /// Closed or reset before a byte of an answer, or an answer that is none.
    Broken = 4,
}

impl Failure {
    /// The lowest rung at which this failure counts. A reused connection that ends proves only that it was old; what
    /// this host lacks, and what the client did, is nobody's failure out there (S1-03, S2-13).
    #[must_use]
    pub const fn rung(&self) -> Rung {
        match self.class {
            OriginFault::ConnectRefused | OriginFault::ConnectUnreachable | OriginFault::ConnectTimeout => Rung::Tcp,
            OriginFault::TlsVerify
            | OriginFault::TlsAlert
            | OriginFault::TlsEof
            | OriginFault::TlsTimeout
            | OriginFault::ProtocolMismatch => Rung::Tls,
            OriginFault::HeaderTimeout | OriginFault::BodyTimeout => Rung::Silence,
            OriginFault::WriteError | OriginFault::EofBeforeHeaders | OriginFault::ResetBeforeHeaders => {
                if self.reused { Rung::Nothing } else { Rung::Broken }
            }
            OriginFault::MalformedHeaders
            | OriginFault::BodyTruncated
            | OriginFault::BodyMalformed
            | OriginFault::Status => Rung::Broken,
            OriginFault::Unprocessed
            | OriginFault::DnsNxdomain
            | OriginFault::DnsServfail
            | OriginFault::DnsTimeout
            | OriginFault::NoTarget
            | OriginFault::PoolFull
            | OriginFault::AnswerTooLarge
            | OriginFault::TotalTimeout
            | OriginFault::TlsLocalError
            | OriginFault::LocalResource => Rung::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Failure = Failure {
        class: OriginFault::EofBeforeHeaders,
        phase: Phase::AwaitingHead,
        target: Some(0),
        reused: false,
        bytes_sent: 10,
        bytes_received: 0,
        attempt: 1,
        elapsed_us: 1,
        wire: None,
        status: 0,
    };

    #[test]
    fn s2_13_a_reused_connection_that_ends_says_nothing_about_its_target() {
        assert_eq!(FRESH.rung(), Rung::Broken);
        assert_eq!(Failure { reused: true, ..FRESH }.rung(), Rung::Nothing);
    }

    #[test]
    fn s1_03_a_local_fault_never_blames_a_target() {
        for class in
            [OriginFault::LocalResource, OriginFault::TlsLocalError, OriginFault::PoolFull, OriginFault::NoTarget]
        {
            assert_eq!(Failure { class, ..FRESH }.rung(), Rung::Nothing);
        }
    }
}

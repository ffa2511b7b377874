//! What must be equal before two requests may share an origin connection. One pure function computes it; checkout,
//! checkin, stealing, the log and `explain` all use its result and nothing else.

use crate::plan::{HostPolicy, MatchWord, Origin, OriginHttp, OriginTls, SniPolicy, Target, VerifyName};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// The part of the pool key that the plan settles: one value for each target of each origin.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Two origins with one address keep their own limits and times, so they do not share connections.
    pub origin: String,
    pub target: SocketAddr,
    /// Our end, when it is not left to the system.
    pub local: Option<IpAddr>,
    pub tls: Option<TlsIdentity>,
    /// What is spoken on it, as far as the plan says.
    pub http: OriginHttp,
}

/// What a TLS session was opened for. (Plain targets have none.)
#[derive(Clone, Debug, Eq)]
pub struct TlsIdentity {
    /// Outbound SNI; empty = none was sent.
    pub sni: String,
    /// The name the certificate was checked for.
    pub verified_name: String,
    /// Digest of trust store and verify policy: another digest, another identity.
    pub trust_digest: u64,
    /// Digest of the client certificate shown; 0 = none.
    pub client_certificate: u64,
    pub alpn: String,
}

impl PartialEq for TlsIdentity {
    /// Names are compared whole and without regard to case; none and some never match (S0-07).
    fn eq(&self, other: &Self) -> bool {
        self.sni.eq_ignore_ascii_case(&other.sni)
            && self.verified_name.eq_ignore_ascii_case(&other.verified_name)
            && self.trust_digest == other.trust_digest
            && self.client_certificate == other.client_certificate
            && self.alpn == other.alpn
    }
}

impl std::hash::Hash for TlsIdentity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.sni.to_ascii_lowercase().hash(state);
        self.verified_name.to_ascii_lowercase().hash(state);
        (self.trust_digest, self.client_certificate, &self.alpn).hash(state);
    }
}

impl Identity {
    #[must_use]
    pub fn plain(origin: &str, target: SocketAddr) -> Self {
        Self { origin: origin.to_owned(), target, local: None, tls: None, http: OriginHttp::Http1 }
    }

    /// The name a connection of this identity is asked for in TLS: the request's, where each brings its own, else the
    /// plan's. Empty = none.
    #[must_use]
    pub fn server_name<'a>(&'a self, bound: Option<&'a Bound>) -> &'a str {
        let fixed = self.tls.as_ref().map_or("", |tls| tls.sni.as_str());
        bound.and_then(|bound| bound.sni.as_deref()).unwrap_or(fixed)
    }
}

#[must_use]
pub fn identity_of(origin: &Origin, target: &Target) -> Identity {
    let tls = origin.tls.as_ref().map(|tls| tls_identity(tls, origin, target));
    let plain = Identity::plain(&origin.name, target.socket_address());
    Identity { local: origin.local_address, tls, http: origin.http, ..plain }
}

/// The names and digests that the plan settles. A name that each request brings along is in its `Bound`.
fn tls_identity(tls: &OriginTls, origin: &Origin, target: &Target) -> TlsIdentity {
    let sni = match &tls.sni {
        SniPolicy::Literal { value } => value.as_str(),
        SniPolicy::Target => target.name.as_str(),
        SniPolicy::Host => match &origin.host {
            HostPolicy::Client => "",
            HostPolicy::Target => target.name.as_str(),
            HostPolicy::Literal { value } => name_of_host(value),
        },
        SniPolicy::ServerName | SniPolicy::None => "",
    };
    let verified = match &tls.verify_name {
        VerifyName::Literal { value } => value.as_str(),
        VerifyName::Target => target.name.as_str(),
        // Without a name to ask for, the certificate must be for the target as it was written.
        VerifyName::Sni if tls.sni == SniPolicy::None => target.name.as_str(),
        VerifyName::Sni => "",
    };
    let versions = (tls.min_version as u8, tls.max_version as u8);
    let own = tls.certificate.as_ref();
    TlsIdentity {
        sni: if sni.parse::<IpAddr>().is_ok() { String::new() } else { sni.to_ascii_lowercase() },
        verified_name: verified_name(verified, sni),
        trust_digest: digest_of(&(tls.system_roots, &tls.roots, tls.verify, &tls.pins, versions)),
        client_certificate: own.map_or(0, |own| digest_of(&(&own.chain, &own.key.0))),
        alpn: tls.alpn.join(","),
    }
}

/// An address is asked for by no name, but its certificate must be for it.
fn verified_name(verified: &str, sni: &str) -> String {
    let name = if verified.is_empty() && sni.parse::<IpAddr>().is_ok() { sni } else { verified };
    name.to_ascii_lowercase()
}

/// A digest that is the same for the life of the process; never 0, which stands for nothing.
#[must_use]
pub fn digest_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish().max(1)
}

/// A Host without its port and without brackets, for SNI.
#[must_use]
pub fn name_of_host(host: &str) -> &str {
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare)
}

/// The name that this request's connection is asked for, where the request decides it. `host`: as the origin is sent it;
/// `client`: the name the client itself asked for.
#[must_use]
pub fn asked_name(origin: &Origin, host: &[u8], client: Option<&str>) -> Option<Box<str>> {
    let name = match &origin.tls.as_ref()?.sni {
        SniPolicy::ServerName => client.unwrap_or("").to_ascii_lowercase(),
        SniPolicy::Host if matches!(origin.host, HostPolicy::Client) => {
            name_of_host(std::str::from_utf8(host).unwrap_or("")).to_ascii_lowercase()
        }
        _ => return None,
    };
    // RFC 6066 3: an address is no server name.
    Some(if name.parse::<IpAddr>().is_ok() { "".into() } else { name.into_boxed_str() })
}

/// The part of the pool key that a request brings along. Most requests bring nothing, and then it costs nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// Host the connection was used for, lower case, where the origin matches by host.
    pub host: Option<Box<[u8]>>,
    /// The one client whose authentication the connection carries.
    pub owner: Option<u64>,
    /// The name it was asked for in TLS, lower case, where each request brings its own.
    pub sni: Option<Box<str>>,
}

/// Computes what a request brings. `owner` is the client's number if its connection is to be its own; `sni` is what
/// `asked_name` says.
#[must_use]
pub fn bound_of(match_on: &[MatchWord], host: &[u8], owner: Option<u64>, sni: Option<Box<str>>) -> Option<Box<Bound>> {
    let by_host = match_on.iter().any(|w| matches!(w, MatchWord::Host | MatchWord::Both | MatchWord::Hostonly));
    if !by_host && owner.is_none() && sni.is_none() {
        return None;
    }
    let host = by_host.then(|| host.to_ascii_lowercase().into_boxed_slice());
    Some(Box::new(Bound { host, owner, sni }))
}

/// Whether connections of this origin are kept at all: without a word that says what a connection is to, they are not.
#[must_use]
pub fn is_shared(match_on: &[MatchWord]) -> bool {
    match_on.iter().any(|w| matches!(w, MatchWord::Ip | MatchWord::Host | MatchWord::Both | MatchWord::Hostonly))
}

/// Whether a connection to one target serves requests for another of the same origin: the name is all that counts.
#[must_use]
pub fn any_address(match_on: &[MatchWord]) -> bool {
    is_shared(match_on) && !match_on.iter().any(|w| matches!(w, MatchWord::Ip | MatchWord::Both))
}

/// What is known about a connection when its exchange is over.
#[derive(Clone, Copy, Debug)]
pub struct AfterExchange {
    /// The answer's head allowed it: HTTP/1.1 without `close`, or 1.0 with `keep-alive`, and a length.
    pub answer_keeps: bool,
    /// The answer was read to its end.
    pub answer_complete: bool,
    /// Bytes came beyond the answer's end.
    pub surplus_bytes: bool,
    /// The origin's FIN was seen.
    pub read_closed: bool,
    /// The whole request was taken by the kernel.
    pub request_sent: bool,
    /// Requests it carried, this one included, and how many it may (0 = any number).
    pub requests: u64,
    pub requests_max: u64,
    /// It is older than it may become.
    pub aged: bool,
    pub draining: bool,
}

/// Why a connection is not put back: one row each, and a counter for each row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyNotReusable {
    AnswerUnfinished,
    NotKept,
    ClosedByOrigin,
    SurplusBytes,
    RequestUnfinished,
    RequestsSpent,
    TooOld,
    Draining,
}

/// The truth table: the first row that holds is the reason.
pub fn is_reusable(after: &AfterExchange) -> Result<(), WhyNotReusable> {
    let rows = [
        (!after.answer_complete, WhyNotReusable::AnswerUnfinished),
        (after.surplus_bytes, WhyNotReusable::SurplusBytes),
        (!after.request_sent, WhyNotReusable::RequestUnfinished),
        (!after.answer_keeps, WhyNotReusable::NotKept),
        (after.read_closed, WhyNotReusable::ClosedByOrigin),
        (after.requests_max != 0 && after.requests >= after.requests_max, WhyNotReusable::RequestsSpent),
        (after.aged, WhyNotReusable::TooOld),
        (after.draining, WhyNotReusable::Draining),
    ];
    rows.iter().find(|(holds, _)| *holds).map_or(Ok(()), |(_, why)| Err(*why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> TlsIdentity {
        TlsIdentity {
            sni: "a.example".into(),
            verified_name: "a.example".into(),
            trust_digest: 1,
            client_certificate: 2,
            alpn: "h2".into(),
        }
    }

    fn identity() -> Identity {
        Identity { tls: Some(tls()), ..Identity::plain("o", ([10, 0, 0, 1], 443).into()) }
    }

    #[test]
    fn s0_03_identities_that_differ_in_any_one_part_are_never_equal() {
        let same = identity();
        assert_eq!(same, identity());
        let with = |change: &dyn Fn(&mut TlsIdentity)| {
            let mut other = tls();
            change(&mut other);
            Identity { tls: Some(other), ..identity() }
        };
        for (part, other) in [
            ("address", Identity { target: ([10, 0, 0, 2], 443).into(), ..identity() }),
            ("port", Identity { target: ([10, 0, 0, 1], 444).into(), ..identity() }),
            ("origin", Identity { origin: "p".into(), ..identity() }),
            ("local address", Identity { local: Some([127, 0, 0, 9].into()), ..identity() }),
            ("versions of HTTP", Identity { http: OriginHttp::Http2, ..identity() }),
            ("TLS or not", Identity { tls: None, ..identity() }),
            ("sni", with(&|t| t.sni = "b.example".into())),
            ("verified name", with(&|t| t.verified_name = "b.example".into())),
            ("trust", with(&|t| t.trust_digest = 9)),
            ("client certificate", with(&|t| t.client_certificate = 0)),
            ("alpn", with(&|t| t.alpn = "http/1.1".into())),
        ] {
            assert_ne!(same, other, "{part}");
        }
    }

    #[test]
    fn s0_07_names_match_whole_and_without_case_and_one_empty_name_matches_nothing() {
        let named = |sni: &str| TlsIdentity { sni: sni.into(), ..tls() };
        assert_eq!(named(""), named(""));
        assert_ne!(named(""), named("a.example"));
        assert_eq!(named("A.Example"), named("a.example"));
        assert_ne!(named("a.example"), named("a.example.org"));
    }

    #[test]
    fn s0_05_the_match_words_say_what_is_compared() {
        use MatchWord::{Both, Cert, Host, Hostonly, Ip, Sni};
        assert_eq!(bound_of(&[Ip], b"a", None, None), None);
        for word in [Host, Both, Hostonly] {
            assert_ne!(bound_of(&[word], b"a", None, None), bound_of(&[word], b"b", None, None));
            assert_eq!(bound_of(&[word], b"A", None, None), bound_of(&[word], b"a", None, None));
        }
        assert!(!is_shared(&[]) && !is_shared(&[Sni, Cert]));
        assert!(any_address(&[Hostonly]) && any_address(&[Host]) && !any_address(&[Host, Ip]) && !any_address(&[Both]));
    }

    #[test]
    fn s0_16_an_owned_connection_is_nobody_elses() {
        use MatchWord::Ip;
        assert_ne!(bound_of(&[Ip], b"a", Some(1), None), bound_of(&[Ip], b"a", Some(2), None));
        assert_ne!(bound_of(&[Ip], b"a", Some(1), None), bound_of(&[Ip], b"a", None, None));
    }

    const GOOD: AfterExchange = AfterExchange {
        answer_keeps: true,
        answer_complete: true,
        surplus_bytes: false,
        read_closed: false,
        request_sent: true,
        requests: 1,
        requests_max: 0,
        aged: false,
        draining: false,
    };

    #[test]
    fn s3_01_a_connection_is_kept_only_when_every_row_agrees() {
        assert_eq!(is_reusable(&GOOD), Ok(()));
        for (after, why) in [
            (AfterExchange { answer_complete: false, ..GOOD }, WhyNotReusable::AnswerUnfinished),
            (AfterExchange { surplus_bytes: true, ..GOOD }, WhyNotReusable::SurplusBytes),
            (AfterExchange { request_sent: false, ..GOOD }, WhyNotReusable::RequestUnfinished),
            (AfterExchange { answer_keeps: false, ..GOOD }, WhyNotReusable::NotKept),
            (AfterExchange { read_closed: true, ..GOOD }, WhyNotReusable::ClosedByOrigin),
            (AfterExchange { requests: 5, requests_max: 5, ..GOOD }, WhyNotReusable::RequestsSpent),
            (AfterExchange { aged: true, ..GOOD }, WhyNotReusable::TooOld),
            (AfterExchange { draining: true, ..GOOD }, WhyNotReusable::Draining),
        ] {
            assert_eq!(is_reusable(&after), Err(why));
        }
    }
}

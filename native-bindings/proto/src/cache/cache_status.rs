//! Writes `Cache-Status` (RFC 9211): one member, our own, behind those of caches nearer to the origin.

use crate::cache::judge::{Decision, What};
use crate::http1::encode::write_decimal;
use crate::http1::fields::is_token;

/// What is told of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub decision: Decision,
    /// Seconds the answer stays fresh, below zero since when it is not; `None` = nothing is known of it.
    pub ttl_s: Option<i64>,
    /// Status of the origin's answer, where it is another than the client's.
    pub forwarded_status: Option<u16>,
    /// The answer was stored.
    pub stored: bool,
    /// The request waited for another one's answer.
    pub collapsed: bool,
    /// To be told on this route.
    pub key: Option<&'a [u8]>,
}

/// Largest integer of structured fields (RFC 9651 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;
/// Longest key that is told, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// Writes the member: `name; hit; ttl=5` or `name; fwd=uri-miss; stored`.
pub fn write_cache_status(out: &mut Vec<u8>, name: &[u8], report: &Report<'_>) {
    write_name(out, name);
    let Decision { what, why } = report.decision;
    match what {
        What::Hit(_) | What::HitAndRevalidate(_) => out.extend_from_slice(b"; hit"),
        // Neither a hit nor forwarded: the answer is our own.
        What::GatewayTimeout => {}
        What::Validate | What::Miss | What::Bypass => {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(why.forwarded().as_bytes());
            if let Some(status) = report.forwarded_status {
                out.extend_from_slice(b"; fwd-status=");
                write_decimal(out, u64::from(status));
            }
            if report.stored {
                out.extend_from_slice(b"; stored");
            }
            if report.collapsed {
                out.extend_from_slice(b"; collapsed");
            }
        }
    }
    if let Some(ttl_s) = report.ttl_s {
        out.extend_from_slice(if ttl_s < 0 { b"; ttl=-".as_slice() } else { b"; ttl=" });
        write_decimal(out, ttl_s.unsigned_abs().min(INTEGER_MAX));
    }
    if let Some(key) = report.key.filter(|key| is_tellable(key)) {
        out.extend_from_slice(b"; key=");
        write_string(out, key);
    }
    out.extend_from_slice(b"; detail=");
    out.extend_from_slice(why.token().as_bytes());
}

/// A token where it can be one, else a string (RFC 9211 2).
fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    match is_token(name) && name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'*') {
        true => out.extend_from_slice(name),
        false => write_string(out, name),
    }
}

fn is_tellable(text: &[u8]) -> bool {
    text.len() <= KEY_BYTES_MAX && text.iter().all(|b| matches!(b, 0x20..=0x7e | b'\n'))
}

/// A string of structured fields; a line break of a key becomes a space.
fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.push(b' '),
            0x20..=0x7e => out.push(byte),
            _ => {}
        }
    }
    out.push(b'"');
}

/// The value of `X-Cache`.
#[must_use]
pub const fn x_cache(what: What) -> &'static str {
    match what {
        What::Hit(_) | What::HitAndRevalidate(_) => "HIT",
        What::Validate | What::Miss | What::GatewayTimeout | What::Bypass => "MISS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::conditional::Serve;
    use crate::cache::structured::{Bare, Member, parse_list};
    use crate::cache::why::Why;

    fn written(name: &str, report: &Report<'_>) -> String {
        let mut out = Vec::new();
        write_cache_status(&mut out, name.as_bytes(), report);
        let mut members = Vec::new();
        parse_list(&out, |member| members.push(format!("{member:?}"))).expect("a list of structured fields");
        assert_eq!(members.len(), 1, "one member");
        String::from_utf8(out).expect("ASCII")
    }

    const fn report(what: What, why: Why) -> Report<'static> {
        let decision = Decision { what, why };
        Report { decision, ttl_s: None, forwarded_status: None, stored: false, collapsed: false, key: None }
    }

    #[test]
    fn each_way_an_answer_comes_about_has_its_words() {
        let hit = Report { ttl_s: Some(30), ..report(What::Hit(Serve::Whole), Why::Fresh) };
        assert_eq!(written("edge", &hit), "edge; hit; ttl=30; detail=fresh");
        let stale = Report { ttl_s: Some(-5), ..report(What::Hit(Serve::Whole), Why::OriginDown) };
        assert_eq!(written("edge", &stale), "edge; hit; ttl=-5; detail=origin_down");
        let miss = Report { stored: true, collapsed: true, ..report(What::Miss, Why::UriMiss) };
        assert_eq!(written("edge", &miss), "edge; fwd=uri-miss; stored; collapsed; detail=uri_miss");
        let validated = Report { forwarded_status: Some(304), ..report(What::Validate, Why::Stale) };
        assert_eq!(written("edge", &validated), "edge; fwd=stale; fwd-status=304; detail=stale");
        let bypass = report(What::Bypass, Why::MethodNotCached);
        assert_eq!(written("edge", &bypass), "edge; fwd=method; detail=method_not_cached");
        let timeout = report(What::GatewayTimeout, Why::OnlyIfCached);
        assert_eq!(written("edge", &timeout), "edge; detail=only_if_cached");
    }

    #[test]
    fn names_and_keys_that_are_no_tokens_become_strings() {
        let key = b"http://a/\"b\"\nx=1";
        let told = Report { key: Some(key), ..report(What::Miss, Why::UriMiss) };
        assert_eq!(
            written("1 \"edge\"", &told),
            "\"1 \\\"edge\\\"\"; fwd=uri-miss; key=\"http://a/\\\"b\\\" x=1\"; detail=uri_miss"
        );
        let long = [b'a'; KEY_BYTES_MAX + 1];
        for key in [b"http://a/\xff".as_slice(), &long] {
            let untold = Report { key: Some(key), ..report(What::Miss, Why::UriMiss) };
            assert_eq!(written("edge", &untold), "edge; fwd=uri-miss; detail=uri_miss");
        }
    }

    #[test]
    fn what_is_told_is_one_of_the_words_of_rfc_9211() {
        for why in Why::ALL.iter().filter(|why| why.forwarded() != "-") {
            let text = written("edge", &report(What::Miss, *why));
            assert!(text.starts_with(&format!("edge; fwd={}", why.forwarded())), "{text}");
            let value = why.forwarded().as_bytes();
            let mut token = None;
            parse_list(value, |member| token = Some(member)).expect("a token");
            assert_eq!(token, Some(Member::Item(Bare::Token(value))));
        }
    }
}

//! Tests of fields.rs: byte classes, names, lists, hosts, Connection.

use super::*;
use crate::fault::WireFault;
use crate::http1::head::RequestHead;
use crate::limits::HeadLimits;

#[test]
fn token_bytes_are_those_of_the_rfc() {
    let tokens: Vec<u8> = (0..=255).filter(|&b| is_token_byte(b)).collect();
    assert_eq!(tokens, b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
    assert!(is_token(b"a-b") && !is_token(b"") && !is_token(b"a b") && !is_token(b"a\xff"));
}

#[test]
fn every_known_name_is_found_in_any_case() {
    use FieldKind as K;
    let names = [
        ("Host", K::Host),
        ("Content-Length", K::ContentLength),
        ("Transfer-Encoding", K::TransferEncoding),
        ("Connection", K::Connection),
        ("Keep-Alive", K::KeepAlive),
        ("Proxy-Connection", K::ProxyConnection),
        ("TE", K::Te),
        ("Trailer", K::Trailer),
        ("Upgrade", K::Upgrade),
        ("Expect", K::Expect),
        ("Via", K::Via),
        ("X-Forwarded-For", K::XForwardedFor),
        ("X-Forwarded-Proto", K::XForwardedProto),
        ("X-Forwarded-Host", K::XForwardedHost),
        ("X-Forwarded-Port", K::XForwardedOther),
        ("X-Real-IP", K::XRealIp),
        ("Forwarded", K::Forwarded),
        ("Client-Cert", K::ClientCert),
        ("Client-Cert-Chain", K::ClientCert),
        ("Date", K::Date),
        ("Server", K::Server),
        ("Max-Forwards", K::MaxForwards),
        ("Authorization", K::Authorization),
        ("Proxy-Authorization", K::ProxyAuthorization),
        ("Proxy-Authenticate", K::ProxyAuthenticate),
        ("WWW-Authenticate", K::WwwAuthenticate),
        ("HTTP2-Settings", K::Http2Settings),
        ("Set-Cookie", K::SetCookie),
        ("Cookie", K::Cookie),
        ("Content-Type", K::ContentType),
        ("Cache-Control", K::CacheControl),
        ("Location", K::Location),
        ("Content-Range", K::ContentRange),
        ("Idempotency-Key", K::IdempotencyKey),
        ("Retry-After", K::RetryAfter),
        ("Age", K::Age),
        ("Expires", K::Expires),
        ("Last-Modified", K::LastModified),
        ("ETag", K::Etag),
        ("Vary", K::Vary),
        ("Pragma", K::Pragma),
        ("Range", K::Range),
        ("If-Range", K::IfRange),
        ("If-Match", K::IfMatch),
        ("If-None-Match", K::IfNoneMatch),
        ("If-Modified-Since", K::IfModifiedSince),
        ("If-Unmodified-Since", K::IfUnmodifiedSince),
    ];
    for (name, kind) in names {
        for spelled in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            assert_eq!(classify(spelled.as_bytes()), kind, "{spelled}");
        }
        assert_eq!(classify(&name.as_bytes()[1..]), K::Other, "{name} without its first letter");
        assert_ne!(classify(format!("{name}x").as_bytes()), K::Host);
        assert_eq!(classify(format!("y{name}").as_bytes()), K::Other, "y{name}");
    }
    assert_eq!(classify(b""), K::Other);
    assert_eq!(classify(b"X-Forwarded"), K::Other);
}

#[test]
fn names_some_servers_would_fold_are_aliases() {
    use FieldKind as K;
    let rows = [
        ("content_length", K::FramingAlias),
        ("Content.Length", K::FramingAlias),
        ("TRANSFER_ENCODING", K::FramingAlias),
        ("x_forwarded_for", K::ForwardingAlias),
        ("X-Forwarded_Proto", K::ForwardingAlias),
        ("x_forwarded_anything_at_all_however_long", K::ForwardingAlias),
        ("x.real_ip", K::ForwardingAlias),
        ("content_type", K::Other),
        ("contentlength", K::Other),
        ("content__length", K::Other),
        ("content_length_of_something_else", K::Other),
    ];
    for (name, kind) in rows {
        assert_eq!(classify(name.as_bytes()), kind, "{name}");
    }
}

#[test]
fn list_items_are_trimmed_and_empty_ones_skipped() {
    let items: Vec<&[u8]> = list_items(b" a ,\tb,, ,c d").collect();
    assert_eq!(items, [b"a".as_slice(), b"b", b"c d"]);
    assert_eq!(list_items(b"").count(), 0);
}

#[test]
fn hosts_that_are_hosts() {
    let rows: &[(&str, &str, Option<u16>)] = &[
        ("a", "a", None),
        ("a.example:8080", "a.example", Some(8080)),
        ("a:", "a", None),
        ("a:0", "a", Some(0)),
        ("a:65535", "a", Some(65535)),
        ("192.0.2.1:80", "192.0.2.1", Some(80)),
        ("[::1]", "[::1]", None),
        ("[2001:db8::192.0.2.1]:443", "[2001:db8::192.0.2.1]", Some(443)),
        ("a_b~c!$&'()*+;=%41", "a_b~c!$&'()*+;=%41", None),
    ];
    for (value, host, port) in rows {
        assert_eq!(parse_host(value.as_bytes()), Some((host.as_bytes(), *port)), "{value}");
    }
}

#[test]
fn hosts_that_are_none() {
    let values = [
        "",
        ":80",
        "a:80:80",
        "a:8o",
        "a:65536",
        "a:000080",
        "a:-1",
        "a:+1",
        "a,b",
        "a b",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a\"",
        "<a>",
        "a%zz",
        "a%4",
        "a%00",
        "[::1",
        "[::1]x",
        "[]",
        "[1.2.3.4]",
        "[v1.a]",
        "[fe80::1%25en0]",
        "[fe80::1%en0]",
        "::1",
        "ä",
        "a\0",
        "a\t",
        "[::1]]",
    ];
    for value in values {
        assert!(!valid_host(value.as_bytes()), "{value:?}");
    }
}

fn connection(values: &[&str]) -> Result<ConnectionOptions, WireFault> {
    let (bytes, head) = request_with(values);
    connection_options(&bytes, &head.fields)
}

fn request_with(values: &[&str]) -> (Vec<u8>, RequestHead) {
    let lines: String = values.iter().map(|v| format!("Connection: {v}\r\n")).collect();
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
    let mut head = RequestHead::new();
    head.parse(&bytes, &HeadLimits::default()).expect("a valid head");
    (bytes, head)
}

#[test]
fn connection_options_are_gathered_from_all_fields() {
    let none = ConnectionOptions::default();
    assert_eq!(connection(&[]), Ok(none));
    assert_eq!(connection(&["close"]), Ok(ConnectionOptions { close: true, ..none }));
    assert_eq!(connection(&["Keep-Alive", ",TE , upgrade"]), {
        Ok(ConnectionOptions { keep_alive: true, te: true, upgrade: true, ..none })
    });
    assert_eq!(connection(&["x-a"]), Ok(ConnectionOptions { nominated: true, ..none }));
    assert_eq!(connection(&["a b"]), Err(WireFault::ConnectionInvalid));
    assert_eq!(connection(&["\"close\""]), Err(WireFault::ConnectionInvalid));
}

#[test]
fn a_nomination_cannot_remove_what_others_rest_on() {
    for name in ["Host", "content-length", "Transfer-Encoding"] {
        assert_eq!(connection(&[name]), Err(WireFault::ConnectionInvalid), "{name}");
    }
    let kept = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Real-IP",
        "Forwarded",
        "Via",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Cache-Control",
        "Content-Type",
        "Expect",
        "Max-Forwards",
        "Date",
    ];
    for name in kept {
        let (bytes, head) = request_with(&[name, "x-b"]);
        assert_eq!(connection(&[name]), Ok(ConnectionOptions::default()), "{name}");
        assert!(!is_nominated(&bytes, &head.fields, name.as_bytes()), "{name}");
        assert!(is_nominated(&bytes, &head.fields, b"X-B"), "{name}");
        assert!(!is_nominated(&bytes, &head.fields, b"X"), "{name}");
    }
}

#[test]
fn a_set_of_kinds_holds_what_was_put_in() {
    let set = KindSet::of(&[FieldKind::Other, FieldKind::ForwardingAlias]);
    assert!(set.has(FieldKind::Other) && set.has(FieldKind::ForwardingAlias) && !set.has(FieldKind::Host));
    assert!(!set.without(FieldKind::Other).has(FieldKind::Other));
    assert!(set.meets(KindSet::of(&[FieldKind::Other])) && !set.meets(KindSet::of(&[FieldKind::Host])));
}

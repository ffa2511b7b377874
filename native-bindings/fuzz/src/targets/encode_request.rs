//! Requests written anew: what an origin is sent, read back by our own strict parser and by every lenient reader. The
//! first two bytes choose how it is written, the rest is the client's request.

use crate::naive::{Ends, all_habits};
use proto::http1::encode::{Forwarding, RequestEncoding, encode_request};
use proto::http1::fields::{FieldKind as K, KindSet, is_nominated};
use proto::http1::framing::{RequestBody, RequestFraming, decide_request};
use proto::http1::head::{Field, Method, Parsed, RequestHead, TargetForm, Version};
use proto::limits::HeadLimits;
use proto::plan::FieldEdit;

/// Kinds the encoder writes itself, or never.
const NOT_COPIED: KindSet = KindSet::of(&[
    K::Host,
    K::ContentLength,
    K::TransferEncoding,
    K::Connection,
    K::KeepAlive,
    K::ProxyConnection,
    K::Te,
    K::Upgrade,
    K::Expect,
    K::MaxForwards,
    K::ProxyAuthorization,
    K::Http2Settings,
    K::FramingAlias,
    K::ForwardingAlias,
    K::Via,
    K::XForwardedFor,
    K::XForwardedProto,
    K::XForwardedHost,
    K::XForwardedOther,
    K::XRealIp,
    K::Forwarded,
]);
/// Never in what an origin is sent.
const NEVER: KindSet = KindSet::of(&[
    K::KeepAlive,
    K::ProxyConnection,
    K::ProxyAuthorization,
    K::Http2Settings,
    K::FramingAlias,
    K::ForwardingAlias,
]);
/// What only a trusted peer may say.
const CLAIMS: KindSet = KindSet::of(&[K::XForwardedOther, K::XRealIp]);

struct Choice {
    via: bool,
    trusted: bool,
    x_forwarded: bool,
    forwarded: bool,
    edited: bool,
}

pub fn run(input: &[u8]) {
    let Some((&[first, _], bytes)) = input.split_first_chunk::<2>() else { return };
    let choice = Choice {
        via: first & 1 != 0,
        trusted: first & 2 != 0,
        x_forwarded: first & 4 != 0,
        forwarded: first & 8 != 0,
        edited: first & 16 != 0,
    };
    let mut head = RequestHead::new();
    if head.parse(bytes, &HeadLimits::default()) != Ok(Parsed::Complete) || head.method == Method::Connect {
        return;
    }
    let Ok(framing) = decide_request(bytes, &head) else { return };
    let path = sent_path(bytes, &head);
    let host = if head.host.is_empty() { b"origin:1".to_vec() } else { head.host.of(bytes).to_vec() };
    let sent = written(bytes, &head, &framing, &choice, &path, &host);
    means_the_same(bytes, &head, &framing, &choice, &sent, (&path, &host));
}

fn edits(choice: &Choice) -> Vec<FieldEdit> {
    let text = str::to_owned;
    match choice.edited {
        true => vec![
            FieldEdit::Remove { name: text("x-removed") },
            FieldEdit::Set { name: text("X-Set"), value: text("ours") },
        ],
        false => Vec::new(),
    }
}

fn sent_path(bytes: &[u8], head: &RequestHead) -> Vec<u8> {
    if head.target_form == TargetForm::Asterisk {
        return b"*".to_vec();
    }
    let path = if head.path.is_empty() { b"/" } else { head.path.of(bytes) };
    if head.has_query { [path, b"?", head.query.of(bytes)].concat() } else { path.to_vec() }
}

fn written(
    bytes: &[u8],
    head: &RequestHead,
    framing: &RequestFraming,
    choice: &Choice,
    path: &[u8],
    host: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    let encoding = RequestEncoding {
        drops: KindSet::EMPTY,
        lines: b"",
        path,
        host,
        body: framing.body,
        upgrade: framing.upgrade,
        expect_continue: framing.expect_continue,
        nominated: framing.options.nominated,
        via: choice.via.then_some(b"millrace".as_slice()),
        received_version: head.version,
        forwarding: Forwarding {
            client_cert: &[],
            trusted_peer: choice.trusted,
            x_forwarded: choice.x_forwarded,
            forwarded: choice.forwarded,
            client_ip: b"192.0.2.1",
            client_is_v6: false,
            proto: b"http",
        },
        edits: &edits(choice),
        te_trailers: framing.te_trailers,
    };
    encode_request(&mut out, bytes, head, &encoding);
    out
}

fn means_the_same(
    bytes: &[u8],
    head: &RequestHead,
    framing: &RequestFraming,
    choice: &Choice,
    sent: &[u8],
    (path, host): (&[u8], &[u8]),
) {
    // What is added may pass the limits a client is held to; it is still a head.
    let limits = HeadLimits { head_bytes: 60 * 1024, field_count: 256, ..HeadLimits::default() };
    let mut again = RequestHead::new();
    assert_eq!(again.parse(sent, &limits), Ok(Parsed::Complete), "sent: {}", sent.escape_ascii());
    assert_eq!(again.len, sent.len(), "bytes behind the head that was written");
    assert_eq!(again.version, Version::Http11);
    assert_eq!(again.method_span.of(sent), head.method_span.of(bytes));
    assert_eq!((again.target.of(sent), again.host.of(sent)), (path, host));
    let settled = decide_request(sent, &again).expect("our own request is well framed");
    let anticipates = matches!(head.method, Method::Post | Method::Put | Method::Patch);
    let wanted = match framing.body {
        RequestBody::None if anticipates => RequestBody::Length(0),
        same => same,
    };
    assert_eq!(settled.body, wanted, "sent: {}", sent.escape_ascii());
    assert!(settled.keep_alive, "an origin is told to close");
    assert_eq!((settled.upgrade, settled.te_trailers), (framing.upgrade, framing.te_trailers));
    assert_eq!((settled.expect_continue, settled.expectation_unknown), (framing.expect_continue, false));
    let ends = match wanted {
        RequestBody::None => Ends::WithHead,
        RequestBody::Length(n) => Ends::Length(n),
        RequestBody::Chunked => Ends::Chunked,
    };
    for habits in all_habits(true) {
        let seen = habits.read_head(sent).map(|naive| (naive.len, habits.framing(&naive)));
        assert_eq!(seen, Some((sent.len(), ends)), "{habits:?} sees another end of {}", sent.escape_ascii());
    }
    fields_are_handed_on(bytes, head, framing, choice, sent, &again);
    the_peer_claims_nothing(choice, sent, &again);
}

fn fields_are_handed_on(
    bytes: &[u8],
    head: &RequestHead,
    framing: &RequestFraming,
    choice: &Choice,
    sent: &[u8],
    again: &RequestHead,
) {
    assert!(!again.kinds.meets(NEVER), "sent: {}", sent.escape_ascii());
    assert!(again.fields.iter().all(|field| field.plain));
    let is_edited =
        |name: &[u8]| choice.edited && (name.eq_ignore_ascii_case(b"x-removed") || name.eq_ignore_ascii_case(b"x-set"));
    let stays = |field: &&Field| {
        let name = field.name.of(bytes);
        let nominated = framing.options.nominated && is_nominated(bytes, &head.fields, name);
        !NOT_COPIED.has(field.kind) && !nominated && !is_edited(name)
    };
    let wanted: Vec<(&[u8], &[u8])> =
        head.fields.iter().filter(stays).map(|f| (f.name.of(bytes), f.value.of(bytes))).collect();
    let is_other = |f: &&Field| !NOT_COPIED.has(f.kind) && !is_edited(f.name.of(sent));
    let found: Vec<(&[u8], &[u8])> =
        again.fields.iter().filter(is_other).map(|f| (f.name.of(sent), f.value.of(sent))).collect();
    assert_eq!(found, wanted, "fields were lost, added or reordered: {}", sent.escape_ascii());
    if choice.edited {
        let set: Vec<&[u8]> =
            again.fields.iter().filter(|f| is_edited(f.name.of(sent))).map(|f| f.value.of(sent)).collect();
        assert_eq!(set, [b"ours"]);
    }
}

/// What an untrusted peer says of those before it never reaches an origin.
fn the_peer_claims_nothing(choice: &Choice, sent: &[u8], again: &RequestHead) {
    if choice.trusted {
        return;
    }
    assert!(!again.kinds.meets(CLAIMS), "sent: {}", sent.escape_ascii());
    let said = |kind| again.fields.iter().filter(move |f| f.kind == kind).map(|f| f.value.of(sent));
    let ours: &[&[u8]] = if choice.x_forwarded { &[b"192.0.2.1"] } else { &[] };
    assert_eq!(said(K::XForwardedFor).collect::<Vec<_>>(), ours, "sent: {}", sent.escape_ascii());
    assert_eq!(said(K::XForwardedProto).count(), ours.len());
    assert_eq!(said(K::Forwarded).count(), usize::from(choice.forwarded));
}

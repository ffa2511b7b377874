//! Answers written anew for the client, as the exchange settles them. The first byte chooses the request's method,
//! the client's version and what else is written; the second is the drain bound. The rest is the origin's answer.

use crate::naive::{Ends, Habits, NaiveHead, all_habits};
use proto::exchange::{AnswerPlan, Exchange, Stage};
use proto::http1::encode::{AnswerEncoding, CacheFields, encode_answer, encode_interim};
use proto::http1::fields::{FieldKind as K, KindSet, is_nominated};
use proto::http1::framing::{AnswerBody, AnswerFraming, RequestFraming, decide_answer};
use proto::http1::head::{Field, Method, Parsed, ResponseHead, Version};
use proto::limits::HeadLimits;

const NOT_COPIED: KindSet = KindSet::of(&[
    K::ContentLength,
    K::TransferEncoding,
    K::Connection,
    K::KeepAlive,
    K::ProxyConnection,
    K::Te,
    K::Trailer,
    K::Upgrade,
    K::ProxyAuthorization,
    K::ProxyAuthenticate,
    K::Http2Settings,
    K::FramingAlias,
    K::Via,
    K::Date,
]);
const NEVER: KindSet = KindSet::of(&[
    K::KeepAlive,
    K::ProxyConnection,
    K::Te,
    K::ProxyAuthorization,
    K::ProxyAuthenticate,
    K::Http2Settings,
    K::FramingAlias,
]);

pub fn run(input: &[u8]) {
    let Some((&[first, drain], bytes)) = input.split_first_chunk::<2>() else { return };
    let method = [Method::Get, Method::Head, Method::Post, Method::Delete][usize::from(first & 3)];
    let version = if first & 4 == 0 { Version::Http11 } else { Version::Http10 };
    let mut head = ResponseHead::new();
    if head.parse(bytes, &HeadLimits::default()) != Ok(Parsed::Complete) {
        return;
    }
    let Ok(framing) = decide_answer(bytes, &head, method) else { return };
    if head.status < 200 {
        if head.status != 101 {
            interim_frames_nothing(bytes, &head, &framing);
        }
        return;
    }
    let request = RequestFraming { keep_alive: first & 8 == 0, ..RequestFraming::default() };
    let mut exchange = Exchange::new(method, version, &request);
    exchange.stage = Stage::Sent;
    let plan = exchange.handle_answer_head(head.status, &framing, first & 16 == 0, u64::from(drain));
    let http10 = version == Version::Http10;
    let encoding = AnswerEncoding {
        cached: CacheFields::default(),
        hsts: &[],
        body: plan.body,
        length_told: framing.length_told,
        chunked_told: framing.chunked_told && !http10,
        close: plan.close,
        keep_alive_http10: http10 && !plan.close,
        upgrade: false,
        nominated: framing.options.nominated,
        via: (first & 32 != 0).then_some(b"millrace".as_slice()),
        received_version: head.version,
        edits: &[],
        date: (first & 64 != 0).then_some(b"Sun, 06 Nov 1994 08:49:37 GMT".as_slice()),
    };
    let mut sent = Vec::new();
    encode_answer(&mut sent, bytes, &head, &encoding);
    means_the_same(bytes, &head, &framing, &encoding, &sent, method);
    the_client_sees_the_end(&sent, plan, method, head.status);
}

fn read_back(sent: &[u8]) -> ResponseHead {
    let limits = HeadLimits { head_bytes: 60 * 1024, field_count: 256, ..HeadLimits::default() };
    let mut again = ResponseHead::new();
    assert_eq!(again.parse(sent, &limits), Ok(Parsed::Complete), "sent: {}", sent.escape_ascii());
    assert_eq!(again.len, sent.len(), "bytes behind the head that was written");
    assert_eq!(again.version, Version::Http11);
    assert!(again.fields.iter().all(|field| field.plain));
    again
}

fn means_the_same(
    bytes: &[u8],
    head: &ResponseHead,
    framing: &AnswerFraming,
    encoding: &AnswerEncoding<'_>,
    sent: &[u8],
    method: Method,
) {
    let again = read_back(sent);
    assert_eq!((again.status, again.reason.of(sent)), (head.status, head.reason.of(bytes)));
    let settled = decide_answer(sent, &again, method).expect("our own answer is well framed");
    assert_eq!(settled.body, encoding.body, "sent: {}", sent.escape_ascii());
    let told = if head.status == 204 { None } else { encoding.length_told };
    assert_eq!((settled.length_told, settled.chunked_told), (told, encoding.chunked_told));
    assert!(!again.kinds.meets(NEVER), "sent: {}", sent.escape_ascii());
    assert!(head.status == 426 || !again.kinds.has(K::Upgrade));
    let dates = again.fields.iter().filter(|f| f.kind == K::Date).count();
    let theirs = head.fields.iter().filter(|f| f.kind == K::Date).count();
    let dropped = framing.options.nominated && is_nominated(bytes, &head.fields, b"date");
    assert!(dropped || dates == theirs.max(usize::from(encoding.date.is_some())), "sent: {}", sent.escape_ascii());
    let stays = |f: &&Field| {
        let nominated = framing.options.nominated && is_nominated(bytes, &head.fields, f.name.of(bytes));
        !NOT_COPIED.has(f.kind) && !nominated
    };
    let wanted: Vec<(&[u8], &[u8])> =
        head.fields.iter().filter(stays).map(|f| (f.name.of(bytes), f.value.of(bytes))).collect();
    let others = again.fields.iter().filter(|f| !NOT_COPIED.has(f.kind));
    let found: Vec<(&[u8], &[u8])> = others.map(|f| (f.name.of(sent), f.value.of(sent))).collect();
    assert_eq!(found, wanted, "fields were lost, added or reordered: {}", sent.escape_ascii());
}

/// Every lenient client must find the end where we write it.
fn the_client_sees_the_end(sent: &[u8], plan: AnswerPlan, method: Method, status: u16) {
    let bodiless = method == Method::Head || matches!(status, 204 | 304);
    let wanted = match plan.body {
        AnswerBody::None => Ends::WithHead,
        AnswerBody::Length(n) => Ends::Length(n),
        AnswerBody::Chunked => Ends::Chunked,
        AnswerBody::UntilClose => Ends::WithConnection,
    };
    let client = |habits: &Habits, naive: &NaiveHead<'_>| match habits.framing(naive) {
        _ if bodiless => Ends::WithHead,
        Ends::WithHead => Ends::WithConnection,
        other => other,
    };
    for habits in all_habits(true) {
        let seen = habits.read_head(sent).map(|naive| (naive.len, client(&habits, &naive)));
        assert_eq!(seen, Some((sent.len(), wanted)), "{habits:?} sees another end of {}", sent.escape_ascii());
    }
}

fn interim_frames_nothing(bytes: &[u8], head: &ResponseHead, framing: &AnswerFraming) {
    let mut sent = Vec::new();
    encode_interim(&mut sent, bytes, head, framing.options.nominated);
    let again = read_back(&sent);
    assert_eq!(again.status, head.status);
    assert!(!again.kinds.meets(NEVER.with(K::Upgrade).with(K::Connection)));
    for habits in all_habits(true) {
        let seen = habits.read_head(&sent).map(|naive| (naive.len, habits.framing(&naive)));
        assert_eq!(seen, Some((sent.len(), Ends::WithHead)), "{habits:?}: {}", sent.escape_ascii());
    }
}

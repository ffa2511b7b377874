//! Framing decisions: `decide_request` and `decide_answer` against every lenient reader, to the end of the body. The
//! first byte chooses: bit 0 and 1 the method of the request an answer is for; the message itself says which it is.

use crate::naive::{Ends, Habits, all_habits, decode_chunks};
use proto::fault::WireFault;
use proto::http1::body::ChunkReader;
use proto::http1::framing::{AnswerBody, RequestBody, decide_answer, decide_request};
use proto::http1::head::{Method, Parsed, RequestHead, ResponseHead, Version};
use proto::limits::HeadLimits;

pub fn run(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    if bytes.starts_with(b"HTTP/") {
        let methods = [Method::Get, Method::Head, Method::Post, Method::Options];
        answer(bytes, methods[usize::from(choice & 3)]);
    } else {
        request(bytes);
    }
}

fn request(bytes: &[u8]) {
    let mut head = RequestHead::new();
    if head.parse(bytes, &HeadLimits::default()) != Ok(Parsed::Complete) {
        return;
    }
    let Ok(framing) = decide_request(bytes, &head) else { return };
    assert_eq!(decide_request(&bytes[..head.len], &head), Ok(framing), "the body changed how it is framed");
    let ours = match framing.body {
        RequestBody::None => Ends::WithHead,
        RequestBody::Length(n) => Ends::Length(n),
        RequestBody::Chunked => Ends::Chunked,
    };
    assert!(!(ours == Ends::Chunked && head.version == Version::Http10));
    assert!(!framing.upgrade || !framing.body.follows(), "an upgrade with a body");
    assert!(!framing.expect_continue || framing.body.follows());
    assert!(!framing.keep_alive || !framing.options.close);
    for habits in all_habits(false) {
        let seen = habits.read_head(bytes).map(|naive| (naive.len, habits.framing(&naive)));
        assert_eq!(seen, Some((head.len, ours)), "{habits:?} sees another end");
    }
    if ours == Ends::Chunked {
        body_ends_the_same(&bytes[head.len..]);
    }
}

fn answer(bytes: &[u8], method: Method) {
    let mut head = ResponseHead::new();
    if head.parse(bytes, &HeadLimits::default()) != Ok(Parsed::Complete) {
        return;
    }
    let Ok(framing) = decide_answer(bytes, &head, method) else { return };
    let ours = match framing.body {
        AnswerBody::None => Ends::WithHead,
        AnswerBody::Length(n) => Ends::Length(n),
        AnswerBody::Chunked => Ends::Chunked,
        AnswerBody::UntilClose => Ends::WithConnection,
    };
    let bodiless = method == Method::Head || head.status < 200 || matches!(head.status, 204 | 304);
    assert_eq!(bodiless, ours == Ends::WithHead, "a body where none can be, or none where one is");
    assert!(!(framing.length_told.is_some() && framing.chunked_told));
    assert!(bodiless || (framing.length_told.is_none() && !framing.chunked_told));
    assert!(ours != Ends::WithConnection || !framing.keep_alive, "kept although only the close ends it");
    for habits in all_habits(false) {
        let seen = habits.read_head(bytes).map(|naive| (naive.len, answer_ends(&habits, &naive, bodiless)));
        assert_eq!(seen, Some((head.len, ours)), "{habits:?} sees another end");
    }
    if ours == Ends::Chunked {
        body_ends_the_same(&bytes[head.len..]);
    }
}

fn answer_ends(habits: &Habits, naive: &crate::naive::NaiveHead<'_>, bodiless: bool) -> Ends {
    match habits.framing(naive) {
        _ if bodiless => Ends::WithHead,
        Ends::WithHead => Ends::WithConnection,
        other => other,
    }
}

fn body_ends_the_same(body: &[u8]) {
    let mut buf = body.to_vec();
    let decoded = ChunkReader::new().decode(&mut buf, &HeadLimits::default(), &mut Vec::new());
    match decoded {
        Ok(decoded) if decoded.done => {
            let ours = (buf[decoded.data].to_vec(), decoded.consumed);
            assert_eq!(decode_chunks(body), Some(ours), "a lenient reader sees another end of the body");
        }
        Ok(_) => assert_eq!(decode_chunks(body), None, "a lenient reader sees an end that we do not"),
        // Limits and strictness; who refuses is never the reader that is fooled.
        Err(WireFault::TrailerTooLarge | WireFault::ChunkExtensionTooLong) => {}
        Err(_) => {}
    }
}

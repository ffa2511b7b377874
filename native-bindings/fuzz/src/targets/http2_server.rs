//! A client's HTTP/2 connection that is told anything: our adapter around the library's session, as the worker drives it.
//! The first byte cuts the input into reads; what follows the preface and the client's SETTINGS is the input's own. Every
//! request that comes out must be a head that our parser reads to its last byte: a field or a path that could begin a
//! second line would be a smuggled request.

use crate::reader::Reader;
use engine::http2::bell::{Bell, Rung};
use engine::http2::session::{Asked, Next, Over, Session};
use engine::http2::stream::Stream;
use engine::http2::text;
use engine::io::{Token, Trouble};
use engine::slab::Key;
use proto::http1::head::{Parsed, RequestHead, ResponseHead};
use proto::http2::meter::PREFACE;
use proto::limits::HeadLimits;
use proto::plan::Http2;
use std::sync::Arc;

const KEY: Key = Key { index: 1, generation: 1 };
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const HEAD_BYTES: u32 = 4096;
const LIMITS: HeadLimits =
    HeadLimits { request_line_bytes: HEAD_BYTES, head_bytes: HEAD_BYTES, field_count: 64, chunk_extension_bytes: 0 };
/// Nothing may go on for ever on an input that has an end.
const STEPS_MAX: usize = 10_000;
const NOW_MS: u64 = 1_000_000;

pub fn run(input: &[u8]) {
    let mut reader = Reader::new(input);
    let cut = 1 + usize::from(reader.byte());
    let greet = reader.flag();
    let rung = Arc::new(Rung::default());
    let mut session = Session::new(&Http2::default(), HEAD_BYTES, &rung, Token::Client(KEY), NOW_MS);
    let mut bytes = PREFACE.to_vec();
    if greet {
        bytes.extend_from_slice(SETTINGS);
    }
    bytes.extend_from_slice(reader.rest());
    let mut streams = Vec::new();
    let mut fed = 0;
    let mut read = 0;
    for piece in bytes.chunks(cut) {
        let passed = session.feed(piece, NOW_MS);
        fed += piece.len();
        let over = drive(&mut session, &rung, &mut streams, &mut read);
        assert!(read <= fed, "{read} body bytes came out of {fed}");
        if over.is_some() || passed.is_some() {
            break;
        }
    }
    session.end();
    let over = drive(&mut session, &rung, &mut streams, &mut read);
    assert!(over.is_some(), "an ended connection has a session that is over");
    let told = |stream: &mut Stream| stream.read(&mut [0; 1]) != Err(Trouble::WouldBlock) || stream.is_gone();
    assert!(streams.iter_mut().all(told), "no stream waits for a connection that is over");
}

/// Goes on until there is nothing to do, as a worker does in a pass. Returns how the session ended, if it did.
fn drive(session: &mut Session, rung: &Arc<Rung>, streams: &mut Vec<Stream>, read: &mut usize) -> Option<Over> {
    let mut over = None;
    for _ in 0..STEPS_MAX {
        match session.go() {
            Next::Wait => {}
            Next::Request(asked) => {
                begin(*asked, rung, streams);
                continue;
            }
            Next::Over(how) => over = Some(how),
        }
        for stream in streams.iter_mut() {
            *read += go_on(stream);
        }
        let (output, passed) = session.take_output(NOW_MS);
        if output.is_empty() || over.is_some() {
            return over;
        }
        assert!(passed.is_none() || !output.is_empty());
    }
    panic!("a session that never comes to rest");
}

fn begin((request, respond): Asked, rung: &Arc<Rung>, streams: &mut Vec<Stream>) {
    let (head, body) = request.into_parts();
    let ended = body.is_end_stream();
    let request = http::Request::from_parts(head, ());
    let mut bytes = Vec::new();
    let written = text::write_request(&mut bytes, &request, ended, "AAAAAAAAAAAAAAAAAAAAAA==");
    let mut stream = Stream::of_client(KEY, Bell::new(rung), respond, body);
    if written.is_ok() {
        let mut head = RequestHead::default();
        match head.parse(&bytes, &LIMITS) {
            Ok(parsed) => {
                assert!(matches!(parsed, Parsed::Complete), "a head of our own writing is whole");
                assert_eq!(head.len, bytes.len(), "and nothing stands behind it");
                let fields = request.headers().len();
                assert!(head.fields.len() <= fields + 4, "no field became two");
            }
            // What HTTP/2 lets pass and we do not.
            Err(fault) => assert!(fault.status() >= 400),
        }
    }
    stream.send_head(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: \x80b\r\n\r\n", false);
    streams.push(stream);
}

/// Reads what came on a stream and echoes its length.
fn go_on(stream: &mut Stream) -> usize {
    let mut buf = [0; 512];
    let mut read = 0;
    while let Ok(count @ 1..) = stream.read(&mut buf) {
        read += count;
        let _ = stream.write(&[b"got ", &buf[..count.min(16)]], false);
    }
    if stream.has_ended() {
        stream.end_with(b"x-trailer: 1\r\n");
        stream.finish();
    }
    read
}

/// An answer's head that an origin sent over HTTP/2, as text, is read to its last byte as well.
pub fn run_answer(input: &[u8]) {
    let mut reader = Reader::new(input);
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::from_u16(100 + u16::from(reader.byte()) * 3).unwrap_or_default();
    for line in reader.rest().split(|byte| *byte == b'\n') {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let name = http::HeaderName::from_bytes(name);
        let value = http::HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    let mut bytes = Vec::new();
    text::write_answer(&mut bytes, &answer);
    let mut head = ResponseHead::default();
    if let Ok(parsed) = head.parse(&bytes, &LIMITS) {
        assert!(matches!(parsed, Parsed::Complete), "a head of our own writing is whole");
        assert_eq!(head.len, bytes.len(), "and nothing stands behind it");
        assert_eq!(head.status, answer.status().as_u16());
    }
    let again = text::read_answer(&bytes, false);
    assert_eq!(again.status(), answer.status());
    for (name, value) in again.headers() {
        let same = |other: &http::HeaderValue| other.as_bytes().trim_ascii() == value.as_bytes();
        assert!(answer.headers().get_all(name).iter().any(same), "a field that nobody sent");
    }
}

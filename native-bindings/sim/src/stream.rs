//! One request of a client that speaks HTTP/2, and how its answer is shown to the verdict: as the text that a client of
//! HTTP/1 would have got.

use crate::content::{fill, request_key};
use crate::ledger::{Ledger, fail, say};
use crate::multiplexer::dice;
use crate::requests::Shot;
use crate::verdict::Verdict;
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Most of a body in one go.
const PIECE_BYTES: u64 = 20_000;

/// One request under way.
pub struct Stream {
    pub id: u64,
    pub send: SendStream<Bytes>,
    pub response: Option<ResponseFuture>,
    pub body: Option<RecvStream>,
    /// Body bytes of the request, all and sent.
    pub bytes: u64,
    pub sent: u64,
    pub ended: bool,
    /// The answer has no length, so the verdict is given chunks.
    pub chunked: bool,
    /// Window that is still to be given back.
    pub owed: usize,
    /// After so many bytes of its answer it is reset.
    pub reset_after: Option<u64>,
    pub received: u64,
    pub verdict: Verdict,
    pub over: bool,
}

/// The request that a shot's head is, without what only HTTP/1 says.
pub fn request_of(shot: &Shot, length: Option<u64>) -> Request<()> {
    let text = String::from_utf8_lossy(&shot.bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default().trim_start();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::builder().method(method);
    let mut host = "sim";
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "host" => host = value,
            "connection" | "content-length" | "transfer-encoding" | "x-hop" => {}
            _ => request = request.header(name, value),
        }
    }
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    let target = if target.starts_with("http:") { target.to_owned() } else { format!("http://{host}{target}") };
    request.uri(target).body(()).expect("a request that is right in every way")
}

pub fn note_sent(id: u64, ledger: &mut Ledger) {
    if let Some(ask) = ledger.ask_mut(id) {
        ask.sent_whole = true;
    }
}

impl Stream {
    /// Sends what may be sent of a body, and shows the verdict what came.
    pub fn go_on(&mut self, slow: bool, ledger: &mut Ledger) {
        go_on(self, slow, ledger);
    }
}

fn go_on(stream: &mut Stream, slow: bool, ledger: &mut Ledger) {
    send_body(stream, ledger);
    take_head(stream, ledger);
    take_body(stream, ledger);
    if stream.owed > 0 && (!slow || dice(|d| d.chance(400))) {
        let share = if slow { 1 + dice(|d| d.below(stream.owed as u64)) as usize } else { stream.owed };
        if let Some(body) = &mut stream.body {
            let _ = body.flow_control().release_capacity(share);
        }
        stream.owed -= share;
    }
    if stream.reset_after.is_some_and(|after| stream.received >= after) && !stream.over {
        say(|| format!("  request {} is reset by its client", stream.id));
        stream.send.send_reset(Reason::CANCEL);
        stream.over = true;
    }
}

fn send_body(stream: &mut Stream, ledger: &mut Ledger) {
    while !stream.ended && !stream.over {
        let left = (stream.bytes - stream.sent).min(1 + dice(|d| d.below(PIECE_BYTES)));
        stream.send.reserve_capacity(left as usize);
        let room = (stream.send.capacity() as u64).min(left);
        if room == 0 && left > 0 {
            return;
        }
        let mut piece = Vec::new();
        fill(request_key(stream.id), stream.sent, room as usize, &mut piece);
        stream.sent += room;
        let last = stream.sent == stream.bytes;
        let trails = last && dice(|d| d.chance(300));
        if stream.send.send_data(piece.into(), last && !trails).is_err() {
            return;
        }
        if trails {
            let trailers = HeaderMap::from_iter([("x-trail".parse().expect("a name"), stream.id.into())]);
            let _ = stream.send.send_trailers(trailers);
        }
        if last {
            stream.ended = true;
            note_sent(stream.id, ledger);
        }
    }
}

fn take_head(stream: &mut Stream, ledger: &mut Ledger) {
    let mut cx = Context::from_waker(Waker::noop());
    let Some(mut response) = stream.response.take() else { return };
    while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(&mut cx) {
        stream.verdict.take(text_of(&interim, false).as_bytes(), ledger);
    }
    match Pin::new(&mut response).poll(&mut cx) {
        Poll::Pending => stream.response = Some(response),
        Poll::Ready(Err(error)) => end(stream, &error, ledger),
        Poll::Ready(Ok(answer)) => {
            let bodiless = ledger.ask(stream.id).is_some_and(|ask| ask.method == "HEAD")
                || matches!(answer.status().as_u16(), 204 | 304);
            stream.chunked = !bodiless && !answer.headers().contains_key("content-length");
            stream.verdict.take(text_of(&answer, stream.chunked).as_bytes(), ledger);
            stream.body = Some(answer.into_body());
        }
    }
}

/// A head as the verdict reads it.
fn text_of<B>(answer: &Response<B>, chunked: bool) -> String {
    let mut text = format!("HTTP/1.1 {} \r\n", answer.status().as_u16());
    for (name, value) in answer.headers() {
        if matches!(name.as_str(), "connection" | "transfer-encoding" | "keep-alive" | "upgrade") {
            fail(format!("an answer of HTTP/2 has the field {name}"));
        }
        text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text.push_str(if chunked { "transfer-encoding: chunked\r\n\r\n" } else { "\r\n" });
    text
}

fn take_body(stream: &mut Stream, ledger: &mut Ledger) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Some(body) = stream.body.as_mut().filter(|_| !stream.over) {
        match body.poll_data(&mut cx) {
            Poll::Pending => return,
            Poll::Ready(Some(Ok(piece))) => {
                stream.owed += piece.len();
                stream.received += piece.len() as u64;
                if stream.chunked && !piece.is_empty() {
                    stream.verdict.take(format!("{:x}\r\n", piece.len()).as_bytes(), ledger);
                    stream.verdict.take(&piece, ledger);
                    stream.verdict.take(b"\r\n", ledger);
                } else {
                    stream.verdict.take(&piece, ledger);
                }
            }
            Poll::Ready(Some(Err(error))) => end(stream, &error, ledger),
            Poll::Ready(None) => match body.poll_trailers(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => end(stream, &error, ledger),
                Poll::Ready(Ok(trailers)) => {
                    finish(stream, &trailers.unwrap_or_default(), ledger);
                    return;
                }
            },
        }
    }
}

/// The answer is over by its frames: the verdict must have taken it for complete.
fn finish(stream: &mut Stream, trailers: &HeaderMap, ledger: &mut Ledger) {
    stream.over = true;
    if stream.chunked {
        let mut last = "0\r\n".to_owned();
        for (name, value) in trailers {
            // The verdict knows it by the name that HTTP/1 hands on.
            let name = if *name == "x-trail" { "X-Trail" } else { name.as_str() };
            last.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
        }
        stream.verdict.take(format!("{last}\r\n").as_bytes(), ledger);
    }
    if stream.verdict.awaits() {
        fail(format!("the answer to {} ended by its frames before it was whole", stream.id));
    }
}

fn end(stream: &mut Stream, error: &h2::Error, ledger: &mut Ledger) {
    say(|| format!("  the stream of {} ended: {error}", stream.id));
    stream.over = true;
    // A request that a connection which says goodbye has not taken may be asked again elsewhere (RFC 9113 6.8).
    if !(error.is_go_away() && error.reason() == Some(Reason::NO_ERROR) && stream.body.is_none()) {
        stream.verdict.end(true, ledger);
    }
}

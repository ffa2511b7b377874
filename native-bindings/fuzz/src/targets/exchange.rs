//! The exchange state machine under arbitrary events, beside a model that keeps every byte and decides by looking at
//! all of them again.

use crate::naive::{announced, decode_chunks};
use crate::reader::Reader;
use proto::exchange::{AnswerPlan, AtEof, Continue, Exchange, Stage, UploadFault};
use proto::http1::framing::{AnswerBody, AnswerFraming, RequestBody, RequestFraming};
use proto::http1::head::{Method, Version};
use proto::limits::HeadLimits;

/// What was told of one body so far.
#[derive(Default)]
struct Told {
    wire: Vec<u8>,
    content: Vec<u8>,
    trailers: Vec<u8>,
}

impl Told {
    fn is_complete(&self, length: Option<u64>, chunked: bool) -> bool {
        match length {
            _ if chunked => decode_chunks(&self.wire)
                .is_some_and(|(content, used)| used == self.wire.len() && content == self.content),
            Some(length) => self.wire.len() as u64 == length,
            None => false,
        }
    }
}

struct Model {
    exchange: Exchange,
    request: RequestBody,
    upload: Told,
    download: Told,
    body_bytes_max: u64,
    was_kept: bool,
}

pub fn run(input: &[u8]) {
    let mut reader = Reader::new(input);
    let Some(mut model) = begin(&mut reader) else { return };
    model.holds();
    while !reader.is_empty() {
        if !model.step(&mut reader) {
            return;
        }
        model.holds();
    }
}

fn begin(reader: &mut Reader<'_>) -> Option<Model> {
    let method = reader.pick(&[Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete, Method::Other]);
    let version = reader.pick(&[Version::Http10, Version::Http11]);
    let body = match reader.byte() % 4 {
        0 => RequestBody::None,
        1 => RequestBody::Length(u64::from(reader.byte())),
        2 => RequestBody::Chunked,
        _ => RequestBody::Length(u64::MAX >> (1 + reader.byte() % 8)),
    };
    let flags = reader.byte();
    let framing = RequestFraming {
        body,
        keep_alive: flags & 1 == 0,
        expect_continue: flags & 2 != 0 && body.follows(),
        upgrade: flags & 4 != 0 && !body.follows(),
        ..RequestFraming::default()
    };
    let body_bytes_max = u64::from(reader.byte()) * 4;
    let exchange = Exchange::new(method, version, &framing);
    assert_eq!(exchange.upload_done(), !body.follows());
    assert_eq!(exchange.expect == Continue::Awaited, framing.expect_continue);
    let (upload, download, was_kept) = (Told::default(), Told::default(), exchange.keep_alive);
    Some(Model { exchange, request: body, upload, download, body_bytes_max, was_kept })
}

impl Model {
    /// One event; false when the exchange is over.
    fn step(&mut self, reader: &mut Reader<'_>) -> bool {
        match reader.byte() % 8 {
            0 | 1 => self.upload(reader),
            2 | 3 => self.download(reader),
            4 => self.answer_head(reader),
            5 => self.send_or_begin_again(reader),
            6 => {
                if self.exchange.expect == Continue::Awaited {
                    self.exchange.expect = Continue::Told;
                }
                true
            }
            _ => self.eof(),
        }
    }

    fn upload(&mut self, reader: &mut Reader<'_>) -> bool {
        let len = usize::from(reader.byte());
        let mut piece = reader.take(len).to_vec();
        let wire = piece.clone();
        let was_done = self.exchange.upload_done();
        let (limits, trailers) = (HeadLimits::default(), &mut self.upload.trailers);
        match self.exchange.take_upload(&mut piece, &limits, self.body_bytes_max, trailers) {
            Ok(taken) => {
                assert!(taken.data.end <= taken.consumed && taken.consumed <= wire.len(), "more than was there");
                assert!(!was_done || taken.consumed == 0, "bytes behind the request's body were taken");
                assert!(taken.done || taken.consumed == wire.len());
                self.upload.wire.extend_from_slice(&wire[..taken.consumed]);
                self.upload.content.extend_from_slice(&piece[taken.data]);
                assert!(self.body_bytes_max == 0 || self.upload.content.len() as u64 <= self.body_bytes_max);
                true
            }
            Err(UploadFault::TooLarge(_)) => {
                let told = [self.upload.wire.as_slice(), &wire].concat();
                let bytes = if self.request == RequestBody::Chunked { announced(&told) } else { told.len() as u64 };
                assert!(self.body_bytes_max != 0 && bytes > self.body_bytes_max, "refused although it fits");
                false
            }
            Err(UploadFault::Wire(_)) => {
                assert_eq!(self.request, RequestBody::Chunked, "a wire fault in bytes that have no form");
                false
            }
        }
    }

    fn download(&mut self, reader: &mut Reader<'_>) -> bool {
        let len = usize::from(reader.byte());
        let mut piece = reader.take(len).to_vec();
        let wire = piece.clone();
        let was_done = self.exchange.download_done();
        let (limits, trailers) = (HeadLimits::default(), &mut self.download.trailers);
        let Ok(taken) = self.exchange.take_download(&mut piece, &limits, trailers) else {
            assert_eq!(self.exchange.answer_body, AnswerBody::Chunked, "a wire fault in bytes that have no form");
            return false;
        };
        assert!(taken.data.end <= taken.consumed && taken.consumed <= wire.len(), "more than was there");
        assert!(!was_done || taken.consumed == 0, "bytes behind the answer were taken");
        self.download.wire.extend_from_slice(&wire[..taken.consumed]);
        self.download.content.extend_from_slice(&piece[taken.data]);
        true
    }

    fn answer_head(&mut self, reader: &mut Reader<'_>) -> bool {
        if self.exchange.stage != Stage::Sent {
            return true;
        }
        let body = match reader.byte() % 5 {
            0 => AnswerBody::None,
            1 => AnswerBody::Length(u64::from(reader.byte())),
            2 => AnswerBody::Chunked,
            3 => AnswerBody::Length(u64::MAX >> (1 + reader.byte() % 8)),
            _ => AnswerBody::UntilClose,
        };
        let framing = AnswerFraming { body, keep_alive: reader.flag(), ..AnswerFraming::default() };
        let (may_keep, drain_max) = (reader.flag(), u64::from(reader.byte()));
        let before = self.exchange.clone();
        let plan = self.exchange.handle_answer_head(200, &framing, may_keep, drain_max);
        self.download = Told::default();
        assert_eq!(self.exchange.stage, Stage::Relaying);
        assert_eq!(self.exchange.download_done(), matches!(body, AnswerBody::None | AnswerBody::Length(0)));
        plan_holds(&before, &plan, body);
        assert_eq!(plan.close, !self.exchange.keep_alive);
        assert!(may_keep || plan.close);
        true
    }

    fn send_or_begin_again(&mut self, reader: &mut Reader<'_>) -> bool {
        match self.exchange.stage {
            Stage::Choosing | Stage::Waiting | Stage::Pausing | Stage::Queued | Stage::Connecting => {
                self.exchange.stage = reader.pick(&[Stage::Queued, Stage::Connecting, Stage::Sent, Stage::Sent]);
                self.exchange.sent_any = self.exchange.stage == Stage::Sent;
            }
            Stage::Sent => {
                let (fresh, before) = (reader.flag(), self.exchange.clone());
                self.exchange.begin_again(fresh);
                let now = &self.exchange;
                assert!(now.stage == Stage::Choosing && !now.sent_any && !now.reused);
                assert_eq!(now.repeated, before.repeated || fresh);
                // The client sends its body once: another attempt must not expect it again.
                assert_eq!(format!("{:?}", now.upload), format!("{:?}", before.upload));
                assert_eq!(now.upload_bytes, before.upload_bytes);
            }
            Stage::Relaying | Stage::Tunnelling | Stage::Ended => {}
        }
        true
    }

    fn eof(&self) -> bool {
        if self.exchange.stage != Stage::Relaying {
            return true;
        }
        let at_eof = self.exchange.download_at_eof();
        let ended = self.answer_is_complete() || self.exchange.answer_body == AnswerBody::UntilClose;
        assert_eq!(at_eof == AtEof::Complete, ended, "a short body was called complete, or a whole one short");
        false
    }

    fn answer_is_complete(&self) -> bool {
        match self.exchange.answer_body {
            AnswerBody::None => true,
            AnswerBody::Length(n) => self.download.is_complete(Some(n), false),
            AnswerBody::Chunked => self.download.is_complete(None, true),
            AnswerBody::UntilClose => false,
        }
    }

    fn holds(&mut self) {
        let exchange = &self.exchange;
        let whole = match self.request {
            RequestBody::None => true,
            RequestBody::Length(n) => self.upload.is_complete(Some(n), false),
            RequestBody::Chunked => self.upload.is_complete(None, true),
        };
        assert_eq!(exchange.upload_done(), whole, "the request body is called complete and is not, or the reverse");
        assert_eq!(exchange.upload_bytes, self.upload.content.len() as u64);
        if exchange.stage == Stage::Relaying {
            assert_eq!(exchange.download_done(), self.answer_is_complete(), "the answer is called complete and is not");
            assert_eq!(exchange.download_bytes, self.download.content.len() as u64);
        }
        assert!(self.was_kept || !exchange.keep_alive, "a connection that was to close is kept");
        self.was_kept = exchange.keep_alive;
    }
}

/// What the client is told must let it see the end of the answer.
fn plan_holds(before: &Exchange, plan: &AnswerPlan, body: AnswerBody) {
    let chunks_understood = before.version == Version::Http11;
    assert!(plan.body != AnswerBody::Chunked || chunks_understood, "chunks for a client that knows none");
    assert!(plan.body != AnswerBody::UntilClose || plan.close, "only the close ends the answer, and it is not closed");
    assert!(plan.close || before.keep_alive);
    let undecided = before.expect == Continue::Awaited && !before.upload_done();
    assert!(plan.close || !undecided, "kept although the client may send a body or a request");
    if let AnswerBody::Length(_) | AnswerBody::None = body {
        assert_eq!(plan.body, body);
    }
}

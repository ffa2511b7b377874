//! Answers out of what is stored: the head as the client is to have it, and the content at once where it is small.

use crate::cached::reading::Reading;
use crate::cached::ready_heads::AtHand;
use crate::cached::request::Request;
use crate::cached::side::judged;
use crate::cached::told::{fields, write_status};
use crate::compiled::Compiled;
use crate::hot::{Content, Entry};
use crate::io::Io;
use crate::outbox::COPY_BYTES_MAX;
use crate::slab::Key;
use crate::stats::Histogram;
use crate::streams::{is_stream, peer_of};
use crate::worker::Worker;
use proto::cache::cache_status::Report;
use proto::cache::conditional::Serve;
use proto::cache::judge::Decision;
use proto::cache::range::{Multipart, write_content_range};
use proto::exchange::{Download, Exchange, Stage};
use proto::http1::encode::{AnswerEncoding, CacheFields, encode_answer, write_decimal, write_field};
use proto::http1::fields::{FieldKind, eq_ignore_case};
use proto::http1::framing::AnswerBody;
use proto::http1::head::{Field, Method, Parsed, ResponseHead, Version};
use proto::limits::{HEAD_BYTES_CEILING, HeadLimits};
use proto::plan::{Action, FieldEdit};
use std::rc::Rc;
use std::sync::Arc;

/// A stored answer on its way to a client.
pub(crate) struct Served<'a> {
    pub entry: &'a Arc<Entry>,
    pub serve: &'a Serve,
    pub decision: &'a Decision,
    pub core: &'a Exchange,
    pub collapsed: bool,
}

/// What a head is written from.
pub(crate) struct HeadOf<'a> {
    pub entry: &'a Entry,
    pub serve: &'a Serve,
    pub method: Method,
    pub version: Version,
    pub close: bool,
    pub plan: &'a Compiled,
    pub route: u32,
    pub hsts: &'a str,
    pub decision: Decision,
    pub collapsed: bool,
    pub soft_since_ms: Option<u64>,
    pub now_ms: u64,
    /// Between the parts of several ranges.
    pub boundary: u64,
    /// Status of the origin's answer, if it was asked.
    pub forwarded_status: Option<u16>,
    pub stored: bool,
}

impl HeadOf<'_> {
    /// How long the content is, if that is known yet.
    fn length(&self) -> Option<u64> {
        self.entry.body.whole_content().map(Content::length).or_else(|| {
            let record = &self.entry.record;
            record.part.map_or(record.length, |part| Some(part.len()))
        })
    }

    /// Of the whole, of which a range may be asked.
    fn whole_length(&self) -> u64 {
        self.entry.record.length.or_else(|| self.length()).unwrap_or(0)
    }

    pub(crate) fn ttl_s(&self) -> i64 {
        let record = &self.entry.record;
        match self.soft_since_ms {
            None => record.ttl_s(self.now_ms),
            Some(since_ms) => {
                let mut stale = record.clone();
                stale.expire(since_ms);
                stale.ttl_s(self.now_ms)
            }
        }
    }

    /// Writes the head of the whole without what the cache adds. `false`: it cannot be done so.
    pub(crate) fn write_bare(&self, out: &mut Vec<u8>) -> bool {
        let (Some(length), Some(policy)) = (self.length(), self.plan.plan.routes[self.route as usize].cache.as_ref())
        else {
            return false;
        };
        let cached = CacheFields { surrogate_control: policy.surrogate_control, ..CacheFields::default() };
        self.encode(out, (&self.entry.head, &self.entry.parsed), (AnswerBody::Length(length), Some(length)), cached);
        true
    }

    fn encode(
        &self,
        out: &mut Vec<u8>,
        (bytes, head): (&[u8], &ResponseHead),
        (body, content): (AnswerBody, Option<u64>),
        cached: CacheFields<'_>,
    ) {
        let head_only = self.method == Method::Head;
        let http10 = self.version == Version::Http10;
        encode_answer(
            out,
            bytes,
            head,
            &AnswerEncoding {
                body: if head_only { AnswerBody::None } else { body },
                length_told: content.filter(|_| head_only),
                chunked_told: head_only && content.is_none() && !http10,
                close: self.close,
                keep_alive_http10: http10 && !self.close,
                via: self.plan.plan.forwarding.via.then_some(self.plan.plan.name.as_bytes()),
                received_version: head.version,
                edits: edits_of(self.plan, self.route),
                hsts: self.hsts.as_bytes(),
                cached,
                ..AnswerEncoding::default()
            },
        );
    }

    /// Writes the head; says how the content is framed behind it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> AnswerBody {
        let mut text = Vec::new();
        let mut parsed = ResponseHead::new();
        let (bytes, head, content) = if *self.serve == Serve::Whole {
            (&*self.entry.head, &self.entry.parsed, self.length())
        } else {
            let content = self.write_stored_fields(&mut text);
            let limits = HeadLimits { head_bytes: HEAD_BYTES_CEILING, field_count: u32::MAX, ..HeadLimits::default() };
            let complete = parsed.parse(&text, &limits);
            debug_assert!(matches!(complete, Ok(Parsed::Complete)), "a stored head is one still");
            (text.as_slice(), &parsed, content)
        };
        let body = match (content, self.version) {
            _ if *self.serve == Serve::NotModified => AnswerBody::None,
            (Some(length), _) => AnswerBody::Length(length),
            (None, Version::Http10) => AnswerBody::UntilClose,
            (None, _) => AnswerBody::Chunked,
        };
        let head_only = self.method == Method::Head;
        let record = &self.entry.record;
        let mut told = Vec::new();
        let Some(policy) = self.plan.plan.routes[self.route as usize].cache.as_ref() else { return body };
        let report = Report {
            decision: self.decision,
            ttl_s: Some(self.ttl_s()),
            forwarded_status: self.forwarded_status.filter(|status| *status != head.status),
            stored: self.stored,
            collapsed: self.collapsed,
            key: policy.cache_status_key.then_some(&self.entry.target),
        };
        write_status(&mut told, policy, &self.plan.plan.name, &report);
        let cached = fields(policy, self.decision, Some(record.age_s(self.now_ms)), &told);
        self.encode(out, (bytes, head), (body, content), cached);
        if head_only { AnswerBody::None } else { body }
    }

    /// The stored head with another status, as conditions and ranges have it. Returns the content's length.
    fn write_stored_fields(&self, out: &mut Vec<u8>) -> Option<u64> {
        let entry = self.entry;
        let line: &[u8] = match self.serve {
            Serve::Whole => b"HTTP/1.1 200 OK\r\n",
            Serve::NotModified => b"HTTP/1.1 304 Not Modified\r\n",
            Serve::Ranges(_) | Serve::OfPart(_) => b"HTTP/1.1 206 Partial Content\r\n",
            Serve::Unsatisfiable => b"HTTP/1.1 416 Range Not Satisfiable\r\n",
        };
        out.extend_from_slice(line);
        for field in entry.parsed.fields.iter().filter(|field| self.keeps(field)) {
            write_field(out, field.name.of(&entry.head), field.value.of(&entry.head));
        }
        let whole = self.whole_length();
        let length = match self.serve {
            Serve::Whole | Serve::NotModified => self.length(),
            Serve::OfPart(range) => {
                write_range(out, |out| {
                    write_content_range(out, *range, entry.record.part.and_then(|part| part.whole));
                });
                Some(range.len())
            }
            Serve::Ranges(ranges) => match ranges.as_slice() {
                [range] => {
                    write_range(out, |out| write_content_range(out, *range, Some(whole)));
                    Some(range.len())
                }
                _ => {
                    let parts = self.multipart();
                    out.extend_from_slice(b"Content-Type: ");
                    parts.write_type(out);
                    out.extend_from_slice(b"\r\n");
                    Some(parts.content_length(ranges))
                }
            },
            Serve::Unsatisfiable => {
                write_range(out, |out| {
                    out.extend_from_slice(b"bytes */");
                    write_decimal(out, whole);
                });
                Some(0)
            }
        };
        out.extend_from_slice(b"\r\n");
        length
    }

    pub(crate) fn multipart(&self) -> Multipart<'_> {
        let entry = self.entry;
        let is_type = |f: &&Field| eq_ignore_case(f.name.of(&entry.head), b"Content-Type");
        let content_type = entry.parsed.fields.iter().find(is_type).map_or(&b""[..], |f| f.value.of(&entry.head));
        Multipart { boundary: self.boundary, content_type, length: self.whole_length() }
    }

    /// Whether a stored field goes with this status (RFC 9110 15.3.7, 15.4.5, 15.5.17).
    fn keeps(&self, field: &Field) -> bool {
        let name = field.name.of(&self.entry.head);
        let is = |known: &[u8]| eq_ignore_case(name, known);
        let describes_content = || {
            let known: [&[u8]; 5] =
                [b"Content-Type", b"Content-Encoding", b"Content-Language", b"Content-Range", b"Content-Digest"];
            known.iter().any(|known| is(known))
        };
        match self.serve {
            Serve::Whole => true,
            Serve::NotModified => {
                let replaced = field.kind == FieldKind::LastModified && !self.entry.record.etag.is_empty();
                !describes_content() && !replaced
            }
            Serve::OfPart(_) => !is(b"Content-Range"),
            Serve::Ranges(ranges) => !is(b"Content-Range") && (ranges.as_slice().len() == 1 || !is(b"Content-Type")),
            Serve::Unsatisfiable => matches!(field.kind, FieldKind::Date) || is(b"Accept-Ranges"),
        }
    }
}

fn write_range(out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"Content-Range: ");
    value(out);
    out.extend_from_slice(b"\r\n");
}

/// What the route changes in its answers' fields.
pub(crate) fn edits_of(plan: &Compiled, route: u32) -> &[FieldEdit] {
    match &plan.plan.routes[route as usize].action {
        Action::Forward { answer_fields, .. } => answer_fields,
        Action::Answer { .. } | Action::Redirect { .. } => &[],
    }
}

impl<I: Io> Worker<I> {
    /// Gives a client what is stored, head and content in one write, without an exchange.
    pub(crate) fn serve_now(
        &mut self,
        key: Key,
        request: Request<'_>,
        served: &Served<'_>,
        (plan, at_hand): (&Rc<Compiled>, &mut AtHand),
    ) {
        let Served { entry, serve, decision, core, collapsed } = *served;
        let errors_keep = entry.record.status < 400 || plan.plan.persistence.after_errors;
        let keep = core.keep_alive && errors_keep && !self.draining && !self.scarce;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let head = HeadOf {
            entry,
            serve,
            method: core.method,
            version: core.version,
            close: !keep,
            plan,
            route: request.route,
            hsts: self.hsts_for(key, plan),
            decision: *decision,
            collapsed,
            soft_since_ms: None,
            now_ms: self.log.unix_ms,
            boundary: 0,
            forwarded_status: None,
            stored: false,
        };
        at_hand.write_head(&mut out, &head, entry, plan);
        let has_content = *serve == Serve::Whole && core.method != Method::Head;
        let data = match entry.body.whole_content() {
            Some(content) if has_content && content.length() > 0 => content.at(0),
            _ => &[],
        };
        let status = status_of(entry, serve);
        self.count_answer(status);
        self.count_served(*decision, collapsed, data.len() as u64);
        if is_stream(&self.clients, key) {
            self.answer_on_stream(key, &out, data, true, &[]);
        } else if data.len() <= COPY_BYTES_MAX {
            out.extend_from_slice(data);
            self.send_to_client(key, &[&out], !keep);
        } else {
            self.send_to_client(key, &[&out, data], !keep);
        }
        self.out = out;
        let route = plan.plan.routes[request.route as usize].name.as_str();
        let client = peer_of(&self.clients, key);
        self.log.served(client, request.head, request.bytes, (core.version, status, data.len()), (route, *decision));
        self.row.less(crate::stats::Counter::ExchangesOpen);
        self.row.record(Histogram::Exchange, 0);
        self.row.route_answer(plan.plan.routes[request.route as usize].slot, status, 0);
        self.after_answer(key, &core.upload, keep);
    }

    /// Gives an exchange's client what was found, piece by piece.
    pub(crate) fn serve(&mut self, exchange: Key, serve: &Serve) {
        let draining = self.draining || self.scarce;
        let boundary = self.dice.roll();
        let now_ms = self.log.unix_ms;
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let Some(found) = ongoing.cached.as_ref().and_then(|side| side.found.clone()) else { return };
        let entry = &found.entry;
        self.host.hot.touch(entry);
        let status = status_of(entry, serve);
        let errors_keep = status < 400 || plan.plan.persistence.after_errors;
        ongoing.core.keep_alive &= errors_keep && !draining;
        let (client, version) = (ongoing.client, ongoing.core.version);
        let has_length = entry.body.whole_content().is_some() || judged(&found).length.is_some();
        if version == Version::Http10 && !has_length {
            ongoing.core.keep_alive = false;
        }
        let (keep, method, route) = (ongoing.core.keep_alive, ongoing.core.method, ongoing.route);
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let Some(side) = ongoing.cached.as_ref() else { return };
        let head = HeadOf {
            entry,
            serve,
            method,
            version,
            close: !keep,
            plan: &plan,
            route,
            hsts: self.hsts_for(client, &plan),
            decision: side.decision,
            collapsed: side.collapsed,
            soft_since_ms: found.soft_since_ms,
            now_ms,
            boundary,
            forwarded_status: side.forwarded_status,
            stored: side.stored,
        };
        let mut text = Vec::new();
        let framed = head.write(&mut text);
        let mut reading = Reading::of(&head, text, framed, Arc::clone(entry));
        let (decision, collapsed) = (side.decision, side.collapsed);
        if !reading.enter() {
            // It outgrew what is kept in this moment.
            let (stamp, now_ms) = (self.host.hot.stamp(self.log.unix_ms * 1000), self.log.unix_ms);
            if let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) {
                (side.found, side.stamp, side.asked_ms) = (None, stamp, now_ms);
            }
            self.go_to_origin(exchange);
            return;
        }
        self.count_answer(status);
        self.count_served(decision, collapsed, 0);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.core.stage = Stage::Relaying;
        ongoing.core.status = status;
        ongoing.core.download = Download::UntilClose;
        ongoing.answer_chunked = framed == AnswerBody::Chunked;
        ongoing.answer_until_close = framed == AnswerBody::UntilClose;
        if let Some(side) = ongoing.cached.as_mut() {
            side.reading = Some(Box::new(reading));
        }
        self.reading_go(exchange);
    }
}

pub(crate) fn status_of(entry: &Entry, serve: &Serve) -> u16 {
    match serve {
        Serve::Whole => entry.record.status,
        Serve::NotModified => 304,
        Serve::Ranges(_) | Serve::OfPart(_) => 206,
        Serve::Unsatisfiable => 416,
    }
}

//! The one place that writes answers this proxy makes itself: refusals, faults of origins, fixed answers, redirects.

use crate::compiled::Compiled;
use crate::io::Io;
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::streams::{is_stream, peer_of, tls_of};
use crate::worker::Worker;
use proto::exchange::{Continue, Exchange, Upload};
use proto::fault::OriginFault;
use proto::http1::encode::{OwnAnswer, encode_own_answer};
use proto::http1::head::{Method, RequestHead, Version};
use proto::plan::{Action, FaultAnswer, FieldLine, Route};
use std::sync::Arc;

/// What an own answer says; how it is framed and whether the connection is kept is decided here.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    pub status: u16,
    pub fields: &'a [(&'a str, &'a str)],
    pub lines: &'a [FieldLine],
    pub body: &'a [u8],
    /// A sentence for people: becomes a body of plain text when there is no other.
    pub sentence: Option<&'a str>,
    pub close: bool,
    pub keep_alive_http10: bool,
    pub head_only: bool,
}

impl<'a> Own<'a> {
    pub const EMPTY: Own<'static> = Own {
        status: 200,
        fields: &[],
        lines: &[],
        body: &[],
        sentence: None,
        close: false,
        keep_alive_http10: false,
        head_only: false,
    };

    #[must_use]
    pub fn fault(status: u16, sentence: &'a str) -> Self {
        Own { status, sentence: Some(sentence), ..Own::EMPTY }
    }

    /// An answer after which nothing more is read as a request.
    #[must_use]
    pub fn refusal(status: u16, sentence: &'a str) -> Self {
        Own { close: true, ..Own::fault(status, sentence) }
    }
}

impl<I: Io> Worker<I> {
    /// Writes an answer of our own. The caller decides what becomes of the connection.
    pub(crate) fn write_own(&mut self, key: Key, own: &Own<'_>) {
        let date = self.log.date();
        let text = own.sentence.map(|s| format!("{} {s}\n", own.status));
        let body = text.as_deref().map_or(own.body, str::as_bytes);
        let has_type = own.lines.iter().any(|l| l.name.eq_ignore_ascii_case("content-type"));
        let allow: &[(&str, &str)] =
            if own.status == 405 && own.fields.is_empty() { &[("Allow", "")] } else { own.fields };
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        encode_own_answer(
            &mut out,
            &OwnAnswer {
                status: own.status,
                fields: allow,
                lines: own.lines,
                body,
                content_type: (!body.is_empty() && !has_type).then_some("text/plain; charset=utf-8"),
                date: Some(&date),
                server: Some(&self.plan.plan.name),
                hsts: self.hsts_for(key, &self.plan),
                close: own.close,
                keep_alive_http10: own.keep_alive_http10,
                head_only: own.head_only,
            },
        );
        self.row.one(Counter::AnswersOwn);
        self.count_answer(own.status);
        if is_stream(&self.clients, key) {
            self.own_answer_on_stream(key, &out);
        } else {
            self.send_to_client(key, &[&out], own.close);
        }
        self.out = out;
    }

    /// Answers a request that never becomes an exchange with an origin.
    pub(crate) fn answer_now(
        &mut self,
        key: Key,
        core: Exchange,
        head: &RequestHead,
        bytes: &[u8],
        route: Option<&Route>,
        own: &Own<'_>,
    ) {
        let errors_keep = own.status < 400 || self.plan.plan.persistence.after_errors;
        let keep = core.keep_alive && errors_keep && self.may_drain(&core);
        let own = Own {
            close: !keep,
            keep_alive_http10: keep && core.version == Version::Http10,
            head_only: core.method == Method::Head,
            ..*own
        };
        self.write_own(key, &own);
        let client = peer_of(&self.clients, key);
        if let Some(route) = route {
            self.row.route_answer(route.slot, own.status, 0);
        }
        let name = route.map_or("", |route| route.name.as_str());
        self.log.answered_here(client, head, bytes, (core.version, own.status), name);
        self.row.less(Counter::ExchangesOpen);
        self.row.record(Histogram::Exchange, 0);
        self.after_answer(key, &core.upload, keep);
    }

    /// A failed exchange whose client has seen nothing yet gets the operator's answer to this fault, or ours.
    pub(crate) fn answer_fault(&mut self, exchange: Key, fault: OriginFault) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let plan = Arc::clone(&ongoing.plan.plan);
        let (route, key) = (ongoing.route as usize, ongoing.client);
        let (method, version) = (ongoing.core.method, ongoing.core.version);
        let may_drain = self.may_drain(&ongoing.core);
        let theirs = match &plan.routes[route].action {
            Action::Forward { policy, .. } => policy.answers.iter().find(|a| answers(a, fault)),
            Action::Answer { .. } | Action::Redirect { .. } => None,
        };
        let unasked = self.must_revalidate(exchange);
        let status = theirs.map_or(if unasked { 504 } else { fault.status() }, |a| a.status);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let keep = ongoing.core.keep_alive && may_drain && plan.persistence.after_errors;
        ongoing.core.keep_alive = keep;
        ongoing.core.status = status;
        let told = format!("{}; error={}; details=\"{}\"", plan.name, fault.proxy_status(), fault.token());
        let mut fields = vec![("Proxy-Status", told.as_str())];
        let says = |name: &str| theirs.is_some_and(|a| a.fields.iter().any(|l| l.name.eq_ignore_ascii_case(name)));
        if status == 503 && !says("retry-after") {
            fields.push(("Retry-After", "1"));
        }
        let own = Own {
            fields: &fields,
            close: !keep,
            keep_alive_http10: keep && version == Version::Http10,
            head_only: method == Method::Head,
            ..theirs.map_or(Own::fault(status, fault.sentence()), |a| Own {
                status,
                lines: &a.fields,
                body: &a.body,
                ..Own::EMPTY
            })
        };
        self.write_own(key, &own);
        self.finish(exchange);
    }

    /// Whether what is unread of a request body is worth reading for the sake of the connection. A client that waits
    /// for 100 (Continue) may never send its body, so nobody can tell what its next byte is.
    pub(crate) fn may_drain(&self, core: &Exchange) -> bool {
        match core.upload {
            Upload::Done => true,
            _ if core.expect == Continue::Awaited => false,
            Upload::Length { left } => left <= self.plan.plan.limits.drain_bytes,
            Upload::Chunked(_) | Upload::Stream => false,
        }
    }

    /// What a client's listener says about transport security.
    pub(crate) fn hsts_for<'a>(&self, key: Key, plan: &'a Compiled) -> &'a str {
        self.clients.get(key).map_or("", |client| plan.hsts(client.listener, tls_of(&self.clients, key).is_some()))
    }

    pub(crate) fn count_answer(&mut self, status: u16) {
        self.row.one(match status {
            0..=199 => Counter::Answers1xx,
            200..=299 => Counter::Answers2xx,
            300..=399 => Counter::Answers3xx,
            400..=499 => Counter::Answers4xx,
            _ => Counter::Answers5xx,
        });
    }

    /// Gives bytes to the client's socket, or to its outbox. `last`: nothing follows them but our FIN. A dead socket is noticed by its own event.
    pub(crate) fn send_to_client(&mut self, key: Key, parts: &[&[u8]], last: bool) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let (was_empty, stream) = (client.outbox.is_empty(), client.link.is_stream());
        match client.outbox.send(&mut self.io, &mut client.link, &mut self.blocks, parts, last) {
            Ok(sent) => {
                self.row.add(Counter::ClientBytesOut, sent.uncounted as u64);
                if was_empty && !client.outbox.is_empty() {
                    let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_write_ms);
                    self.wheel.arm(client.timer, due);
                }
            }
            // The kernel reports a reset connection to epoll as well, and that event ends the exchange in its turn. A
            // stream's bell rings.
            Err(_) => client.outbox.clear(&mut self.blocks),
        }
        if stream {
            self.settle_held(key);
        }
    }
}

fn answers(rule: &FaultAnswer, fault: OriginFault) -> bool {
    rule.faults.is_empty() || rule.faults.iter().any(|token| token == fault.token())
}

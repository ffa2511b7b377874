//! Sends a request on the connection its exchange has: head written anew, body framed anew, and what may have to be sent
//! again kept within its bound.

use crate::again::ESCALATED;
use crate::exchange::Ongoing;
use crate::io::{Io, Token};
use crate::outbox::{COPY_BYTES_MAX, frame_chunk};
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::{Who, tls_of};
use crate::tls_client::base64;
use crate::worker::Worker;
use proto::cache::validation::write_conditions;
use proto::exchange::{Continue, Stage};
use proto::http1::encode::{Forwarding, RequestEncoding, encode_request};
use proto::http1::fields::KindSet;
use proto::http1::framing::RequestBody;
use proto::http1::head::{Method, Parsed, RequestHead, TargetForm};
use proto::plan::{Action, FieldEdit, HostPolicy, Rewrite};
use proto::route::normalise_path;

impl<I: Io> Worker<I> {
    /// Keeps body bytes until there is a connection to send them on.
    pub(crate) fn hold(&mut self, exchange: Key, data: &[u8]) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            self.blocks.append(&mut ongoing.kept, data);
        }
    }

    /// Sends a request whose head and first body bytes were kept.
    pub(crate) fn send_held(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let bytes = std::mem::take(&mut ongoing.head);
        let kept = std::mem::take(&mut ongoing.kept);
        let mut head = self.head.take().unwrap_or_default();
        let parsed = head.parse(&bytes, &ongoing.plan.head_limits);
        debug_assert!(matches!(parsed, Ok(Parsed::Complete)));
        self.send_request(exchange, &head, &bytes, &kept);
        self.head = Some(head);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.head = bytes;
        let origin = ongoing.origin;
        if ongoing.may_keep_body() || ongoing.spool.is_some() {
            ongoing.kept = kept;
        } else {
            // More than memory is for came before there was a connection.
            self.keep(exchange, &kept);
            self.blocks.give(kept);
        }
        if self.origins.get(origin).is_some_and(|o| o.readable) {
            self.again.push(Token::Origin(origin));
        }
        // What the client sent meanwhile waits in its socket, and a FIN of its own may be owed to the origin.
        self.propagate_fin(exchange);
        self.upload_go(exchange);
    }

    /// Writes the request's head, and what is here of its body, to the connection the exchange has.
    pub(crate) fn send_request(&mut self, exchange: Key, head: &RequestHead, bytes: &[u8], data: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.core.stage = Stage::Sent;
        ongoing.times.sent_us = self.now_us;
        self.row.one(Counter::OriginRequests);
        if ongoing.core.reused {
            self.row.one(Counter::OriginReused);
        } else {
            self.row.one(Counter::OriginNew);
            self.row.one(ongoing.why_new);
        }
        ongoing.count_in();
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let client = self.clients.get(ongoing.client);
        let session = tls_of(&self.clients, ongoing.client);
        let shown = session.filter(|_| ongoing.plan.plan.forwarding.client_certificate);
        let certificate = shown.and_then(|session| session.peer_certificate());
        let certificate = certificate.map_or(String::new(), |der| format!(":{}:", base64(der)));
        // A request may go on after its client left.
        let side = ongoing.cached.as_ref();
        let (ip, trusted) = match (client, side) {
            (Some(client), _) => (client.ip, client.trusted),
            (None, Some(side)) => (side.who.ip, side.who.trusted),
            (None, None) => (Who::nobody().ip, false),
        };
        let is_secure = session.is_some() || side.is_some_and(|side| side.secure && !side.who.trusted);
        let forwarding = Forwarding {
            client_cert: certificate.as_bytes(),
            trusted_peer: trusted,
            x_forwarded: ongoing.plan.plan.forwarding.x_forwarded,
            forwarded: ongoing.plan.plan.forwarding.forwarded,
            client_ip: ip.as_bytes(),
            client_is_v6: ip.is_v6,
            proto: if is_secure { b"https" } else { b"http" },
        };
        encode_for_origin(&mut out, &mut self.path, ongoing, head, bytes, forwarding);
        if ongoing.on_stream {
            self.open_origin_stream(exchange, &out, data);
            self.out = out;
            return;
        }
        self.tail.clear();
        if ongoing.core.body == RequestBody::Chunked {
            let done = ongoing.core.upload_done() && !ongoing.is_replaying();
            frame_chunk(&mut out, &mut self.tail, data, done, &ongoing.trailers);
        }
        let tail = std::mem::take(&mut self.tail);
        if data.len() <= COPY_BYTES_MAX {
            out.extend_from_slice(data);
            out.extend_from_slice(&tail);
            self.send_to_origin(exchange, &[&out]);
        } else {
            self.send_to_origin(exchange, &[&out, data, &tail]);
        }
        self.tail = tail;
        self.out = out;
    }

    /// Remembers body bytes for a repeat, as long as the method may be repeated: in memory within its bound, then in a
    /// file if there may be one.
    pub(crate) fn keep(&mut self, exchange: Key, data: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if data.is_empty() || !ongoing.kept_whole {
            return;
        }
        if ongoing.may_keep_body() {
            self.blocks.append(&mut ongoing.kept, data);
        } else {
            self.spool(exchange, data);
        }
    }
}

/// The request as the origin is to see it: route's rewrite, Host by policy, forwarding fields, framing anew.
pub(crate) fn encode_for_origin(
    out: &mut Vec<u8>,
    path_room: &mut Vec<u8>,
    ongoing: &Ongoing,
    head: &RequestHead,
    bytes: &[u8],
    forwarding: Forwarding<'_>,
) {
    let plan = &ongoing.plan.plan;
    let (rewrite, edits) = match ongoing.action() {
        Action::Forward { rewrite, request_fields, .. } => (rewrite.as_ref(), request_fields.as_slice()),
        Action::Answer { .. } | Action::Redirect { .. } => (None, [].as_slice()),
    };
    let marked;
    let edits = if ongoing.escalations == 0 {
        edits
    } else {
        let mark = FieldEdit::Set { name: ESCALATED.to_owned(), value: ongoing.escalations.to_string() };
        marked = edits.iter().cloned().chain([mark]).collect::<Vec<FieldEdit>>();
        &marked
    };
    let target = &ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize];
    let asked = head.host.of(bytes);
    let host = match &ongoing.origin_plan().host {
        HostPolicy::Client if !asked.is_empty() => asked,
        _ => &target.host,
    };
    let path = match (head.target_form, rewrite) {
        (TargetForm::Origin, None) => head.target.of(bytes),
        (TargetForm::Asterisk, _) => b"*",
        // RFC 9112 3.2.4: OPTIONS of a whole server, spelt as a URL, becomes the asterisk again at the last proxy.
        (TargetForm::Absolute, None) if head.method == Method::Options && head.path.is_empty() && !head.has_query => {
            b"*"
        }
        _ => {
            write_path(path_room, head, bytes, rewrite);
            path_room
        }
    };
    let mut conditions = Vec::new();
    let drops = ongoing.cached.as_ref().map_or(KindSet::EMPTY, |side| {
        if let Some(found) = &side.found {
            write_conditions(&mut conditions, side.ask, &found.entry.record);
        }
        side.ask.drops()
    });
    encode_request(
        out,
        bytes,
        head,
        &RequestEncoding {
            path,
            host,
            body: ongoing.core.body,
            upgrade: ongoing.core.upgrade,
            expect_continue: ongoing.core.expect != Continue::NotAsked,
            nominated: ongoing.nominated,
            via: plan.forwarding.via.then_some(plan.name.as_bytes()),
            received_version: ongoing.core.version,
            forwarding,
            edits,
            te_trailers: ongoing.te_trailers,
            drops,
            lines: &conditions,
        },
    );
}

/// Path and query in origin-form, after the route's rewrite. A prefix is replaced in the spelling that the route matched,
/// or a rewritten request could leave the place it was rewritten to.
fn write_path(out: &mut Vec<u8>, head: &RequestHead, bytes: &[u8], rewrite: Option<&Rewrite>) {
    out.clear();
    let path = head.path.of(bytes);
    match rewrite {
        Some(Rewrite::Path { to }) => out.extend_from_slice(to.as_bytes()),
        Some(Rewrite::Prefix { from, to }) => {
            let mut normal = Vec::new();
            if !head.path_plain {
                normalise_path(path, &mut normal);
            }
            let path = if head.path_plain { path } else { &normal };
            let rest = path.strip_prefix(from.as_bytes()).unwrap_or(path);
            out.extend_from_slice(to.as_bytes());
            if !out.ends_with(b"/") && !rest.starts_with(b"/") && !rest.is_empty() {
                out.push(b'/');
            }
            let doubled = out.ends_with(b"/") && rest.starts_with(b"/");
            out.extend_from_slice(&rest[usize::from(doubled)..]);
        }
        None => out.extend_from_slice(path),
    }
    if !out.starts_with(b"/") {
        out.insert(0, b'/');
    }
    if head.has_query {
        out.push(b'?');
        out.extend_from_slice(head.query.of(bytes));
    }
}

//! A complete head becomes an exchange: framing is settled, limits are asked, the route is found. What a route answers
//! itself ends here; what it forwards goes on in `forward.rs`.

use crate::again::ESCALATED;
use crate::answer::Own;
use crate::cached::request::Request;
use crate::choose;
use crate::client::ClientState;
use crate::compiled::Compiled;
use crate::exchange::{Asking, Ongoing};
use crate::forward::Found;
use crate::http2::text::asks_for_websocket;
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::tls_of;
use crate::tls::Session as TlsSession;
use crate::worker::Worker;
use proto::exchange::{Exchange, UploadFault};
use proto::fault::ClientFault;
use proto::http1::fields::{FieldKind, eq_ignore_case, value_of};
use proto::http1::framing::{RequestBody, RequestFraming, decide_request};
use proto::http1::head::{Field, Method, RequestHead, TargetForm, Version};
use proto::identity::{asked_name, bound_of};
use proto::plan::{Action, ConnectionAuth, NamePolicy};
use proto::route::{Asked, came_secure, normalise_path, without_port};
use std::rc::Rc;

/// Bytes read at once from an origin for a stream, to begin with.
const STREAM_ROOM_BYTES: u32 = 16 * 1024;

/// Methods that are passed on, for an answer that has to name them.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

impl<I: Io> Worker<I> {
    /// Begins the exchange whose head and perhaps body lie in `bytes`. Returns how many bytes belong to it.
    pub(crate) fn begin(&mut self, key: Key, head: &RequestHead, bytes: &mut [u8]) -> usize {
        let plan = Rc::clone(&self.plan);
        let (head_bytes, body) = bytes.split_at_mut(head.len);
        let framing = match decide_request(head_bytes, head) {
            Ok(framing) => framing,
            Err(fault) => {
                self.refuse_bytes(key, fault);
                return head.len + body.len();
            }
        };
        let route = self.find_route(&plan, key, head, head_bytes);
        let body_bytes_max = body_bytes_max(&plan, route);
        let refused = refusal(head, &framing, body_bytes_max).or_else(|| self.name_refusal(key, head, head_bytes));
        if let Some(fault) = refused {
            self.refuse_client(key, fault, Counter::ClientCloseRefused);
            return head.len + body.len();
        }
        let mut core = Exchange::new(head.method, head.version, &framing);
        let ended = self.stream_ended(key, &mut core);
        core.keep_alive &= !self.draining && !self.clients.get(key).is_some_and(|client| plan.is_gone(client.listener));
        let mut trailers = std::mem::take(&mut self.trailers);
        trailers.clear();
        let piece = core.take_upload(body, &plan.head_limits, body_bytes_max, &mut trailers).and_then(|piece| {
            core.heard_body(&piece);
            // On a stream the body may have come whole with its head, and its end with it.
            ended.map_or(Ok(()), |mut last| core.end_upload(&mut last, &plan.head_limits, &mut trailers))?;
            Ok(piece)
        });
        let piece = match piece {
            Ok(piece) => piece,
            Err(fault) => {
                self.trailers = trailers;
                self.refuse_upload(key, fault);
                return head.len + body.len();
            }
        };
        let used = head.len + piece.consumed;
        self.enter_exchange(key, &mut core, used < head.len + body.len(), route);
        if let Some(client) = self.clients.get_mut(key) {
            client.said_last = !framing.keep_alive && core.upload_done();
        }

        let forward = route.and_then(|r| match &plan.plan.routes[r as usize].action {
            Action::Forward { origin, .. } if !is_last_hop(head, head_bytes) => Some((r, *origin)),
            _ => None,
        });
        let Some((route, origin_index)) = forward else {
            self.trailers = trailers;
            self.answer_here(key, core, head, head_bytes, route, &plan);
            return used;
        };

        let mut cached = None;
        if let Some(policy) = plan.plan.routes[route as usize].cache.as_ref() {
            let request = Request { head, bytes: head_bytes, route, origin_index };
            cached = self.ask_cache(key, &core, request, policy, &plan);
            if cached.is_none() {
                self.trailers = trailers;
                return used;
            }
        }
        let asked = Asking { client: key, route, origin_index, began_us: self.now_us };
        let mut ongoing = self.boxed(Ongoing::new(core, plan, head, &framing, asked));
        // Most requests have none, and then nothing is allocated.
        ongoing.trailers.extend_from_slice(&trailers);
        self.trailers = trailers;
        ongoing.cached = cached;
        self.begin_exchange(ongoing, head, head_bytes, &body[piece.data]);
        used
    }

    /// The exchange is one that the origin, or the cache, has to answer.
    fn begin_exchange(&mut self, mut ongoing: Box<Ongoing>, head: &RequestHead, head_bytes: &[u8], data: &[u8]) {
        ongoing.head = self.blocks.take(head.len);
        ongoing.head.extend_from_slice(head_bytes);
        self.take_policy(&mut ongoing, head);
        set_room(&mut ongoing);
        let (key, is_cached) = (ongoing.client, ongoing.cached.is_some());
        let exchange = self.exchanges.insert(ongoing);
        if let Some(client) = self.clients.get_mut(key) {
            client.exchange = exchange;
        }
        self.bind(exchange);
        self.arm_exchange(exchange);
        if is_cached {
            self.begin_cached(exchange, head, head_bytes, data);
        } else {
            self.forward(exchange, head, head_bytes, data);
        }
    }

    /// A request that came on a stream is told so. Returns its trailers, if the whole of its body came with its head.
    fn stream_ended(&mut self, key: Key, core: &mut Exchange) -> Option<Vec<u8>> {
        let stream = self.clients.get_mut(key)?.link.stream_mut()?;
        core.on_stream();
        stream.has_ended().then(|| std::mem::take(&mut stream.trailers))
    }

    /// S0-20: a request whose Host falls under another rule for client certificates than the one its connection was
    /// opened under would go around that rule.
    fn name_refusal(&mut self, key: Key, head: &RequestHead, bytes: &[u8]) -> Option<ClientFault> {
        let client = self.clients.get(key)?;
        let session = tls_of(&self.clients, key)?;
        let rules = self.plan.tls.listeners.get(usize::from(client.listener))?.as_ref()?;
        if rules.plan.client_auth.is_empty() || rules.plan.host_policy == NamePolicy::Ignore {
            return None;
        }
        let name = String::from_utf8_lossy(without_port(head.host.of(bytes))).to_ascii_lowercase();
        let rule = rules.rule_of(Some(&name));
        if rule.is_none() || rule == session.rule() {
            return None;
        }
        self.row.one(Counter::TlsNameRefused);
        self.log.name_differs(&name, session.name().unwrap_or(""), rules.plan.host_policy);
        // On a connection that many names may share, the client is to come again on one of its own (RFC 9110 15.5.20).
        let fault = if client.link.is_stream() { ClientFault::Misdirected } else { ClientFault::NameMismatch };
        (rules.plan.host_policy == NamePolicy::Refuse).then_some(fault)
    }

    /// Sends the request at once if there is a connection for it, else keeps what came of its body.
    pub(crate) fn forward(&mut self, exchange: Key, head: &RequestHead, head_bytes: &[u8], data: &[u8]) {
        match self.find_connection(exchange) {
            Found::Connection => {
                self.keep(exchange, data);
                self.send_request(exchange, head, head_bytes, data);
            }
            Found::Later => self.hold(exchange, data),
            Found::Ended => return,
        }
        self.arm_for_upload(exchange);
        self.hear_rest(exchange);
    }

    /// The rest of a pipelined body, or a FIN, may lie in the socket already, and its edge does not come again.
    pub(crate) fn hear_rest(&mut self, exchange: Key) {
        let client = self.exchanges.get(exchange).map_or(Key::NONE, |o| o.client);
        let Some(connection) = self.clients.get(client) else { return };
        if connection.readable {
            self.again.push(Token::Client(client));
        }
        if connection.read_closed {
            self.client_half_closed(client);
        }
    }

    /// What the route's and the origin's rules need to know about the request, read once.
    pub(crate) fn take_policy(&mut self, ongoing: &mut Ongoing, head: &RequestHead) {
        let bytes = &ongoing.head;
        let origin = &ongoing.plan.plan.origins[ongoing.origin_index as usize];
        let total_ms = ongoing.policy().total_ms.unwrap_or(origin.total_ms);
        let has_key = head.kinds.has(FieldKind::IdempotencyKey) && ongoing.policy().retry.idempotency_key;
        let client = self.clients.get(ongoing.client);
        let key_hash = choose::key_hash(&origin.balance, head, bytes, client.map_or(&[], |c| c.ip.as_bytes()));
        let cookie = origin.sticky.as_ref().and_then(|s| choose::cookie(head, bytes, &s.name));
        let sticky = cookie.and_then(|value| u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok());
        let marked = |f: &Field| eq_ignore_case(f.name.of(bytes), ESCALATED.as_bytes());
        let escalated_before = !ongoing.policy().escalate.is_empty() && head.fields.iter().any(marked);
        let owns = client.is_some_and(|c| c.owns);
        let owner = (owns || binds_connection(head, bytes, ongoing.policy().connection_auth))
            .then(|| client.map(|c| c.number))
            .flatten();
        if total_ms > 0 {
            ongoing.total_due_ms = self.now_us / 1000 + u64::from(total_ms);
        }
        ongoing.visited = if ongoing.origin_index < 64 { 1 << ongoing.origin_index } else { 0 };
        (ongoing.keyed, ongoing.key_hash, ongoing.sticky) = (has_key, key_hash, sticky);
        (ongoing.escalated_before, ongoing.owner) = (escalated_before, owner);
        ongoing.websocket = ongoing.core.upgrade && asks_for_websocket(head, &ongoing.head);
        if owner.is_some() {
            if let Some(client) = self.clients.get_mut(ongoing.client) {
                client.owns = true;
            }
        }
    }

    /// Settles what the request brings to the identity of its connection, at the origin it is at now.
    pub(crate) fn bind(&mut self, exchange: Key) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            let origin = &ongoing.plan.plan.origins[ongoing.origin_index as usize];
            let host = ongoing.host.of(&ongoing.head);
            let client = tls_of(&self.clients, ongoing.client).and_then(TlsSession::name);
            ongoing.bound = bound_of(&origin.match_on, host, ongoing.owner, asked_name(origin, host, client));
        }
    }

    /// The connection is busy from here on; counts what is counted for every request.
    fn enter_exchange(&mut self, key: Key, core: &mut Exchange, more_waits: bool, route: Option<u32>) {
        self.row.one(Counter::Requests);
        if let Some(route) = route {
            self.row.route_request(self.plan.plan.routes[route as usize].slot);
        }
        self.row.one(Counter::ExchangesOpen);
        let limits = &self.plan.plan.limits;
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.state == ClientState::Idle {
            self.row.less(Counter::ClientIdle);
        }
        client.state = ClientState::Exchange;
        client.requests += 1;
        client.pipelined = if more_waits { client.pipelined + 1 } else { 0 };
        let spent = limits.client_requests != 0 && client.requests >= limits.client_requests;
        let keeps = &self.plan.plan.persistence;
        let age_max = u64::from(keeps.client_age_ms);
        let aged = age_max != 0 && self.now_us / 1000 >= client.since_ms + age_max;
        // S4-02: each of these is said in the answer, and done.
        if !keeps.client || self.scarce || spent || aged || client.pipelined >= limits.pipelined_requests {
            core.keep_alive = false;
        }
        self.wheel.arm(client.timer, crate::wheel::NEVER);
    }

    fn find_route(&mut self, plan: &Compiled, key: Key, head: &RequestHead, bytes: &[u8]) -> Option<u32> {
        let client = self.clients.get(key);
        let is_tls = tls_of(&self.clients, key).is_some();
        let secure = client.is_some_and(|c| came_secure(is_tls, c.trusted, head, bytes));
        let raw = head.path.of(bytes);
        let path: &[u8] = match head.target_form {
            TargetForm::Asterisk => b"*",
            _ if head.path_plain && !raw.is_empty() => raw,
            _ => {
                normalise_path(raw, &mut self.path);
                &self.path
            }
        };
        plan.routes.find(&Asked { bytes, head, path, secure })
    }

    /// Answers without an origin: no route, a route that answers or redirects, or the last hop of a TRACE.
    fn answer_here(
        &mut self,
        key: Key,
        core: Exchange,
        head: &RequestHead,
        bytes: &[u8],
        route: Option<u32>,
        plan: &Compiled,
    ) {
        let route = route.map(|r| &plan.plan.routes[r as usize]);
        match route.map(|r| &r.action) {
            None => {
                self.row.client_fault(ClientFault::NoRoute);
                let own = Own::fault(404, ClientFault::NoRoute.sentence());
                self.answer_now(key, core, head, bytes, route, &own);
            }
            Some(Action::Forward { .. }) => {
                // As the last hop we can say which methods pass; a trace of our own would show what we add.
                let status = if head.method == Method::Options { 204 } else { 405 };
                let own = Own { status, fields: &[("Allow", METHODS)], ..Own::EMPTY };
                self.answer_now(key, core, head, bytes, route, &own);
            }
            Some(Action::Answer { status, fields, body }) => {
                let own = Own { status: *status, lines: fields, body, ..Own::EMPTY };
                self.answer_now(key, core, head, bytes, route, &own);
            }
            Some(Action::Redirect { status, location }) => {
                let place = redirect_place(location, head, bytes);
                let own = Own { status: *status, fields: &[("Location", &place)], ..Own::EMPTY };
                self.answer_now(key, core, head, bytes, route, &own);
            }
        }
    }

    /// Body bytes cannot go on: the client is told if nothing of an answer was, and the connection ends.
    pub(crate) fn refuse_upload(&mut self, key: Key, fault: UploadFault) {
        match fault {
            UploadFault::Wire(fault) => self.refuse_bytes(key, fault),
            UploadFault::TooLarge(fault) => self.refuse_client(key, fault, Counter::ClientCloseRefused),
        }
    }
}

/// Many streams share one connection, so each holds little; and what comes with a head is least of all.
fn set_room(ongoing: &mut Ongoing) {
    if ongoing.core.version == Version::Http2 {
        ongoing.room = STREAM_ROOM_BYTES;
        ongoing.room_max = ongoing.plan.plan.http2.stream_buffer_bytes;
    }
}

/// Longest body of a request on this route; 0 = no limit.
pub(crate) fn body_bytes_max(plan: &Compiled, route: Option<u32>) -> u64 {
    let whole = plan.plan.limits.request_body_bytes;
    match route.map(|r| &plan.plan.routes[r as usize].action) {
        Some(Action::Forward { policy, .. }) => policy.request_body_bytes.unwrap_or(whole),
        _ => whole,
    }
}

/// Whether the request authenticates its connection rather than itself (RFC 4559 for Negotiate; NTLM has no RFC).
pub(crate) fn binds_connection(head: &RequestHead, bytes: &[u8], rule: ConnectionAuth) -> bool {
    let authorization = || value_of(bytes, &head.fields, FieldKind::Authorization);
    match rule {
        ConnectionAuth::Never => false,
        _ if !head.kinds.has(FieldKind::Authorization) => false,
        ConnectionAuth::Any => true,
        ConnectionAuth::Bound => authorization().is_some_and(is_connection_scheme),
    }
}

/// Whether credentials are of a scheme that authenticates the connection.
fn is_connection_scheme(value: &[u8]) -> bool {
    let scheme = value.split(|b| *b == b' ').next().unwrap_or(&[]);
    eq_ignore_case(scheme, b"ntlm") || eq_ignore_case(scheme, b"negotiate")
}

/// Whether one of the challenges in a field (RFC 9110 11.6.1: a list) offers such a scheme.
#[must_use]
pub fn offers_connection_scheme(value: &[u8]) -> bool {
    let mut quoted = false;
    let mut challenges = value.split(|b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    });
    challenges.any(|challenge| is_connection_scheme(challenge.trim_ascii()))
}

/// What is HTTP and refused all the same.
pub(crate) fn refusal(head: &RequestHead, framing: &RequestFraming, body_bytes_max: u64) -> Option<ClientFault> {
    if head.method == Method::Connect {
        return Some(ClientFault::ConnectMethod);
    }
    if framing.expectation_unknown {
        return Some(ClientFault::Expectation);
    }
    match framing.body {
        RequestBody::Length(length) if body_bytes_max != 0 && length > body_bytes_max => {
            Some(ClientFault::BodyTooLarge)
        }
        _ => None,
    }
}

/// RFC 9110 7.6.2: TRACE and OPTIONS with `Max-Forwards: 0` end here.
pub(crate) fn is_last_hop(head: &RequestHead, bytes: &[u8]) -> bool {
    matches!(head.method, Method::Trace | Method::Options)
        && head.kinds.has(FieldKind::MaxForwards)
        && value_of(bytes, &head.fields, FieldKind::MaxForwards).is_some_and(|v| v.iter().all(|b| *b == b'0'))
}

pub(crate) fn redirect_place(template: &str, head: &RequestHead, bytes: &[u8]) -> String {
    let host = String::from_utf8_lossy(head.host.of(bytes));
    let name = String::from_utf8_lossy(without_port(head.host.of(bytes)));
    let mut path = String::from_utf8_lossy(head.path.of(bytes)).into_owned();
    if path.is_empty() {
        path.push('/');
    }
    if head.has_query {
        path.push('?');
        path.push_str(&String::from_utf8_lossy(head.query.of(bytes)));
    }
    // The path goes in last, so that braces a client put into it stand for themselves.
    template.replace("{host}", &host).replace("{name}", &name).replace("{path}", &path)
}

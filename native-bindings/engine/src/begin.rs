//! A complete head becomes an exchange: framing is settled, limits are asked, the route is found. What a route answers
//! itself ends here; what it forwards goes on in `forward.rs`.

use crate::answer::Own;
use crate::client::ClientState;
use crate::compiled::Compiled;
use crate::exchange::{Asking, Ongoing};
use crate::forward::Found;
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::exchange::{Exchange, UploadFault};
use proto::fault::ClientFault;
use proto::http1::fields::{FieldKind, value_of};
use proto::http1::framing::{RequestBody, RequestFraming, decide_request};
use proto::http1::head::{Method, RequestHead, TargetForm};
use proto::plan::Action;
use proto::route::{Asked, normalise_path};
use std::rc::Rc;

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
        if let Some(fault) = refusal(head, &framing, plan.plan.limits.request_body_bytes) {
            self.refuse_client(key, fault, Counter::ClientCloseRefused);
            return head.len + body.len();
        }
        let mut core = Exchange::new(head.method, head.version, &framing);
        core.keep_alive &= !self.draining;
        let mut trailers = std::mem::take(&mut self.trailers);
        trailers.clear();
        let piece = core.take_upload(body, &plan.head_limits, plan.plan.limits.request_body_bytes, &mut trailers);
        let piece = match piece {
            Ok(piece) => piece,
            Err(fault) => {
                self.trailers = trailers;
                self.refuse_upload(key, fault);
                return head.len + body.len();
            }
        };
        core.heard_body(&piece);
        let used = head.len + piece.consumed;
        self.enter_exchange(key, &mut core, used < head.len + body.len());
        if let Some(client) = self.clients.get_mut(key) {
            client.said_last = !framing.keep_alive && core.upload_done();
        }

        let route = self.find_route(&plan, head, head_bytes);
        let forward = route.and_then(|r| match &plan.plan.routes[r as usize].action {
            Action::Forward { origin, .. } if !is_last_hop(head, head_bytes) => Some((r, *origin)),
            _ => None,
        });
        let Some((route, origin_index)) = forward else {
            self.trailers = trailers;
            self.answer_here(key, core, head, head_bytes, route, &plan);
            return used;
        };

        let asked = Asking { client: key, route, origin_index, began_us: self.now_us };
        let mut ongoing = Ongoing::new(core, plan, head, &framing, asked);
        ongoing.head = self.blocks.take(head.len);
        ongoing.head.extend_from_slice(head_bytes);
        // Most requests have none, and then nothing is allocated.
        ongoing.trailers.extend_from_slice(&trailers);
        self.trailers = trailers;
        let exchange = self.exchanges.insert(ongoing);
        if let Some(client) = self.clients.get_mut(key) {
            client.exchange = exchange;
        }
        self.forward(exchange, head, head_bytes, &body[piece.data]);
        used
    }

    /// Sends the request at once if there is a connection for it, else keeps what came of its body.
    fn forward(&mut self, exchange: Key, head: &RequestHead, head_bytes: &[u8], data: &[u8]) {
        match self.find_connection(exchange) {
            Found::Connection => {
                self.keep(exchange, data);
                self.send_request(exchange, head, head_bytes, data);
            }
            Found::Later => self.hold(exchange, data),
            Found::Ended => return,
        }
        self.arm_for_upload(exchange);
        // The rest of a pipelined body may lie in the socket already, and its edge does not come again.
        let client = self.exchanges.get(exchange).map_or(Key::NONE, |o| o.client);
        if self.clients.get(client).is_some_and(|c| c.readable) {
            self.again.push(Token::Client(client));
        }
    }

    /// The connection is busy from here on; counts what is counted for every request.
    fn enter_exchange(&mut self, key: Key, core: &mut Exchange, more_waits: bool) {
        self.row.one(Counter::Requests);
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
        if spent || client.pipelined >= limits.pipelined_requests {
            core.keep_alive = false;
        }
        self.wheel.arm(client.timer, crate::wheel::NEVER);
    }

    fn find_route(&mut self, plan: &Compiled, head: &RequestHead, bytes: &[u8]) -> Option<u32> {
        let raw = head.path.of(bytes);
        let path: &[u8] = match head.target_form {
            TargetForm::Asterisk => b"*",
            _ if head.path_plain && !raw.is_empty() => raw,
            _ => {
                normalise_path(raw, &mut self.path);
                &self.path
            }
        };
        plan.routes.find(&Asked { bytes, head, path })
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
        let name = route.map_or("", |r| plan.plan.routes[r as usize].name.as_str());
        match route.map(|r| &plan.plan.routes[r as usize].action) {
            None => {
                self.row.client_fault(ClientFault::NoRoute);
                let own = Own::fault(404, ClientFault::NoRoute.sentence());
                self.answer_now(key, core, head, bytes, name, &own);
            }
            Some(Action::Forward { .. }) => {
                // As the last hop we can say which methods pass; a trace of our own would show what we add.
                let status = if head.method == Method::Options { 204 } else { 405 };
                let own = Own { status, fields: &[("Allow", METHODS)], ..Own::EMPTY };
                self.answer_now(key, core, head, bytes, name, &own);
            }
            Some(Action::Answer { status, fields, body }) => {
                let own = Own { status: *status, lines: fields, body, ..Own::EMPTY };
                self.answer_now(key, core, head, bytes, name, &own);
            }
            Some(Action::Redirect { status, location }) => {
                let place = redirect_place(location, head, bytes);
                let own = Own { status: *status, fields: &[("Location", &place)], ..Own::EMPTY };
                self.answer_now(key, core, head, bytes, name, &own);
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

/// What is HTTP and refused all the same.
fn refusal(head: &RequestHead, framing: &RequestFraming, body_bytes_max: u64) -> Option<ClientFault> {
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
fn is_last_hop(head: &RequestHead, bytes: &[u8]) -> bool {
    matches!(head.method, Method::Trace | Method::Options)
        && head.kinds.has(FieldKind::MaxForwards)
        && value_of(bytes, &head.fields, FieldKind::MaxForwards).is_some_and(|v| v.iter().all(|b| *b == b'0'))
}

fn redirect_place(template: &str, head: &RequestHead, bytes: &[u8]) -> String {
    let host = String::from_utf8_lossy(head.host.of(bytes));
    let mut path = String::from_utf8_lossy(head.path.of(bytes)).into_owned();
    if path.is_empty() {
        path.push('/');
    }
    if head.has_query {
        path.push('?');
        path.push_str(&String::from_utf8_lossy(head.query.of(bytes)));
    }
    // The path goes in last, so that braces a client put into it stand for themselves.
    template.replace("{host}", &host).replace("{path}", &path)
}

//! Reads requests from a client's connection: bytes become heads, one head after another, for as long as the connection
//! is free for the next. Nothing is copied when a request came whole; what is left over waits in the client's `input`.

use crate::client::ClientState;
use crate::io::{Io, Trouble};
use crate::multiplexed::{Greeting, greeting};
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::http1::head::{Parsed, worth_parsing_again};

impl<I: Io> Worker<I> {
    /// Reads until a request is complete or nothing is left to read.
    pub(crate) fn read_heads(&mut self, key: Key) {
        if !self.handle_input(key) {
            return;
        }
        loop {
            let Some(client) = self.clients.get_mut(key) else { return };
            let waiting = matches!(client.state, ClientState::Idle | ClientState::Head);
            if !waiting || !client.readable || !client.outbox.is_empty() {
                return;
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            let count = match client.link.read(&mut self.io, &mut self.blocks, &mut client.outbox, &mut scratch) {
                Ok(count) => count,
                Err(trouble) => {
                    client.readable = false;
                    self.scratch = scratch;
                    match trouble {
                        Trouble::WouldBlock => {}
                        // Between requests, who leaves without TLS's word has left all the same.
                        Trouble::Cut => self.close_client(key, Counter::ClientCloseByClient),
                        Trouble::Tls => self.leave_session(key),
                        _ => self.close_client(key, Counter::ClientCloseError),
                    }
                    return;
                }
            };
            // A FIN behind what was read has an event of its own.
            client.readable = client.link.may_hold_more(count, scratch.len()) || client.read_closed;
            self.row.add(Counter::ClientBytesIn, count as u64);
            if count == 0 {
                self.scratch = scratch;
                self.close_client(key, Counter::ClientCloseByClient);
                return;
            }
            self.handle_read(key, &mut scratch[..count]);
            self.scratch = scratch;
        }
    }

    /// Handles what was read into the scratch buffer, behind what was kept before.
    fn handle_read(&mut self, key: Key, fresh: &mut [u8]) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.input.is_empty() {
            let used = self.handle_requests(key, fresh);
            if let Some(client) = self.clients.get_mut(key) {
                let keeps = !matches!(client.state, ClientState::Closing { .. } | ClientState::Lingering { .. });
                if keeps {
                    self.blocks.append(&mut client.input, &fresh[used..]);
                    client.parsed = client.input.len();
                }
            }
            return;
        }
        self.blocks.append(&mut client.input, fresh);
        self.handle_input(key);
    }

    /// Handles requests that lie in `input`. Returns false when the connection ended or is busy.
    fn handle_input(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        if client.input.is_empty() {
            return true;
        }
        let partial = client.state == ClientState::Head;
        if partial && !worth_parsing_again(client.parsed, &client.input) && self.below_head_limit(key) {
            let Some(client) = self.clients.get_mut(key) else { return false };
            client.parsed = client.input.len();
            return true;
        }
        let Some(client) = self.clients.get_mut(key) else { return false };
        let mut input = std::mem::take(&mut client.input);
        let used = self.handle_requests(key, &mut input);
        let Some(client) = self.clients.get_mut(key) else {
            self.blocks.give(input);
            return false;
        };
        input.drain(..used);
        client.parsed = input.len();
        if input.is_empty() || matches!(client.state, ClientState::Closing { .. } | ClientState::Lingering { .. }) {
            self.blocks.give(input);
        } else {
            client.input = input;
        }
        matches!(client.state, ClientState::Idle | ClientState::Head)
    }

    fn below_head_limit(&self, key: Key) -> bool {
        let limits = &self.plan.head_limits;
        let below = limits.head_bytes.min(limits.request_line_bytes) as usize;
        self.clients.get(key).is_some_and(|c| c.input.len() <= below)
    }

    /// Handles the requests in `bytes` one after another, for as long as the connection is free for the next.
    /// Returns how many bytes were used.
    fn handle_requests(&mut self, key: Key, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let Some(client) = self.clients.get(key) else { return bytes.len() };
            if !matches!(client.state, ClientState::Idle | ClientState::Head) || !client.outbox.is_empty() {
                break;
            }
            if client.requests == 0 && at == 0 && self.speaks_http2(client.listener) {
                match greeting(bytes) {
                    Greeting::Other => {}
                    Greeting::Partial => {
                        self.await_rest_of_head(key);
                        break;
                    }
                    Greeting::Http2 => {
                        self.begin_http2(key, bytes);
                        return bytes.len();
                    }
                }
            }
            let mut head = self.head.take().unwrap_or_default();
            let parsed = head.parse(&bytes[at..], &self.plan.head_limits);
            match parsed {
                Ok(Parsed::Complete) => at += self.begin(key, &head, &mut bytes[at..]),
                Ok(Parsed::Partial) => {
                    self.head = Some(head);
                    self.await_rest_of_head(key);
                    break;
                }
                Err(fault) => {
                    self.refuse_bytes(key, fault);
                    at = bytes.len();
                }
            }
            self.head = Some(head);
        }
        at
    }

    /// Whether a listener without TLS takes a connection that begins with HTTP/2's preface.
    fn speaks_http2(&self, listener: u16) -> bool {
        self.plan.plan.listeners.get(usize::from(listener)).is_some_and(|l| l.http2 && l.tls.is_none())
    }

    fn await_rest_of_head(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.state == ClientState::Idle {
            client.state = ClientState::Head;
            self.row.less(Counter::ClientIdle);
            let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_head_ms);
            self.wheel.arm(client.timer, due);
        }
    }
}

//! After 101 (Switching Protocols): bytes pass both ways untouched, each direction ends on its own (a FIN is passed on,
//! the other direction goes on), and the tunnel ends when both have. Nothing is tunnelled before the origin's 101 came.

use crate::client::ClientState;
use crate::io::{Io, Token, Trouble};
use crate::origin::{OriginState, Place};
use crate::slab::Key;
use crate::stats::Counter;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::http1::encode::{AnswerEncoding, encode_answer};
use proto::http1::framing::AnswerBody;
use proto::http1::head::ResponseHead;

const READS_MAX: u32 = 8;

/// What one step in one direction came to.
enum Step {
    Moved,
    /// Nothing to read, or no room to write.
    Blocked,
    Broken,
}

impl<I: Io> Worker<I> {
    /// The origin switched protocols: passes its 101 on, and all that came behind it on both sides.
    pub(crate) fn begin_tunnel(&mut self, exchange: Key, head: &ResponseHead, bytes: &[u8], rest: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.core.stage = Stage::Tunnelling;
        ongoing.core.status = 101;
        ongoing.core.keep_alive = false;
        // The time for an answer has found its end in the answer; what a tunnel has is its idle time.
        ongoing.total_due_ms = NEVER;
        let (client_key, origin_key) = (ongoing.client, ongoing.origin);
        let plan = std::rc::Rc::clone(&ongoing.plan);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        encode_answer(
            &mut out,
            bytes,
            head,
            &AnswerEncoding {
                body: AnswerBody::None,
                upgrade: true,
                via: plan.plan.forwarding.via.then_some(plan.plan.name.as_bytes()),
                received_version: head.version,
                ..AnswerEncoding::default()
            },
        );
        self.row.one(Counter::Tunnels);
        self.row.one(Counter::TunnelsOpen);
        self.count_answer(101);
        let mut early = Vec::new();
        if let Some(client) = self.clients.get_mut(client_key) {
            client.state = ClientState::Tunnel;
            early = std::mem::take(&mut client.input);
        }
        if let Some(origin) = self.origins.get_mut(origin_key) {
            origin.state = OriginState::Tunnel;
            self.wheel.arm(origin.timer, NEVER);
        }
        self.send_to_client(client_key, &[&out, rest], false);
        self.out = out;
        if !early.is_empty() {
            self.send_to_origin(exchange, &[&early]);
            self.blocks.give(early);
        }
        self.touch_tunnel(exchange);
        self.again.push(Token::Client(client_key));
    }

    /// Moves bytes in both directions for as long as something moves.
    pub(crate) fn tunnel_go(&mut self, exchange: Key) {
        for _ in 0..READS_MAX {
            let up = self.tunnel_up(exchange);
            let down = self.tunnel_down(exchange);
            if matches!(up, Step::Broken) || matches!(down, Step::Broken) {
                self.end_tunnel(exchange);
                return;
            }
            if matches!((up, down), (Step::Blocked, Step::Blocked)) {
                self.end_tunnel_if_done(exchange);
                return;
            }
        }
        if let Some(ongoing) = self.exchanges.get(exchange) {
            self.again.push(Token::Client(ongoing.client));
        }
    }

    fn tunnel_up(&mut self, exchange: Key) -> Step {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Step::Blocked };
        let Some(origin) = self.origins.get_mut(ongoing.origin) else { return Step::Broken };
        let Some(client) = self.clients.get_mut(ongoing.client) else { return Step::Broken };
        let Place::Held(to) = &origin.place else { return Step::Broken };
        if !origin.outbox.is_empty() || !client.readable || ongoing.upload_ended {
            return Step::Blocked;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let step = match self.io.read(&client.socket, &mut scratch) {
            Ok(0) => {
                ongoing.upload_ended = true;
                client.readable = false;
                self.io.shutdown_write(to);
                Step::Moved
            }
            Ok(count) => {
                client.readable = count == scratch.len() || client.read_closed;
                ongoing.core.upload_bytes += count as u64;
                self.row.add(Counter::ClientBytesIn, count as u64);
                match origin.outbox.send(&mut self.io, to, &mut self.blocks, &[&scratch[..count]], false) {
                    Ok(written) => {
                        self.row.add(Counter::OriginBytesOut, written as u64);
                        Step::Moved
                    }
                    Err(_) => Step::Broken,
                }
            }
            Err(Trouble::WouldBlock) => {
                client.readable = false;
                Step::Blocked
            }
            Err(_) => Step::Broken,
        };
        self.scratch = scratch;
        if matches!(step, Step::Moved) {
            self.touch_tunnel(exchange);
        }
        step
    }

    fn tunnel_down(&mut self, exchange: Key) -> Step {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Step::Blocked };
        let Some(origin) = self.origins.get_mut(ongoing.origin) else { return Step::Broken };
        let Some(client) = self.clients.get_mut(ongoing.client) else { return Step::Broken };
        let Place::Held(from) = &origin.place else { return Step::Broken };
        if !client.outbox.is_empty() || !origin.readable || ongoing.download_ended {
            return Step::Blocked;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let step = match self.io.read(from, &mut scratch) {
            Ok(0) => {
                ongoing.download_ended = true;
                origin.readable = false;
                self.io.shutdown_write(&client.socket);
                Step::Moved
            }
            Ok(count) => {
                origin.readable = count == scratch.len() || origin.read_closed;
                ongoing.core.download_bytes += count as u64;
                self.row.add(Counter::OriginBytesIn, count as u64);
                match client.outbox.send(&mut self.io, &client.socket, &mut self.blocks, &[&scratch[..count]], false) {
                    Ok(written) => {
                        self.row.add(Counter::ClientBytesOut, written as u64);
                        Step::Moved
                    }
                    Err(_) => Step::Broken,
                }
            }
            Err(Trouble::WouldBlock) => {
                origin.readable = false;
                Step::Blocked
            }
            Err(_) => Step::Broken,
        };
        self.scratch = scratch;
        if matches!(step, Step::Moved) {
            self.touch_tunnel(exchange);
        }
        step
    }

    /// Something moved: the idle time begins anew.
    fn touch_tunnel(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let Some(client) = self.clients.get(ongoing.client) else { return };
        let idle_ms = ongoing.plan.plan.timeouts.tunnel_idle_ms;
        let due = if idle_ms == 0 { NEVER } else { self.now_us / 1000 + u64::from(idle_ms) };
        self.wheel.arm(client.timer, due);
    }

    fn end_tunnel_if_done(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let flushed = self.clients.get(ongoing.client).is_none_or(|c| c.outbox.is_empty())
            && self.origins.get(ongoing.origin).is_none_or(|o| o.outbox.is_empty());
        if ongoing.upload_ended && ongoing.download_ended && flushed {
            self.end_tunnel(exchange);
        }
    }

    /// Closes both sides.
    pub(crate) fn end_tunnel(&mut self, exchange: Key) {
        let Some(ongoing) = self.end_exchange(exchange) else { return };
        let key = ongoing.client;
        self.recycle(ongoing);
        self.close_client(key, Counter::ClientCloseTunnel);
    }
}

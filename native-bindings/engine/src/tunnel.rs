//! After 101 (Switching Protocols): bytes pass both ways untouched, each direction ends on its own (a FIN is passed on,
//! the other direction goes on), and the tunnel ends when both have. Nothing is tunnelled before the origin's 101 came.

use crate::answer_heads::plain_encoding;
use crate::blocks::Blocks;
use crate::client::ClientState;
use crate::io::{Io, Token, Trouble};
use crate::link::Link;
use crate::origin::{OriginState, Place};
use crate::outbox::Outbox;
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::is_stream;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::http1::encode::{AnswerEncoding, encode_answer};
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
        let on_stream = ongoing.on_stream;
        let plan = std::rc::Rc::clone(&ongoing.plan);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        encode_answer(
            &mut out,
            bytes,
            head,
            &AnswerEncoding { upgrade: true, ..plain_encoding(&plan.plan, head, on_stream) },
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
        if is_stream(&self.clients, client_key) {
            self.answer_on_stream(client_key, &out, rest, false, &[]);
        } else {
            self.send_to_client(client_key, &[&out, rest], false);
        }
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
        let Place::Held(to) = &mut origin.place else { return Step::Broken };
        let mut way = Way {
            from: &mut client.link,
            replies: &mut client.outbox,
            readable: &mut client.readable,
            read_closed: client.read_closed,
            ended: &mut ongoing.upload_ended,
            to,
            outbox: &mut origin.outbox,
        };
        let (step, passed) = way.pass(&mut self.io, &mut self.blocks, &mut self.scratch);
        ongoing.core.upload_bytes += passed.read;
        self.row.add(Counter::ClientBytesIn, passed.read);
        self.row.add(Counter::OriginBytesOut, passed.written);
        self.moved(exchange, step)
    }

    fn tunnel_down(&mut self, exchange: Key) -> Step {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Step::Blocked };
        let Some(origin) = self.origins.get_mut(ongoing.origin) else { return Step::Broken };
        let Some(client) = self.clients.get_mut(ongoing.client) else { return Step::Broken };
        let Place::Held(from) = &mut origin.place else { return Step::Broken };
        let mut way = Way {
            from,
            replies: &mut origin.outbox,
            readable: &mut origin.readable,
            read_closed: origin.read_closed,
            ended: &mut ongoing.download_ended,
            to: &mut client.link,
            outbox: &mut client.outbox,
        };
        let (step, passed) = way.pass(&mut self.io, &mut self.blocks, &mut self.scratch);
        ongoing.core.download_bytes += passed.read;
        if !ongoing.on_stream {
            self.row.add(Counter::OriginBytesIn, passed.read);
        }
        self.row.add(Counter::ClientBytesOut, passed.written);
        self.moved(exchange, step)
    }

    fn moved(&mut self, exchange: Key, step: Step) -> Step {
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

/// One direction of a tunnel.
struct Way<'a, S> {
    from: &'a mut Link<S>,
    /// What that side's TLS has to say back.
    replies: &'a mut Outbox,
    readable: &'a mut bool,
    read_closed: bool,
    /// The FIN was passed on.
    ended: &'a mut bool,
    to: &'a mut Link<S>,
    outbox: &'a mut Outbox,
}

/// Bytes that one step moved.
#[derive(Default)]
struct Passed {
    read: u64,
    written: u64,
}

impl<S: Send> Way<'_, S> {
    /// One read and what the other side takes of it; the rest waits in the outbox, and until that is empty nothing is read.
    fn pass<I: Io<Socket = S>>(&mut self, io: &mut I, blocks: &mut Blocks, scratch: &mut [u8]) -> (Step, Passed) {
        if !self.outbox.is_empty() || !*self.readable || *self.ended {
            return (Step::Blocked, Passed::default());
        }
        match self.from.read(io, blocks, self.replies, scratch) {
            Ok(0) => {
                *self.ended = true;
                *self.readable = false;
                self.to.end_writing(io, blocks);
                (Step::Moved, Passed::default())
            }
            Ok(count) => {
                *self.readable = self.from.may_hold_more(count, scratch.len()) || self.read_closed;
                let read = count as u64;
                match self.outbox.send(io, self.to, blocks, &[&scratch[..count]], false) {
                    Ok(sent) => (Step::Moved, Passed { read, written: sent.uncounted as u64 }),
                    Err(_) => (Step::Broken, Passed { read, written: 0 }),
                }
            }
            Err(Trouble::WouldBlock) => {
                *self.readable = false;
                (Step::Blocked, Passed::default())
            }
            Err(_) => (Step::Broken, Passed::default()),
        }
    }
}

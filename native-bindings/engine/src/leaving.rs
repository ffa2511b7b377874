//! How a client's connection ends without losing its last answer: refusals, the end of writing, and what is still read
//! and thrown away meanwhile. A close while unread bytes lie in the kernel becomes a reset that may overtake the answer.

use crate::answer::Own;
use crate::client::ClientState;
use crate::io::{Io, Token, Trouble};
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::peer_of;
use crate::worker::Worker;
use proto::fault::{ClientFault, WireFault};

/// What is thrown away from a lingering connection before it is reset after all. Its time is bounded too; this only ends
/// a flood, and so lies well above what may be under way in the buffers of two kernels.
const LINGER_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl<I: Io> Worker<I> {
    /// Throws away what comes on a connection that is closing or has an unread body before it.
    pub(crate) fn throw_away(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        while let Some(client) = self.clients.get_mut(key) {
            if !client.readable {
                break;
            }
            let room = match client.state {
                ClientState::Draining { left } => usize::try_from(left).unwrap_or(usize::MAX).min(scratch.len()),
                _ => scratch.len(),
            };
            match client.link.read(&mut self.io, &mut self.blocks, &mut client.outbox, &mut scratch[..room]) {
                Ok(0) => {
                    let why = match client.state {
                        ClientState::Lingering { why, .. } => why,
                        _ => Counter::ClientCloseByClient,
                    };
                    self.close_client(key, why);
                    break;
                }
                Ok(count) => {
                    client.readable = client.link.may_hold_more(count, room) || client.read_closed;
                    self.row.add(Counter::ClientBytesIn, count as u64);
                    if !self.threw_away(key, count as u64) {
                        break;
                    }
                }
                Err(Trouble::WouldBlock) => {
                    client.readable = false;
                    break;
                }
                Err(_) => {
                    let why = match client.state {
                        // Why it ends was settled before it broke.
                        ClientState::Lingering { why, .. } => why,
                        _ => Counter::ClientCloseError,
                    };
                    self.close_client(key, why);
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    /// Returns whether there is more to throw away.
    fn threw_away(&mut self, key: Key, count: u64) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        match &mut client.state {
            ClientState::Draining { left } if *left == count => {
                self.client_free(key);
                self.again.push(Token::Client(key));
                false
            }
            ClientState::Draining { left } => {
                *left -= count;
                true
            }
            ClientState::Lingering { left, why } if *left <= count => {
                let why = *why;
                self.close_client(key, why);
                false
            }
            ClientState::Lingering { left, .. } => {
                *left -= count;
                true
            }
            _ => false,
        }
    }

    /// The last answer is written or in the outbox: ends the connection as soon as it has left.
    pub(crate) fn close_after_answer(&mut self, key: Key, why: Counter) {
        let Some(client) = self.clients.get_mut(key) else { return };
        self.blocks.release(&mut client.input);
        client.exchange = Key::NONE;
        if client.outbox.is_empty() {
            self.end_writing(key, why);
            return;
        }
        client.state = ClientState::Closing { why };
        let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_write_ms);
        self.wheel.arm(client.timer, due);
    }

    /// Everything was given to the kernel. A close while unread bytes lie in it would become a reset that may overtake
    /// the answer (RFC 9112 9.6), so a client that may still be sending is read for a while first.
    pub(crate) fn end_writing(&mut self, key: Key, why: Counter) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.link.is_stream() {
            // A client that still sends its body is told by a reset without blame (RFC 9113 8.1).
            self.close_client(key, why);
            return;
        }
        // Its FIN may stand behind requests that were not read, so `read_closed` alone says nothing.
        // Behind what it said last over TLS its word of the end follows, and a close before that is read would be a reset.
        let said_last = client.said_last && why == Counter::ClientCloseNotKept && client.link.tls.is_none();
        if !client.readable && (client.read_closed || said_last) {
            self.close_client(key, why);
            return;
        }
        client.link.end_writing(&mut self.io, &mut self.blocks);
        client.state = ClientState::Lingering { left: LINGER_BYTES_MAX, why };
        let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_linger_ms);
        self.wheel.arm(client.timer, due);
        self.again.push(Token::Client(key));
    }

    /// Bytes that are not HTTP: nothing of them goes on, the client is told what was wrong and the connection ends.
    pub(crate) fn refuse_bytes(&mut self, key: Key, fault: WireFault) {
        self.row.wire_fault(fault);
        self.leave_waiting(key);
        self.log.refused(peer_of(&self.clients, key), fault.status(), fault.token());
        self.write_own(key, &Own::refusal(fault.status(), fault.sentence()));
        self.close_after_answer(key, Counter::ClientCloseRefused);
    }

    /// The same for what is HTTP but comes too late or too long.
    pub(crate) fn refuse_client(&mut self, key: Key, fault: ClientFault, why: Counter) {
        self.row.client_fault(fault);
        self.leave_waiting(key);
        self.log.refused(peer_of(&self.clients, key), fault.status(), fault.token());
        self.write_own(key, &Own::refusal(fault.status(), fault.sentence()));
        self.close_after_answer(key, why);
    }

    /// A session that failed between requests, or within a head: the alert is on its way, and must not be overtaken by the
    /// reset that a close over unread bytes becomes.
    pub(crate) fn leave_session(&mut self, key: Key) {
        self.leave_waiting(key);
        if let Some(client) = self.clients.get_mut(key) {
            client.link.drop_tls(&mut self.blocks);
        }
        self.close_after_answer(key, Counter::ClientCloseError);
    }

    fn leave_waiting(&mut self, key: Key) {
        if self.clients.get(key).is_some_and(|c| c.state == ClientState::Idle) {
            self.row.less(Counter::ClientIdle);
            if let Some(client) = self.clients.get_mut(key) {
                client.state = ClientState::Head;
            }
        }
    }
}

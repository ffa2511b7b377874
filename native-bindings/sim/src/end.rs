//! One end of a virtual connection: what has arrived and what is on its way to it.

use crate::sniff::Sniffer;
use engine::io::Trouble;
use std::collections::VecDeque;
use std::net::SocketAddr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Proxy,
    Peer,
}

#[derive(Clone, Debug)]
pub enum Packet {
    /// `stray`: bytes that no request asked for.
    Bytes {
        bytes: Vec<u8>,
        stray: bool,
    },
    Fin,
    Reset,
}

/// How far a connection is that the proxy opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dial {
    Done,
    Pending(SocketAddr),
    /// It will be refused.
    Failing(Trouble),
    Failed(Trouble),
    /// Nothing ever comes back.
    Silent,
}

pub struct End {
    pub side: Side,
    pub peer: u32,
    /// The actor of a peer's end.
    pub owner: u32,
    pub dial: Dial,
    pub wire: VecDeque<(u64, Packet)>,
    pub on_the_wire: usize,
    pub last_at_us: u64,
    /// Bytes that may lie here or be on their way here.
    pub capacity: usize,
    pub fin_in: bool,
    pub fin_sent: bool,
    pub reset_in: bool,
    pub reset_sent: bool,
    pub closed: bool,
    /// The last write fell short, so room will be an edge.
    pub short: bool,
    /// Worker and token.
    pub watch: Option<(u32, u64)>,
    pub queued: bool,
    /// Requests whose first byte the proxy wrote here.
    pub requests: u32,
    /// Bytes that no request asked for lie unread here; the poll that told of it.
    pub stray: bool,
    pub stray_poll: Option<u64>,
    /// A request was turned back before its first byte, so it comes once more, from an outbox.
    pub turned_back: bool,
    /// The proxy opened it for a check.
    pub check: bool,
    /// The proxy speaks TLS here.
    pub sniffer: Option<Box<Sniffer>>,
    /// Such bytes were read here: the connection may carry no other request.
    pub tainted: bool,
    inbound: Vec<u8>,
    at: usize,
}

impl End {
    #[must_use]
    pub fn new(side: Side, peer: u32, owner: u32, capacity: usize) -> Self {
        Self {
            side,
            peer,
            owner,
            dial: Dial::Done,
            wire: VecDeque::new(),
            on_the_wire: 0,
            last_at_us: 0,
            capacity,
            fin_in: false,
            fin_sent: false,
            reset_in: false,
            reset_sent: false,
            closed: false,
            short: false,
            watch: None,
            queued: false,
            requests: 0,
            stray: false,
            stray_poll: None,
            turned_back: false,
            check: false,
            sniffer: None,
            tainted: false,
            inbound: Vec::new(),
            at: 0,
        }
    }

    #[must_use]
    pub fn unread(&self) -> usize {
        self.inbound.len() - self.at
    }

    /// Takes a packet in; true when its owner, or for a closed end its sender, must hear of it.
    pub fn arrive(&mut self, packet: Packet) -> bool {
        match packet {
            Packet::Bytes { bytes, stray } => {
                self.on_the_wire -= bytes.len();
                if self.closed || self.reset_in {
                    return self.closed;
                }
                self.inbound.extend_from_slice(&bytes);
                if stray {
                    (self.stray, self.stray_poll) = (true, None);
                }
                true
            }
            Packet::Fin => {
                self.fin_in = true;
                !self.closed
            }
            Packet::Reset => {
                self.reset_in = true;
                !self.closed
            }
        }
    }

    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.unread());
        let taken = self.inbound[self.at..self.at + count].to_vec();
        self.at += count;
        if self.at == self.inbound.len() {
            self.inbound.clear();
            self.at = 0;
            self.tainted |= self.stray;
            (self.stray, self.stray_poll) = (false, None);
        }
        taken
    }

    /// Loses all packets on their way but the first few.
    pub fn cut_wire(&mut self, kept: usize) {
        for (_, packet) in self.wire.drain(kept.min(self.wire.len())..) {
            if let Packet::Bytes { bytes, .. } = packet {
                self.on_the_wire -= bytes.len();
            }
        }
    }
}

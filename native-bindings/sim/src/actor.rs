//! Who takes part in a run: clients of both versions, and origins.

use crate::client::Client;
use crate::ledger::Ledger;
use crate::multiplexer::Multiplexer;
use crate::origin::OriginPeer;

pub enum Actor {
    Client(Client),
    Multiplexer(Box<Multiplexer>),
    Origin(OriginPeer),
}

impl Actor {
    pub fn act(&mut self, ledger: &mut Ledger) {
        match self {
            Self::Client(client) => client.act(ledger),
            Self::Multiplexer(client) => client.act(ledger),
            Self::Origin(origin) => origin.act(ledger),
        }
    }

    /// Whether it is no client that is still there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Client(client) => client.gone,
            Self::Multiplexer(client) => client.gone,
            Self::Origin(_) => true,
        }
    }

    /// The number of a client that is there and waits for an answer.
    #[must_use]
    pub fn misses_answer(&self) -> Option<u32> {
        match self {
            Self::Client(client) => (!client.gone && client.misses_answer()).then_some(client.number),
            Self::Multiplexer(client) => (!client.gone && client.misses_answer()).then_some(client.number),
            Self::Origin(_) => None,
        }
    }

    pub fn send_home(&mut self) {
        match self {
            Self::Client(client) => client.send_home(),
            Self::Multiplexer(client) => client.send_home(),
            Self::Origin(_) => {}
        }
    }
}

//! Listeners behind a load balancer that speaks the PROXY protocol: whose connection this is, is said before its first
//! byte, and before TLS. Only peers the settings trust may say so, and they must.

use crate::client::ClientState;
use crate::io::{Io, Trouble};
use crate::ip_text::IpText;
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::peer_of;
use crate::worker::Worker;
use proto::fault::ClientFault;
use proto::proxy_header::{HEADER_BYTES_MAX, ProxyHeader, read_proxy_header};

impl<I: Io> Worker<I> {
    /// A new connection: waits for its PROXY header where its listener is for such, else begins at once.
    pub(crate) fn begin_client(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let announced = self.plan.plan.listeners.get(usize::from(client.listener)).is_some_and(|l| l.proxy_protocol);
        if !announced {
            self.secure_client(key);
            return;
        }
        client.state = ClientState::Announcing;
        self.row.less(Counter::ClientIdle);
        if !client.trusted {
            self.refuse_announcement(key);
        }
    }

    /// Looks for the header, takes exactly its bytes, and goes on as the client it names.
    pub(crate) fn read_announcement(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.readable {
            return;
        }
        let Some(socket) = client.link.socket() else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let seen = self.io.peek_bytes(socket, &mut scratch[..HEADER_BYTES_MAX]);
        let header = match seen {
            Ok(0) => None,
            Ok(count) => Some(read_proxy_header(&scratch[..count])),
            Err(Trouble::WouldBlock) => Some(ProxyHeader::Partial),
            Err(_) => None,
        };
        match header {
            // More of it is an event of its own.
            Some(ProxyHeader::Partial) if !client.read_closed => client.readable = false,
            Some(ProxyHeader::Whole { bytes, source }) => {
                let taken = self.io.read(socket, &mut scratch[..bytes]);
                debug_assert_eq!(taken, Ok(bytes));
                if let Some(source) = source {
                    let address = source.ip().to_canonical();
                    client.ip = IpText::new(address);
                    client.port = source.port();
                    client.trusted = self.plan.trusts(address);
                }
                client.state = ClientState::Idle;
                self.row.one(Counter::ClientIdle);
                self.scratch = scratch;
                self.secure_client(key);
                self.client_go(key);
                return;
            }
            Some(ProxyHeader::Partial | ProxyHeader::Wrong) => self.refuse_announcement(key),
            None => self.close_client(key, Counter::ClientCloseByClient),
        }
        self.scratch = scratch;
    }

    /// Closed without a word: it is not known which protocol the peer would understand.
    pub(crate) fn refuse_announcement(&mut self, key: Key) {
        self.row.client_fault(ClientFault::Announcement);
        self.log.refused(peer_of(&self.clients, key), 400, ClientFault::Announcement.token());
        self.reset_client(key, Counter::ClientCloseRefused);
    }
}

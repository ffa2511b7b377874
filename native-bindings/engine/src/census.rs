//! What a worker holds at this moment, for those who check its books against it. Looks only, and changes nothing.

use crate::client::ClientState;
use crate::io::Io;
use crate::origin::OriginState;
use crate::worker::Worker;
use proto::exchange::Stage;

/// Counts of one worker, and the largest buffers any of its connections holds.
#[derive(Clone, Copy, Default, Debug)]
pub struct Census {
    pub clients: usize,
    /// Of these, such as speak HTTP/2; and their streams, which are no connections.
    pub sessions: usize,
    pub streams: usize,
    pub clients_idle: usize,
    /// Clients whose TLS handshake is under way.
    pub clients_shaking: usize,
    pub exchanges: usize,
    pub tunnels: usize,
    pub waiting: usize,
    /// Connections that are to be looked at in the next pass.
    pub put_off: usize,
    /// Connections to targets that cannot carry a request yet.
    pub connecting: usize,
    /// Established origin connections that carry something.
    pub active: usize,
    /// Over all workers: idle connections, and connections counted against the limits.
    pub pool_idle: usize,
    pub pool_open: usize,
    pub client_input_max: usize,
    pub client_outbox_max: usize,
    pub session_outbox_max: usize,
    pub origin_input_max: usize,
    pub origin_outbox_max: usize,
    pub kept_max: usize,
    /// Checks that have a connection.
    pub checking: usize,
}

impl<I: Io> Worker<I> {
    #[must_use]
    pub fn census(&self) -> Census {
        let (exchanges, put_off) = (self.exchanges.len(), self.again.len());
        let mut census = Census { exchanges, put_off, ..Census::default() };
        for client in self.clients.keys().into_iter().filter_map(|key| self.clients.get(key)) {
            census.clients_idle += usize::from(client.state == ClientState::Idle);
            census.clients_shaking += usize::from(client.state == ClientState::Handshake);
            census.client_input_max = census.client_input_max.max(client.input.len());
            // What a session wrote counts for itself.
            let outbox = match client.http2.is_some() {
                true => &mut census.session_outbox_max,
                false => &mut census.client_outbox_max,
            };
            *outbox = client.outbox.len().max(*outbox);
            census.sessions += usize::from(client.http2.is_some());
            let count = if client.link.is_stream() { &mut census.streams } else { &mut census.clients };
            *count += 1;
        }
        for exchange in self.exchanges.keys().into_iter().filter_map(|key| self.exchanges.get(key)) {
            census.tunnels += usize::from(exchange.core.stage == Stage::Tunnelling);
            census.waiting += usize::from(exchange.in_line);
            census.kept_max = census.kept_max.max(exchange.kept.len());
        }
        for origin in self.origins.keys().into_iter().filter_map(|key| self.origins.get(key)) {
            census.connecting += usize::from(matches!(origin.state, OriginState::Connecting | OriginState::Handshake));
            census.active += usize::from(matches!(origin.state, OriginState::Active | OriginState::Tunnel));
            census.origin_input_max = census.origin_input_max.max(origin.input.len());
            census.origin_outbox_max = census.origin_outbox_max.max(origin.outbox.len());
        }
        census.checking = self.checks.keys().into_iter().filter(|key| self.is_checking(*key)).count();
        for target in self.host.pool.all_targets() {
            census.pool_idle += target.idle_total() as usize;
            census.pool_open += target.open.load(std::sync::atomic::Ordering::Relaxed) as usize;
        }
        census
    }
}

//! How a worker leaves: it takes no more connections, every answer is the last of its connection, and idle connections
//! close, at once or, where another process has taken over, when they have had the time for one more request: a client
//! that sends in the moment we close would meet a failure that nobody is to blame for.

use crate::io::Io;
use crate::stats::Counter;
use crate::worker::Worker;

impl<I: Io> Worker<I> {
    /// While the proxy drains, at the beginning of a turn.
    pub(crate) fn go_on_leaving(&mut self) {
        let stays = self.host.idle_stays();
        if !self.draining {
            self.draining = true;
            self.idle_stays = stays;
            self.begin_drain();
        } else if self.idle_stays && !stays {
            self.idle_stays = false;
            self.close_idle_clients();
        }
    }

    fn begin_drain(&mut self) {
        self.close_listeners();
        self.end_checks();
        self.close_idle_clients();
        for key in self.origins.keys() {
            self.evict_resting(key, Counter::OriginCloseDrain);
        }
        self.ring_sessions();
    }

    fn close_idle_clients(&mut self) {
        for key in self.clients.keys() {
            self.close_if_idle(key);
        }
    }
}

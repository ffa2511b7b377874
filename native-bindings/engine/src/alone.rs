//! A proxy of one worker: there is nobody to choose from, so the worker takes its connections itself, and no second thread
//! is woken for each (docs/decisions/0021).

use crate::acceptor::{LAST_ROUNDS_MAX, TAKE_MAX};
use crate::io::Io;
use crate::listening::Accepted;
use crate::stats::Counter;
use crate::worker::Worker;

impl<I: Io> Worker<I> {
    /// Takes who waits at a listening socket, in bounded numbers; whoever still waits then is an event again.
    /// `certain`: an event has said that somebody does. Returns how many there may have been.
    pub(crate) fn take_waiting(&mut self, listener: u16, certain: bool) -> u32 {
        for taken in 0..TAKE_MAX {
            match self.io.accept(listener, certain && taken == 0) {
                Accepted::One { socket, peer } => {
                    self.row.one(Counter::AcceptorTaken);
                    let limit = u64::from(self.plan.plan.limits.client_connections);
                    if limit != 0 && self.row.get(Counter::ClientOpen) >= limit {
                        self.row.one(Counter::AcceptorLimit);
                        self.io.close(socket);
                    } else {
                        self.take_client(socket, peer, listener);
                    }
                }
                Accepted::Nobody => return taken,
                Accepted::Failed => self.row.one(Counter::AcceptorErrors),
            }
        }
        TAKE_MAX
    }

    /// Listeners came or went with a new plan. Whoever has connected to one that goes is still taken.
    pub(crate) fn take_listeners(&mut self) {
        if !self.io.listening_changed() || self.draining {
            return;
        }
        (0..LAST_ROUNDS_MAX).take_while(|_| self.take_all_waiting() > 0).count();
        // Where no descriptor is left for them it is tried again at the next turn.
        if self.io.renew_listening().is_err() {
            self.row.one(Counter::AcceptorErrors);
        }
    }

    fn take_all_waiting(&mut self) -> u32 {
        (0..self.plan.plan.listeners.len()).map(|listener| self.take_waiting(listener as u16, false)).sum()
    }

    /// While the proxy stops: whoever has connected is still taken, then the listening sockets close.
    pub(crate) fn close_listeners(&mut self) {
        self.take_all_waiting();
        self.io.stop_listening();
    }
}

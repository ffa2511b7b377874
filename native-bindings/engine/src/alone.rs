//! A proxy of one worker: there is nobody to choose from, so the worker takes its connections itself, and no second thread
//! is woken for each (docs/decisions/0021).

use crate::acceptor::TAKE_MAX;
use crate::io::Io;
use crate::listening::Accepted;
use crate::stats::Counter;
use crate::worker::Worker;

impl<I: Io> Worker<I> {
    /// Takes who waits at a listening socket, in bounded numbers; whoever still waits then is an event again.
    /// `certain`: an event has said that somebody does.
    pub(crate) fn take_waiting(&mut self, listener: u16, certain: bool) {
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
                Accepted::Nobody => return,
                Accepted::Failed => self.row.one(Counter::AcceptorErrors),
            }
        }
    }

    /// While the proxy stops: whoever has connected is still taken, then the listening sockets close.
    pub(crate) fn close_listeners(&mut self) {
        for listener in 0..self.plan.plan.listeners.len() {
            self.take_waiting(listener as u16, false);
        }
        self.io.stop_listening();
    }
}

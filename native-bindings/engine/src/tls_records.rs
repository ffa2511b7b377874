//! Records of TLS, opened and sealed: the steps of the TLS library, the same for both sides of a session. The library's
//! two kinds of connection have no trait in common, so one is made for them here.

use crate::tls::TlsTrouble;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, WriteTraffic};
use rustls::{CommonState, Error};

/// Where opened bytes go: the caller's buffer first, what does not fit waits in the session.
pub struct Sink<'a> {
    pub buf: &'a mut [u8],
    pub len: usize,
    pub rest: &'a mut Vec<u8>,
    /// The peer said that nothing follows.
    pub peer_ended: bool,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let fits = if self.rest.is_empty() { bytes.len().min(self.buf.len() - self.len) } else { 0 };
        self.buf[self.len..self.len + fits].copy_from_slice(&bytes[..fits]);
        self.len += fits;
        self.rest.extend_from_slice(&bytes[fits..]);
    }
}

/// Records on their way out: one buffer of a worker, used again and again without being wiped.
#[derive(Default)]
pub struct Sealed {
    bytes: Vec<u8>,
    pub(crate) len: usize,
}

impl Sealed {
    /// At least `count` bytes behind what is there.
    pub(crate) fn room(&mut self, count: usize) -> &mut [u8] {
        if self.bytes.len() < self.len + count {
            self.bytes.resize((self.len + count).next_power_of_two(), 0);
        }
        &mut self.bytes[self.len..]
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }
}

/// What is to be sealed.
#[derive(Clone, Copy)]
pub enum Words<'a> {
    Bytes(&'a [u8]),
    /// The word that nothing follows.
    End,
}

/// What one step towards sealing came to.
pub enum Sealing {
    Again,
    PeerEnded,
    Done(Result<usize, EncryptError>),
}

/// One side of a session in the library's hands.
pub trait Side: Send {
    fn common(&self) -> &CommonState;

    /// Lets the library look at the wire's bytes. Returns how many it is done with, and whether it wants to go on.
    fn open_step(&mut self, wire: &mut [u8], sink: &mut Sink<'_>, reply: &mut Vec<u8>) -> (usize, Result<bool, Error>);

    /// After a failure: the alert for the peer, and before it what the library was about to say when it failed. It looks for
    /// these one by one before it looks at bytes, but the bytes must be those it stopped at.
    fn alert_step(&mut self, wire: &mut [u8], reply: &mut Vec<u8>);

    /// One step towards sealing; what the session has to say itself goes first. `pending`: the part of a record that the
    /// library has seen before.
    fn seal_step(
        &mut self,
        pending: &mut [u8],
        words: Words<'_>,
        room: usize,
        out: &mut Sealed,
    ) -> Result<Sealing, TlsTrouble>;
}

macro_rules! side {
    ($connection:ty) => {
        impl Side for $connection {
            fn common(&self) -> &CommonState {
                self
            }

            fn open_step(
                &mut self,
                wire: &mut [u8],
                sink: &mut Sink<'_>,
                reply: &mut Vec<u8>,
            ) -> (usize, Result<bool, Error>) {
                let status = self.process_tls_records(wire);
                let next = match status.state {
                    Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                        match traffic.next_record() {
                            Some(Ok(record)) => sink.put(record.payload),
                            Some(Err(error)) => break Err(error),
                            None => break Ok(true),
                        }
                    },
                    Ok(ConnectionState::EncodeTlsData(mut data)) => {
                        encode(|room| data.encode(room), reply);
                        Ok(true)
                    }
                    Ok(ConnectionState::TransmitTlsData(sent)) => {
                        sent.done();
                        Ok(true)
                    }
                    Ok(ConnectionState::PeerClosed) => {
                        sink.peer_ended = true;
                        Ok(true)
                    }
                    Ok(_) => Ok(false),
                    Err(error) => Err(error),
                };
                (status.discard, next)
            }

            fn alert_step(&mut self, wire: &mut [u8], reply: &mut Vec<u8>) {
                // Once all is said, the library would look at the bytes again, fail again, and have another alert to send.
                while self.wants_write() {
                    let Ok(ConnectionState::EncodeTlsData(mut data)) = self.process_tls_records(wire).state else {
                        return;
                    };
                    encode(|room| data.encode(room), reply);
                }
            }

            fn seal_step(
                &mut self,
                pending: &mut [u8],
                words: Words<'_>,
                room: usize,
                out: &mut Sealed,
            ) -> Result<Sealing, TlsTrouble> {
                match self.process_tls_records(pending).state {
                    Ok(ConnectionState::WriteTraffic(traffic)) => {
                        Ok(Sealing::Done(write(traffic, words, out.room(room))))
                    }
                    Ok(ConnectionState::EncodeTlsData(mut data)) => {
                        let mut reply = Vec::new();
                        encode(|room| data.encode(room), &mut reply);
                        out.put(&reply);
                        Ok(Sealing::Again)
                    }
                    Ok(ConnectionState::TransmitTlsData(sent)) => {
                        sent.done();
                        Ok(Sealing::Again)
                    }
                    Ok(ConnectionState::PeerClosed) => Ok(Sealing::PeerEnded),
                    Ok(_) => Err(TlsTrouble::Local("the session takes no bytes".into())),
                    Err(error) => Err(TlsTrouble::of(error)),
                }
            }
        }
    };
}

side!(UnbufferedServerConnection);
side!(UnbufferedClientConnection);

fn write<Data>(mut traffic: WriteTraffic<'_, Data>, words: Words<'_>, room: &mut [u8]) -> Result<usize, EncryptError> {
    match words {
        Words::Bytes(bytes) => traffic.encrypt(bytes, room),
        Words::End => traffic.queue_close_notify(room),
    }
}

/// Appends what the library wants sent.
fn encode(mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>, reply: &mut Vec<u8>) {
    let at = reply.len();
    let mut room = 512;
    loop {
        reply.resize(at + room, 0);
        match write(&mut reply[at..]) {
            Ok(written) => {
                reply.truncate(at + written);
                return;
            }
            Err(EncodeError::InsufficientSize(needed)) => room = needed.required_size,
            Err(EncodeError::AlreadyEncoded) => {
                reply.truncate(at);
                return;
            }
        }
    }
}

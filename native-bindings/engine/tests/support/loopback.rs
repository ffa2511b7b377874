//! A real worker over loopback: the worker in a thread of its own, a small origin in another, the client in the test.

use super::allocator::allocations_of_this_thread;
use super::plain_plan::plain_plan;
use engine::host::{Host, Message};
use engine::stats::Row;
use engine::sys::{SysIo, SysShared};
use engine::worker::Worker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Long enough for a worker that has nothing to do to have ended its turn.
const SETTLE: Duration = Duration::from_millis(30);
/// How long a read may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the end of an answer is known.
#[derive(Clone, Copy)]
pub enum AnswerEnd {
    /// So many bytes of body.
    Length(usize),
    /// The last chunk.
    LastChunk,
}

pub struct Loopback {
    host: Arc<Host<OwnedFd>>,
    shared: Arc<SysShared>,
    listener: TcpListener,
    counted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Starts a worker in front of an origin that gives `answer` to every request, whose end it knows by `request`.
    pub fn start(request: &[u8], answer: &[u8], access_log: bool) -> Self {
        let origin = start_origin(request.to_vec(), answer.to_vec());
        let host = Arc::new(Host::new(plain_plan(origin, access_log)).expect("a plan without TLS"));
        let shared = Arc::new(SysShared::new(1).expect("an epoll and a bell"));
        let counted = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let worker = {
            let (host, shared) = (Arc::clone(&host), Arc::clone(&shared));
            let (counted, stop) = (Arc::clone(&counted), Arc::clone(&stop));
            thread::spawn(move || run_worker(host, shared, &counted, &stop))
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self { host, shared, listener, counted, stop, worker: Some(worker) }
    }

    /// A new client connection, handed to the worker as the acceptor would.
    pub fn connect(&self) -> TcpStream {
        let address = self.listener.local_addr().expect("a bound socket");
        let client = TcpStream::connect(address).expect("loopback");
        client.set_nodelay(true).expect("a socket option");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let (accepted, peer) = self.listener.accept().expect("the connection made just now");
        accepted.set_nonblocking(true).expect("a socket option");
        accepted.set_nodelay(true).expect("a socket option");
        let message = Message::Client { socket: accepted.into(), peer, listener: 0 };
        assert!(self.host.inboxes[0].push(message).is_ok(), "the inbox is full");
        self.shared.ring(0);
        client
    }

    /// Allocations of the worker's thread up to now, once it has come to rest.
    pub fn allocations(&self) -> u64 {
        thread::sleep(SETTLE);
        self.counted.load(SeqCst)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.shared.ring(0);
        let ended = self.worker.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the worker panicked");
    }
}

fn run_worker(host: Arc<Host<OwnedFd>>, shared: Arc<SysShared>, counted: &AtomicU64, stop: &AtomicBool) {
    let io = SysIo::new(Arc::clone(&shared), 0).expect("a clock");
    let row = Row::of_block(Row::leak(1), 0).expect("a block of one row");
    let mut worker = Worker::new(io, host, 0, row);
    let often = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    while !stop.load(SeqCst) {
        let mut watched = [PollFd::from_borrowed_fd(shared.epoll(0), PollFlags::IN)];
        let _ = poll(&mut watched, Some(&often));
        worker.turn();
        // As the addon leaves them when JavaScript has taken them.
        worker.log().lines().clear();
        worker.log().notes().clear();
        counted.store(allocations_of_this_thread(), SeqCst);
    }
    worker.close_all();
}

/// Answers each request as soon as its last byte is there; knows nothing of HTTP but the end of this request.
fn start_origin(request: Vec<u8>, answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (request, answer) = (request.clone(), answer.clone());
            thread::spawn(move || serve(stream, &request, &answer));
        }
    });
    address
}

/// The proxy rewrites the head, so the end of a request is the empty line and as many bytes as the body had.
fn serve(mut stream: TcpStream, request: &[u8], answer: &[u8]) {
    let body_len = request.len() - end_of_head(request).expect("a whole head");
    let mut input = Vec::new();
    let mut buf = vec![0; 64 * 1024];
    stream.set_nodelay(true).expect("a socket option");
    while let Ok(count) = stream.read(&mut buf) {
        if count == 0 {
            return;
        }
        input.extend_from_slice(&buf[..count]);
        while let Some(end) = end_of_head(&input).map(|end| end + body_len).filter(|&end| end <= input.len()) {
            input.drain(..end);
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads one answer; what came behind it stays in `input` for the next.
pub fn read_answer(client: &mut TcpStream, end: AnswerEnd, input: &mut Vec<u8>) {
    let mut buf = [0; 64 * 1024];
    loop {
        if let Some(len) = whole_answer(input, end) {
            assert!(input.starts_with(b"HTTP/1.1 200 "), "{}", input[..len.min(200)].escape_ascii());
            input.drain(..len);
            return;
        }
        let count = client.read(&mut buf).expect("an answer in time");
        assert!(count > 0, "the proxy closed after {} bytes", input.len());
        input.extend_from_slice(&buf[..count]);
    }
}

fn whole_answer(input: &[u8], end: AnswerEnd) -> Option<usize> {
    let head = end_of_head(input)?;
    match end {
        AnswerEnd::Length(length) => (input.len() >= head + length).then_some(head + length),
        AnswerEnd::LastChunk => {
            let last = b"\r\n0\r\n\r\n";
            input[head..].windows(last.len()).position(|w| w == last).map(|at| head + at + last.len())
        }
    }
}

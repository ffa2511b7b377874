//! `engine::io::Io` over the virtual network: what the worker takes for the kernel. Calls that break the contract of a
//! correct proxy (a request written behind bytes that nobody asked for) are reported here, where they happen.

use crate::disk::SimFile;
use crate::end::{Dial, End};
use crate::net::{self, Net, What};
use crate::sniff::Sniffer;
use engine::io::{File, Io, Peek, Ready, Token, Trouble};
use std::net::SocketAddr;

/// The proxy's end of a connection; dropping it closes it.
pub struct Socket {
    end: u32,
    run: u32,
}

impl Socket {
    #[must_use]
    pub fn new(end: u32, run: u32) -> Self {
        Self { end, run }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let (end, run) = (self.end, self.run);
        net::with_if_there(|net| {
            if net.run == run {
                net.close(end);
            }
        });
    }
}

/// One worker's door to the virtual kernel.
pub struct SimIo {
    pub worker: u32,
}

/// A request line may begin only so; a body may hold such bytes too, but never this path.
const BEGINNINGS: &[(&str, bool)] = &[
    ("GET /r/", true),
    ("HEAD /r/", true),
    ("PUT /r/", true),
    ("DELETE /r/", true),
    ("OPTIONS /r/", true),
    ("POST /r/", false),
    ("PATCH /r/", false),
    ("BREW /r/", false),
];

impl Net {
    fn look(&self, place: &End, room: usize) -> Ready {
        let failed = matches!(place.dial, Dial::Failed(_)) || place.reset_in;
        Ready {
            token: Token::unpack(place.watch.map_or(0, |(_, token)| token)),
            readable: place.unread() > 0 || place.fin_in || failed,
            writable: room > 0 || failed,
            read_closed: place.fin_in || failed,
            dead: failed,
        }
    }

    fn fetch(&mut self, worker: u32, ready: &mut Vec<Ready>) -> bool {
        let poll = self.next_poll();
        let spurious = self.knobs.spurious;
        if !self.ends.is_empty() && self.dice().chance(spurious) {
            let count = self.ends.len() as u64;
            let end = self.dice().below(count) as u32;
            if self.ends[end as usize].watch.is_some_and(|(w, _)| w == worker) {
                self.edge(end);
            }
        }
        let batch = self.knobs.batch.max(1) as usize;
        let mut queue = std::mem::take(&mut self.seats[worker as usize].queue);
        self.dice().shuffle(&mut queue);
        let left = queue.split_off(queue.len().min(batch));
        let began = ready.len();
        for end in queue {
            let place = &mut self.ends[end as usize];
            if place.watch.is_none_or(|(w, _)| w != worker) {
                continue;
            }
            place.queued = false;
            if place.stray && place.stray_poll.is_none() {
                place.stray_poll = Some(poll);
            }
            let event = self.look(&self.ends[end as usize], self.room(end));
            let pending = matches!(self.ends[end as usize].dial, Dial::Pending(_) | Dial::Silent | Dial::Failing(_));
            if !pending && (event.readable || event.writable) {
                ready.push(event);
            }
        }
        let seat = &mut self.seats[worker as usize];
        seat.queue.extend(left);
        ready.append(&mut seat.late);
        seat.poll = poll;
        seat.polls += 1;
        seat.events += (ready.len() - began) as u64;
        let plain = |token| Ready { token, readable: true, writable: false, read_closed: false, dead: false };
        if std::mem::take(&mut seat.bell) {
            ready.push(plain(Token::Bell));
        }
        if std::mem::take(&mut seat.clock_fired) {
            ready.push(plain(Token::Clock));
        }
        let more = !seat.queue.is_empty();
        self.dice().shuffle(&mut ready[began..]);
        if self.trace.is_some() {
            for event in &ready[began..] {
                self.say(|| format!("w{worker} event {event:?}"));
            }
        }
        more
    }

    /// The attempts at one request: never two of one that must not be repeated, none once its answer has begun.
    fn judge_attempt(&mut self, end: u32, bytes: &[u8]) {
        let Some((name, repeatable)) = BEGINNINGS.iter().find(|(text, _)| bytes.starts_with(text.as_bytes())) else {
            return;
        };
        let digits = bytes[name.len()..].iter().take_while(|b| b.is_ascii_digit());
        let id = digits.fold(0_u64, |id, digit| id * 10 + u64::from(digit - b'0'));
        let (most, answered) = (self.attempts_max, self.answered.contains(&id));
        let attempts = self.attempts.entry(id).or_insert(0);
        *attempts += 1;
        let attempts = *attempts;
        if attempts > 1 && !repeatable {
            self.fail(format!("p{end}: {name}{id} was sent a second time"));
        } else if attempts > most {
            self.fail(format!("p{end}: {name}{id} was sent more than {most} times"));
        } else if answered {
            self.fail(format!("p{end}: {name}{id} was sent although its answer had begun"));
        }
    }

    /// A connection that is known to hold what nobody asked for takes no request (architecture, section 3).
    fn judge_request(&mut self, worker: u32, end: u32, bytes: &[u8]) {
        let Some((name, repeatable)) = BEGINNINGS.iter().find(|(text, _)| bytes.starts_with(text.as_bytes())) else {
            return;
        };
        let poll = self.seats[worker as usize].poll;
        let place = &mut self.ends[end as usize];
        if std::mem::take(&mut place.turned_back) {
            return;
        }
        let reused = place.requests > 0;
        place.requests += 1;
        let tainted = place.tainted;
        let (stray, told, fin) = (place.stray, place.stray_poll.is_some_and(|p| p < poll), place.fin_in);
        if tainted {
            self.fail(format!("p{end}: {name} written where bytes came that nobody had asked for"));
        } else if stray && told {
            self.fail(format!("p{end}: {name} written behind stray bytes that an earlier poll had told of"));
        } else if stray && reused {
            self.fail(format!("p{end}: {name} written behind stray bytes that a peek would have shown"));
        } else if fin && reused && !repeatable {
            // What may be sent twice is repeated, so it asks for unread bytes only (decision 0020).
            self.fail(format!("p{end}: {name} written behind a FIN that a peek would have shown"));
        }
    }

    /// A check has a connection of its own, and that carries nothing else.
    fn judge_check(&mut self, end: u32, bytes: &[u8]) {
        let (asks, is_check) = (bytes.starts_with(b"GET /check "), self.ends[end as usize].check);
        if asks && !is_check || is_check && is_request(bytes) {
            self.fail(format!("p{end}: a check and a client's request met: {}", preview(bytes)));
        }
    }

    fn read(&mut self, worker: u32, end: u32, buf: &mut [u8]) -> Result<usize, Trouble> {
        if self.ends[end as usize].dial != Dial::Done {
            return Err(Trouble::WouldBlock);
        }
        self.seats[worker as usize].calls += 1;
        let taken = self.take(end, buf.len());
        buf[..taken.len()].copy_from_slice(&taken);
        let place = &self.ends[end as usize];
        let result = match taken.len() {
            0 if place.reset_in => Err(Trouble::Reset),
            0 if place.fin_in => Ok(0),
            0 => Err(Trouble::WouldBlock),
            count => Ok(count),
        };
        self.say(|| format!("w{worker} p{end} read {result:?} {}", preview(&taken)));
        result
    }

    fn write(&mut self, worker: u32, end: u32, bytes: &[u8]) -> Result<usize, Trouble> {
        self.seats[worker as usize].calls += 1;
        if let Some(sniffer) = self.ends[end as usize].sniffer.take() {
            return self.write_sealed(worker, end, bytes, sniffer);
        }
        self.judge_check(end, bytes);
        self.judge_request(worker, end, bytes);
        let result = self.send(end, bytes, false);
        match result {
            Ok(_) => self.judge_attempt(end, bytes),
            Err(_) => self.ends[end as usize].turned_back = is_request(bytes),
        }
        self.say(|| format!("w{worker} p{end} write {} -> {result:?} {}", bytes.len(), preview(bytes)));
        result
    }
}

impl Net {
    /// As `write`, where TLS is spoken: what is sealed is judged as if it were not, once, when it is shown first.
    fn write_sealed(
        &mut self,
        worker: u32,
        end: u32,
        bytes: &[u8],
        mut sniffer: Box<Sniffer>,
    ) -> Result<usize, Trouble> {
        let shown = sniffer.show(bytes);
        for plain in shown.iter().flatten() {
            self.judge_check(end, plain);
            self.judge_request(worker, end, plain);
            self.say(|| format!("w{worker} p{end} seals {} {}", plain.len(), preview(plain)));
        }
        let result = self.send(end, bytes, false);
        // Of what a broken connection is given, nothing leaves.
        let leaves = !matches!(result, Err(trouble) if trouble != Trouble::WouldBlock);
        if let Some(what) = shown.err().filter(|_| leaves) {
            self.fail(format!("p{end}: {what}"));
        }
        for plain in sniffer.take(result.unwrap_or(0)) {
            self.judge_attempt(end, &plain);
        }
        self.ends[end as usize].sniffer = Some(sniffer);
        self.say(|| format!("w{worker} p{end} write {} sealed -> {result:?}", bytes.len()));
        result
    }
}

fn is_request(bytes: &[u8]) -> bool {
    BEGINNINGS.iter().any(|(text, _)| bytes.starts_with(text.as_bytes()))
}

fn preview(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(110)];
    format!("\"{}\"", shown.escape_ascii())
}

impl Io for SimIo {
    type Socket = Socket;

    fn now_us(&mut self) -> u64 {
        net::with(|net| {
            net.now_us += 1;
            net.now_us
        })
    }

    fn unix_ms(&mut self) -> u64 {
        net::with(|net| net.now_us / 1000 + net.wall_offset_ms)
    }

    fn poll_ready(&mut self, ready: &mut Vec<Ready>) -> bool {
        net::with(|net| net.fetch(self.worker, ready))
    }

    fn watch(&mut self, socket: &Socket, token: Token) -> Result<(), Trouble> {
        net::with(|net| {
            net.ends[socket.end as usize].check |= matches!(token, Token::Check(_));
            let fails = net.knobs.watch_fails;
            if net.dice().chance(fails) {
                return Err(Trouble::Local(28));
            }
            let place = &mut net.ends[socket.end as usize];
            if place.watch.is_some() {
                net.fail(format!("p{} is watched twice", socket.end));
                return Err(Trouble::Local(17));
            }
            place.watch = Some((self.worker, token.pack()));
            place.queued = false;
            let looks = place.dial == Dial::Done;
            if looks {
                net.edge(socket.end);
            }
            Ok(())
        })
    }

    fn unwatch(&mut self, socket: &Socket, worker: u32) {
        net::with(|net| {
            let Some((watcher, token)) = net.ends[socket.end as usize].watch.take() else { return };
            if watcher != worker {
                net.fail(format!("p{} was watched by {watcher}, not by {worker}", socket.end));
            }
            let late = net.knobs.late_event;
            if net.dice().chance(late) {
                // It was on its way when the watch ended.
                let flags = net.dice().next();
                let bit = |n: u32| flags >> n & 1 == 1;
                let token = Token::unpack(token);
                let event = Ready { token, readable: bit(0), writable: bit(1), read_closed: bit(2), dead: bit(3) };
                net.seats[worker as usize].late.push(event);
                net.schedule(worker);
            }
        });
    }

    fn read(&mut self, socket: &Socket, buf: &mut [u8]) -> Result<usize, Trouble> {
        net::with(|net| net.read(self.worker, socket.end, buf))
    }

    fn write(&mut self, socket: &Socket, bytes: &[u8]) -> Result<usize, Trouble> {
        net::with(|net| net.write(self.worker, socket.end, bytes))
    }

    fn write_parts(&mut self, socket: &Socket, parts: &[&[u8]]) -> Result<usize, Trouble> {
        let joined = parts.concat();
        net::with(|net| net.write(self.worker, socket.end, &joined))
    }

    fn peek(&mut self, socket: &Socket) -> Peek {
        net::with(|net| {
            let place = &net.ends[socket.end as usize];
            match () {
                () if place.unread() > 0 => Peek::StrayBytes,
                () if place.fin_in || place.reset_in => Peek::Closed,
                () => Peek::Quiet,
            }
        })
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Socket, Trouble> {
        net::with(|net| {
            net.seats[self.worker as usize].calls += 1;
            net.dial(to).map(|end| Socket::new(end, net.run))
        })
    }

    fn connect_result(&mut self, socket: &Socket) -> Result<(), Trouble> {
        net::with(|net| {
            let place = &net.ends[socket.end as usize];
            match place.dial {
                Dial::Failed(trouble) => Err(trouble),
                _ if place.reset_in => Err(Trouble::Reset),
                _ => Ok(()),
            }
        })
    }

    fn shutdown_write(&mut self, socket: &Socket) {
        net::with(|net| {
            net.seats[self.worker as usize].calls += 1;
            net.say(|| format!("w{} p{} shutdown", self.worker, socket.end));
            net.send_fin(socket.end);
        });
    }

    fn close(&mut self, socket: Socket) {
        net::with(|net| net.seats[self.worker as usize].calls += 1);
        drop(socket);
    }

    fn reset(&mut self, socket: Socket) {
        net::with(|net| {
            net.seats[self.worker as usize].calls += 1;
            net.reset_end(socket.end);
        });
    }

    fn create_file(&mut self, _folder: &str) -> Result<Box<dyn File>, Trouble> {
        Ok(Box::new(SimFile::create()?))
    }

    fn wake_at_ms(&mut self, at_ms: Option<u64>) {
        net::with(|net| {
            let now = net.now_us;
            let seat = &mut net.seats[self.worker as usize];
            seat.clock_serial += 1;
            let serial = seat.clock_serial;
            if let Some(at_ms) = at_ms {
                net.plan((at_ms * 1000).saturating_sub(now), What::Clock(self.worker, serial));
            }
        });
    }

    fn ring(&self, worker: u32) {
        net::with(|net| {
            net.seats[worker as usize].bell = true;
            net.schedule(worker);
        });
    }

    fn hush(&mut self) {}
}

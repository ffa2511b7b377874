//! How the peers read HTTP/1: a reader of its own, so that it shares no mistake with the parser it judges. What the
//! proxy writes is regular, so whatever this reader does not understand is a violation.

/// A head as lines.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The second word of the start line.
    #[must_use]
    pub fn second(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// How its fields frame a body; an error when they contradict each other.
    pub fn told(&self) -> Result<Option<Frame>, String> {
        let lengths: Vec<&str> = self.all("content-length").collect();
        let codings: Vec<&str> = self.all("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(None),
            ([length], []) => match length.parse() {
                Ok(length) => Ok(Some(Frame::Length(length))),
                Err(_) => Err(format!("Content-Length is {length:?}")),
            },
            ([], ["chunked"]) => Ok(Some(Frame::Chunked)),
            _ => Err(format!("contradicting framing: lengths {lengths:?}, codings {codings:?}")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    Length(u64),
    Chunked,
    UntilClose,
    /// A tunnel: bytes without end.
    Raw,
}

pub enum Event {
    Head(Head),
    Data(Vec<u8>),
    /// The message is complete; its trailers.
    End(Vec<(String, String)>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Head,
    /// A head was given out; `frame` says what follows.
    Framing,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Raw,
}

pub struct Reader {
    bytes: Vec<u8>,
    at: usize,
    state: State,
    trailers: Vec<(String, String)>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { bytes: Vec::new(), at: 0, state: State::Head, trailers: Vec::new() }
    }
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Says how the message goes on whose head was given out last.
    pub fn frame(&mut self, frame: Frame) {
        debug_assert_eq!(self.state, State::Framing);
        self.state = match frame {
            Frame::Length(length) => State::Length(length),
            Frame::Chunked => State::ChunkSize,
            Frame::UntilClose => State::UntilClose,
            Frame::Raw => State::Raw,
        };
    }

    /// The protocol was switched after the last message: what follows is bytes without end.
    pub fn tunnel(&mut self) {
        debug_assert_eq!(self.state, State::Head);
        self.state = State::Raw;
    }

    /// Nothing of a message is here: the peer may end without anything being cut.
    #[must_use]
    pub fn between_messages(&self) -> bool {
        self.state == State::Head && self.at == self.bytes.len()
    }

    /// The end of the bytes would complete the message.
    #[must_use]
    pub fn ends_with_close(&self) -> bool {
        self.state == State::UntilClose
    }

    pub fn next(&mut self) -> Result<Option<Event>, String> {
        loop {
            match self.state {
                State::Framing => return Ok(None),
                State::Head => return self.read_head(),
                State::Length(0) => return Ok(Some(self.end())),
                State::Length(left) => {
                    let Some(data) = self.take(left) else { return Ok(None) };
                    self.state = State::Length(left - data.len() as u64);
                    return Ok(Some(Event::Data(data)));
                }
                State::UntilClose | State::Raw => return Ok(self.take(u64::MAX).map(Event::Data)),
                State::ChunkSize => {
                    let Some(line) = self.line() else { return Ok(None) };
                    let size = u64::from_str_radix(&line, 16).map_err(|_| format!("chunk line {line:?}"))?;
                    self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
                }
                State::ChunkData(left) => {
                    let Some(data) = self.take(left) else { return Ok(None) };
                    let left = left - data.len() as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    return Ok(Some(Event::Data(data)));
                }
                State::ChunkEnd => match self.line() {
                    None => return Ok(None),
                    Some(line) if line.is_empty() => self.state = State::ChunkSize,
                    Some(line) => return Err(format!("after a chunk stands {line:?}")),
                },
                State::Trailers => match self.line() {
                    None => return Ok(None),
                    Some(line) if line.is_empty() => return Ok(Some(self.end())),
                    Some(line) => self.trailers.push(field(&line)?),
                },
            }
        }
    }

    fn end(&mut self) -> Event {
        self.state = State::Head;
        Event::End(std::mem::take(&mut self.trailers))
    }

    fn take(&mut self, most: u64) -> Option<Vec<u8>> {
        let here = usize::try_from(most).unwrap_or(usize::MAX).min(self.bytes.len() - self.at);
        if here == 0 {
            return None;
        }
        let data = self.bytes[self.at..self.at + here].to_vec();
        self.at += here;
        Some(data)
    }

    fn line(&mut self) -> Option<String> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 2;
        Some(line)
    }

    fn read_head(&mut self) -> Result<Option<Event>, String> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or("").to_owned();
        let fields = lines.map(field).collect::<Result<Vec<_>, String>>()?;
        if start.contains('\n') || !start.contains("HTTP/1.") {
            return Err(format!("start line {start:?}"));
        }
        self.at += end + 4;
        self.state = State::Framing;
        Ok(Some(Event::Head(Head { start, fields })))
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("field line {line:?}"))?;
    let clean = !name.is_empty() && !name.contains(' ') && !value.contains(['\r', '\n', '\0']);
    if clean { Ok((name.to_owned(), value.trim().to_owned())) } else { Err(format!("field line {line:?}")) }
}

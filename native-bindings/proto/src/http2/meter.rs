//! Watches the frames of one HTTP/2 connection as they pass, both ways, and says when their peer does what costs it nothing
//! and us much: resets, pings, settings, empty frames and the like beyond what any use of HTTP/2 explains. Every such
//! kind has a bucket of its own, which a second refills. Knows frame headers only (RFC 9113 4.1), and keeps no bytes.

use crate::plan::Http2;

/// What a client connection begins with (RFC 9113 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;
/// Streams whose end is remembered, for the reset that may follow it at once.
const ENDS_KEPT: usize = 64;
/// WINDOW_UPDATE frames that one DATA frame of ours explains: its receiver may give back stream and connection twice.
const UPDATES_PER_DATA: u32 = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// ACK of SETTINGS and PING, END_STREAM of DATA and HEADERS.
const FLAG_FIRST: u8 = 1;
const END_HEADERS: u8 = 4;

/// The limit that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Resets,
    OwnResets,
    Settings,
    Pings,
    WindowUpdates,
    EmptyFrames,
    Priorities,
    Continuations,
}

/// What may still come in this second.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In thousandths.
    left: u64,
    since_ms: u64,
}

impl Bucket {
    const fn full(per_s: u32, now_ms: u64) -> Self {
        Self { left: per_s as u64 * 1000, since_ms: now_ms }
    }

    /// Takes one out. Returns false when there is none.
    fn take(&mut self, per_s: u32, now_ms: u64) -> bool {
        let grown = now_ms.saturating_sub(self.since_ms).saturating_mul(u64::from(per_s));
        self.left = self.left.saturating_add(grown).min(u64::from(per_s) * 1000);
        self.since_ms = now_ms;
        let has = self.left >= 1000;
        if has {
            self.left -= 1000;
        }
        has
    }
}

/// Finds the frame headers in a stream of bytes that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    held: u8,
    /// Bytes before the next header: of a payload, or of the preface.
    skip: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Frames {
    /// The next frame header in `bytes`, which is moved past it; none when the rest of it is still to come.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let over = bytes.len().min(self.skip as usize);
        *bytes = &bytes[over..];
        self.skip -= over as u32;
        let held = usize::from(self.held);
        let more = bytes.len().min(HEADER_BYTES - held);
        self.header[held..held + more].copy_from_slice(&bytes[..more]);
        *bytes = &bytes[more..];
        self.held += more as u8;
        if usize::from(self.held) < HEADER_BYTES {
            return None;
        }
        let [a, b, c, kind, flags, id @ ..] = self.header;
        (self.held, self.skip) = (0, u32::from_be_bytes([0, a, b, c]));
        Some(Frame { length: self.skip, kind, flags, stream: u32::from_be_bytes(id) & 0x7fff_ffff })
    }
}

/// The meter of one connection.
#[derive(Clone, Debug)]
pub struct Meter {
    limits: Http2,
    came: Frames,
    went: Frames,
    resets: Bucket,
    own_resets: Bucket,
    settings: Bucket,
    pings: Bucket,
    window_updates: Bucket,
    empty_frames: Bucket,
    priorities: Bucket,
    /// CONTINUATION frames of the present header block.
    continuations: u32,
    /// A header block has begun and not ended.
    in_block: bool,
    /// SETTINGS of the peer came.
    greeted: bool,
    /// WINDOW_UPDATE frames that what we sent explains.
    explained: u32,
    /// PING frames that it explains: receivers measure the way by one beside each DATA (gRPC's all do).
    explained_pings: u32,
    /// RST_STREAM frames of ours that the peer's own doing asked for.
    pub own_resets_sent: u64,
    /// Streams of the peer's that were refused because it had too many.
    pub refused: u64,
    /// The peer said that it takes no more streams.
    pub leaving: bool,
    /// The last stream whose first HEADERS we sent: later ones never reached the peer.
    pub opened: u32,
    /// Streams that the peer ended last, and where the next goes; kept of servers only.
    ends: Option<Box<[u32; ENDS_KEPT]>>,
    ends_at: usize,
    /// Streams that the peer reset behind their end: their answers are complete (RFC 9113 8.1).
    pub complete: Vec<u32>,
}

impl Meter {
    /// `preface`: the peer's bytes begin with one.
    #[must_use]
    pub fn new(limits: Http2, preface: bool, now_ms: u64) -> Self {
        let came = Frames { skip: if preface { PREFACE.len() as u32 } else { 0 }, ..Frames::default() };
        Self {
            limits,
            came,
            went: Frames { skip: if preface { 0 } else { PREFACE.len() as u32 }, ..Frames::default() },
            resets: Bucket::full(limits.resets_per_s, now_ms),
            own_resets: Bucket::full(limits.own_resets_per_s, now_ms),
            settings: Bucket::full(limits.settings_per_s, now_ms),
            pings: Bucket::full(limits.pings_per_s, now_ms),
            window_updates: Bucket::full(limits.window_updates_per_s, now_ms),
            empty_frames: Bucket::full(limits.empty_frames_per_s, now_ms),
            priorities: Bucket::full(limits.priorities_per_s, now_ms),
            continuations: 0,
            in_block: false,
            greeted: false,
            // What a client opens its windows with.
            explained: UPDATES_PER_DATA,
            explained_pings: 0,
            own_resets_sent: 0,
            refused: 0,
            leaving: false,
            opened: 0,
            ends: (!preface).then(|| Box::new([0; ENDS_KEPT])),
            ends_at: 0,
            complete: Vec::new(),
        }
    }

    /// Whether part of a header block is here, and the rest of it, which nothing may come before, is not.
    #[must_use]
    pub const fn is_in_block(&self) -> bool {
        self.in_block
    }

    /// Whether the peer said its SETTINGS, which it begins with (RFC 9113 3.4).
    #[must_use]
    pub const fn has_greeted(&self) -> bool {
        self.greeted
    }

    /// Bytes came from the peer. The limit that they passed, if they did.
    pub fn heard(&mut self, mut bytes: &[u8], now_ms: u64) -> Option<Limit> {
        while let Some(frame) = self.came.next(&mut bytes) {
            self.leaving |= frame.kind == GOAWAY;
            self.watch_end(frame);
            if let Some(limit) = self.judge(frame, now_ms) {
                return Some(limit);
            }
        }
        None
    }

    fn watch_end(&mut self, frame: Frame) {
        let Some(ends) = &mut self.ends else { return };
        match frame.kind {
            DATA | HEADERS if frame.has(FLAG_FIRST) => {
                ends[self.ends_at % ENDS_KEPT] = frame.stream;
                self.ends_at += 1;
            }
            RST_STREAM if ends.contains(&frame.stream) => self.complete.push(frame.stream),
            _ => {}
        }
    }

    fn judge(&mut self, frame: Frame, now_ms: u64) -> Option<Limit> {
        let limits = self.limits;
        let (bucket, per_s, limit) = match frame.kind {
            HEADERS | PUSH_PROMISE => {
                self.in_block = !frame.has(END_HEADERS);
                self.continuations = 0;
                return None;
            }
            CONTINUATION => {
                self.continuations += 1;
                self.in_block = !frame.has(END_HEADERS);
                if self.continuations > limits.continuations {
                    return Some(Limit::Continuations);
                }
                if frame.length > 0 || frame.has(END_HEADERS) {
                    return None;
                }
                (&mut self.empty_frames, limits.empty_frames_per_s, Limit::EmptyFrames)
            }
            DATA if frame.length == 0 && !frame.has(FLAG_FIRST) => {
                (&mut self.empty_frames, limits.empty_frames_per_s, Limit::EmptyFrames)
            }
            RST_STREAM => (&mut self.resets, limits.resets_per_s, Limit::Resets),
            SETTINGS if !frame.has(FLAG_FIRST) => {
                self.greeted = true;
                (&mut self.settings, limits.settings_per_s, Limit::Settings)
            }
            PING if !frame.has(FLAG_FIRST) && self.explained_pings > 0 => {
                self.explained_pings -= 1;
                return None;
            }
            PING if !frame.has(FLAG_FIRST) => (&mut self.pings, limits.pings_per_s, Limit::Pings),
            WINDOW_UPDATE if self.explained > 0 => {
                self.explained -= 1;
                return None;
            }
            WINDOW_UPDATE => (&mut self.window_updates, limits.window_updates_per_s, Limit::WindowUpdates),
            DATA | SETTINGS | PING | GOAWAY => return None,
            // PRIORITY, which nobody heeds any more (RFC 9113 5.3.2), and frames of kinds that we do not know.
            _ => (&mut self.priorities, limits.priorities_per_s, Limit::Priorities),
        };
        (!bucket.take(per_s, now_ms)).then_some(limit)
    }

    /// Bytes go to the peer. The limit that they show to be passed, if they do.
    pub fn said(&mut self, mut bytes: &[u8], now_ms: u64) -> Option<Limit> {
        let mut passed = None;
        while let Some(frame) = self.went.next(&mut bytes) {
            match frame.kind {
                DATA => {
                    self.explained = self.explained.saturating_add(UPDATES_PER_DATA);
                    // No more than a bucket's worth: they come while the DATA does, or not at all.
                    self.explained_pings = (self.explained_pings + 1).min(self.limits.pings_per_s);
                }
                HEADERS => self.opened = self.opened.max(frame.stream),
                RST_STREAM => passed = passed.or(self.judge_reset(bytes, now_ms)),
                _ => {}
            }
        }
        passed
    }

    /// `payload` begins with the code of a reset of ours. A session writes whole frames, so it is all here.
    fn judge_reset(&mut self, payload: &[u8], now_ms: u64) -> Option<Limit> {
        const PROTOCOL_ERROR: u8 = 1;
        const FLOW_CONTROL_ERROR: u8 = 3;
        const STREAM_CLOSED: u8 = 5;
        const FRAME_SIZE_ERROR: u8 = 6;
        const REFUSED_STREAM: u8 = 7;
        match payload.get(3) {
            Some(&REFUSED_STREAM) => self.refused += 1,
            Some(&(PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR)) => {}
            _ => return None,
        }
        self.own_resets_sent += 1;
        (!self.own_resets.take(self.limits.own_resets_per_s, now_ms)).then_some(Limit::OwnResets)
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;

//! Every bound of the HTTP/1 path with its name, unit and default. The plan may narrow or widen the ones with a
//! setting; the constants without one are what the code itself rests on.

/// Longest head a plan may allow. Spans inside a head are 16-bit, so a head stays below 64 KiB.
pub const HEAD_BYTES_CEILING: u32 = 60 * 1024;
/// Longest chunk-size number: 16 hexadecimal digits are 64 bits.
pub const CHUNK_SIZE_DIGITS_MAX: u32 = 16;
/// Empty lines ignored before a request line (RFC 9112 2.2 asks for at least one).
pub const LEADING_LINES_MAX: u32 = 1;
/// Longest pause of an answer that only a close can end although its connection was promised to stay (as Squid has it).
pub const PROMISE_BROKEN_WAIT_MS: u32 = 10_000;
/// The worker's one read buffer. A relay pays 155 µs a MiB with 256 KiB reads, 240 with 64, 450 and more with 16.
pub const SCRATCH_BYTES: usize = 256 * 1024;
/// The block that holds one request's head and the beginning of its body while the exchange lives.
pub const BLOCK_BYTES: usize = 4 * 1024;

/// What a parser may accept, taken from the plan once and passed by reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line without its CRLF (414 beyond).
    pub request_line_bytes: u32,
    /// Bytes of the whole head, or of a trailer section (431 beyond).
    pub head_bytes: u32,
    /// Field lines in a head or a trailer section (431 beyond).
    pub field_count: u32,
    /// Bytes of chunk extensions in one message body (400 beyond).
    pub chunk_extension_bytes: u32,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { request_line_bytes: 8 * 1024, head_bytes: 32 * 1024, field_count: 128, chunk_extension_bytes: 1024 }
    }
}

//! Bodies that anybody can check byte by byte from their key alone. Some look like messages, so that a body taken for
//! a message is noticed at once.

use crate::dice::mix;

/// A request that stands inside bodies only: whoever executes it has been smuggled to.
const INNER_REQUEST: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: inside\r\nContent-Length: 0\r\n\r\n";
const INNER_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nX-Id: smuggled\r\nContent-Length: 0\r\n\r\n";
const INNER_CHUNKS: &[u8] = b"\r\n0\r\n\r\n5\r\nabcde\r\n";

/// Key of a request's body.
#[must_use]
pub const fn request_key(id: u64) -> u64 {
    mix(id.wrapping_mul(2) + 1)
}

/// Key of the answer to one execution of a request.
#[must_use]
pub const fn answer_key(id: u64, execution: u64) -> u64 {
    mix(mix(id.wrapping_mul(2)) ^ execution)
}

/// Key of what passes a tunnel, by direction.
#[must_use]
pub const fn tunnel_key(id: u64, up: bool) -> u64 {
    mix(mix(id) ^ if up { 0x7570 } else { 0x646f_776e })
}

#[must_use]
pub fn byte(key: u64, at: u64) -> u8 {
    let repeated = |text: &[u8]| text[(at % text.len() as u64) as usize];
    match key % 8 {
        0 => repeated(INNER_REQUEST),
        1 => repeated(INNER_ANSWER),
        2 => repeated(INNER_CHUNKS),
        _ => mix(key ^ (at >> 3)).to_le_bytes()[(at & 7) as usize],
    }
}

/// Appends `len` bytes of the body from `at` on.
pub fn fill(key: u64, at: u64, len: usize, out: &mut Vec<u8>) {
    out.extend((at..at + len as u64).map(|place| byte(key, place)));
}

/// The first place that is not as it should be.
#[must_use]
pub fn first_wrong(key: u64, at: u64, bytes: &[u8]) -> Option<u64> {
    (at..).zip(bytes).find(|(place, seen)| byte(key, *place) != **seen).map(|(place, _)| place)
}

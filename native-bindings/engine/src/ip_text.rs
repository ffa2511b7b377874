//! An address as text in a place of its own size: every client has one, in every log line and forwarding field.

use std::fmt::Write as _;

/// An address as text, without an allocation.
#[derive(Clone, Copy)]
pub struct IpText {
    bytes: [u8; 45],
    len: u8,
    pub is_v6: bool,
}

impl IpText {
    pub(crate) fn new(address: std::net::IpAddr) -> Self {
        let mut text = Self { bytes: [0; 45], len: 0, is_v6: address.is_ipv6() };
        // 45 bytes hold the longest address there is.
        let _ = write!(text, "{address}");
        text
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

impl std::fmt::Write for IpText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let at = self.len as usize;
        self.bytes.get_mut(at..at + part.len()).ok_or(std::fmt::Error)?.copy_from_slice(part.as_bytes());
        self.len += part.len() as u8;
        Ok(())
    }
}

//! The first message of a TLS client, read only as far as its server name: by it a listener chooses which rules the
//! handshake is held under, before the TLS library sees a byte. RFC 8446 4.1.2 and 5.1, RFC 6066 3. Anything odd is left
//! to the library to refuse with the right alert.

/// What the bytes so far say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hello {
    /// The message is not whole yet.
    Partial,
    /// It is whole; the name it asks for, lower case, if any.
    Name(Option<String>),
    /// These bytes do not begin a TLS handshake.
    NotTls,
    /// It is, or will be, longer than `HELLO_BYTES_MAX`.
    TooLong,
}

/// A message longer than this is nobody's: browsers stay below 2 KiB, with post-quantum key shares below 4.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Looks for the server name in what a client has sent so far.
#[must_use]
pub fn read_hello(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut at = bytes;
    // The message may be spread over several records.
    loop {
        match at.first() {
            None => return Hello::Partial,
            Some(&kind) if kind != HANDSHAKE => return Hello::NotTls,
            Some(_) => {}
        }
        if at.len() < 5 {
            return Hello::Partial;
        }
        let length = usize::from(u16::from_be_bytes([at[3], at[4]]));
        if at[1] != 3 || length == 0 || length > 1 << 14 {
            return Hello::NotTls;
        }
        let part = &at[5..(5 + length).min(at.len())];
        message.extend_from_slice(part);
        if let Some(&[kind, a, b, c]) = message.first_chunk::<4>() {
            let whole = 4 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c);
            if kind != CLIENT_HELLO {
                return Hello::NotTls;
            }
            if whole > HELLO_BYTES_MAX {
                return Hello::TooLong;
            }
            if message.len() >= whole {
                return Hello::Name(server_name(&message[4..whole]));
            }
        }
        if part.len() < length {
            return Hello::Partial;
        }
        at = &at[5 + length..];
    }
}

/// Reads through the message's vectors to its extension of names. `None` = it has none, or is malformed.
fn server_name(body: &[u8]) -> Option<String> {
    // Version and random.
    let mut rest = Reader(body.get(34..)?);
    rest.vector(1)?;
    rest.vector(2)?;
    rest.vector(1)?;
    let mut extensions = Reader(rest.vector(2)?);
    while let Some(kind) = extensions.number(2) {
        let content = extensions.vector(2)?;
        if kind == u32::from(SERVER_NAME) {
            let mut names = Reader(Reader(content).vector(2)?);
            let kind = names.number(1)?;
            let name = names.vector(2)?;
            let wanted = kind == u32::from(HOST_NAME) && !name.is_empty() && name.is_ascii();
            return wanted.then(|| String::from_utf8_lossy(name).to_ascii_lowercase());
        }
    }
    None
}

/// Bytes taken from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, width: usize) -> Option<u32> {
        Some(self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    }

    /// A length of `width` bytes and that many bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length as usize)
    }
}

/// Whether a name of a rule or certificate holds for a server name; both lower case. `*.` stands for one label.
#[must_use]
pub fn name_holds(rule: &str, name: &str) -> bool {
    match rule.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => rule == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello with these extensions, in one record.
    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0, (body.len() >> 8) as u8, body.len() as u8];
        message.extend(body);
        let mut record = vec![22, 3, 1, (message.len() >> 8) as u8, message.len() as u8];
        record.extend(message);
        record
    }

    fn named(name: &str) -> Vec<u8> {
        let n = name.len() as u16;
        let mut extension = vec![0, 0];
        extension.extend((n + 5).to_be_bytes());
        extension.extend((n + 3).to_be_bytes());
        extension.push(0);
        extension.extend(n.to_be_bytes());
        extension.extend(name.as_bytes());
        // Another before it, as clients send them in any order.
        let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
        extensions.extend(extension);
        hello(&extensions)
    }

    #[test]
    fn the_server_name_is_found_in_lower_case() {
        assert_eq!(read_hello(&named("A.Example")), Hello::Name(Some("a.example".into())));
        assert_eq!(read_hello(&hello(&[])), Hello::Name(None));
    }

    #[test]
    fn every_shorter_piece_is_partial() {
        let whole = named("a.example");
        for length in 0..whole.len() {
            assert_eq!(read_hello(&whole[..length]), Hello::Partial, "{length} bytes");
        }
    }

    #[test]
    fn a_message_in_several_records_is_read_as_one() {
        let whole = named("a.example");
        let message = &whole[5..];
        for cut in 1..message.len() {
            let mut split = Vec::new();
            for part in [&message[..cut], &message[cut..]] {
                split.extend([22, 3, 1, 0, part.len() as u8]);
                split.extend(part);
            }
            assert_eq!(read_hello(&split), Hello::Name(Some("a.example".into())), "cut at {cut}");
        }
    }

    #[test]
    fn other_bytes_are_not_tls() {
        assert_eq!(read_hello(b"GET / HTTP/1.1\r\n"), Hello::NotTls);
        assert_eq!(read_hello(&[22, 9, 9, 0, 1, 0]), Hello::NotTls);
        assert_eq!(read_hello(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Hello::NotTls);
    }

    #[test]
    fn a_message_longer_than_anybodys_is_known_by_its_head() {
        assert_eq!(read_hello(&[22, 3, 1, 0, 4, 1, 255, 0, 0]), Hello::TooLong);
        assert_eq!(read_hello(&[22, 3, 1, 0, 4, 1, 0, 0x3f, 0xfc]), Hello::Partial);
        assert_eq!(read_hello(&[22, 3, 1, 0, 4, 1, 0, 0x3f, 0xfd]), Hello::TooLong);
    }

    #[test]
    fn s0_20_a_wildcard_stands_for_exactly_one_label() {
        assert!(name_holds("*.a.example", "b.a.example"));
        assert!(!name_holds("*.a.example", "a.example"));
        assert!(!name_holds("*.a.example", "c.b.a.example"));
        assert!(!name_holds("*.a.example", ".a.example"));
        assert!(name_holds("a.example", "a.example") && !name_holds("a.example", "b.example"));
    }
}

//! The PROXY protocol, versions 1 and 2: what a load balancer before us says about the connection it hands on, in front
//! of the connection's own first byte. Strict, because whoever may send it may speak for anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the bytes so far say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyHeader {
    /// The header is not whole yet.
    Partial,
    /// It is whole. `source` is the client; none = the connection is the balancer's own, such as a check of its health.
    Whole { bytes: usize, source: Option<SocketAddr> },
    /// These bytes are no PROXY header.
    Wrong,
}

/// Version 1 ends within this many bytes, by its specification.
const V1_BYTES_MAX: usize = 107;
/// Version 2 may carry fields of a balancer's own behind the addresses; more than this is nobody's.
pub const HEADER_BYTES_MAX: usize = 16 + 2048;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

/// Reads the header at the beginning of a connection.
#[must_use]
pub fn read_proxy_header(bytes: &[u8]) -> ProxyHeader {
    let begins = |signature: &[u8]| {
        let seen = bytes.len().min(signature.len());
        bytes[..seen] == signature[..seen]
    };
    if begins(V2_SIGNATURE) {
        return if bytes.len() < V2_FIXED_BYTES { ProxyHeader::Partial } else { read_v2(bytes) };
    }
    if !begins(b"PROXY ") {
        return ProxyHeader::Wrong;
    }
    match bytes.iter().take(V1_BYTES_MAX).position(|b| *b == b'\n') {
        Some(end) => read_v1(&bytes[..=end]),
        None if bytes.len() >= V1_BYTES_MAX => ProxyHeader::Wrong,
        None => ProxyHeader::Partial,
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 1234 443` CRLF, or `PROXY UNKNOWN` with anything.
fn read_v1(line: &[u8]) -> ProxyHeader {
    let whole = |source| ProxyHeader::Whole { bytes: line.len(), source };
    let text = line.strip_suffix(b"\r\n").and_then(|text| std::str::from_utf8(text).ok());
    let Some(text) = text else { return ProxyHeader::Wrong };
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => whole(None),
        ["PROXY", family, source, destination, source_port, destination_port] => {
            let address = |text: &str| -> Option<IpAddr> {
                match *family {
                    "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
                    "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                    _ => None,
                }
            };
            let parts = (address(source), address(destination), port(source_port), port(destination_port));
            match parts {
                (Some(ip), Some(_), Some(port), Some(_)) => whole(Some(SocketAddr::new(ip, port))),
                _ => ProxyHeader::Wrong,
            }
        }
        _ => ProxyHeader::Wrong,
    }
}

/// Decimal, without a sign and without leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain)
}

fn read_v2(bytes: &[u8]) -> ProxyHeader {
    let length = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > HEADER_BYTES_MAX {
        return ProxyHeader::Wrong;
    }
    let (command, kind) = (bytes[12], bytes[13]);
    if !matches!(command, 0x20 | 0x21) {
        return ProxyHeader::Wrong;
    }
    let Some(body) = bytes.get(V2_FIXED_BYTES..length) else { return ProxyHeader::Partial };
    let whole = |source| ProxyHeader::Whole { bytes: length, source };
    if command == 0x20 {
        return whole(None);
    }
    match kind {
        0x11 => match body.first_chunk::<12>() {
            Some(&[a, b, c, d, _, _, _, _, high, low, _, _]) => {
                whole(Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into()))
            }
            None => ProxyHeader::Wrong,
        },
        0x21 => match (body.first_chunk::<16>(), body.get(32..36)) {
            (Some(source), Some(ports)) => {
                whole(Some((Ipv6Addr::from(*source), u16::from_be_bytes([ports[0], ports[1]])).into()))
            }
            _ => ProxyHeader::Wrong,
        },
        // A family this side knows no addresses of, such as a unix socket: the receiver uses the connection's own.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => whole(None),
        _ => ProxyHeader::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, kind, (body.len() >> 8) as u8, body.len() as u8]);
        bytes.extend(body);
        bytes
    }

    fn whole(bytes: &[u8], source: Option<&str>) -> ProxyHeader {
        ProxyHeader::Whole { bytes: bytes.len(), source: source.map(|text| text.parse().unwrap()) }
    }

    #[test]
    fn both_versions_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n";
        assert_eq!(read_proxy_header(line), whole(line, Some("192.0.2.1:1234")));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(read_proxy_header(line), whole(line, Some("[2001:db8::1]:1")));
        let header = v2(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 4, 210, 1, 187]);
        assert_eq!(read_proxy_header(&header), whole(&header, Some("192.0.2.1:1234")));
        let mut body = [0u8; 36];
        body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        body[15] = 1;
        body[32..36].copy_from_slice(&[0, 1, 0, 2]);
        let header = v2(0x21, 0x21, &body);
        assert_eq!(read_proxy_header(&header), whole(&header, Some("[2001:db8::1]:1")));
    }

    #[test]
    fn fields_behind_the_addresses_and_the_first_bytes_behind_the_header_are_left_alone() {
        let mut body = vec![192, 0, 2, 1, 192, 0, 2, 2, 4, 210, 1, 187];
        body.extend([1, 0, 2, b'h', b'2']);
        let mut bytes = v2(0x21, 0x11, &body);
        let length = bytes.len();
        bytes.extend(b"GET / HTTP/1.1\r\n");
        let source = Some("192.0.2.1:1234".parse().unwrap());
        assert_eq!(read_proxy_header(&bytes), ProxyHeader::Whole { bytes: length, source });
    }

    #[test]
    fn a_balancers_own_connection_has_no_other_source() {
        let header = v2(0x20, 0x00, &[]);
        assert_eq!(read_proxy_header(&header), whole(&header, None));
        let line = b"PROXY UNKNOWN\r\n";
        assert_eq!(read_proxy_header(line), whole(line, None));
    }

    #[test]
    fn every_shorter_piece_is_partial() {
        let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n".to_vec();
        for header in [v1, v2(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 4, 210, 1, 187])] {
            for length in 0..header.len() {
                assert_eq!(read_proxy_header(&header[..length]), ProxyHeader::Partial, "{length} bytes");
            }
        }
    }

    #[test]
    fn what_is_not_exactly_a_header_is_none() {
        let wrong: &[&[u8]] = &[
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 01234 443\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            b"PROXY TCP4 2001:db8::1 192.0.2.2 1 443\r\n",
            b"PROXY TCP4  192.0.2.1 192.0.2.2 1 443\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n",
            &[b'P'; 8],
        ];
        for bytes in wrong {
            assert_eq!(read_proxy_header(bytes), ProxyHeader::Wrong, "{}", String::from_utf8_lossy(bytes));
        }
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(read_proxy_header(&long), ProxyHeader::Wrong);
        assert_eq!(read_proxy_header(&v2(0x22, 0x11, &[0; 12])), ProxyHeader::Wrong);
        assert_eq!(read_proxy_header(&v2(0x21, 0x11, &[0; 11])), ProxyHeader::Wrong);
        assert_eq!(read_proxy_header(&v2(0x21, 0x99, &[0; 12])), ProxyHeader::Wrong);
        assert_eq!(read_proxy_header(&v2(0x21, 0x11, &[0; 4096])), ProxyHeader::Wrong);
    }
}

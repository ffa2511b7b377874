//! The chunk reader, in every arrangement of pieces.

use super::{TIGHT, cuts};
use crate::naive::decode_chunks;
use proto::fault::WireFault;
use proto::http1::body::ChunkReader;
use proto::http1::fields::FieldKind;
use proto::http1::head::{Parsed, ResponseHead};
use proto::limits::HeadLimits;

/// Content, trailers and the bytes used by a body that ended; `None` if it did not.
type Body = Option<(Vec<u8>, Vec<u8>, usize)>;

pub fn run(bytes: &[u8]) {
    for limits in [HeadLimits::default(), TIGHT] {
        let whole = decode(bytes, std::iter::once(bytes.len()), &limits);
        assert_eq!(decode(bytes, 1..=bytes.len(), &limits), whole, "byte by byte");
        // Byte by byte has every cut already, but none with more than a byte on both sides.
        for cut in cuts(bytes.len()).step_by(5) {
            let two = [cut, bytes.len()].into_iter();
            assert_eq!(decode(bytes, two, &limits), whole, "cut at {cut}");
        }
        let step = 1 + bytes.len() / 7;
        let pieces = (step..bytes.len()).step_by(step).chain([bytes.len()]);
        assert_eq!(decode(bytes, pieces, &limits), whole, "in pieces of {step}");
        match whole {
            Ok(Some((content, trailers, used))) => {
                assert_eq!(decode_chunks(bytes), Some((content, used)), "a lenient reader sees another body");
                trailers_may_follow(&trailers);
            }
            Ok(None) => assert_eq!(decode_chunks(bytes), None, "a lenient reader sees an end that we do not"),
            Err(_) => {}
        }
    }
}

fn decode(bytes: &[u8], ends: impl Iterator<Item = usize>, limits: &HeadLimits) -> Result<Body, WireFault> {
    let mut reader = ChunkReader::new();
    let (mut content, mut trailers) = (Vec::new(), b"kept".to_vec());
    let mut at = 0;
    for end in ends {
        let mut piece = bytes[at..end].to_vec();
        let decoded = reader.decode(&mut piece, limits, &mut trailers)?;
        assert!(decoded.data.end <= decoded.consumed && decoded.consumed <= piece.len(), "more than was there");
        assert_eq!(decoded.done, reader.is_done());
        assert!(decoded.done || decoded.consumed == piece.len(), "bytes were left although the body goes on");
        content.extend_from_slice(&piece[decoded.data]);
        at += decoded.consumed;
        assert!(content.len() <= at, "more content than input");
        if decoded.done {
            let again = reader.decode(&mut piece, limits, &mut trailers)?;
            assert_eq!((again.consumed, again.data.len(), again.done), (0, 0, true), "it went on after its end");
            let trailers = trailers.strip_prefix(b"kept").expect("what the caller had is still there").to_vec();
            return Ok(Some((content, trailers, at)));
        }
    }
    Ok(None)
}

/// Accepted trailers are plain lines that neither frame nor route.
fn trailers_may_follow(trailers: &[u8]) {
    let as_head = [b"HTTP/1.1 200 \r\n", trailers, b"\r\n"].concat();
    let mut head = ResponseHead::new();
    let limits = HeadLimits { field_count: u32::MAX, head_bytes: 60 * 1024, ..HeadLimits::default() };
    assert_eq!(head.parse(&as_head, &limits), Ok(Parsed::Complete), "trailers that are no field lines");
    assert_eq!(head.len, as_head.len(), "an empty line among the trailers");
    for field in &head.fields {
        let name = field.name.of(&as_head).to_ascii_lowercase();
        assert!(field.plain, "a trailer that is not in normal form");
        let digest = name == b"content-digest";
        assert!(field.kind == FieldKind::Other || digest, "{} must not trail", name.escape_ascii());
        assert!(digest || !name.starts_with(b"content-"), "{} must not trail", name.escape_ascii());
    }
}

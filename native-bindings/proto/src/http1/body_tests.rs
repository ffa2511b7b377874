//! Tests of body.rs: where decoded data lies, and what the reader asks of its caller. What is a valid body is in
//! test/vectors/http1-chunks.md.

use super::*;

fn decode(reader: &mut ChunkReader, text: &str, trailers: &mut Vec<u8>) -> (Decoded, Vec<u8>) {
    let mut buf = text.as_bytes().to_vec();
    let decoded = reader.decode(&mut buf, &HeadLimits::default(), trailers).expect("a valid body");
    (decoded, buf)
}

#[test]
fn the_data_of_one_chunk_stays_where_it_is() {
    let mut reader = ChunkReader::new();
    let (decoded, buf) = decode(&mut reader, "5\r\nhello\r\n", &mut Vec::new());
    assert_eq!(decoded, Decoded { consumed: 10, data: 3..8, done: false });
    assert_eq!(buf, b"5\r\nhello\r\n");
    assert!(!reader.is_done() && !reader.in_trailers());
}

#[test]
fn the_data_of_several_chunks_is_moved_together() {
    let (decoded, buf) = decode(&mut ChunkReader::new(), "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\nGET", &mut Vec::new());
    assert_eq!(decoded, Decoded { consumed: 20, data: 3..8, done: true });
    assert_eq!(&buf[decoded.data], b"abcde");
    assert_eq!(&buf[20..], b"GET", "what is not ours is not touched");
}

#[test]
fn a_chunk_goes_on_in_the_next_buffer() {
    let mut reader = ChunkReader::new();
    let (first, buf) = decode(&mut reader, "a\r\n01234", &mut Vec::new());
    assert_eq!(&buf[first.data], b"01234");
    let (second, buf) = decode(&mut reader, "56789\r\n1", &mut Vec::new());
    assert_eq!(second.data, 0..5);
    assert_eq!(&buf[second.data], b"56789");
    let (third, buf) = decode(&mut reader, "\r\nx\r\n0\r\n", &mut Vec::new());
    assert_eq!(&buf[third.data], b"x");
    assert!(reader.in_trailers() && !reader.is_done());
    let (last, _) = decode(&mut reader, "\r\n", &mut Vec::new());
    assert_eq!(last, Decoded { consumed: 2, data: 0..0, done: true });
    assert!(reader.is_done() && !reader.in_trailers());
    let (after, _) = decode(&mut reader, "GET", &mut Vec::new());
    assert_eq!(after, Decoded { consumed: 0, data: 0..0, done: true });
}

#[test]
fn trailers_are_appended_behind_what_is_there() {
    let mut trailers = b"kept".to_vec();
    let mut reader = ChunkReader::new();
    for piece in ["0\r\nA", ":", "b\r", "\nHost: x\r\n", "C: d\r\n\r", "\n"] {
        decode(&mut reader, piece, &mut trailers);
    }
    assert!(reader.is_done());
    assert_eq!(trailers, b"keptA: b\r\nC: d\r\n");
}

#[test]
fn trailers_are_as_many_and_as_large_as_the_limits() {
    let limits = HeadLimits { head_bytes: 12, field_count: 2, ..HeadLimits::default() };
    let run = |text: &str| {
        let mut buf = text.as_bytes().to_vec();
        ChunkReader::new().decode(&mut buf, &limits, &mut Vec::new()).map(|d| d.done)
    };
    assert_eq!(run("0\r\nA:b\r\nC:d\r\n\r\n"), Ok(true));
    assert_eq!(run("0\r\nA:b\r\nC:de\r\n\r\n"), Err(WireFault::TrailerTooLarge));
    assert_eq!(run("0\r\nA:\r\nB:\r\nC:"), Ok(false));
    let few = HeadLimits { head_bytes: 100, field_count: 2, ..HeadLimits::default() };
    let mut buf = b"0\r\nA:\r\nB:\r\nC:\r\n\r\n".to_vec();
    assert_eq!(ChunkReader::new().decode(&mut buf, &few, &mut Vec::new()), Err(WireFault::TrailerTooLarge));
}

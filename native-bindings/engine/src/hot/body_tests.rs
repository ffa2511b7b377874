//! Tests of growing bodies.

use super::*;

const ONE: Waiter = Waiter { worker: 0, token: 1 };
const TWO: Waiter = Waiter { worker: 1, token: 2 };
const WRITER: Waiter = Waiter { worker: 2, token: 3 };

fn bytes_of(read: Read) -> Vec<u8> {
    match read {
        Read::Bytes { chunk, from, .. } => chunk[from..].to_vec(),
        other => panic!("no bytes: {other:?}"),
    }
}

#[test]
fn a_reader_gets_everything_from_the_first_byte_and_waits_for_the_rest() {
    let (body, mut out) = (Body::growing(), Vec::new());
    body.append(b"ab", &mut out);
    let reader = body.enter().expect("it may");
    assert_eq!(bytes_of(body.read(reader, 0, ONE)), b"ab");
    assert!(matches!(body.read(reader, 2, ONE), Read::Wait { writer: None }));
    assert!(out.is_empty());
    body.append(b"cd", &mut out);
    assert_eq!(std::mem::take(&mut out), [ONE]);
    assert_eq!(bytes_of(body.read(reader, 2, ONE)), b"cd");
    assert!(matches!(body.read(reader, 4, ONE), Read::Wait { .. }));
    body.end(b"X: y\r\n", &mut out);
    assert_eq!(out, [ONE]);
    let Read::End { trailers } = body.read(reader, 4, ONE) else { panic!("no end") };
    assert_eq!(*trailers, *b"X: y\r\n");
    assert_eq!(body.whole_content().expect("whole").at(0), b"abcd");
    assert_eq!(body.leave(reader), None);
}

#[test]
fn a_failed_body_tells_all() {
    let (body, mut out) = (Body::growing(), Vec::new());
    let reader = body.enter().expect("it may");
    assert!(matches!(body.read(reader, 0, ONE), Read::Wait { .. }));
    body.fail(&mut out);
    assert_eq!(out, [ONE]);
    assert!(matches!(body.read(reader, 0, ONE), Read::Failed) && body.has_failed() && body.enter().is_none());
}

#[test]
fn a_narrow_body_drops_what_all_have_passed_and_rings_the_writer() {
    let (body, mut out) = (Body::growing(), Vec::new());
    let (fast, slow) = (body.enter().expect("it may"), body.enter().expect("it may"));
    body.append(&[1; 20_000], &mut out);
    body.append(&[2; 20_000], &mut out);
    body.narrow();
    assert!(body.enter().is_none() && body.held() == 40_000);
    assert!(body.writer_waits(WRITER, 30_000));
    assert!(matches!(body.read(fast, 40_000, ONE), Read::Wait { writer: None }));
    assert!(matches!(body.read(slow, 20_000, TWO), Read::Bytes { writer: Some(WRITER), .. }));
    assert!(!body.writer_waits(WRITER, 30_000) && body.held() == 20_000);
    body.set_writer(WRITER);
    assert_eq!((body.leave(slow), body.readers()), (None, 1));
    assert_eq!(body.held(), 0);
    body.end(&[], &mut out);
    assert!(matches!(body.read(fast, 40_000, ONE), Read::End { .. }));
    assert_eq!((body.leave(fast), body.whole_content().is_none()), (Some(WRITER), true));
}

#[test]
fn a_body_that_comes_in_drops_is_not_held_as_drops() {
    let (body, mut out) = (Body::growing(), Vec::new());
    let whole: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
    whole.chunks(100).for_each(|drop| body.append(drop, &mut out));
    let lock = body.growing.lock();
    let chunks = lock.as_deref().and_then(Growing::all_chunks).expect("it grows");
    drop(lock);
    assert!(chunks.len() < 32, "{} chunks", chunks.len());
    body.end(&[], &mut out);
    assert_eq!(body.whole_content().expect("whole").at(0), whole);
}

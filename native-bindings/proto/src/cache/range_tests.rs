//! Tests of ranges: the arithmetic of parts. What requests get for their Range is in the vectors.

use super::*;
use crate::cache::tests::answer;

fn ranges(value: &str, length: u64) -> String {
    match decide_ranges(value.as_bytes(), length) {
        Wanted::Whole => "whole".to_owned(),
        Wanted::Unsatisfiable => "none".to_owned(),
        Wanted::Ranges(ranges) => {
            ranges.as_slice().iter().map(|r| format!("{}-{}", r.first, r.last)).collect::<Vec<_>>().join(",")
        }
    }
}

#[test]
fn ranges_are_cut_to_what_there_is() {
    for (value, wanted) in [
        ("bytes=0-4", "0-4"),
        ("bytes=5-", "5-9"),
        ("bytes=-3", "7-9"),
        ("bytes=-30", "0-9"),
        ("bytes=5-99", "5-9"),
        ("bytes=10-", "none"),
        ("bytes=-0", "none"),
        ("bytes=0-0, 9-9", "0-0,9-9"),
        ("bytes=9-9,,0-0", "9-9,0-0"),
        ("bytes=20-30, 1-2", "1-2"),
        ("BYTES=1-2", "1-2"),
        ("bytes=1-18446744073709551999", "1-9"),
        ("bytes=4-3", "whole"),
        ("bytes=a-b", "whole"),
        ("bytes=1", "whole"),
        ("bytes=-", "whole"),
        ("bytes=", "whole"),
        ("bytes 1-2", "whole"),
        ("items=1-2", "whole"),
        ("bytes=0-9, 0-9", "whole"),
        ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8", "whole"),
    ] {
        assert_eq!(ranges(value, 10), wanted, "{value}");
    }
    assert_eq!(ranges("bytes=0-", 0), "none");
}

const fn part(first: u64, last: u64, whole: Option<u64>) -> Part {
    Part { range: ByteRange { first, last }, whole }
}

#[test]
fn parts_of_one_whole_grow_together_when_they_touch() {
    assert_eq!(part(0, 4, Some(10)).joined(part(5, 9, Some(10))), Some(part(0, 9, Some(10))));
    assert_eq!(part(5, 9, None).joined(part(0, 6, Some(10))), Some(part(0, 9, Some(10))));
    assert_eq!(part(0, 9, Some(10)).joined(part(2, 3, Some(10))), Some(part(0, 9, Some(10))));
    assert_eq!(part(0, 3, Some(10)).joined(part(5, 9, Some(10))), None);
    assert_eq!(part(0, 4, Some(10)).joined(part(5, 9, Some(11))), None);
    assert!(part(0, 9, Some(10)).is_whole() && !part(0, 8, Some(10)).is_whole() && !part(0, 9, None).is_whole());
}

#[test]
fn what_is_missing_of_a_part_is_one_range_or_the_whole() {
    assert_eq!(part(0, 4, Some(10)).missing(), Some(Missing::From(5)));
    assert_eq!(part(0, 4, None).missing(), Some(Missing::From(5)));
    assert_eq!(part(5, 9, Some(10)).missing(), Some(Missing::Before(5)));
    assert_eq!(part(3, 6, Some(10)).missing(), Some(Missing::Both));
    assert_eq!(part(0, 9, Some(10)).missing(), None);
}

#[test]
fn a_part_answers_only_for_what_it_holds() {
    let held = part(4, 8, Some(10));
    assert_eq!(held.holds(b"bytes=5-7"), Some(ByteRange { first: 5, last: 7 }));
    for value in ["bytes=3-5", "bytes=5-", "bytes=-2", "bytes=4-4,5-5", "bytes=99-", "x"] {
        assert_eq!(held.holds(value.as_bytes()), None, "{value}");
    }
    assert_eq!(part(4, 9, Some(10)).holds(b"bytes=-2"), Some(ByteRange { first: 8, last: 9 }));
    assert_eq!(part(4, 9, None).holds(b"bytes=5-9"), Some(ByteRange { first: 5, last: 9 }));
    assert_eq!(part(4, 9, None).holds(b"bytes=5-"), None);
}

#[test]
fn a_content_range_is_read_or_refused() {
    let read = |value: &str| {
        let (bytes, head) = answer(&format!("HTTP/1.1 206 P\r\nContent-Range: {value}\r\n\r\n"));
        part_of(Lines { bytes: &bytes, fields: &head.fields, kinds: head.kinds })
    };
    assert_eq!(read("bytes 0-4/10"), Some(part(0, 4, Some(10))));
    assert_eq!(read("Bytes 0-4/*"), Some(part(0, 4, None)));
    for value in [
        "bytes */10",
        "bytes 0-4",
        "bytes 0-10/10",
        "bytes 4-0/10",
        "items 0-4/10",
        "bytes=0-4/10",
        "bytes 0-/10",
        "bytes 0-4/x",
        "bytes 0-9223372036854775807/*",
        "",
        "bytes",
    ] {
        assert_eq!(read(value), None, "{value}");
    }
}

#[test]
fn a_multipart_body_is_as_long_as_it_says() {
    let Wanted::Ranges(ranges) = decide_ranges(b"bytes=0-1,8-9", 10) else { panic!("two ranges") };
    let multipart = Multipart { boundary: 0xabc, content_type: b"text/plain", length: 10 };
    let mut body = Vec::new();
    for range in ranges.as_slice() {
        multipart.write_head(&mut body, *range);
        body.extend_from_slice(&b"0123456789"[range.first as usize..=range.last as usize]);
    }
    multipart.write_end(&mut body);
    assert_eq!(body.len() as u64, multipart.content_length(&ranges));
    let wanted = "\r\n--0000000000000abc\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
                  \r\n--0000000000000abc\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
                  \r\n--0000000000000abc--\r\n";
    assert_eq!(String::from_utf8_lossy(&body), wanted);
}

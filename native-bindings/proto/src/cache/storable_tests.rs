//! Tests of whether a body came whole.

use super::*;
use crate::cache::range::ByteRange;

#[test]
fn only_a_body_that_came_whole_is_kept() {
    use AnswerBody as B;
    use BodyEnd::{Broken, Closed, Whole};
    for (body, end, received, wanted) in [
        (B::None, Whole, 0, Ok(())),
        (B::None, Whole, 1, Err(Why::Truncated)),
        (B::Length(10), Whole, 10, Ok(())),
        (B::Length(10), Whole, 9, Err(Why::Truncated)),
        (B::Length(10), Closed, 9, Err(Why::Truncated)),
        (B::Length(10), Broken, 10, Err(Why::Aborted)),
        (B::Chunked, Whole, 10, Ok(())),
        (B::Chunked, Closed, 10, Err(Why::Truncated)),
        (B::Chunked, Broken, 10, Err(Why::Aborted)),
        (B::UntilClose, Closed, 10, Ok(())),
        (B::UntilClose, Broken, 10, Err(Why::Aborted)),
    ] {
        assert_eq!(decide_whole(body, end, received, None), wanted, "{body:?} {end:?} {received}");
    }
}

#[test]
fn a_part_is_kept_only_as_long_as_it_says() {
    let part = Some(Part { range: ByteRange { first: 5, last: 9 }, whole: Some(10) });
    assert_eq!(decide_whole(AnswerBody::Chunked, BodyEnd::Whole, 5, part), Ok(()));
    assert_eq!(decide_whole(AnswerBody::Chunked, BodyEnd::Whole, 4, part), Err(Why::Truncated));
    assert_eq!(decide_whole(AnswerBody::UntilClose, BodyEnd::Closed, 6, part), Err(Why::Truncated));
}

#[test]
fn a_body_of_unknown_length_is_given_up_when_it_is_too_long() {
    let bounded = CachePolicy { object_bytes: 10, ..CachePolicy::default() };
    assert!(!is_too_large(&bounded, 10) && is_too_large(&bounded, 11));
    assert!(!is_too_large(&CachePolicy::default(), u64::MAX));
}

//! What tests of several files of this room share.

use crate::http1::head::{Parsed, ResponseHead};
use crate::limits::HeadLimits;

/// A response head and its bytes.
pub(super) fn answer(text: &str) -> (Vec<u8>, ResponseHead) {
    let mut head = ResponseHead::new();
    let parsed = head.parse(text.as_bytes(), &HeadLimits::default());
    assert_eq!(parsed, Ok(Parsed::Complete), "{text}");
    (text.as_bytes().to_vec(), head)
}

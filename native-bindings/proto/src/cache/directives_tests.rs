//! Tests of what answers say of caching: parts that no vector shows from outside.

use super::*;
use crate::cache::tests::answer;

fn read(value: &str) -> AnswerDirectives {
    let (bytes, head) = answer(&format!("HTTP/1.1 200 OK\r\nCache-Control: {value}\r\n\r\n"));
    AnswerDirectives::of(Lines { bytes: &bytes, fields: &head.fields, kinds: head.kinds })
}

#[test]
fn what_forbids_counts_however_it_is_written() {
    for value in
        ["no-store", "No-Store", "no-store=1", "no-store=\"x\"", "no-store ;", "x=\"a, no-store", "a b, no-store"]
    {
        assert!(read(value).no_store, "{value}");
    }
    for value in ["must-revalidate", "must-revalidate=0", "MUST-REVALIDATE ="] {
        assert!(read(value).must_revalidate, "{value}");
    }
}

#[test]
fn what_allows_counts_only_as_it_must_be_written() {
    for value in ["public=1", "public ;x", "x=\"a, public", "immutable=1", "must-understand=x"] {
        let read = read(value);
        assert!(!read.public && !read.immutable && !read.must_understand, "{value}");
    }
    assert!(read("Public").public && read("immutable").immutable);
}

#[test]
fn one_number_said_twice_is_one_and_two_numbers_are_none() {
    assert_eq!(read("max-age=5, max-age=5").max_age, Delta::Seconds(5));
    assert_eq!(read("max-age=5, max-age=\"5\"").max_age, Delta::Seconds(5));
    assert_eq!(read("max-age=5, max-age=6").max_age, Delta::Invalid);
    assert_eq!(read("max-age=5, max-age=x").max_age, Delta::Invalid);
    assert_eq!(read("max-age=5, max-age=6, max-age=5").max_age, Delta::Invalid);
    assert_eq!(read("max-age").max_age, Delta::Invalid);
    assert_eq!(read("max-age=5\r\nCache-Control: max-age=5").max_age, Delta::Seconds(5));
}

#[test]
fn lists_of_fields_are_read_or_stand_for_the_whole() {
    let fields = |names: &[&str]| Scope::Fields(names.iter().map(|n| n.as_bytes().into()).collect());
    assert_eq!(read("no-cache").no_cache, Scope::Whole);
    assert_eq!(read("no-cache=\"Set-Cookie, X-A\"").no_cache, fields(&["Set-Cookie", "X-A"]));
    assert_eq!(read("private=X-A, private=\"X-B\"").private, fields(&["X-A", "X-B"]));
    assert!(read("private=\"x-a\"").private.names(b"X-A"));
    for value in
        ["private=\"\"", "private=\",\"", "private=\"a b\"", "private=", "private=\"a", "private, private=\"a\""]
    {
        assert_eq!(read(value).private, Scope::Whole, "{value}");
    }
    assert_eq!(read("private=\"a\", private").private, Scope::Whole);
}

//! What answers said about the queries of their path (No-Vary-Search): two requests whose queries then mean the same have
//! the same key. Only routes that ask for it heed it.

use parking_lot::RwLock;
use proto::cache::no_vary_search::SearchVariance;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Paths that are remembered; beyond that all are forgotten, which costs a miss each.
const PATHS_MAX: usize = 4096;

/// See the file.
#[derive(Default)]
pub struct Searches {
    any: AtomicBool,
    known: RwLock<HashMap<Box<[u8]>, SearchVariance>>,
}

impl Searches {
    /// The latest answer for a path decides for all of them.
    pub(crate) fn note(&self, key: &[u8], variance: SearchVariance) {
        let path = split(key).0;
        let mut known = self.known.write();
        if variance.is_default() {
            known.remove(path);
            return;
        }
        if known.len() >= PATHS_MAX && !known.contains_key(path) {
            known.clear();
        }
        known.insert(path.into(), variance);
        self.any.store(true, Relaxed);
    }

    /// Puts what is left of its query into a key. Done twice, nothing changes the second time.
    pub(crate) fn apply(&self, key: &mut Vec<u8>) {
        if !self.any.load(Relaxed) {
            return;
        }
        let (path, query) = split(key);
        let mut rest = Vec::new();
        match self.known.read().get(path) {
            Some(variance) => variance.write_query(query, &mut rest),
            None => return,
        }
        key.truncate(path.len());
        key.push(b'?');
        key.extend_from_slice(&rest);
    }
}

/// No part of a key before its query has a question mark.
fn split(key: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'?', key) {
        Some(at) => (&key[..at], &key[at + 1..]),
        None => (key, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::cache::message::Lines;
    use proto::http1::head::ResponseHead;
    use proto::limits::HeadLimits;

    fn variance(value: &str) -> SearchVariance {
        let text = format!("HTTP/1.1 200 OK\r\nNo-Vary-Search: {value}\r\n\r\n");
        let mut head = ResponseHead::new();
        assert!(head.parse(text.as_bytes(), &HeadLimits::default()).is_ok());
        SearchVariance::of(Lines { bytes: text.as_bytes(), fields: &head.fields, kinds: head.kinds })
    }

    fn applied(searches: &Searches, key: &str) -> String {
        let mut bytes = key.as_bytes().to_vec();
        searches.apply(&mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn queries_that_mean_the_same_have_one_key_from_the_first_answer_on() {
        let searches = Searches::default();
        let (one, other) = ("http://a/p?q=1&utm=x", "http://a/p?utm=y&q=1");
        assert_ne!(applied(&searches, one), applied(&searches, other));
        searches.note(b"http://a/p?q=2", variance("params=(\"utm\"), key-order"));
        assert_eq!(applied(&searches, one), applied(&searches, other));
        assert_eq!(applied(&searches, &applied(&searches, one)), applied(&searches, one), "done twice");
        assert_ne!(applied(&searches, "http://a/p?q=2"), applied(&searches, one));
        assert_eq!(applied(&searches, "http://a/other?utm=1"), "http://a/other?utm=1", "of its own path only");
    }

    #[test]
    fn an_answer_that_says_nothing_of_it_takes_it_back() {
        let searches = Searches::default();
        searches.note(b"http://a/p", variance("params"));
        assert_eq!(applied(&searches, "http://a/p?x=1"), applied(&searches, "http://a/p"));
        searches.note(b"http://a/p", SearchVariance::default());
        assert_eq!(applied(&searches, "http://a/p?x=1"), "http://a/p?x=1");
    }
}

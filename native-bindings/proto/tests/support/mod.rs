//! What the tests of several files share: reading vector files, and dice that always fall the same way for a seed.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

pub mod cache_facts;
pub mod cache_policy;
pub mod cache_scene;
pub mod cache_script;
pub mod evictors;

use std::path::Path;

/// One vector of a file under test/vectors.
#[derive(Debug)]
pub struct Vector {
    pub title: String,
    pub bytes: Vec<u8>,
    pub method: Option<String>,
    pub expect: String,
}

/// Reads a vector file; panics on anything that is not in its format, so that no vector is skipped in silence.
pub fn read_vectors(file: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut vectors = Vec::new();
    for section in text.split("\n### ").skip(1) {
        let (title, rest) = section.split_once('\n').expect("a heading is a line");
        let (_, rest) = rest.split_once("```http\n").unwrap_or_else(|| panic!("{title}: no block"));
        let (block, rest) = rest.split_once("\n```\n").unwrap_or_else(|| panic!("{title}: the block has no end"));
        assert!(block.lines().all(|line| !line.ends_with(' ')), "{title}: a line ends in a space that may get lost");
        let line = |key: &str| rest.lines().find_map(|line| line.strip_prefix(key)).map(|v| v.trim_start().to_owned());
        let expect = line("expect:").unwrap_or_else(|| panic!("{title}: no expect line"));
        let bytes = unescape(&block.replace('\n', ""));
        vectors.push(Vector { title: title.to_owned(), bytes, method: line("method:"), expect });
    }
    vectors
}

/// The bytes that a spelling such as `a\r\n\x00\{3:b}` stands for.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.as_bytes()[at + 1];
        let mut next = at + 2;
        match code {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'\\' => out.push(b'\\'),
            b'x' => {
                out.push(u8::from_str_radix(&rest[next..next + 2], 16).expect("two hexadecimal digits"));
                next += 2;
            }
            b'{' => {
                let end = next + rest[next..].find('}').expect("a repetition ends with }");
                let (times, what) = rest[next..end].split_once(':').expect("a repetition is times:text");
                out.extend(unescape(what).repeat(times.parse().expect("a number of times")));
                next = end + 1;
            }
            other => panic!("unknown escape \\{}", other as char),
        }
        rest = &rest[next..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Small seeded dice (SplitMix64): the same seed gives the same test on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll() as u8).collect()
    }

    /// Places that cut `len` bytes into pieces.
    pub fn cuts(&mut self, len: usize) -> Vec<usize> {
        let mut cuts: Vec<usize> = (0..self.below(6)).map(|_| self.below(len + 1)).collect();
        cuts.push(len);
        cuts.sort_unstable();
        cuts
    }
}

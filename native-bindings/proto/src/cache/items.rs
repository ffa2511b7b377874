//! Reads `Cache-Control` lines into their items (RFC 9111 5.2), as strictly as a list can be read that must not be
//! refused: an item that is not written as the grammar has it keeps its name and loses its argument. What such an item
//! would forbid is then still forbidden, and what it would allow is not.

use crate::http1::fields::is_token_byte;

/// One `name[=argument]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub name: &'a [u8],
    pub argument: Argument<'a>,
}

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// What stands between the quotes, escapes as they are.
    Quoted(&'a [u8]),
    /// Something that is no argument.
    Malformed,
}

impl<'a> Argument<'a> {
    /// The text of a token or a quoted string.
    #[must_use]
    pub const fn text(self) -> Option<&'a [u8]> {
        match self {
            Argument::Token(text) | Argument::Quoted(text) => Some(text),
            Argument::None | Argument::Malformed => None,
        }
    }
}

/// The items of one line. A quoted string that does not end is none: what follows its quote is read as items, none of
/// which is believed to allow anything.
#[must_use]
pub fn items(line: &[u8]) -> Items<'_> {
    Items { rest: line, distrusted: false }
}

/// See [`items`].
#[derive(Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
    distrusted: bool,
}

impl<'a> Items<'a> {
    fn take_while(&mut self, takes: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take_while(|&&b| takes(b)).count();
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn argument(&mut self) -> Argument<'a> {
        let Some(after) = self.rest.strip_prefix(b"=") else { return Argument::None };
        self.rest = after;
        let Some(quoted) = after.strip_prefix(b"\"") else {
            let token = self.take_while(is_token_byte);
            return if token.is_empty() { Argument::Malformed } else { Argument::Token(token) };
        };
        self.rest = quoted;
        match closing_quote(quoted) {
            Some(end) => {
                self.rest = &quoted[end + 1..];
                Argument::Quoted(&quoted[..end])
            }
            None => {
                self.distrusted = true;
                Argument::Malformed
            }
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            self.take_while(|b| matches!(b, b',' | b' ' | b'\t'));
            if self.rest.is_empty() {
                return None;
            }
            let name = self.take_while(is_token_byte);
            let mut argument = self.argument();
            self.take_while(|b| matches!(b, b' ' | b'\t'));
            if !matches!(self.rest.first(), None | Some(b',')) {
                argument = Argument::Malformed;
                self.take_while(|b| b != b',');
            }
            if self.distrusted {
                argument = Argument::Malformed;
            }
            if !name.is_empty() {
                return Some(Item { name, argument });
            }
        }
    }
}

/// The place of the quote that ends a quoted string (RFC 9110 5.6.4).
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Largest number of seconds there is (RFC 9111 1.2.2): everything above counts as this.
pub const SECONDS_MAX: u32 = 1 << 31;

/// `delta-seconds`; `None` if it is not a non-negative integer.
#[must_use]
pub fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')).min(SECONDS_MAX);
    Some(text.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        let spell = |item: Item<'_>| {
            let name = item.name.escape_ascii();
            match item.argument {
                Argument::None => format!("{name}"),
                Argument::Token(text) => format!("{name}={}", text.escape_ascii()),
                Argument::Quoted(text) => format!("{name}=<{}>", String::from_utf8_lossy(text)),
                Argument::Malformed => format!("{name}!"),
            }
        };
        items(line.as_bytes()).map(spell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn items_are_what_the_grammar_says_and_broken_ones_keep_only_their_name() {
        for (line, wanted) in [
            ("", ""),
            (",, ,", ""),
            ("no-store", "no-store"),
            ("max-age=5, public", "max-age=5 public"),
            ("max-age=\"5\"", "max-age=<5>"),
            ("a=\"x, no-store\",b", "a=<x, no-store> b"),
            ("a=\"\\\"\", b", "a=<\\\"> b"),
            ("max-age =5", "max-age!"),
            ("max-age= 5", "max-age!"),
            ("max-age=5 6", "max-age!"),
            ("max-age=", "max-age!"),
            ("=5, b", "b"),
            ("no-store;x", "no-store!"),
            ("a=\"b, no-store, max-age=5", "a! no-store! max-age!"),
            ("a=\"b\\", "a!"),
            ("\"no-store\", x", "x"),
        ] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }

    #[test]
    fn seconds_are_digits_and_never_overflow() {
        assert_eq!(seconds(b"0"), Some(0));
        assert_eq!(seconds(b"003600"), Some(3600));
        assert_eq!(seconds(b"2147483648"), Some(SECONDS_MAX));
        assert_eq!(seconds(b"99999999999999999999"), Some(SECONDS_MAX));
        for text in ["", "-1", "+1", "1.0", "1a", "a", " 1", "'1'"] {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }
}

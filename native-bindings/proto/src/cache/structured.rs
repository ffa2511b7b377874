//! Structured fields (RFC 9651): dictionaries and lists, as far as the fields of this room use them. Parameters are
//! checked and left out. A field is valid as a whole or not at all, so what a callback was told counts only when the
//! parser says `Ok`.

/// A value without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare<'a> {
    Integer(i64),
    Decimal,
    /// What stands between the quotes, escapes as they are: see [`unescaped`].
    String(&'a [u8]),
    Token(&'a [u8]),
    Bytes,
    Bool(bool),
    Date(i64),
    DisplayString,
}

/// A member of a dictionary or list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    Item(Bare<'a>),
    Inner(Vec<Bare<'a>>),
}

/// The field is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Reads a dictionary (RFC 9651 4.2.2). Of a key that comes twice the last counts, so `take` may be told a key again.
pub fn parse_dictionary<'a>(text: &'a [u8], mut take: impl FnMut(&'a [u8], Member<'a>)) -> Result<(), Invalid> {
    members(text, |parser| {
        let key = parser.key()?;
        let member = match parser.eat(b'=') {
            true => parser.member()?,
            false => {
                parser.parameters()?;
                Member::Item(Bare::Bool(true))
            }
        };
        take(key, member);
        Ok(())
    })
}

/// Reads a list (RFC 9651 4.2.1).
pub fn parse_list<'a>(text: &'a [u8], mut take: impl FnMut(Member<'a>)) -> Result<(), Invalid> {
    members(text, |parser| {
        take(parser.member()?);
        Ok(())
    })
}

/// The text a string stands for.
#[must_use]
pub fn unescaped(string: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(string.len());
    let mut bytes = string.iter();
    while let Some(&byte) = bytes.next() {
        out.push(if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte });
    }
    out
}

/// Members with commas between them, none at the end.
fn members<'a>(text: &'a [u8], mut one: impl FnMut(&mut Parser<'a>) -> Result<(), Invalid>) -> Result<(), Invalid> {
    let mut parser = Parser { rest: text };
    parser.skip(|b| b == b' ');
    if parser.rest.is_empty() {
        return Ok(());
    }
    loop {
        one(&mut parser)?;
        parser.skip(|b| matches!(b, b' ' | b'\t'));
        if parser.rest.is_empty() {
            return Ok(());
        }
        parser.must(b',')?;
        parser.skip(|b| matches!(b, b' ' | b'\t'));
        if parser.rest.is_empty() {
            return Err(Invalid);
        }
    }
}

/// Digits of an integer; of a decimal before its point, and after it (RFC 9651 4.2.4).
const INTEGER_DIGITS_MAX: usize = 15;
const DECIMAL_DIGITS_MAX: usize = 12;
const FRACTION_DIGITS_MAX: usize = 3;

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn skip(&mut self, takes: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take_while(|&&b| takes(b)).count();
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    fn must(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.eat(byte) { Ok(()) } else { Err(Invalid) }
    }

    /// Takes what stands before `end` and `end` itself.
    fn until(&mut self, end: u8) -> Result<&'a [u8], Invalid> {
        let at = memchr::memchr(end, self.rest).ok_or(Invalid)?;
        let taken = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        Ok(taken)
    }

    fn key(&mut self) -> Result<&'a [u8], Invalid> {
        if !matches!(self.rest.first(), Some(b'a'..=b'z' | b'*')) {
            return Err(Invalid);
        }
        Ok(self.skip(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn member(&mut self) -> Result<Member<'a>, Invalid> {
        let member = match self.eat(b'(') {
            true => Member::Inner(self.inner()?),
            false => Member::Item(self.bare()?),
        };
        self.parameters()?;
        Ok(member)
    }

    fn inner(&mut self) -> Result<Vec<Bare<'a>>, Invalid> {
        let mut items = Vec::new();
        loop {
            let gap = self.skip(|b| b == b' ');
            if self.eat(b')') {
                return Ok(items);
            }
            if !items.is_empty() && gap.is_empty() {
                return Err(Invalid);
            }
            items.push(self.bare()?);
            self.parameters()?;
        }
    }

    fn parameters(&mut self) -> Result<(), Invalid> {
        while self.eat(b';') {
            self.skip(|b| b == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare()?;
            }
        }
        Ok(())
    }

    fn bare(&mut self) -> Result<Bare<'a>, Invalid> {
        match self.rest.first().ok_or(Invalid)? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Bare::String),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                let is_part = |b| crate::http1::fields::is_token_byte(b) || matches!(b, b':' | b'/');
                Ok(Bare::Token(self.skip(is_part)))
            }
            b':' => {
                self.rest = &self.rest[1..];
                let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
                if self.until(b':')?.iter().all(is_base64) { Ok(Bare::Bytes) } else { Err(Invalid) }
            }
            b'?' => {
                self.rest = &self.rest[1..];
                match (self.eat(b'1'), self.eat(b'0')) {
                    (true, false) => Ok(Bare::Bool(true)),
                    (false, true) => Ok(Bare::Bool(false)),
                    _ => Err(Invalid),
                }
            }
            b'@' => {
                self.rest = &self.rest[1..];
                match self.number()? {
                    Bare::Integer(seconds) => Ok(Bare::Date(seconds)),
                    _ => Err(Invalid),
                }
            }
            b'%' => self.display_string(),
            _ => Err(Invalid),
        }
    }

    fn number(&mut self) -> Result<Bare<'a>, Invalid> {
        let negative = self.eat(b'-');
        let whole = self.skip(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > INTEGER_DIGITS_MAX {
            return Err(Invalid);
        }
        if self.eat(b'.') {
            let fraction = self.skip(|b| b.is_ascii_digit());
            let fits = whole.len() <= DECIMAL_DIGITS_MAX && (1..=FRACTION_DIGITS_MAX).contains(&fraction.len());
            return if fits { Ok(Bare::Decimal) } else { Err(Invalid) };
        }
        let n = whole.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
        Ok(Bare::Integer(if negative { -n } else { n }))
    }

    fn string(&mut self) -> Result<&'a [u8], Invalid> {
        self.must(b'"')?;
        let mut at = 0;
        loop {
            match (self.rest.get(at).ok_or(Invalid)?, self.rest.get(at + 1)) {
                (b'"', _) => break,
                (b'\\', Some(b'"' | b'\\')) => at += 2,
                (b'\\', _) => return Err(Invalid),
                (0x20..=0x7e, _) => at += 1,
                _ => return Err(Invalid),
            }
        }
        let string = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        Ok(string)
    }

    fn display_string(&mut self) -> Result<Bare<'a>, Invalid> {
        self.must(b'%')?;
        self.must(b'"')?;
        let text = self.until(b'"')?;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            match byte {
                b'%' if text.get(at + 1..at + 3).is_some_and(|two| two.iter().all(is_digit)) => at += 3,
                b'%' => return Err(Invalid),
                0x20..=0x7e => at += 1,
                _ => return Err(Invalid),
            }
        }
        Ok(Bare::DisplayString)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(text: &str) -> Result<String, Invalid> {
        let mut out = Vec::new();
        parse_dictionary(text.as_bytes(), |key, member| out.push(format!("{}={member:?}", key.escape_ascii())))?;
        Ok(out.join(" "))
    }

    #[test]
    fn dictionaries_are_read_as_rfc_9651_has_them() {
        for (text, wanted) in [
            ("", ""),
            ("   ", ""),
            ("a", "a=Item(Bool(true))"),
            ("a=1, b=?0", "a=Item(Integer(1)) b=Item(Bool(false))"),
            ("a=1\t,\tb=-2", "a=Item(Integer(1)) b=Item(Integer(-2))"),
            ("a=1.5", "a=Item(Decimal)"),
            ("a=1;p;q=\"x\"", "a=Item(Integer(1))"),
            ("a;p=1", "a=Item(Bool(true))"),
            ("a=(1 2)", "a=Inner([Integer(1), Integer(2)])"),
            ("a=()", "a=Inner([])"),
            ("a=( 1;x )", "a=Inner([Integer(1)])"),
            ("a=:aGk=:", "a=Item(Bytes)"),
            ("a=@1659578233", "a=Item(Date(1659578233))"),
            ("a=%\"f%c3%bc\"", "a=Item(DisplayString)"),
            ("*a-.b_=1", "*a-.b_=Item(Integer(1))"),
            ("a=999999999999999", "a=Item(Integer(999999999999999))"),
        ] {
            assert_eq!(dictionary(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_breaks_one_rule_breaks_the_whole() {
        for text in [
            "A=1",
            "a=1,",
            "a=1,,b",
            ",",
            "a=",
            "a= 1",
            "a =1",
            "a=1 b",
            "1",
            "a=(1",
            "a=(1,2)",
            "a=(1\t2)",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"\u{e9}\"",
            "a=1;",
            "a=1;A",
            "a=?2",
            "a=?",
            "a=-",
            "a=1.",
            "a=1.2345",
            "a=1000000000000000",
            "a=:!:",
            "a=:",
            "a=@1.5",
            "a=%\"%C3\"",
            "a=%x",
            "&&&&&",
            "a=1, &",
            "a=(\"x\"\"y\")",
            "\ta=1",
        ] {
            assert_eq!(dictionary(text), Err(Invalid), "{text}");
        }
    }

    #[test]
    fn lists_hold_items_and_strings_are_unescaped() {
        let mut out = Vec::new();
        parse_list(b"\"a \\\"b\\\\\", tok/en:x, (\"i\" \"j\")", |member| out.push(member)).expect("a list");
        let Member::Item(Bare::String(first)) = out[0] else { panic!("{out:?}") };
        assert_eq!(unescaped(first), b"a \"b\\");
        assert_eq!(out[1], Member::Item(Bare::Token(b"tok/en:x")));
        assert_eq!(out[2], Member::Inner(vec![Bare::String(b"i"), Bare::String(b"j")]));
    }
}

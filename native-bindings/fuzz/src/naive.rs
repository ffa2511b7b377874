//! Second readers: how lenient servers would read the same bytes. They know no limits and refuse next to nothing, each
//! in a way of its own that real servers have had. What our parser accepts, all of them must frame as it did; that is
//! what makes a request impossible to smuggle behind it.

/// How a message's body ends, to a lenient reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    WithHead,
    Length(u64),
    Chunked,
    WithConnection,
}

/// The habits in which lenient readers differ.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// A bare LF ends a line.
    pub bare_lf: bool,
    /// With both lengths, Transfer-Encoding counts; else Content-Length.
    pub coding_wins: bool,
    /// Of several lengths the last counts; else the first.
    pub last_wins: bool,
    /// `_` and `.` in names are read as `-`.
    pub folds_names: bool,
}

/// Every combination; `folding` says whether folding readers are among them. Folding ones read what we send, not what
/// we are sent: an alias is harmless until it is handed on.
pub fn all_habits(folding: bool) -> impl Iterator<Item = Habits> {
    let most = if folding { 16_u8 } else { 8 };
    (0..most).map(|bits| Habits {
        bare_lf: bits & 1 != 0,
        coding_wins: bits & 2 != 0,
        last_wins: bits & 4 != 0,
        folds_names: bits & 8 != 0,
    })
}

/// A head as a lenient reader sees it.
pub struct NaiveHead<'a> {
    /// Bytes up to the end of the empty line.
    pub len: usize,
    pub start_line: &'a [u8],
    lengths: Vec<u64>,
    is_chunked: bool,
}

impl Habits {
    /// Reads a head; `None` if this reader waits for more.
    #[must_use]
    pub fn read_head<'a>(&self, bytes: &'a [u8]) -> Option<NaiveHead<'a>> {
        let mut at = 0;
        let mut start_line = None;
        let (mut lengths, mut is_chunked) = (Vec::new(), false);
        loop {
            let (line, next) = self.line(bytes, at)?;
            at = next;
            match (start_line, line) {
                (None, []) => {}
                (None, line) => start_line = Some(line),
                (Some(start_line), []) => return Some(NaiveHead { len: at, start_line, lengths, is_chunked }),
                (Some(_), line) => self.read_field(line, &mut lengths, &mut is_chunked),
            }
        }
    }

    fn line<'a>(&self, bytes: &'a [u8], at: usize) -> Option<(&'a [u8], usize)> {
        let rest = &bytes[at..];
        if self.bare_lf {
            let end = rest.iter().position(|&b| b == b'\n')?;
            let line = &rest[..end];
            return Some((line.strip_suffix(b"\r").unwrap_or(line), at + end + 1));
        }
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        Some((&rest[..end], at + end + 2))
    }

    fn read_field(&self, line: &[u8], lengths: &mut Vec<u64>, is_chunked: &mut bool) {
        let mut parts = line.splitn(2, |&b| b == b':');
        let mut name = parts.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = parts.next().unwrap_or_default().to_ascii_lowercase();
        if self.folds_names {
            name.iter_mut().filter(|b| matches!(**b, b'_' | b'.')).for_each(|b| *b = b'-');
        }
        match name.as_slice() {
            b"content-length" => lengths.push(leading_number(&value)),
            b"transfer-encoding" => *is_chunked |= value.windows(7).any(|w| w == b"chunked"),
            _ => {}
        }
    }

    /// How the message ends, as far as its fields tell.
    #[must_use]
    pub fn framing(&self, head: &NaiveHead<'_>) -> Ends {
        let length = if self.last_wins { head.lengths.last() } else { head.lengths.first() };
        match (length, head.is_chunked) {
            (Some(_), true) if self.coding_wins => Ends::Chunked,
            (Some(&length), _) => Ends::Length(length),
            (None, true) => Ends::Chunked,
            (None, false) => Ends::WithHead,
        }
    }
}

/// As `atoi` would: blanks, a sign, digits, and whatever follows is ignored.
fn leading_number(value: &[u8]) -> u64 {
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"+").unwrap_or(value);
    let digits = value.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n: u64, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')))
}

/// A chunked body as lenient readers decode it: its content and length on the wire; `None` if more is needed. A line
/// ends at its LF, a size where its digits end, and what stands behind them is not looked at. Behind the data one reader
/// skips to the end of the line, another skips a line end only if it is there; where they part, nobody can say what the
/// body is.
#[must_use]
pub fn decode_chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let to_line_end = decode_chunks_with(bytes, |rest| rest.iter().position(|&b| b == b'\n').map(|n| n + 1));
    let if_there = decode_chunks_with(bytes, |rest| match rest {
        [] | [b'\r'] => None,
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => Some(0),
    });
    assert_eq!(to_line_end, if_there, "lenient readers see two bodies in {}", bytes.escape_ascii());
    to_line_end
}

/// `skip` says how much stands between a chunk's data and the next line.
fn decode_chunks_with(bytes: &[u8], skip: impl Fn(&[u8]) -> Option<usize>) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let end = at + bytes[at..].iter().position(|&b| b == b'\n')?;
        let size = leading_hexadecimal(&bytes[at..end]);
        at = end + 1;
        if size == 0 {
            break;
        }
        let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size))?;
        content.extend_from_slice(bytes.get(at..end)?);
        at = end + skip(bytes.get(end..)?)?;
    }
    loop {
        let end = at + bytes[at..].iter().position(|&b| b == b'\n')?;
        let line = &bytes[at..end];
        at = end + 1;
        if line.is_empty() || line == b"\r" {
            return Some((content, at));
        }
    }
}

/// Content that the chunks begun so far have announced, whether or not it has come.
#[must_use]
pub fn announced(bytes: &[u8]) -> u64 {
    let (mut at, mut sum) = (0, 0_u64);
    while let Some(end) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'\n')) {
        let size = leading_hexadecimal(&bytes[at..at + end]);
        sum = sum.saturating_add(size);
        let Some(next) = usize::try_from(size).ok().and_then(|size| (at + end + 3).checked_add(size)) else { break };
        at = if size == 0 { bytes.len() } else { next };
    }
    sum
}

fn leading_hexadecimal(line: &[u8]) -> u64 {
    let digits = line.iter().map_while(|&b| char::from(b).to_digit(16));
    digits.fold(0, |n: u64, digit| n.wrapping_mul(16).wrapping_add(u64::from(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_readers_disagree_about_what_is_smuggled() {
        let bytes = b"POST / HTTP/1.1\nContent-Length: 5\r\nContent-Length: 0\r\nTransfer_Encoding: chunked\r\n\r\n";
        let mut ends: Vec<String> = all_habits(true)
            .map(|habits| habits.read_head(bytes).map(|head| (head.len, habits.framing(&head))))
            .map(|seen| format!("{seen:?}"))
            .collect();
        ends.sort();
        ends.dedup();
        assert_eq!(ends.len(), 3, "{ends:?}");
    }

    #[test]
    fn a_lenient_reader_decodes_a_plain_body() {
        assert_eq!(decode_chunks(b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\nnext"), Some((b"hello".to_vec(), 23)));
        assert_eq!(decode_chunks(b"5\r\nhel"), None);
    }
}

//! Request lines and status lines (RFC 9112 3 and 4), byte by byte: a wrong byte is refused when it is seen, a target
//! that does not suit its method when the line is complete.

use crate::fault::WireFault;
use crate::http1::field_lines::{line_end, stray, value_end};
use crate::http1::fields::{CLASS, PERCENT, TARGET, is_token_byte, parse_host, percents_hold};
use crate::http1::head::{Method, RequestHead, ResponseHead, Span, TargetForm, Version};
use crate::limits::{HeadLimits, LEADING_LINES_MAX};

/// Reads the request line into `head` and returns the place after it; `None` if more bytes are needed.
pub(super) fn read_request_line(
    head: &mut RequestHead,
    bytes: &[u8],
    limits: &HeadLimits,
) -> Result<Option<usize>, WireFault> {
    let Some(start) = skip_leading_lines(bytes)? else { return Ok(None) };
    let longest = limits.request_line_bytes as usize;
    // Nothing beyond the byte that proves the line too long is looked at, so that the same bytes meet the same fault
    // however they arrive. That byte is the first behind the longest line, or the second if that is a CR.
    let ends_in_cr = bytes.get(start + longest) == Some(&b'\r');
    let line = &bytes[..bytes.len().min(start + longest + 1 + usize::from(ends_in_cr))];
    if let Some(next) = read_line(head, line, start)? {
        return Ok(Some(next));
    }
    match line.len() - start {
        seen if seen <= longest => Ok(None),
        seen if seen == longest + 1 && ends_in_cr => Ok(None),
        _ => Err(WireFault::RequestLineTooLong),
    }
}

/// RFC 9112 2.2: a server should ignore at least one empty line before the request line.
#[inline]
fn skip_leading_lines(bytes: &[u8]) -> Result<Option<usize>, WireFault> {
    let mut at = 0;
    while let Some(b'\r' | b'\n') = bytes.get(at) {
        let Some(next) = line_end(bytes, at, WireFault::BareCr)? else { return Ok(None) };
        if next > 2 * LEADING_LINES_MAX as usize {
            return Err(WireFault::LeadingLines);
        }
        at = next;
    }
    Ok((at < bytes.len()).then_some(at))
}

#[inline]
fn read_line(head: &mut RequestHead, bytes: &[u8], start: usize) -> Result<Option<usize>, WireFault> {
    let method_end = token_end(bytes, start);
    match bytes.get(method_end) {
        Some(b' ') if method_end > start => {}
        Some(b' ' | b'\t') => return Err(WireFault::RequestLine),
        _ => return stray(bytes, method_end, WireFault::RequestLine, WireFault::Method),
    }
    let target_at = method_end + 1;
    let (path_end, path_marks) = target_end(bytes, target_at);
    let (target_end, has_query) = match bytes.get(path_end) {
        Some(b'?') => (query_end(bytes, path_end + 1), true),
        _ => (path_end, false),
    };
    match bytes.get(target_end) {
        Some(b' ') if target_end > target_at => {}
        Some(b' ' | b'\t') => return Err(WireFault::RequestLine),
        // Two words: HTTP/0.9, which nobody means.
        _ => return stray(bytes, target_end, WireFault::RequestLine, WireFault::Target),
    }
    let Some((version, next)) = read_version(bytes, target_end + 1)? else { return Ok(None) };

    head.method_span = Span::between(start, method_end);
    head.method = Method::of(&bytes[start..method_end]);
    head.version = version;
    head.target = Span::between(target_at, target_end);
    head.path = Span::between(target_at, path_end);
    head.has_query = has_query;
    head.query = if has_query { Span::between(path_end + 1, target_end) } else { Span::EMPTY };
    head.authority = Span::EMPTY;
    settle_target(head, bytes)?;
    let path = head.path.of(bytes);
    let has_percent = path_marks & PERCENT != 0;
    if has_percent && !percents_hold(path) {
        return Err(WireFault::Target);
    }
    head.path_plain = !has_percent && has_plain_segments(path);
    Ok(Some(next))
}

#[inline]
fn token_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&b| is_token_byte(b)) {
        at += 1;
    }
    at
}

/// The first byte that may not stand in a target (or is `?`), and the classes of those before it.
#[inline]
fn target_end(bytes: &[u8], mut at: usize) -> (usize, u8) {
    let mut marks = 0;
    while let Some(&b) = bytes.get(at) {
        let class = CLASS[b as usize];
        if class & TARGET == 0 {
            break;
        }
        marks |= class;
        at += 1;
    }
    (at, marks)
}

#[inline]
fn query_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&b| CLASS[b as usize] & TARGET != 0 || b == b'?') {
        at += 1;
    }
    at
}

/// Finds the form of the target (RFC 9112 3.2), which the method must allow, and its parts.
#[inline]
fn settle_target(head: &mut RequestHead, bytes: &[u8]) -> Result<(), WireFault> {
    let path = head.path.of(bytes);
    let is_connect = head.method == Method::Connect;
    head.target_form = match path {
        [b'/', ..] if !is_connect => TargetForm::Origin,
        b"*" if head.method == Method::Options && !head.has_query => {
            head.path = Span::EMPTY;
            TargetForm::Asterisk
        }
        _ if is_connect && !head.has_query && matches!(parse_host(path), Some((_, Some(_)))) => {
            head.path = Span::EMPTY;
            TargetForm::Authority
        }
        _ if is_connect => return Err(WireFault::Target),
        _ => {
            settle_absolute(head, bytes)?;
            TargetForm::Absolute
        }
    };
    Ok(())
}

fn settle_absolute(head: &mut RequestHead, bytes: &[u8]) -> Result<(), WireFault> {
    let target = head.path.of(bytes);
    let scheme = [b"http://".as_slice(), b"https://".as_slice()].into_iter();
    let scheme_len = scheme
        .map(|s| if target.len() > s.len() && target[..s.len()].eq_ignore_ascii_case(s) { s.len() } else { 0 })
        .max()
        .unwrap_or(0);
    if scheme_len == 0 {
        return Err(WireFault::Target);
    }
    let from = head.path.at as usize + scheme_len;
    let to = memchr::memchr(b'/', &target[scheme_len..]).map_or(head.path.end(), |n| from + n);
    // RFC 9110 4.2.4: user information in a target is an error; parse_host knows no `@`.
    if parse_host(&bytes[from..to]).is_none() {
        return Err(WireFault::Target);
    }
    head.authority = Span::between(from, to);
    head.path = if to == head.path.end() { Span::EMPTY } else { Span::between(to, head.path.end()) };
    Ok(())
}

/// Whether no `//` and no segment `.` or `..` is in a path.
#[inline]
fn has_plain_segments(path: &[u8]) -> bool {
    let doubtful = path
        .iter()
        .zip(path.iter().skip(1))
        .fold(false, |any, (&a, &b)| any | ((a == b'/') & ((b == b'/') | (b == b'.'))));
    // `/.well-known` is plain, so the doubtful are looked at again.
    !doubtful
        || (!path.windows(2).any(|two| two == b"//")
            && !path.split(|&b| b == b'/').any(|segment| segment == b"." || segment == b".."))
}

/// `HTTP/1.0`, or `HTTP/1.` and another digit, and the CRLF after it.
#[inline]
fn read_version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, WireFault> {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<10>()) {
        Some(b"HTTP/1.1\r\n") => Ok(Some((Version::Http11, at + 10))),
        _ => read_rare_version(bytes, at),
    }
}

fn read_rare_version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, WireFault> {
    if let Some(wrong) = version_mismatch(bytes, at) {
        // A space or the line's end right here: the line has a word too few, or one space too many.
        let is_gap = wrong == at && matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r'));
        let fault = if is_gap { WireFault::RequestLine } else { WireFault::VersionSyntax };
        return stray(bytes, wrong, fault, fault);
    }
    let end = at + VERSION_SHAPE.len();
    let is_space = matches!(bytes.get(end), Some(b' ' | b'\t'));
    let fault = if is_space { WireFault::RequestLine } else { WireFault::VersionSyntax };
    let Some(next) = line_end(bytes, end, fault)? else { return Ok(None) };
    Ok(Some((version_of(bytes[at + 5], bytes[at + 7])?, next)))
}

const VERSION_SHAPE: &[u8; 8] = b"HTTP/d.d";

/// The first byte that does not fit `HTTP/d.d` (or is not there yet).
fn version_mismatch(bytes: &[u8], at: usize) -> Option<usize> {
    VERSION_SHAPE.iter().zip(at..).find_map(|(&shape, place)| {
        let fits = match (shape, bytes.get(place)) {
            (_, None) => false,
            (b'd', Some(b)) => b.is_ascii_digit(),
            (_, Some(&b)) => b == shape,
        };
        (!fits).then_some(place)
    })
}

/// RFC 9110 2.5: a higher minor is served as the highest we know; another major is another protocol.
fn version_of(major: u8, minor: u8) -> Result<Version, WireFault> {
    match (major, minor) {
        (b'1', b'0') => Ok(Version::Http10),
        (b'1', _) => Ok(Version::Http11),
        _ => Err(WireFault::VersionUnsupported),
    }
}

/// Reads the status line (RFC 9112 4) into `head` and returns the place after it. No empty line may come before it.
/// The space before an absent reason is often left out; nothing is gained by refusing that.
pub(super) fn read_status_line(head: &mut ResponseHead, bytes: &[u8]) -> Result<Option<usize>, WireFault> {
    if let Some(wrong) = version_mismatch(bytes, 0) {
        let at_line_end = if wrong == 0 { WireFault::LeadingLines } else { WireFault::StatusLine };
        return stray(bytes, wrong, at_line_end, WireFault::StatusLine);
    }
    head.version = version_of(bytes[5], bytes[7])?;
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let fits = |at: usize| match at {
        8 => bytes.get(at) == Some(&b' '),
        9 => is_digit(at) && bytes[at] != b'0',
        _ => is_digit(at),
    };
    if let Some(wrong) = (8..12).find(|&at| !fits(at)) {
        return stray(bytes, wrong, WireFault::StatusLine, WireFault::StatusLine);
    }
    head.status = bytes[9..12].iter().fold(0, |n, b| n * 10 + u16::from(b - b'0'));
    if bytes.get(12) != Some(&b' ') {
        head.reason = Span::EMPTY;
        return line_end(bytes, 12, WireFault::StatusLine);
    }
    let end = value_end(bytes, 13);
    head.reason = Span::between(13, end);
    line_end(bytes, end, WireFault::StatusLine)
}

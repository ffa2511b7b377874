//! Answers the proxy makes itself, the reason phrases they carry, and the date.

use crate::http1::encode::{HSTS, write_decimal};
use crate::http1::encode_fields::{ends_in_head, write_field};
use crate::plan::FieldLine;

/// An answer of our own. Field names and values come from settings or code and are checked there.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnAnswer<'a> {
    pub status: u16,
    pub fields: &'a [(&'a str, &'a str)],
    /// The operator's fields, written after `fields`.
    pub lines: &'a [FieldLine],
    pub body: &'a [u8],
    pub content_type: Option<&'a str>,
    /// IMF-fixdate.
    pub date: Option<&'a [u8]>,
    pub server: Option<&'a str>,
    /// Strict-Transport-Security; empty = none.
    pub hsts: &'a str,
    /// Write `Connection: close`.
    pub close: bool,
    /// Write `Connection: keep-alive` for a client that speaks 1.0.
    pub keep_alive_http10: bool,
    /// The request was HEAD: the body's length is told, the body is not sent.
    pub head_only: bool,
}

/// Writes the whole answer, head and body.
pub fn encode_own_answer(out: &mut Vec<u8>, answer: &OwnAnswer<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(answer.status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(answer.status).as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(date) = answer.date {
        write_field(out, b"Date", date);
    }
    if let Some(server) = answer.server {
        write_field(out, b"Server", server.as_bytes());
    }
    let fields = answer.fields.iter().copied();
    let lines = answer.lines.iter().map(|line| (line.name.as_str(), line.value.as_str()));
    for (name, value) in fields.chain(lines) {
        write_field(out, name.as_bytes(), value.as_bytes());
    }
    if !answer.hsts.is_empty() {
        write_field(out, HSTS, answer.hsts.as_bytes());
    }
    let has_body = !ends_in_head(answer.status) && answer.status != 304;
    if has_body {
        if let Some(content_type) = answer.content_type {
            write_field(out, b"Content-Type", content_type.as_bytes());
        }
        out.extend_from_slice(b"Content-Length: ");
        write_decimal(out, answer.body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    if answer.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if answer.keep_alive_http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if has_body && !answer.head_only {
        out.extend_from_slice(answer.body);
    }
}

/// The reason phrase of a status; empty for one we do not know, which the grammar allows (RFC 9112 4).
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

const SECONDS_PER_DAY: u64 = 86_400;

/// Writes an IMF-fixdate (RFC 9110 5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`, for a time before the year 10000.
pub fn write_http_date(out: &mut [u8; 29], unix_seconds: u64) {
    const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed"; // 1 January 1970 was a Thursday
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let days = unix_seconds / SECONDS_PER_DAY;
    let second = unix_seconds % SECONDS_PER_DAY;
    // Years are counted from March, so that the leap day is the last of its year, in eras of 400 years.
    let shifted = days + 719_468;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 2 } else { shifted_month - 10 } as usize;
    let year = year_of_era + shifted / 146_097 * 400 + u64::from(month < 2);

    let weekday = (days % 7) as usize;
    out.copy_from_slice(b"ddd, 00 mmm 0000 00:00:00 GMT");
    out[..3].copy_from_slice(&DAYS[weekday * 3..weekday * 3 + 3]);
    out[8..11].copy_from_slice(&MONTHS[month * 3..month * 3 + 3]);
    let two = |out: &mut [u8; 29], at: usize, n: u64| {
        out[at] = b'0' + (n / 10 % 10) as u8;
        out[at + 1] = b'0' + (n % 10) as u8;
    };
    two(out, 5, day);
    two(out, 12, year / 100);
    two(out, 14, year % 100);
    two(out, 17, second / 3_600);
    two(out, 20, second / 60 % 60);
    two(out, 23, second % 60);
}

//! The known ways to make two readers of one byte stream disagree, as one table: RFC 9112 section 11 and the published
//! request smuggling techniques. Each row must be refused under its name, or read in the only way that is left.

use proto::fault::WireFault;
use proto::http1::body::ChunkReader;
use proto::http1::framing::{RequestBody, decide_request};
use proto::http1::head::{Parsed, RequestHead};
use proto::limits::HeadLimits;

/// How a row ends.
enum Ends {
    /// Refused with this fault.
    In(WireFault),
    /// Taken; so many bytes of the row are left for the next request.
    WithRest(usize),
}
use Ends::{In, WithRest};
use WireFault as F;

struct Row {
    name: &'static str,
    /// Where the rule is that this breaks or rests on.
    section: &'static str,
    bytes: &'static [u8],
    ends: Ends,
}

const fn row(name: &'static str, section: &'static str, bytes: &'static [u8], ends: Ends) -> Row {
    Row { name, section, bytes, ends }
}

/// A request with a chunked body behind the framing fields of the row.
macro_rules! post {
    ($fields:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\n", $fields, "\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\n").as_bytes()
    };
}

/// A chunked request whose body is the row's.
macro_rules! chunked {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

const ROWS: &[Row] = &[
    row("CL.TE", "RFC 9112 6.1", post!("Content-Length: 30\r\nTransfer-Encoding: chunked\r\n"), In(F::LengthAndCoding)),
    row("TE.CL", "RFC 9112 6.1", post!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), In(F::LengthAndCoding)),
    row("CL.CL", "RFC 9110 8.6", post!("Content-Length: 5\r\nContent-Length: 0\r\n"), In(F::LengthDuplicate)),
    row("CL list", "RFC 9110 8.6", post!("Content-Length: 5, 0\r\n"), In(F::LengthInvalid)),
    row("CL with sign", "RFC 9110 8.6", post!("Content-Length: +5\r\n"), In(F::LengthInvalid)),
    row("CL negative", "RFC 9110 8.6", post!("Content-Length: -5\r\n"), In(F::LengthInvalid)),
    row("CL hexadecimal", "RFC 9110 8.6", post!("Content-Length: 0x5\r\n"), In(F::LengthInvalid)),
    row("CL behind vertical tab", "RFC 9110 5.5", post!("Content-Length: \x0b5\r\n"), In(F::FieldValue)),
    row("CL wraps 64 bits", "RFC 9110 8.6", post!("Content-Length: 18446744073709551621\r\n"), In(F::LengthInvalid)),
    row("CL hidden by a space", "RFC 9112 5.1", post!("Content-Length : 5\r\n"), In(F::SpaceBeforeColon)),
    row("CL hidden in a fold", "RFC 9112 5.2", post!("X: y\r\n Content-Length: 5\r\n"), In(F::ObsFold)),
    row(
        "CL and an alias of TE",
        "beyond",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer_Encoding: chunked\r\n\r\nxG",
        WithRest(1),
    ),
    // CL.0: a body where none is expected is still a body.
    row("CL.0 GET", "RFC 9110 9.3.1", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGETG", WithRest(1)),
    row("0.CL: no length means no body", "RFC 9112 6.3", b"POST / HTTP/1.1\r\nHost: a\r\n\r\nGET", WithRest(3)),
    // TE.TE: a coding that only one of two readers recognises.
    row(
        "TE twice",
        "RFC 9112 6.1",
        post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
        In(F::CodingInvalid),
    ),
    row("TE chunked twice", "RFC 9112 7.1", post!("Transfer-Encoding: chunked, chunked\r\n"), In(F::CodingInvalid)),
    row("TE identity", "RFC 9112 7", post!("Transfer-Encoding: identity\r\n"), In(F::CodingInvalid)),
    row("TE list with identity", "RFC 9112 7", post!("Transfer-Encoding: chunked, identity\r\n"), In(F::CodingInvalid)),
    row("TE x-prefixed", "RFC 9112 7", post!("Transfer-Encoding: xchunked\r\n"), In(F::CodingInvalid)),
    row("TE suffixed", "RFC 9112 7", post!("Transfer-Encoding: chunkedx\r\n"), In(F::CodingInvalid)),
    row("TE with comma", "RFC 9110 5.6.1", post!("Transfer-Encoding: ,chunked\r\n"), In(F::CodingInvalid)),
    row("TE with parameter", "RFC 9112 7", post!("Transfer-Encoding: chunked;a=b\r\n"), In(F::CodingInvalid)),
    row("TE quoted", "RFC 9112 7", post!("Transfer-Encoding: \"chunked\"\r\n"), In(F::CodingInvalid)),
    row("TE single-quoted", "RFC 9112 7", post!("Transfer-Encoding: 'chunked'\r\n"), In(F::CodingInvalid)),
    row("TE empty", "RFC 9112 7", post!("Transfer-Encoding:\r\n"), In(F::CodingInvalid)),
    row("TE hidden by a space", "RFC 9112 5.1", post!("Transfer-Encoding : chunked\r\n"), In(F::SpaceBeforeColon)),
    row("TE hidden by a tab", "RFC 9112 5.1", post!("Transfer-Encoding\t: chunked\r\n"), In(F::SpaceBeforeColon)),
    row("TE hidden in a fold", "RFC 9112 5.2", post!("X: y\r\n\tTransfer-Encoding: chunked\r\n"), In(F::ObsFold)),
    row("TE value folded", "RFC 9112 5.2", post!("Transfer-Encoding:\r\n chunked\r\n"), In(F::ObsFold)),
    row("TE behind a bare LF", "RFC 9112 2.2", post!("X: y\nTransfer-Encoding: chunked\r\n"), In(F::BareLf)),
    row("TE behind a bare CR", "RFC 9112 2.2", post!("X: y\rTransfer-Encoding: chunked\r\n"), In(F::BareCr)),
    row("TE behind a vertical tab", "RFC 9110 5.5", post!("Transfer-Encoding: \x0bchunked\r\n"), In(F::FieldValue)),
    row("TE behind a NUL", "RFC 9110 5.5", post!("Transfer-Encoding: chunked\0\r\n"), In(F::FieldValue)),
    row("TE name with NUL", "RFC 9110 5.1", post!("Transfer-Encoding\0: chunked\r\n"), In(F::FieldName)),
    row("TE name in quotes", "RFC 9110 5.1", post!("\"Transfer-Encoding\": chunked\r\n"), In(F::FieldName)),
    row("TE name behind a colon", "RFC 9110 5.1", post!(":Transfer-Encoding: chunked\r\n"), In(F::FieldName)),
    row(
        "TE on HTTP/1.0",
        "RFC 9112 6.1",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        In(F::CodingOnHttp10),
    ),
    row(
        "TE removed by Connection",
        "RFC 9110 7.6.1",
        post!("Connection: Transfer-Encoding\r\n"),
        In(F::ConnectionInvalid),
    ),
    row(
        "CL removed by Connection",
        "RFC 9110 7.6.1",
        post!("Connection: Content-Length\r\nContent-Length: 0\r\n"),
        In(F::ConnectionInvalid),
    ),
    // Chunk tricks.
    row("size 0x", "RFC 9112 7.1", chunked!("0x5\r\nhello\r\n0\r\n\r\n"), In(F::ChunkSize)),
    row("size wraps 64 bits", "RFC 9112 7.1", chunked!("10000000000000005\r\nhello\r\n0\r\n\r\n"), In(F::ChunkSize)),
    row("size wraps 32 bits is not small", "RFC 9112 7.1", chunked!("ffffffffffffffff\r\n"), In(F::ChunkSize)),
    row("size empty", "RFC 9112 7.1", chunked!(";x\r\n\r\n"), In(F::ChunkSize)),
    row("size behind a space", "RFC 9112 7.1", chunked!(" 0\r\n\r\n"), In(F::ChunkSize)),
    row("size before a space", "RFC 9112 7.1", chunked!("0 \r\n\r\n"), In(F::ChunkSize)),
    row("size with sign", "RFC 9112 7.1", chunked!("+0\r\n\r\n"), In(F::ChunkSize)),
    row("size ends in LF", "RFC 9112 2.2", chunked!("0\n\n"), In(F::BareLf)),
    row("extension ends in LF (TERM.EXT)", "RFC 9112 7.1.1", chunked!("2;\nxx\r\n4c\r\n0\r\n\r\n"), In(F::BareLf)),
    row("extension name holds LF (EXT.TERM)", "RFC 9112 7.1.1", chunked!("2;a\nxx\r\n0\r\n\r\n"), In(F::BareLf)),
    row("extension holds CR", "RFC 9112 7.1.1", chunked!("2;a\rxx\r\n0\r\n\r\n"), In(F::BareCr)),
    row("quoted extension holds LF", "RFC 9112 7.1.1", chunked!("2;a=\"\n\"\r\nxx\r\n0\r\n\r\n"), In(F::BareLf)),
    row(
        "quoted extension holds CRLF",
        "RFC 9112 7.1.1",
        chunked!("2;a=\"\r\nxx\r\n0\r\n\r\n\"\r\n"),
        In(F::ChunkExtension),
    ),
    row("two bytes for the end of data", "RFC 9112 7.1", chunked!("2\r\nxxXX0\r\n\r\n"), In(F::ChunkEnd)),
    row("data ends in LF", "RFC 9112 2.2", chunked!("2\r\nxx\n0\r\n\r\n"), In(F::BareLf)),
    row("data ends in CR", "RFC 9112 2.2", chunked!("2\r\nxx\rX0\r\n\r\n"), In(F::BareCr)),
    row("trailer sets the length", "RFC 9110 6.5.1", chunked!("0\r\nContent-Length: 9\r\n\r\nG"), WithRest(1)),
    row("trailers are a request", "RFC 9112 7.1.2", chunked!("0\r\nGET /admin HTTP/1.1\r\n\r\n"), In(F::Trailer)),
    row("trailers end in LF", "RFC 9112 2.2", chunked!("0\r\nX: y\n\r\n"), In(F::BareLf)),
    // RFC 9112 11.1 and 11.2: response splitting is fed by line ends inside values, smuggling by lines read twice.
    row("line end in the target", "RFC 9112 11.1", b"GET /\r\nX: y HTTP/1.1\r\nHost: a\r\n\r\n", In(F::RequestLine)),
    row("bare CR in the target", "RFC 9112 11.2", b"GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n", In(F::BareCr)),
    row("head ends in LF LF", "RFC 9112 2.2", b"GET / HTTP/1.1\nHost: a\n\n", In(F::BareLf)),
    row("head ends in CR CR", "RFC 9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\r", In(F::BareCr)),
    row(
        "white space before the first field",
        "RFC 9112 2.2",
        b"GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n",
        In(F::ObsFold),
    ),
    // Who is asked.
    row("two hosts", "RFC 9112 3.2", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", In(F::HostDuplicate)),
    row("a list of hosts", "RFC 9112 3.2", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", In(F::HostInvalid)),
    row(
        "host hidden by a space",
        "RFC 9112 5.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n",
        In(F::SpaceBeforeColon),
    ),
    row(
        "absolute-form decides against Host",
        "RFC 9112 3.2.2",
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        WithRest(0),
    ),
    row(
        "user information hides the host",
        "RFC 9110 4.2.4",
        b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        In(F::Target),
    ),
    row("host followed by a path", "RFC 9112 3.2", b"GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n", In(F::HostInvalid)),
    row("no space before the version", "RFC 9112 3", b"GET /HTTP/1.1\r\nHost: a\r\n\r\n", In(F::RequestLine)),
    row("HTTP/0.9 inside a stream", "RFC 9112 3", b"GET /\r\n", In(F::RequestLine)),
    row(
        "HTTP/2 preface on an HTTP/1 stream",
        "RFC 9113 3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        In(F::VersionUnsupported),
    ),
];

/// Bytes left when the message ended, or why it was refused. A row that never ends is a mistake in the table.
fn read(bytes: &[u8]) -> Result<usize, WireFault> {
    let limits = HeadLimits::default();
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &limits)?, Parsed::Complete, "the row is not whole");
    let mut rest = bytes[head.len..].to_vec();
    match decide_request(bytes, &head)?.body {
        RequestBody::None => Ok(rest.len()),
        RequestBody::Length(n) => Ok(rest.len() - usize::try_from(n).expect("a small length")),
        RequestBody::Chunked => {
            let decoded = ChunkReader::new().decode(&mut rest, &limits, &mut Vec::new())?;
            assert!(decoded.done, "the row is not whole");
            Ok(rest.len() - decoded.consumed)
        }
    }
}

#[test]
fn no_known_trick_is_read_in_two_ways() {
    for Row { name, section, bytes, ends } in ROWS {
        match (ends, read(bytes)) {
            (In(wanted), Err(found)) => assert_eq!(*wanted, found, "{name} ({section})"),
            (WithRest(wanted), Ok(found)) => assert_eq!(*wanted, found, "{name} ({section})"),
            (_, found) => panic!("{name} ({section}): {found:?}"),
        }
    }
}

#[test]
fn absolute_form_decides_the_host() {
    let bytes = b"GET http://b:8080/ HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
    assert_eq!(head.host.of(bytes), b"b:8080");
}

//! Heads between HTTP/2 and the engine's one form of a head, which is HTTP/1 text: what came over HTTP/2 is written as
//! such a text and then read by the parser that reads all heads, so every rule about heads holds for both. What the
//! engine wrote for HTTP/1 is taken apart again, and what HTTP/2 says by its frames is left out (RFC 9113 8.2.2).

use crate::tls_client::base64;
use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use proto::fault::WireFault;
use proto::http1::fields::eq_ignore_case;
use proto::http1::head::RequestHead;

/// Cookie pairs that came as fields of their own are one field again (RFC 9113 8.2.3).
const CRUMB_SEPARATOR: &[u8] = b"; ";

/// Why a request cannot be written as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unwritable {
    /// `:path` is neither a path nor `*`, or is missing.
    Path,
    /// `:authority` and Host are not the same (RFC 9113 8.3.1).
    Host,
    /// Extended CONNECT to something that is not a WebSocket (RFC 8441).
    Protocol,
    /// A value begins or ends with a space or a tab (RFC 9113 8.2.1), which a reader of text would not see.
    Value,
}

impl Unwritable {
    /// What the client is told.
    #[must_use]
    pub const fn fault(self) -> WireFault {
        match self {
            Self::Path | Self::Host | Self::Protocol => WireFault::PseudoFields,
            Self::Value => WireFault::FieldValue,
        }
    }
}

/// Writes a request's head. `ended`: no body follows. `nonce`: for the key of a WebSocket, which HTTP/2 does not have.
pub fn write_request<B>(out: &mut Vec<u8>, request: &Request<B>, ended: bool, nonce: &str) -> Result<(), Unwritable> {
    let protocol = request.extensions().get::<Protocol>();
    let upgrade = match protocol.map(Protocol::as_str) {
        Some(name) if !eq_ignore_case(name.as_bytes(), b"websocket") => return Err(Unwritable::Protocol),
        Some(_) => true,
        None => false,
    };
    let fields = request.headers();
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let hosts = fields.get_all("host");
    if let Some(authority) = authority {
        if hosts.iter().any(|host| !eq_ignore_case(host.as_bytes(), authority)) {
            return Err(Unwritable::Host);
        }
    }
    let connect = request.method() == Method::CONNECT && !upgrade;
    let target = match request.uri().path_and_query().map(http::uri::PathAndQuery::as_str) {
        _ if connect => authority.unwrap_or_default(),
        Some(path) if path.starts_with('/') || path == "*" => path.as_bytes(),
        _ => return Err(Unwritable::Path),
    };
    out.extend_from_slice(if upgrade { b"GET" } else { request.method().as_str().as_bytes() });
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    match authority {
        Some(authority) => write_line(out, b"host", authority),
        None => hosts.iter().for_each(|host| write_line(out, b"host", host.as_bytes())),
    }
    let has_length = fields.contains_key("content-length");
    if fields.values().any(|value| has_blank_edge(value.as_bytes())) {
        return Err(Unwritable::Value);
    }
    write_fields(out, fields);
    if upgrade {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        write_line(out, b"sec-websocket-key", nonce.as_bytes());
    } else {
        if fields.contains_key("te") {
            out.extend_from_slice(b"connection: te\r\n");
        }
        if !ended && !has_length {
            // A body of unknown length; to an origin of HTTP/1 it is chunked.
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Every field but Host, with the crumbs of a cookie joined.
fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        if name != "host" && name != "cookie" {
            write_line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let mut crumbs = fields.get_all("cookie").iter();
    if let Some(first) = crumbs.next() {
        out.extend_from_slice(b"cookie: ");
        out.extend_from_slice(first.as_bytes());
        for crumb in crumbs {
            out.extend_from_slice(CRUMB_SEPARATOR);
            out.extend_from_slice(crumb.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes an answer's head, interim or final.
pub fn write_answer<B>(out: &mut Vec<u8>, answer: &Response<B>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(answer.status().as_str().as_bytes());
    out.extend_from_slice(b" \r\n");
    for (name, value) in answer.headers() {
        write_line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the answer to an extended CONNECT that was made of an upgrade: 200 says there what 101 says in HTTP/1.
pub fn write_upgrade<B>(out: &mut Vec<u8>, answer: &Response<B>, accept: &str) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n");
    write_line(out, b"sec-websocket-accept", accept.as_bytes());
    for (name, value) in answer.headers() {
        if name != "content-length" {
            write_line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What answers the key of a WebSocket's handshake (RFC 6455 4.2.2), for a request of our own writing.
#[must_use]
pub fn websocket_accept(text: &[u8]) -> String {
    const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let (_, fields) = split_head(text);
    let fields = read_fields(fields);
    let key = fields.get("sec-websocket-key").map_or(&b""[..], |key| key.as_bytes());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, KEY_SUFFIX].concat());
    base64(digest.as_ref())
}

/// Writes trailers as a chunked body's last part, for the reader of such parts to judge.
pub fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        write_line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn has_blank_edge(value: &[u8]) -> bool {
    matches!((value.first(), value.last()), (Some(b' ' | b'\t'), _) | (_, Some(b' ' | b'\t')))
}

fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// An answer's head that the engine wrote. `connect`: it answers an extended CONNECT, where 200 says what 101 says in
/// HTTP/1 (RFC 8441 5).
#[must_use]
pub fn read_answer(text: &[u8], connect: bool) -> Response<()> {
    let (line, fields) = split_head(text);
    let code = line.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    let mut answer = Response::new(());
    *answer.status_mut() = match code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
        StatusCode::SWITCHING_PROTOCOLS if connect => StatusCode::OK,
        code => code,
    };
    *answer.headers_mut() = read_fields(fields);
    if connect {
        answer.headers_mut().remove("sec-websocket-accept");
    }
    answer
}

/// A request's head that the engine wrote, for an origin that speaks HTTP/2. `connect`: an upgrade to a WebSocket becomes
/// an extended CONNECT.
#[must_use]
pub fn read_request(text: &[u8], scheme: &str, connect: bool) -> Option<Request<()>> {
    let (line, fields) = split_head(text);
    let line = std::str::from_utf8(line).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let (path, _) = rest.rsplit_once(' ')?;
    let mut headers = read_fields(fields);
    let authority = headers.remove("host")?;
    let uri = Uri::builder().scheme(scheme).authority(authority.as_bytes()).path_and_query(path).build().ok()?;
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    if connect {
        headers.remove("sec-websocket-key");
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    *request.headers_mut() = headers;
    Some(request)
}

/// Trailer lines that the engine wrote.
#[must_use]
pub fn read_trailers(lines: &[u8]) -> HeaderMap {
    read_fields(lines)
}

/// The first line without its end, and the lines behind it.
fn split_head(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\r', text).unwrap_or(text.len());
    (&text[..end], text.get(end + 2..).unwrap_or_default())
}

/// Lines of our own writing: `name: value` and CRLF. Fields that only HTTP/1 has are left out.
fn read_fields(lines: &[u8]) -> HeaderMap {
    let text = Bytes::copy_from_slice(lines);
    let mut map = HeaderMap::with_capacity(16);
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'\r', &text[at..]).filter(|length| *length > 0) {
        let line = at..at + length;
        at = line.end + 2;
        let Some(colon) = memchr::memchr(b':', &text[line.clone()]) else { continue };
        let Ok(name) = HeaderName::from_bytes(&text[line.start..line.start + colon]) else { continue };
        if is_of_http1(&name) {
            continue;
        }
        let value = text.slice(line.start + colon + 1..line.end);
        let value = value.slice_ref(value.trim_ascii());
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            // Heads have a limit far below what the map can hold.
            let _ = map.try_append(name, value);
        }
        if at >= text.len() {
            break;
        }
    }
    map
}

/// RFC 9113 8.2.2: what HTTP/2 says by its frames.
fn is_of_http1(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == "keep-alive"
        || *name == "proxy-connection"
}

/// Whether the engine's own text of a request asks for a WebSocket.
#[must_use]
pub fn asks_for_websocket(head: &RequestHead, bytes: &[u8]) -> bool {
    use proto::http1::fields::{FieldKind, value_of};
    value_of(bytes, &head.fields, FieldKind::Upgrade).is_some_and(|value| eq_ignore_case(value, b"websocket"))
}

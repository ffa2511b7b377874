//! What the Connection fields of a message say, and which fields a peer may have removed by naming them there.

use crate::fault::WireFault;
use crate::http1::fields::{FieldKind, classify, eq_ignore_case, is, is_token, list_items};
use crate::http1::head::Field;

/// What the Connection fields of a message say (RFC 9110 7.6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    pub te: bool,
    /// Names a field besides those, which must be removed: ask `is_nominated`.
    pub nominated: bool,
}

/// Reads every Connection field of a message.
///
/// A peer may nominate fields for removal, which is how it could strip what the next hop rests on. The framing fields
/// are refused; what carries identity or policy stays although nominated (CVE-2022-31813 removed X-Forwarded-For).
pub fn connection_options(head: &[u8], fields: &[Field]) -> Result<ConnectionOptions, WireFault> {
    let mut options = ConnectionOptions::default();
    for field in fields.iter().filter(|f| f.kind == FieldKind::Connection) {
        for item in list_items(field.value.of(head)) {
            if !is_token(item) {
                return Err(WireFault::ConnectionInvalid);
            }
            match (item.len(), item[0] | 0x20) {
                (10, b'k') if is(item, b"keep-alive") => options.keep_alive = true,
                (5, b'c') if is(item, b"close") => options.close = true,
                (7, b'u') if is(item, b"upgrade") => options.upgrade = true,
                (2, b't') if is(item, b"te") => options.te = true,
                _ => match nomination(item) {
                    Nomination::Refused => return Err(WireFault::ConnectionInvalid),
                    Nomination::Ignored => {}
                    Nomination::Taken => options.nominated = true,
                },
            }
        }
    }
    Ok(options)
}

/// Whether a Connection field nominates the field `name` for removal. Asked only when `ConnectionOptions::nominated`.
#[must_use]
pub fn is_nominated(head: &[u8], fields: &[Field], name: &[u8]) -> bool {
    let mut connections = fields.iter().filter(|f| f.kind == FieldKind::Connection);
    connections.any(|f| list_items(f.value.of(head)).any(|item| eq_ignore_case(item, name)))
        && nomination(name) == Nomination::Taken
}

#[derive(PartialEq, Eq)]
enum Nomination {
    Taken,
    Ignored,
    Refused,
}

fn nomination(name: &[u8]) -> Nomination {
    use FieldKind as K;
    match classify(name) {
        K::Host | K::ContentLength | K::TransferEncoding => Nomination::Refused,
        K::XForwardedFor | K::XForwardedProto | K::XForwardedHost | K::XForwardedOther | K::XRealIp => {
            Nomination::Ignored
        }
        K::Forwarded | K::ClientCert | K::Via | K::Authorization | K::Cookie | K::SetCookie => Nomination::Ignored,
        K::CacheControl | K::ContentType | K::Expect | K::MaxForwards | K::Date => Nomination::Ignored,
        // Kept or removed by rules of their own; nominating them says nothing new.
        K::KeepAlive | K::ProxyConnection | K::Http2Settings | K::Connection => Nomination::Ignored,
        K::Upgrade | K::Te => Nomination::Ignored,
        _ => Nomination::Taken,
    }
}

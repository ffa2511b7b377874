//! What an origin is told about the client: X-Forwarded-For, -Proto and -Host, and Forwarded (RFC 7239). What a peer
//! says about those before it is kept only if the peer is trusted; otherwise anyone could claim to be anyone.

use crate::http1::encode::Forwarding;
use crate::http1::encode_fields::{is_edited_away, write_field};
use crate::http1::fields::FieldKind;
use crate::http1::head::RequestHead;
use crate::plan::FieldEdit;

/// Writes our forwarding fields; what a trusted peer sent of the others has been copied already.
pub(super) fn write_forwarding(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &RequestHead,
    forwarding: &Forwarding<'_>,
    edits: &[FieldEdit],
) {
    let is_ours = |name: &[u8]| edits.is_empty() || !is_edited_away(edits, name);
    let is_kept = |kind: FieldKind| forwarding.trusted_peer && head.kinds.has(kind);
    let host = head.host.of(bytes);
    if forwarding.x_forwarded {
        if is_ours(b"X-Forwarded-For") {
            write_forwarded_for(out, bytes, head, forwarding);
        }
        if !is_kept(FieldKind::XForwardedProto) && is_ours(b"X-Forwarded-Proto") {
            write_field(out, b"X-Forwarded-Proto", forwarding.proto);
        }
        if !host.is_empty() && !is_kept(FieldKind::XForwardedHost) && is_ours(b"X-Forwarded-Host") {
            write_field(out, b"X-Forwarded-Host", host);
        }
    }
    if !forwarding.client_cert.is_empty() && is_ours(b"Client-Cert") {
        write_field(out, b"Client-Cert", forwarding.client_cert);
    }
    if forwarding.forwarded && is_ours(b"Forwarded") {
        write_forwarded(out, host, forwarding);
    }
}

/// One field with the whole list: some servers read only the first or only the last of several.
fn write_forwarded_for(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, forwarding: &Forwarding<'_>) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if forwarding.trusted_peer && head.kinds.has(FieldKind::XForwardedFor) {
        let earlier = head.fields.iter().filter(|f| f.kind == FieldKind::XForwardedFor && !f.value.is_empty());
        for field in earlier {
            out.extend_from_slice(field.value.of(bytes));
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(forwarding.client_ip);
    out.extend_from_slice(b"\r\n");
}

/// RFC 7239 4: one element a hop, here as a field line of its own; 6: a v6 address is bracketed, and both it and a
/// host with a port must be quoted.
fn write_forwarded(out: &mut Vec<u8>, host: &[u8], forwarding: &Forwarding<'_>) {
    out.extend_from_slice(b"Forwarded: for=");
    if forwarding.client_is_v6 {
        out.extend_from_slice(b"\"[");
        out.extend_from_slice(forwarding.client_ip);
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(forwarding.client_ip);
    }
    if !host.is_empty() {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(forwarding.proto);
    out.extend_from_slice(b"\r\n");
}

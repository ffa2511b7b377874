//! The parts every written head has in common: copying field lines in runs, our own lines, the operator's edits.

use crate::http1::fields::{FieldKind, KindSet, classify, eq_ignore_case, is_nominated};
use crate::http1::head::{Field, Version};
use crate::plan::FieldEdit;

/// Copies the lines that stay. Neighbouring plain lines become one copy, which is most of a head.
pub(super) struct Copier<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    drops: KindSet,
    nominated: bool,
    edits: &'a [FieldEdit],
    run: std::ops::Range<usize>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        fields: &'a [Field],
        drops: KindSet,
        nominated: bool,
        edits: &'a [FieldEdit],
    ) -> Self {
        Self { bytes, fields, drops, nominated, edits, run: 0..0 }
    }

    /// Drops one kind more.
    pub(super) fn also_drop(&mut self, kind: FieldKind) {
        self.drops = self.drops.with(kind);
    }

    /// Copies the field unless it is to be dropped.
    #[inline]
    pub(super) fn consider(&mut self, out: &mut Vec<u8>, field: &Field) {
        if !self.drops(field) {
            self.copy(out, field);
        }
    }

    #[inline]
    pub(super) fn drops(&self, field: &Field) -> bool {
        self.drops.has(field.kind) || ((self.nominated || !self.edits.is_empty()) && self.is_removed(field))
    }

    fn is_removed(&self, field: &Field) -> bool {
        let name = field.name.of(self.bytes);
        (self.nominated && is_nominated(self.bytes, self.fields, name)) || is_edited_away(self.edits, name)
    }

    #[inline]
    pub(super) fn copy(&mut self, out: &mut Vec<u8>, field: &Field) {
        if !field.plain {
            self.flush(out);
            write_field(out, field.name.of(self.bytes), field.value.of(self.bytes));
            return;
        }
        let line = field.line();
        if self.run.end != line.start {
            self.flush(out);
            self.run = line;
        } else {
            self.run.end = line.end;
        }
    }

    /// Writes the lines gathered so far; needed before anything else is written.
    #[inline]
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[self.run.clone()]);
        self.run = 0..0;
    }
}

/// Writes one line in its normal form.
#[inline]
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 8.6 and RFC 9112 6.1: these answers carry neither length nor coding.
pub(super) const fn ends_in_head(status: u16) -> bool {
    status < 200 || status == 204
}

/// RFC 9110 7.6.3: Via tells the version the message was received in.
pub(super) fn write_via(out: &mut Vec<u8>, via: Option<&[u8]>, received: Version, edits: &[FieldEdit]) {
    let Some(name) = via else { return };
    if is_edited_away(edits, b"Via") {
        return;
    }
    out.extend_from_slice(match received {
        Version::Http10 => b"Via: 1.0 ".as_slice(),
        Version::Http11 => b"Via: 1.1 ",
        Version::Http2 => b"Via: 2 ",
    });
    out.extend_from_slice(name);
    out.extend_from_slice(b"\r\n");
}

fn edit_name(edit: &FieldEdit) -> &str {
    match edit {
        FieldEdit::Remove { name } | FieldEdit::Set { name, .. } | FieldEdit::Add { name, .. } => name,
    }
}

/// Settings refuse edits of framing fields; this is the second lock.
fn may_edit(name: &[u8]) -> bool {
    use FieldKind as K;
    !matches!(classify(name), K::Host | K::ContentLength | K::TransferEncoding | K::Connection)
}

/// Whether an edit removes or replaces the fields of this name.
pub(super) fn is_edited_away(edits: &[FieldEdit], name: &[u8]) -> bool {
    edits.iter().any(|edit| !matches!(edit, FieldEdit::Add { .. }) && eq_ignore_case(edit_name(edit).as_bytes(), name))
        && may_edit(name)
}

/// Writes what the edits set and add. They hold in their order, so what a later one removes is not written.
pub(super) fn write_added_edits(out: &mut Vec<u8>, edits: &[FieldEdit]) {
    for (at, edit) in edits.iter().enumerate() {
        if let FieldEdit::Set { name, value } | FieldEdit::Add { name, value } = edit {
            let name = name.as_bytes();
            if may_edit(name) && !is_edited_away(&edits[at + 1..], name) {
                write_field(out, name, value.as_bytes());
            }
        }
    }
}

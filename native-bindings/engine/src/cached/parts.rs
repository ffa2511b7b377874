//! Parts of one content put together (RFC 9111 3.4): two stored parts with the same strong validator that touch become one,
//! and what has every byte becomes the whole.

use crate::cached::fill::parse_stored;
use crate::hot::{Body, Content, Entry, NewEntry};
use proto::cache::range::{Part, write_content_range};
use proto::cache::record::Record;
use proto::cache::validation::may_join;
use proto::http1::encode::write_field;
use proto::http1::fields::eq_ignore_case;
use std::sync::Arc;

/// Both parts as one, with the fields of the newer. `None` where they do not make one, or one holds the other.
pub(crate) fn joined(stored: &Entry, new: &Entry) -> Option<Arc<Entry>> {
    if !may_join(&stored.record, &new.record) {
        return None;
    }
    let (a, b) = (stored.record.part?, new.record.part?);
    let part = a.joined(b)?;
    let (stored_content, new_content) = (stored.body.whole_content()?, new.body.whole_content()?);
    let mut bytes = Vec::with_capacity(usize::try_from(part.len()).ok()?);
    // What both have is the same, for their validator is a strong one.
    copy(&mut bytes, stored_content, a, a.range.first, b.range.first.min(a.range.last + 1));
    copy(&mut bytes, new_content, b, b.range.first, b.range.last + 1);
    copy(&mut bytes, stored_content, a, b.range.last + 1, a.range.last + 1);
    if bytes.len() as u64 != part.len() {
        return None;
    }
    let head = head_of(new, part);
    Some(Entry::new(NewEntry {
        place: new.place,
        target: new.target.clone(),
        extras: new.extras.clone(),
        vary: new.vary.clone(),
        variant: new.variant.clone(),
        record: record_of(&new.record, part),
        parsed: parse_stored(&head)?,
        head: head.into(),
        body: Arc::new(Body::whole(&bytes)),
        tags: new.tags.clone(),
        tag_names: new.tag_names.clone(),
        // Whichever purge is about one of them is about both.
        stamp: stored.content_stamp().min(new.stamp),
    }))
}

/// Bytes `from..to` of the whole, of which `part` is in `content`.
fn copy(out: &mut Vec<u8>, content: &Content, part: Part, from: u64, to: u64) {
    let mut at = from.max(part.range.first);
    while at < to {
        let chunk = content.at(at - part.range.first);
        let length = chunk.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        if length == 0 {
            return;
        }
        out.extend_from_slice(&chunk[..length]);
        at += length as u64;
    }
}

fn record_of(new: &Record, part: Part) -> Record {
    let whole = part.is_whole();
    Record {
        status: if whole { 200 } else { new.status },
        length: part.whole.or(new.length),
        part: (!whole).then_some(part),
        ..new.clone()
    }
}

/// The head of the newer part, with the range that there is now; of the whole there is none.
fn head_of(new: &Entry, part: Part) -> Vec<u8> {
    let mut head = Vec::with_capacity(new.head.len() + 64);
    let line: &[u8] = if part.is_whole() { b"HTTP/1.1 200 OK\r\n" } else { b"HTTP/1.1 206 Partial Content\r\n" };
    head.extend_from_slice(line);
    let lines = new.parsed.fields.iter().map(|field| (field.name.of(&new.head), field.value.of(&new.head)));
    for (name, value) in lines.filter(|(name, _)| !eq_ignore_case(name, b"Content-Range")) {
        write_field(&mut head, name, value);
    }
    if !part.is_whole() {
        head.extend_from_slice(b"Content-Range: ");
        write_content_range(&mut head, part.range, part.whole);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

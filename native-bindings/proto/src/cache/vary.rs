//! Which of several answers for one target a request gets (RFC 9111 4.1): the names that `Vary` lists, and the values of
//! those request fields in a form in which what means the same is the same.
//!
//! Origins change what they vary by from answer to answer. So a target keeps the last few sets of names it was answered
//! with, and a request is looked for under each: an answer that varies by less never hides one that varies by more.

use crate::cache::message::{Asked, Lines};
use crate::http1::encode::write_decimal;
use crate::http1::fields::{FieldKind, is_token, list_items, trim_ows};
use serde::{Deserialize, Serialize};

/// Most names of one set.
pub const VARY_NAMES_MAX: usize = 16;
/// Sets of names that one target keeps.
pub const VARY_SETS_MAX: usize = 4;

/// The names of one answer's `Vary`: lower case, in order, each once. Empty = it does not vary.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VarySet {
    names: Vec<Box<[u8]>>,
}

/// Why an answer can be selected by no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNoVary {
    /// `*`, or something that is no field name and so could be anything.
    Star,
    TooMuch,
}

impl VarySet {
    /// What the Vary lines of an answer list.
    pub fn of(lines: Lines<'_>) -> Result<Self, WhyNoVary> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for item in lines.values(FieldKind::Vary).flat_map(list_items) {
            if item == b"*" || !is_token(item) {
                return Err(WhyNoVary::Star);
            }
            let name = item.to_ascii_lowercase().into_boxed_slice();
            if let Err(place) = names.binary_search(&name) {
                names.insert(place, name);
            }
            if names.len() > VARY_NAMES_MAX {
                return Err(WhyNoVary::TooMuch);
            }
        }
        Ok(Self { names })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &**name)
    }

    /// Writes the secondary key of a request for this set: nothing for an answer that does not vary. A field that is not
    /// there is told from one that is empty.
    pub fn write_key(&self, asked: Asked<'_>, out: &mut Vec<u8>) {
        for name in &self.names {
            out.push(b'\n');
            out.extend_from_slice(name);
            let values = asked.sent_on(name);
            if values.clone().next().is_some() {
                out.push(b'=');
                write_normal(name, values, out);
            }
        }
    }
}

/// The sets of names one target was answered with, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VarySets {
    sets: Vec<VarySet>,
}

impl VarySets {
    /// Puts a set first; returns the one that had to go, with everything stored under it.
    pub fn note(&mut self, set: VarySet) -> Option<VarySet> {
        self.sets.retain(|known| *known != set);
        self.sets.insert(0, set);
        if self.sets.len() > VARY_SETS_MAX { self.sets.pop() } else { None }
    }

    pub fn iter(&self) -> impl Iterator<Item = &VarySet> {
        self.sets.iter()
    }
}

/// How a field's value may be rewritten without changing what it means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A list whose members may be told in any order and case.
    Set,
    /// A list with weights: sorted by them, members of one weight as they came, which some servers go by.
    Weighted { any_case: bool },
    /// Nothing is known but that lines may be joined.
    Opaque,
}

fn form_of(name: &[u8]) -> Form {
    match name {
        b"accept-encoding" | b"accept-charset" => Form::Set,
        b"accept-language" => Form::Weighted { any_case: true },
        // Parameters of media types may mean something else in another case (RFC 9110 5.6.6).
        b"accept" => Form::Weighted { any_case: false },
        _ => Form::Opaque,
    }
}

fn write_normal<'a>(name: &[u8], values: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
    let from = out.len();
    if !write_sorted(form_of(name), values.clone(), out) {
        out.truncate(from);
        for (place, value) in values.enumerate() {
            out.extend_from_slice(if place > 0 { b", " } else { b"" });
            out.extend_from_slice(trim_ows(value));
        }
    }
}

/// Most members of a list that are put in order; a longer list is compared as it is.
const MEMBERS_MAX: usize = 16;

/// A list member that was written at `at..end`, its name up to `name_end`.
#[derive(Clone, Copy, Default)]
struct Member {
    weight: u16,
    at: u32,
    name_end: u32,
    end: u32,
}

impl Member {
    fn name(self, out: &[u8]) -> &[u8] {
        &out[self.at as usize..self.name_end as usize]
    }
}

/// Writes the members of a list in their order; `false` if they have none that is known.
fn write_sorted<'a>(form: Form, values: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> bool {
    if form == Form::Opaque {
        return false;
    }
    let (mut members, mut count, from) = ([Member::default(); MEMBERS_MAX], 0, out.len());
    for value in values {
        // Inside of quotes a comma divides nothing.
        if memchr::memchr(b'"', value).is_some() {
            return false;
        }
        for item in list_items(value) {
            let Some(room) = members.get_mut(count) else { return false };
            *room = write_member(item, form != (Form::Weighted { any_case: false }), out);
            count += 1;
        }
    }
    let members = &mut members[..count];
    let precedes = |a: &Member, b: &Member| match form {
        Form::Set => b.weight.cmp(&a.weight).then_with(|| a.name(out).cmp(b.name(out))),
        _ => b.weight.cmp(&a.weight).then(a.at.cmp(&b.at)),
    };
    if !members.is_sorted_by(|a, b| precedes(a, b).is_le()) {
        members.sort_unstable_by(precedes);
        // Written once more in their order; then the first writing is taken away.
        let unsorted_end = out.len();
        for member in members {
            out.extend_from_within(member.at as usize..member.end as usize);
        }
        out.drain(from..unsorted_end);
    }
    true
}

/// Writes a list member without white space, its weight (RFC 9110 12.4.2) behind it in thousandths unless it is the
/// whole.
fn write_member(item: &[u8], fold: bool, out: &mut Vec<u8>) -> Member {
    let (mut weight, at) = (1000, out.len());
    if memchr::memchr(b';', item).is_none() {
        out.extend_from_slice(item);
    } else {
        for (place, piece) in item.split(|&b| b == b';').map(trim_ows).enumerate() {
            match piece {
                [b'q' | b'Q', b'=', text @ ..] if weight_of(text).is_some() => {
                    weight = weight_of(text).unwrap_or(weight);
                }
                _ => {
                    out.extend_from_slice(if place > 0 { b";" } else { b"" });
                    out.extend_from_slice(piece);
                }
            }
        }
    }
    if fold {
        out[at..].make_ascii_lowercase();
    }
    let name_end = out.len();
    if weight != 1000 {
        // No value has a CR, so nothing else can be written like this.
        out.push(b'\r');
        write_decimal(out, u64::from(weight));
    }
    out.push(b',');
    // Heads are shorter than 64 KiB, and so is what is made of their fields.
    let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Member { weight, at: place(at), name_end: place(name_end), end: place(out.len()) }
}

fn weight_of(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let digit = |b: &u8| b.is_ascii_digit().then(|| u16::from(b - b'0'));
    let mut weight = digit(whole)?;
    for place in 0..3 {
        weight = weight * 10 + fraction.get(place).map_or(Some(0), digit)?;
    }
    (weight <= 1000).then_some(weight)
}

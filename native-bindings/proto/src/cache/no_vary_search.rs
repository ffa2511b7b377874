//! `No-Vary-Search` (draft-ietf-httpbis-no-vary-search): which parameters of the query an answer does not depend on. Two
//! queries that it takes for the same get the same text here, to stand in a key in place of the query.

use crate::cache::message::{Lines, parameters};
use crate::cache::structured::{Bare, Member, parse_dictionary, unescaped};

/// Most names of one answer: each parameter of each request is compared with all of them.
const NAMES_MAX: usize = 64;

/// What an answer says. The default is that every parameter counts, and their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchVariance {
    keys: Keys,
    ordered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    /// All count but these.
    AllBut(Vec<Vec<u8>>),
    /// None count but these.
    NoneBut(Vec<Vec<u8>>),
}

impl Default for SearchVariance {
    fn default() -> Self {
        Self { keys: Keys::AllBut(Vec::new()), ordered: true }
    }
}

impl SearchVariance {
    /// Reads the field; what is not valid says nothing.
    #[must_use]
    pub fn of(lines: Lines<'_>) -> Self {
        let mut room = Vec::new();
        lines.joined(b"No-Vary-Search", &mut room).and_then(Self::read).unwrap_or_default()
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (mut order, mut params, mut except) = (None, None, None);
        let mut unknown = false;
        let take = |key: &[u8], member| match key {
            b"key-order" => order = Some(member),
            b"params" => params = Some(member),
            b"except" => except = Some(member),
            _ => unknown = true,
        };
        parse_dictionary(text, take).ok()?;
        if unknown {
            return None;
        }
        let ordered = match order {
            None => true,
            Some(Member::Item(Bare::Bool(order_is_nothing))) => !order_is_nothing,
            Some(_) => return None,
        };
        let keys = match (params, except) {
            (Some(Member::Item(Bare::Bool(true))), None) => Keys::NoneBut(Vec::new()),
            (Some(Member::Item(Bare::Bool(true))), Some(Member::Inner(names))) => Keys::NoneBut(strings(&names)?),
            (_, Some(_)) => return None,
            (None | Some(Member::Item(Bare::Bool(false))), None) => Keys::AllBut(Vec::new()),
            (Some(Member::Inner(names)), None) => Keys::AllBut(strings(&names)?),
            (Some(Member::Item(_)), None) => return None,
        };
        Some(Self { keys, ordered })
    }

    /// Whether it says anything that the query as it stands does not.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Writes what is left of a query: its parameters decoded as forms are, those that count, in their order or sorted,
    /// encoded in one way.
    pub fn write_query(&self, query: &[u8], out: &mut Vec<u8>) {
        let mut kept: Vec<(Vec<u8>, Vec<u8>)> = parameters(query)
            .map(|(name, whole)| (decoded(name), decoded(whole.get(name.len() + 1..).unwrap_or_default())))
            .filter(|(name, _)| self.counts(name))
            .collect();
        if !self.ordered {
            kept.sort_by(|a, b| a.0.cmp(&b.0));
        }
        for (name, value) in kept {
            write_encoded(out, &name);
            out.push(b'=');
            write_encoded(out, &value);
            out.push(b'&');
        }
    }

    fn counts(&self, name: &Vec<u8>) -> bool {
        match &self.keys {
            Keys::AllBut(names) => !names.contains(name),
            Keys::NoneBut(names) => names.contains(name),
        }
    }
}

/// Names of parameters, which are encoded as in a query.
fn strings(items: &[Bare<'_>]) -> Option<Vec<Vec<u8>>> {
    if items.len() > NAMES_MAX {
        return None;
    }
    let name = |item: &Bare<'_>| match item {
        Bare::String(text) => Some(decoded(&unescaped(text))),
        _ => None,
    };
    items.iter().map(name).collect()
}

/// `application/x-www-form-urlencoded`.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |b: u8| char::from(b).to_digit(16);
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    rest = after;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    out
}

fn write_encoded(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

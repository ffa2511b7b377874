//! The directives of an answer (RFC 9111 5.2.2, RFC 5861, RFC 8246), whichever field they came in. What forbids counts
//! however it is written; what allows counts only if it is written as it must be.

use crate::cache::items::{Argument, Item, items, seconds};
use crate::cache::message::Lines;
use crate::cache::structured::Bare;
use crate::http1::fields::{FieldKind, eq_ignore_case, is_token, list_items};

/// A directive with a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delta {
    #[default]
    Absent,
    Seconds(u32),
    /// Not a number of seconds, or two that differ: an answer with it is stale (RFC 9111 4.2.1).
    Invalid,
}

impl Delta {
    #[must_use]
    pub fn read(argument: Argument<'_>) -> Self {
        argument.text().and_then(seconds).map_or(Self::Invalid, Self::Seconds)
    }

    /// Takes in another directive of the same name.
    pub fn also(&mut self, other: Self) {
        *self = match *self {
            Self::Absent => other,
            known if known == other => known,
            _ => Self::Invalid,
        };
    }

    #[must_use]
    pub const fn seconds(self) -> Option<u32> {
        match self {
            Self::Seconds(n) => Some(n),
            Self::Absent | Self::Invalid => None,
        }
    }

    #[must_use]
    pub const fn is_present(self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// A directive that holds for the whole answer or for some of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    Absent,
    Fields(Vec<Box<[u8]>>),
    Whole,
}

impl Scope {
    /// Whether it names the field `name`.
    #[must_use]
    pub fn names(&self, name: &[u8]) -> bool {
        matches!(self, Self::Fields(names) if names.iter().any(|n| eq_ignore_case(n, name)))
    }

    /// Takes in a directive with this list of names; a list that is none means the whole answer.
    fn also(&mut self, list: Option<&[u8]>) {
        let names: Option<Vec<&[u8]>> = list.map(|list| list_items(list).collect());
        let valid = names.filter(|names| !names.is_empty() && names.iter().all(|name| is_token(name)));
        match (valid, &mut *self) {
            (None, _) => *self = Self::Whole,
            (Some(_), Self::Whole) => {}
            (Some(names), Self::Fields(known)) => known.extend(names.into_iter().map(Box::from)),
            (Some(names), Self::Absent) => *self = Self::Fields(names.into_iter().map(Box::from).collect()),
        }
    }
}

/// What an answer says of caching.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AnswerDirectives {
    pub max_age: Delta,
    pub s_maxage: Delta,
    pub stale_while_revalidate: Delta,
    pub stale_if_error: Delta,
    pub no_store: bool,
    pub no_cache: Scope,
    pub private: Scope,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub no_transform: bool,
}

impl AnswerDirectives {
    /// What its Cache-Control lines say.
    #[must_use]
    pub fn of(lines: Lines<'_>) -> Self {
        let mut found = Self::default();
        lines.values(FieldKind::CacheControl).flat_map(items).for_each(|item| found.take_item(item));
        found
    }

    fn take_item(&mut self, item: Item<'_>) {
        let Item { name, argument } = item;
        let names = match argument {
            Argument::Token(list) | Argument::Quoted(list) => Some(list),
            Argument::None | Argument::Malformed => None,
        };
        self.take(name, names, Delta::read(argument), argument == Argument::None);
    }

    /// Takes in a member of a targeted field (RFC 9213 2.1), whose numbers are integers, whose lists are strings and
    /// whose words without an argument are true. `false` says that the directive is not there.
    pub fn take_member(&mut self, name: &[u8], value: Bare<'_>) {
        let delta = match value {
            Bare::Integer(n) => u64::try_from(n).map_or(Delta::Invalid, |n| {
                Delta::Seconds(u32::try_from(n).unwrap_or(u32::MAX).min(super::items::SECONDS_MAX))
            }),
            _ => Delta::Invalid,
        };
        match value {
            Bare::Bool(false) => {}
            Bare::String(list) | Bare::Token(list) => self.take(name, Some(list), delta, false),
            other => self.take(name, None, delta, other == Bare::Bool(true)),
        }
    }

    /// Whether a directive of this name means anything here.
    #[must_use]
    pub fn knows(name: &[u8]) -> bool {
        let mut tried = Self::default();
        tried.take(name, None, Delta::Invalid, true);
        tried != Self::default()
    }

    fn take(&mut self, name: &[u8], names: Option<&[u8]>, delta: Delta, bare: bool) {
        let is = |known: &[u8]| eq_ignore_case(name, known);
        match name.len() {
            6 if is(b"public") => self.public |= bare,
            7 if is(b"max-age") => self.max_age.also(delta),
            7 if is(b"private") => scope(&mut self.private, names, bare),
            8 if is(b"s-maxage") => self.s_maxage.also(delta),
            8 if is(b"no-store") => self.no_store = true,
            8 if is(b"no-cache") => scope(&mut self.no_cache, names, bare),
            9 if is(b"immutable") => self.immutable |= bare,
            12 if is(b"no-transform") => self.no_transform = true,
            14 if is(b"stale-if-error") => self.stale_if_error.also(delta),
            15 if is(b"must-revalidate") => self.must_revalidate = true,
            15 if is(b"must-understand") => self.must_understand |= bare,
            16 if is(b"proxy-revalidate") => self.proxy_revalidate = true,
            22 if is(b"stale-while-revalidate") => self.stale_while_revalidate.also(delta),
            _ => {} // RFC 9111 5.2.3: what is not known is ignored
        }
    }

    /// Whether a shared cache may store the answer to a request with Authorization (RFC 9111 3.5).
    #[must_use]
    pub fn allow_authorized(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.seconds().is_some()
    }

    /// Whether they forbid to use the answer once it is stale (RFC 9111 4.2.4); `s-maxage` says so too (5.2.2.10).
    #[must_use]
    pub fn forbid_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_store || self.no_cache == Scope::Whole
    }
}

fn scope(scope: &mut Scope, names: Option<&[u8]>, bare: bool) {
    scope.also(if bare { None } else { names });
}

#[cfg(test)]
#[path = "directives_tests.rs"]
mod tests;

//! What a request asks of caches (RFC 9111 5.2.1, 5.4). A limit that is no number is the tightest there is.

use crate::cache::items::{Argument, items, seconds};
use crate::cache::message::Lines;
use crate::http1::fields::{FieldKind, KindSet, eq_ignore_case, list_items};
use crate::plan::{CachePolicy, ClientDirectives};

/// Fields without which a request asks nothing of a cache.
pub(super) const ASKING_KINDS: KindSet = KindSet::of(&[FieldKind::CacheControl, FieldKind::Pragma]);

/// See the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RequestDirectives {
    pub max_age_s: Option<u32>,
    pub min_fresh_s: Option<u32>,
    /// How stale an answer may be; `u32::MAX` = any.
    pub max_stale_s: Option<u32>,
    pub no_cache: bool,
    pub no_store: bool,
    pub only_if_cached: bool,
}

impl RequestDirectives {
    #[must_use]
    pub fn of(lines: Lines<'_>) -> Self {
        let mut found = Self::default();
        if !lines.kinds.meets(ASKING_KINDS) {
            return found;
        }
        for item in lines.values(FieldKind::CacheControl).flat_map(items) {
            found.take(item.name, item.argument);
        }
        // RFC 9111 5.4: Pragma speaks only where Cache-Control does not.
        if !lines.kinds.has(FieldKind::CacheControl) {
            let mut pragmas = lines.values(FieldKind::Pragma).flat_map(list_items);
            found.no_cache = pragmas.any(|pragma| eq_ignore_case(pragma, b"no-cache"));
        }
        found
    }

    /// Those that count on a route: where it lets clients ask for nothing, what is left is what they forbid.
    #[must_use]
    pub fn under(lines: Lines<'_>, policy: &CachePolicy) -> Self {
        let said = Self::of(lines);
        match policy.client_directives {
            ClientDirectives::Honour => said,
            ClientDirectives::Ignore => {
                Self { max_age_s: None, min_fresh_s: None, max_stale_s: None, no_cache: false, ..said }
            }
        }
    }

    fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &[u8]| eq_ignore_case(name, known);
        let number = argument.text().and_then(seconds);
        match name.len() {
            7 if is(b"max-age") => tighten(&mut self.max_age_s, number.unwrap_or(0), u32::min),
            8 if is(b"no-cache") => self.no_cache = true,
            8 if is(b"no-store") => self.no_store = true,
            9 if is(b"min-fresh") => tighten(&mut self.min_fresh_s, number.unwrap_or(u32::MAX), u32::max),
            9 if is(b"max-stale") => {
                let any = argument == Argument::None;
                tighten(&mut self.max_stale_s, if any { u32::MAX } else { number.unwrap_or(0) }, u32::min);
            }
            14 if is(b"only-if-cached") => self.only_if_cached = true,
            _ => {}
        }
    }
}

/// Of a limit that is given twice the tighter one holds.
fn tighten(limit: &mut Option<u32>, new: u32, tighter: fn(u32, u32) -> u32) {
    *limit = Some(limit.map_or(new, |known| tighter(known, new)));
}

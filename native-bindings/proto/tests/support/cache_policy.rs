//! Reads what a vector says of its route's cache policy: `policy` lines, each one setting in a few words.

use proto::plan::{
    AuthorizationUse, BypassWhen, CachePolicy, ClientDirectives, CookieUse, PartialUse, PathMatch, QueryKey,
    SetCookieUse, StatusRange, TtlRule,
};

/// Takes in one line behind `policy`; panics on what it does not know, so that no vector tests less than it says.
pub fn apply(policy: &mut CachePolicy, line: &str) {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let name = words.next().expect("a policy line names a setting");
    let rest: Vec<&str> = words.collect();
    let list = || rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let number = |at: usize| rest[at].parse::<u32>().unwrap_or_else(|_| panic!("{line}: a number is missing"));
    match name {
        "off" => policy.enabled = false,
        "targets" => policy.targets = list(),
        "surrogate-control" => policy.surrogate_control = true,
        "no-vary-search" => policy.no_vary_search = true,
        "no-groups" => policy.groups = false,
        "tags" => policy.tag_fields = list(),
        "object-bytes" => policy.object_bytes = u64::from(number(0)),
        "heuristic" => (policy.heuristic.percent, policy.heuristic.longest_s) = (number(0), number(1)),
        "while-revalidate" => policy.grace.while_revalidate_s = number(0),
        "if-error" => policy.grace.if_error_s = number(0),
        "stale-despite-s-maxage" => policy.grace.despite_s_maxage = true,
        "ignore-clients" => policy.client_directives = ClientDirectives::Ignore,
        "authorization" => policy.authorization = authorization(rest[0]),
        "set-cookie" => policy.set_cookie = set_cookie(rest[0]),
        "partial" => policy.partial = partial(rest[0]),
        "bypass-on-cookies" => policy.cookies = CookieUse::BypassOn { names: list() },
        "bypass-except-cookies" => policy.cookies = CookieUse::BypassExcept { names: list() },
        "bypass-field" => policy
            .bypass
            .push(BypassWhen::Field { name: rest[0].to_owned(), value: rest.get(1).map(|word| (*word).to_owned()) }),
        "bypass-cookie" => policy.bypass.push(BypassWhen::Cookie { name: rest[0].to_owned() }),
        "bypass-query" => policy.bypass.push(BypassWhen::Query { name: rest[0].to_owned() }),
        "bypass-path" => policy.bypass.push(BypassWhen::Path { path: pattern(rest[0]) }),
        "ttl" => policy.ttl.push(ttl(&rest)),
        "key-space" => policy.key.space = rest[0].to_owned(),
        "key-without-scheme" => policy.key.scheme = false,
        "key-without-host" => policy.key.host = false,
        "key-without-query" => policy.key.query = QueryKey::None,
        "key-query-only" => policy.key.query = QueryKey::Only { names: list() },
        "key-query-except" => policy.key.query = QueryKey::Except { names: list() },
        "key-sorts-query" => policy.key.sort_query = true,
        "key-folds-path" => policy.key.fold_path_case = true,
        "key-fields" => policy.key.fields = list(),
        "key-cookies" => policy.key.cookies = list(),
        other => panic!("no policy setting is called {other}"),
    }
}

fn pattern(value: &str) -> PathMatch {
    PathMatch::Pattern { value: value.to_owned() }
}

fn authorization(word: &str) -> AuthorizationUse {
    match word {
        "rfc" => AuthorizationUse::Rfc,
        "bypass" => AuthorizationUse::Bypass,
        "ignore" => AuthorizationUse::Ignore,
        other => panic!("authorization {other}"),
    }
}

fn set_cookie(word: &str) -> SetCookieUse {
    match word {
        "explicit" => SetCookieUse::Explicit,
        "refuse" => SetCookieUse::Refuse,
        "strip" => SetCookieUse::Strip,
        other => panic!("set-cookie {other}"),
    }
}

fn partial(word: &str) -> PartialUse {
    match word {
        "store" => PartialUse::Store,
        "fill" => PartialUse::Fill,
        "pass" => PartialUse::Pass,
        other => panic!("partial {other}"),
    }
}

/// `[404|400-499] [/path*] force N|floor N|cap N|default N|overrides …`
fn ttl(words: &[&str]) -> TtlRule {
    let mut rule = TtlRule::default();
    let mut words = words.iter();
    let number = |word: Option<&&str>| Some(word.expect("a number").parse().expect("a number"));
    while let Some(word) = words.next() {
        match *word {
            "force" => rule.force_s = number(words.next()),
            "floor" => rule.floor_s = number(words.next()),
            "cap" => rule.cap_s = number(words.next()),
            "default" => rule.default_s = number(words.next()),
            "overrides" => rule.overrides = true,
            path if path.starts_with('/') => rule.path = pattern(path),
            statuses => {
                let (from, to) = statuses.split_once('-').unwrap_or((statuses, statuses));
                let status = |text: &str| text.parse().unwrap_or_else(|_| panic!("ttl {text}"));
                rule.statuses.push(StatusRange { from: status(from), to: status(to) });
            }
        }
    }
    rule
}

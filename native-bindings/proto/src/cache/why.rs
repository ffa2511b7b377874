//! Every reason the cache has for what it does, in one table: the token for logs, counters and tests, the sentence for
//! `explain`, and what RFC 9211 calls it where a request goes on to the origin.

/// Builds the enum of reasons. The second column is the `fwd` token of RFC 9211 2.2, `-` where nothing is forwarded.
macro_rules! reasons {
    ($($variant:ident $token:literal $fwd:literal $says:literal;)*) => {
        /// See the file.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Why { $(#[doc = $says] $variant,)* }

        impl Why {
            /// Every row, in the order of the table; a row's place is its counter.
            pub const ALL: &'static [Why] = &[$(Why::$variant,)*];

            /// Its name in logs and counters: lower case, words joined by `_`, never changed.
            #[must_use]
            pub const fn token(self) -> &'static str { match self { $(Why::$variant => $token,)* } }

            /// The `fwd` of RFC 9211; `-` = none.
            #[must_use]
            pub const fn forwarded(self) -> &'static str { match self { $(Why::$variant => $fwd,)* } }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str { match self { $(Why::$variant => $says,)* } }
        }
    };
}

reasons! {
    // A request passes the cache by.
    Off "off" "bypass" "The route does not cache.";
    MethodNotCached "method_not_cached" "method" "Only GET and HEAD are answered from the cache.";
    RequestBody "request_body" "bypass" "The request has a body, which no key can speak for.";
    Upgrade "upgrade" "bypass" "The request asks for another protocol.";
    MethodOverride "method_override" "bypass" "A field of the request asks the origin for another method.";
    BypassCondition "bypass_condition" "bypass" "A condition of the route sends the request past the cache.";
    BypassCookie "bypass_cookie" "bypass" "The request has a cookie that the route does not cache for.";
    BypassAuthorization "bypass_authorization" "bypass" "The request has Authorization, which the route does not cache for.";
    ClientNoStore "client_no_store" "request" "The client asked that nothing of this be stored.";
    NoKey "no_key" "bypass" "The request has no host or target that a key could be made of.";

    // A stored answer is used.
    Fresh "fresh" "-" "The stored answer is fresh.";
    ClientMaxStale "client_max_stale" "-" "The stored answer is stale, and the client takes it as stale as it is.";
    WhileRevalidating "while_revalidating" "-" "The stored answer is stale and may be used while it is validated.";
    OriginDown "origin_down" "-" "The stored answer is stale, and the origin is known to be down.";
    IfError "if_error" "-" "The stored answer is stale, and the origin failed.";

    // The origin is asked.
    UriMiss "uri_miss" "uri-miss" "Nothing is stored for this target.";
    VaryMiss "vary_miss" "vary-miss" "What is stored for this target was for other request fields.";
    Uncacheable "uncacheable" "miss" "An answer to this was found uncacheable a short time ago.";
    PartMissing "part_missing" "partial" "What is stored is a part of the answer that does not hold what is asked for.";
    Stale "stale" "stale" "The stored answer is stale.";
    NoCache "no_cache" "stale" "The stored answer must be validated before each use.";
    ClientNoCache "client_no_cache" "request" "The client wants the stored answer validated.";
    ClientMaxAge "client_max_age" "request" "The stored answer is older than the client takes.";
    ClientMinFresh "client_min_fresh" "request" "The stored answer is not fresh for as long as the client wants.";
    Precondition "precondition" "request" "The stored answer does not meet a condition that only the origin can refuse.";
    OnlyIfCached "only_if_cached" "-" "The client wants a stored answer, and none may be used.";

    // An answer is stored, or changes what is stored.
    Storable "storable" "-" "The answer may be stored.";
    NotModified "not_modified" "-" "The origin says that the stored answer is still right.";
    HeadAgrees "head_agrees" "-" "The answer to HEAD is about the stored answer.";
    HeadDiffers "head_differs" "-" "The answer to HEAD is about another representation than the stored one.";
    UnsafeMethod "unsafe_method" "-" "An unsafe method succeeded, so what is stored for its target may be wrong.";
    OtherValidator "other_validator" "-" "The answer is 304 for a representation that is not stored.";

    // An answer is not stored.
    NotStoredMethod "not_stored_method" "-" "Answers to this method are not stored.";
    UnsafeFailed "unsafe_failed" "-" "An unsafe method failed, which changes nothing.";
    Interim "interim" "-" "Interim answers are not stored.";
    NotForStore "not_for_store" "-" "An answer of this status is about a stored one, and is none itself.";
    StatusNotUnderstood "status_not_understood" "-" "The answer must be understood to be stored, and its status is not.";
    NoStore "no_store" "-" "The answer says no-store.";
    Private "private" "-" "The answer is for one user.";
    Authorized "authorized" "-" "The request had Authorization, and the answer does not say that it may be shared.";
    NoLifetime "no_lifetime" "-" "Nothing says how long the answer is fresh, nor may it be guessed.";
    NeverUsable "never_usable" "-" "The answer is stale from the beginning and has nothing to be validated by.";
    SetsCookie "sets_cookie" "-" "The answer sets a cookie.";
    VaryStar "vary_star" "-" "The answer varies by what no request tells (Vary: *).";
    VaryTooMuch "vary_too_much" "-" "The answer varies by more fields than are compared.";
    TooLarge "too_large" "-" "The body is longer than the route stores.";
    PartUnknown "part_unknown" "-" "The answer is a part, and which part is not told in a way that can be used.";
    WholeStored "whole_stored" "-" "The answer is a part, and what is stored is the whole.";
    PartPassed "part_passed" "-" "The route does not store parts.";
    MustRevalidate "must_revalidate" "-" "The origin failed, and what is stored must not be used unasked: 504.";
    OriginFailed "origin_failed" "-" "The origin failed; what is stored stays.";

    // A body that was being stored is not kept.
    Truncated "truncated" "-" "The body ended before it was whole.";
    Aborted "aborted" "-" "The transfer was aborted.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_are_unique_and_forwarding_is_told_in_the_words_of_rfc_9211() {
        let tokens: HashSet<_> = Why::ALL.iter().map(|why| why.token()).collect();
        assert_eq!(tokens.len(), Why::ALL.len());
        let known = ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial", "-"];
        for why in Why::ALL {
            assert!(known.contains(&why.forwarded()), "{why:?}");
            assert!(why.token().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{why:?}");
            assert!(why.sentence().ends_with('.'), "{why:?}");
        }
    }
}

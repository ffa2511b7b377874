//! What routes promise about hosts, paths and spellings.

use super::*;

fn normal(path: &str) -> String {
    let mut out = Vec::new();
    normalise_path(path.as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
}

fn pattern(pattern: &str, path: &str) -> bool {
    pattern_takes(&pieces(pattern.as_bytes()), path.as_bytes())
}

#[test]
fn dot_segments_cannot_leave_a_route() {
    for (sent, seen) in [
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../x", "/x"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("", "/"),
        ("/", "/"),
        ("//a", "//a"),
        ("/a%2Fb", "/a%2Fb"),
        ("/%61dmin", "/admin"),
        ("/..a/...", "/..a/..."),
    ] {
        assert_eq!(normal(sent), seen, "{sent}");
    }
}

#[test]
fn a_star_stays_in_its_segment_and_two_stars_do_not() {
    assert!(pattern("/u/*/p", "/u/7/p"));
    assert!(!pattern("/u/*/p", "/u/7/8/p"));
    assert!(pattern("/s/**.css", "/s/a/b/c.css"));
    assert!(pattern("/s/**", "/s/"));
    assert!(!pattern("/s/*.css", "/s/a.js"));
    assert!(pattern("/*", "/"));
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let test = PathTest::new(&PathMatch::Prefix { value: "/a".into() });
    assert!(test.takes(b"/a") && test.takes(b"/a/b"));
    assert!(!test.takes(b"/ab"));
    let slash = PathTest::new(&PathMatch::Prefix { value: "/a/".into() });
    assert!(slash.takes(b"/a/b") && !slash.takes(b"/a"));
}

#[test]
fn a_wildcard_takes_what_is_below_it_and_not_the_name_itself() {
    assert!(host_matches("*.example.org", b"a.example.org"));
    assert!(host_matches("*.example.org", b"a.b.example.org"));
    assert!(!host_matches("*.example.org", b"example.org"));
    assert!(!host_matches("*.example.org", b"evilexample.org"));
    assert!(wildcard_covers("*.org", b"example.org"));
    assert!(!wildcard_covers("*.example.org", b"org"));
}

#[test]
fn a_host_that_begins_with_a_dot_is_below_nothing() {
    let table = RouteTable {
        routes: Vec::new(),
        exact: HashMap::new(),
        wildcard: HashMap::from([(b"example.org".as_slice().into(), vec![7])]),
        any: vec![1],
    };
    assert_eq!(table.candidates(b"a.example.org:80"), [7]);
    assert_eq!(table.candidates(b".example.org"), [1]);
    assert_eq!(table.candidates(b"example.org"), [1]);
}

#[test]
fn a_port_is_no_part_of_the_name() {
    assert_eq!(without_port(b"a:80"), b"a");
    assert_eq!(without_port(b"[::1]:80"), b"[::1]");
}

fn head_of(bytes: &[u8]) -> RequestHead {
    let limits = crate::limits::HeadLimits {
        request_line_bytes: 8192,
        head_bytes: 8192,
        field_count: 64,
        chunk_extension_bytes: 0,
    };
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &limits), Ok(crate::http1::head::Parsed::Complete));
    head
}

#[test]
fn a_route_for_one_scheme_takes_no_other() {
    let route = |secure| Matcher { path: PathTest::Any, methods: Vec::new(), headers: Vec::new(), secure };
    let table = RouteTable {
        routes: vec![route(Some(false)), route(Some(true)), route(None)],
        exact: HashMap::new(),
        wildcard: HashMap::new(),
        any: vec![0, 1, 2],
    };
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = head_of(bytes);
    let asked = |secure| Asked { bytes, head: &head, path: b"/", secure };
    assert_eq!((table.find(&asked(false)), table.find(&asked(true))), (Some(0), Some(1)));
    let both = RouteTable { any: vec![2], ..table };
    assert_eq!((both.find(&asked(false)), both.find(&asked(true))), (Some(2), Some(2)));
}

#[test]
fn a_request_came_over_tls_to_us_or_to_a_trusted_peer_that_says_so() {
    let says = |proto: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {proto}\r\n\r\n").into_bytes();
    let came = |bytes: &[u8], over_tls, trusted| came_secure(over_tls, trusted, &head_of(bytes), bytes);
    let silent = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(came(silent, true, false) && !came(silent, false, false) && !came(silent, false, true));
    assert!(came(&says("HTTPS"), false, true) && !came(&says("http"), false, true));
    assert!(!came(&says("https"), false, false), "anybody could say so");
    assert!(came(&says("http"), true, true), "it did come over TLS");
}

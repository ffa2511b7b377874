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

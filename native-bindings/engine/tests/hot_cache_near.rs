//! What one worker has near: it is given out as long as the cache would give out the same, and not a moment longer.

mod support {
    pub mod hot_entries;
}

use engine::hot::{Body, Entry, HotCache, Near, Purge, Wanted};
use std::sync::Arc;
use support::hot_entries::{Make, Request, cache};

/// A cache with one entry that is near.
struct Scene {
    cache: HotCache,
    near: Near,
    entry: Arc<Entry>,
    request: Request,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self::unused();
        assert!(scene.has());
        scene
    }

    /// The same before the first hit, so that it leaves the cache like anything else.
    fn unused() -> Self {
        let (cache, request, mut near) = (cache(100_000), Request::new(""), Near::default());
        let entry = Make { tags: &["t"], ..Make::default() }.make(&cache);
        assert!(cache.keep(&entry));
        near.note(&request.wants(&cache, "a/"), &entry);
        Self { cache, near, entry, request }
    }

    fn has(&mut self) -> bool {
        let found = self.near.look_up(&self.cache, &self.request.wants(&self.cache, "a/"));
        found.is_some_and(|found| Arc::ptr_eq(found, &self.entry))
    }
}

#[test]
fn it_is_found_for_its_target_and_extras_only() {
    let mut scene = Scene::new();
    let wanted = scene.request.wants(&scene.cache, "a/");
    assert!(scene.near.look_up(&scene.cache, &Wanted { extras: b"\ncookie a=1", ..wanted }).is_none());
    let other = scene.request.wants(&scene.cache, "b/");
    assert!(scene.near.look_up(&scene.cache, &Wanted { place: wanted.place, ..other }).is_none());
    assert!(scene.has());
}

#[test]
fn it_is_gone_with_what_takes_it_out_of_the_cache() {
    let purges =
        [Purge::Url(b"a/"[..].into()), Purge::Prefix(b"a"[..].into()), Purge::Tag(b"t"[..].into()), Purge::Everything];
    for (purge, soft) in purges.into_iter().flat_map(|purge| [(purge.clone(), true), (purge, false)]) {
        let mut scene = Scene::new();
        scene.cache.purge(&Purge::Tag(b"other"[..].into()), soft, 4, 40);
        assert!(scene.has());
        scene.cache.purge(&purge, soft, 5, 50);
        assert!(!scene.has(), "{purge:?}, soft: {soft}");
    }
    let mut scene = Scene::new();
    scene.cache.forget(&scene.entry);
    assert!(!scene.has());
    let mut scene = Scene::unused();
    for n in 0..2_000 {
        let target = format!("b/{n}");
        assert!(scene.cache.keep(&Make { target: &target, ..Make::default() }.make(&scene.cache)));
    }
    assert!(scene.entry.is_dead() && !scene.has());
}

#[test]
fn it_is_passed_over_when_another_answer_may_be_the_right_one() {
    let mut scene = Scene::new();
    assert!(scene.cache.keep(&Make { came_ms: 2, ..Make::default() }.make(&scene.cache)));
    assert!(!scene.has(), "replaced");
    let mut scene = Scene::new();
    assert!(scene.cache.keep(&Make { vary: "X", ..Make::default() }.make(&scene.cache)));
    assert!(!scene.has(), "the target varies");
    let mut scene = Scene::new();
    assert!(scene.cache.list(&Make { came_ms: 2, body: Body::growing(), ..Make::default() }.make(&scene.cache)));
    assert!(!scene.has(), "a newer one arrives");
    let mut scene = Scene::new();
    scene.cache.mark_uncacheable(&scene.request.wants(&scene.cache, "a/"), 5, 10);
    assert!(!scene.has(), "marked");
}

#[test]
fn what_varies_grows_or_is_large_is_not_near() {
    let (cache, request, mut near) = (cache(1_000_000), Request::new("X: y\r\n"), Near::default());
    let bodies = [Body::whole(&[1; 100_000]), Body::growing(), Body::whole(b"x")];
    for ((target, vary), body) in [("a/1", ""), ("a/2", ""), ("a/3", "X")].into_iter().zip(bodies) {
        let entry = Make { target, vary, lines: "X: y\r\n", body, ..Make::default() }.make(&cache);
        if entry.body.whole_content().is_some() {
            assert!(cache.keep(&entry));
        } else {
            assert!(cache.list(&entry));
        }
        let wanted = request.wants(&cache, target);
        near.note(&wanted, &cache.look_up(&wanted, 5).entry.expect("it is there"));
        assert!(near.look_up(&cache, &wanted).is_none(), "{target}");
    }
}

#[test]
fn its_hits_are_counted_and_a_sweep_lets_go_of_what_left() {
    let mut scene = Scene::new();
    (0..99).for_each(|_| assert!(scene.has()));
    assert!(scene.entry.hits() >= 90 && scene.entry.hits() <= 100, "{}", scene.entry.hits());
    let entry = Arc::downgrade(&scene.entry);
    scene.cache.forget(&scene.entry);
    let Scene { entry: last, mut near, .. } = scene;
    drop(last);
    assert!(entry.upgrade().is_some());
    near.sweep();
    assert!(entry.upgrade().is_none());
}

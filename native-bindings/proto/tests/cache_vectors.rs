//! Plays the conversations of test/vectors/cache-*.md on a cache of nothing but the rules.

mod support;

use support::cache_facts::holds_fact;
use support::cache_scene::Scene;
use support::cache_script::{Script, read_scripts};

fn play(script: &Script) {
    let mut scene = Scene::new(script.policy.clone());
    for step in &script.steps {
        let facts = scene.play(&step.exchange);
        for wanted in &step.expect {
            let told = || facts.join("; ");
            assert!(
                holds_fact(&facts, wanted),
                "{}\n{}: expected `{wanted}`, saw: {}",
                script.title,
                step.line,
                told()
            );
        }
    }
}

fn play_file(file: &str, at_least: usize) {
    let scripts = read_scripts(file);
    assert!(scripts.len() >= at_least, "vectors of {file} got lost: {}", scripts.len());
    for script in &scripts {
        assert!(script.title.contains("RFC ") || script.title.contains("route:"), "{}: no section", script.title);
        play(script);
    }
}

#[test]
fn freshness_is_as_the_vectors_say() {
    play_file("cache-freshness.md", 50);
}

#[test]
fn dates_are_read_as_the_vectors_say() {
    play_file("cache-dates.md", 20);
}

#[test]
fn directives_are_read_as_the_vectors_say() {
    play_file("cache-directives.md", 35);
}

#[test]
fn what_is_stored_is_as_the_vectors_say() {
    play_file("cache-storing.md", 55);
}

#[test]
fn what_requests_get_is_as_the_vectors_say() {
    play_file("cache-requests.md", 36);
}

#[test]
fn variants_are_told_apart_as_the_vectors_say() {
    play_file("cache-vary.md", 25);
}

#[test]
fn targets_are_told_apart_as_the_vectors_say() {
    play_file("cache-key.md", 39);
}

#[test]
fn stored_answers_are_validated_as_the_vectors_say() {
    play_file("cache-validation.md", 35);
}

#[test]
fn conditions_are_met_as_the_vectors_say() {
    play_file("cache-conditional.md", 25);
}

#[test]
fn ranges_are_cut_as_the_vectors_say() {
    play_file("cache-ranges.md", 40);
}

#[test]
fn unsafe_methods_invalidate_as_the_vectors_say() {
    play_file("cache-invalidation.md", 30);
}

#[test]
fn s2_10_stale_answers_are_used_as_the_vectors_say() {
    play_file("cache-stale.md", 25);
}

#[test]
fn targeted_fields_are_read_as_the_vectors_say() {
    play_file("cache-targeted.md", 25);
}

#[test]
fn cache_status_tells_what_the_vectors_say() {
    play_file("cache-status.md", 13);
}

//! No target is forgotten anywhere, and the corpus is what its fixtures make it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;

use micro_fuzz::{TARGETS, corpus, seeds};

fn names() -> BTreeSet<String> {
    TARGETS.iter().map(|target| target.name.to_owned()).collect()
}

fn inside(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(corpus::root().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn each_target_has_its_program_for_libfuzzer_which_calls_it_alone() {
    let files = names().iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(inside("fuzz_targets"), files);
    let manifest = fs::read_to_string(corpus::root().join("Cargo.toml")).unwrap();
    for name in names() {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\""))
        );
        let path = format!("fuzz_targets/{name}.rs");
        let program = fs::read_to_string(corpus::root().join(path)).unwrap();
        assert!(program.contains(&format!("micro_fuzz::{name}(data);")), "{program}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

#[test]
fn each_target_has_a_corpus_and_nothing_else_has() {
    assert_eq!(inside("corpus"), names());
    assert_eq!(
        seeds::all().unwrap().into_keys().collect::<BTreeSet<_>>(),
        names().iter().map(|n| &**n).collect()
    );
}

#[test]
fn each_target_has_its_test_on_stable_rust() {
    let tests = include_str!("short.rs");
    for name in names() {
        assert!(tests.contains(&format!("\n    {name},\n")), "{name} is not tested in short.rs");
    }
}

#[test]
fn the_corpus_has_what_the_fixtures_make_and_is_small() {
    for (target, inputs) in seeds::all().unwrap() {
        let there: std::collections::BTreeMap<_, _> =
            corpus::read(target).unwrap().into_iter().collect();
        for (name, input) in inputs {
            let again = "run `cargo run -p micro-fuzz --bin fuzz-seed`";
            assert!(
                there.get(&name) == Some(&input),
                "{target}/{name} is not of its fixture: {again}"
            );
        }
    }
    let all: Vec<_> = TARGETS.iter().flat_map(|t| corpus::read(t.name).unwrap()).collect();
    assert!(all.len() < 300, "{} files", all.len());
    assert!(all.iter().map(|(_, input)| input.len()).sum::<usize>() < 300_000);
}

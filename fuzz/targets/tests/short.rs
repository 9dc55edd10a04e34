//! Every target on stable Rust: its corpus, inputs that are nearly of it, and made ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use micro_fuzz::mutate::{Mutator, WORDS};
use micro_fuzz::{TARGETS, Target, corpus};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// As long as an input may be of which every truncation and every single change is tried.
const SHORT: usize = 600;
/// What a byte is replaced by: what means something to JSON, to texts and to addresses.
const BYTES: [u8; 10] = [0, b'"', b'\\', b'{', b']', b',', b'0', b'@', b'%', 0xff];

macro_rules! targets {
    ($($name:ident,)*) => {$(
        mod $name {
            use super::*;

            fn target() -> &'static Target {
                TARGETS.iter().find(|target| target.name == stringify!($name)).unwrap()
            }

            #[test]
            fn holds_for_its_corpus_and_takes_some_of_it() {
                corpus_holds(target());
            }

            #[test]
            fn holds_for_all_that_differs_by_one_byte_or_ends_too_early() {
                neighbours_hold(target());
            }

            #[test]
            fn holds_for_what_is_made() {
                made_holds(target());
            }
        }
    )*};
}

targets! {
    address_list,
    connection,
    envelope,
    error,
    header,
    mdns_record,
    registry_result,
    service,
    session,
    stream,
    tcp_address,
}

fn corpus_holds(target: &Target) {
    let inputs = corpus::read(target.name).unwrap();
    let taken = inputs.iter().filter(|(_, input)| (target.run)(input)).count();
    assert!(taken * 3 > inputs.len(), "{taken} of {} are taken", inputs.len());
}

fn neighbours_hold(target: &Target) {
    let mut inputs = corpus::read(target.name).unwrap();
    inputs.retain(|(_, input)| input.len() <= SHORT && (target.run)(input));
    inputs.sort_by_key(|(_, input)| std::cmp::Reverse(input.len()));
    assert!(inputs.len() >= 2, "no inputs that are short enough");
    for (_, input) in inputs.into_iter().take(8) {
        for at in 0..input.len() {
            (target.run)(&input[..at]);
            let mut changed = input.clone();
            for byte in BYTES {
                changed[at] = byte;
                (target.run)(&changed);
            }
        }
    }
}

/// As many inputs of each form as there are cases for a property (`PROPTEST_CASES`).
fn made_holds(target: &Target) {
    let inputs: Vec<Vec<u8>> =
        corpus::read(target.name).unwrap().into_iter().map(|(_, input)| input).collect();
    let near = any::<u64>().prop_map(move |seed| {
        let mut mutator = Mutator::new(inputs.clone(), seed);
        mutator.make().to_vec()
    });
    for made in [
        prop::collection::vec(any::<u8>(), 0..300).boxed(),
        any::<String>().prop_map(String::into_bytes).boxed(),
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40)
            .prop_map(|words| words.concat().into_bytes())
            .boxed(),
        json().prop_map(|json| json.to_string().into_bytes()).boxed(),
        near.boxed(),
    ] {
        let run = |input: Vec<u8>| {
            (target.run)(&input);
            Ok(())
        };
        TestRunner::default().run(&made, run).unwrap();
    }
}

/// Any JSON, with the keys and values of messages.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        prop::sample::select(
            &[
                "",
                "0",
                "1",
                "a",
                "greeter",
                "aGk=",
                "EOS",
                "get",
                "list",
                "put",
                "delete",
                "text/plain"
            ][..]
        )
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        6 => text.prop_map(Value::from),
    ];
    let key = prop_oneof![
        4 => prop::sample::select(&[
            "Header", "Body", "Micro-ID", "Micro-Id", "Micro-Stream", "Micro-Error", "Micro-Service", "Content-Type",
            "Timeout", "Connection", "Service", "Action", "Micro", "id", "code", "detail", "status",
            "name", "version", "metadata", "endpoints", "nodes", "address", "request", "values",
            "type", "micro-lease", "lease", "hash",
        ][..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            4 => prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::from(serde_json::Map::from_iter(map))),
        ]
    })
}

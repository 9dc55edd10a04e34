//! What the command says of itself.

use crate::program::Micro;
use crate::snapshot::is_as_in;

const VERBS: [&str; 10] = [
    "services",
    "describe",
    "watch",
    "call",
    "stream",
    "publish",
    "subscribe",
    "health",
    "completions",
    "man",
];

#[tokio::test]
async fn help_is_short_or_long_and_goes_to_standard_output() {
    for (word, file) in [("-h", "help/short.txt"), ("--help", "help/long.txt")] {
        is_as_in(file, &Micro::new(&[word]).run().await.fine());
    }
    let long = Micro::new(&["help"]).run().await.fine();
    is_as_in("help/long.txt", &long);
}

#[tokio::test]
async fn each_verb_has_help_of_its_own() {
    for verb in VERBS {
        let help = Micro::new(&[verb, "--help"]).run().await.fine();
        is_as_in(&format!("help/{verb}.txt"), &help);
        assert_eq!(Micro::new(&["help", verb]).run().await.fine(), help);
        let short = Micro::new(&[verb, "-h"]).run().await.fine();
        assert!(short.len() < help.len(), "the help of {verb} is no shorter with -h");
    }
}

#[tokio::test]
async fn an_alias_of_a_verb_is_that_verb() {
    let list = Micro::new(&["list", "--help"]).run().await.fine();
    assert_eq!(list, Micro::new(&["services", "--help"]).run().await.fine());
}

#[tokio::test]
async fn the_version_is_that_of_the_package() {
    for word in ["--version", "-V"] {
        let version = Micro::new(&[word]).run().await.fine();
        assert_eq!(version, concat!("micro ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[tokio::test]
async fn nothing_of_the_environment_is_in_the_help() {
    let plain = Micro::new(&["call", "--help"]).run().await.fine();
    let told = Micro::new(&["call", "--help"])
        .env("MICRO_NATS_ADDRESS", "nats://user:secret@nats.example:4222")
        .env("MICRO_REGISTRY_ADDRESS", "nats://user:secret@nats.example:4222");
    let told = told.run().await.fine();
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(told, plain);
}

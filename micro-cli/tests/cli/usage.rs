//! Wrong usage: it is said what is wrong, nothing is tried, and the exit code is 2.

use std::fmt::Write;

use crate::program::Micro;
use crate::snapshot::is_as_in;
use crate::world::World;

#[tokio::test]
async fn wrong_usage_is_explained_on_standard_error() {
    let lines: [&[&str]; 32] = [
        &["serve"],
        &["servces"],
        &["services", "--jsn"],
        &["--jsn", "services"],
        &["services", "more"],
        &["describe"],
        &["describe", "a name"],
        &["watch", "a.*"],
        &["call", "echo"],
        &["call", "echo.>", "Echo.Call"],
        &["call", "echo", "Echo.Call", "{}", "{}"],
        &["call", "echo", "Echo.Call", "--metadata", "novalue"],
        &["call", "echo", "Echo.Call", "-m", "=nokey"],
        &["call", "echo", "Echo.Call", "--timeout", "5x"],
        &["call", "echo", "Echo.Call", "--timeout", "soon"],
        &["call", "echo", "Echo.Call", "--count", "0"],
        &["call", "echo", "Echo.Call", "{\"name\": Bob}"],
        &["call", "echo", "Echo.Call", "{} {}"],
        &["call", "echo", "Echo.Call", ""],
        &["call", "echo", "Echo.Call", "@missing.json"],
        &["call", "echo", "Echo.Call", "--raw", "--proto", "echo.proto"],
        &["call", "echo", "Echo.Call", "--proto", "missing.proto"],
        &["call", "echo", "Echo.Call", "--content-type", "text/plain"],
        &["call", "echo", "Echo.Call", "-I", "protos"],
        &["stream", "echo", "Echo.Count", "{"],
        &["stream", "echo", "Echo.Count", "--idle", "x"],
        &["publish", "a.*", "{}"],
        &["publish", "events", "no JSON"],
        &["subscribe", ">.a"],
        &["subscribe", "events", "--json", "--raw"],
        &["subscribe", "events", "--queue", "a queue"],
        &["completions", "tcsh"],
    ];
    let mut said = String::new();
    for words in lines {
        let text = Micro::new(words).run().await.misused();
        writeln!(said, "$ micro {}\n{text}", words.join(" ")).unwrap();
    }
    is_as_in("usage.txt", &said);
}

#[tokio::test]
async fn an_unknown_backend_is_answered_with_those_that_there_are() {
    for (what, names) in [
        ("registry", "mdns, memory, nats"),
        ("transport", "memory, nats, tcp"),
        ("broker", "memory, nats"),
    ] {
        let flag = format!("--{what}=consul");
        let said = Micro::new(&["services", &flag]).run().await.misused();
        let expected = format!("no {what} is called \"consul\"; there are: {names}\n");
        assert!(said.contains(&expected), "{said}");
    }
    let said = Micro::new(&["services"]).env("MICRO_REGISTRY", "consul").run().await.misused();
    assert!(said.contains("no registry is called \"consul\""), "{said}");
    let said = Micro::new(&["--profile=clouds", "services"]).run().await.misused();
    assert!(said.contains("[possible values: local, nats]"), "{said}");
}

#[tokio::test]
async fn metadata_and_addresses_that_cannot_go_over_the_wire_are_wrong_usage() {
    let (world, _echo) = World::with_echo().await;
    for (flag, named) in [
        (["-m", "Micro-Topic=x"], "Micro-Topic"),
        (["-m", "micro-endpoint=x"], "micro-endpoint"),
        (["--address", "a*b"], "a*b"),
        (["--address", "a b"], "a b"),
    ] {
        for verb in [["call", "echo", "Echo.Who"], ["stream", "echo", "Echo.Sum"]] {
            let said = world.micro(&[&verb[..], &flag].concat()).run().await.misused();
            assert!(said.contains(named), "{flag:?}: {said}");
        }
    }
    let said = world.micro(&["publish", "events", "-m", "Micro-Topic=x"]).run().await.misused();
    assert!(said.contains("Micro-Topic"), "{said}");
}

#[tokio::test]
async fn without_a_verb_it_says_how_it_is_used() {
    let done = Micro::new(&[]).run().await;
    assert_eq!((done.code(), done.stdout.as_str()), (Some(2), ""));
    is_as_in("help/short.txt", &done.stderr);
    let flags = Micro::new(&["--registry=nats"]).run().await.misused();
    assert!(flags.contains("requires a subcommand"), "{flags}");
}

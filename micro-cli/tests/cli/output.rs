//! Standard output that takes no more.

use std::fs::OpenOptions;

use crate::program::LIMIT;
use crate::world::World;

#[tokio::test]
async fn whoever_reads_no_further_has_enough() {
    let (world, _echo) = World::with_echo().await;
    let count = r#"{"count":10000000}"#;
    let mut stream = world.micro(&["stream", "echo", "Echo.Count", count]).start();
    assert_eq!(stream.line().await, "{\"value\":1}");
    stream.close_output();
    assert_eq!(stream.end().await.fine(), "");

    let mut calls = world.micro(&["call", "echo", "Echo.Who", "--count=1000000"]).start();
    calls.line().await;
    calls.close_output();
    assert_eq!(calls.end().await.fine(), "");
}

#[tokio::test]
async fn whoever_reads_nothing_at_all_has_enough() {
    let (world, _echo) = World::with_echo().await;
    let lines: [&[&str]; 7] = [
        &["--help"],
        &["completions", "bash"],
        &["services"],
        &["describe", "echo"],
        &["describe", "echo", "--json"],
        &["call", "echo", "Echo.Who"],
        &["health", "echo"],
    ];
    for words in lines {
        let mut program = world.micro(words).start();
        program.close_output();
        assert_eq!(program.end().await.fine(), "", "{words:?}");
    }
}

#[tokio::test]
async fn an_endless_verb_ends_with_its_reader() {
    let (world, _echo) = World::with_echo().await;
    let mut subscribe = world.subscriber(&["events"]).await;
    let mut watch = world.micro(&["watch"]).start();
    watch.says("watching").await;
    subscribe.close_output();
    watch.close_output();
    let publishing = async {
        loop {
            // It notices when there is something to write.
            world.prints(&["publish", "events", "1"]).await;
        }
    };
    let ended = async {
        tokio::select! {
            done = subscribe.end() => done,
            () = publishing => unreachable!("it has no end"),
        }
    };
    let done = tokio::time::timeout(LIMIT, ended).await.unwrap();
    assert_eq!((done.code(), done.stderr.as_str()), (Some(0), ""));
    let _another = world.echo("2").await;
    let done = watch.end().await;
    assert_eq!((done.code(), done.stderr.as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error_that_is_told() {
    let (world, _echo) = World::with_echo().await;
    let lines: [&[&str]; 9] = [
        &["--help"],
        &["completions", "bash"],
        &["services"],
        &["services", "--json"],
        &["describe", "echo"],
        &["call", "echo", "Echo.Who"],
        &["stream", "echo", "Echo.Count", r#"{"count":100000}"#],
        &["health", "echo"],
        &["health", "echo", "--json"],
    ];
    for words in lines {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = world.micro(words).stdout(full).run().await;
        let (error, _) = done.failed();
        let detail = error["detail"].as_str().unwrap();
        let told = "cannot write to standard output: No space left on device";
        assert!(detail.starts_with(told), "{words:?}: {done:?}");
    }
}

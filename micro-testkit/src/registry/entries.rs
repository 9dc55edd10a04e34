//! Registering and deregistering.

use micro_core::ErrorKind;
use micro_core::registry::{Endpoint, Node, Service, Value};

use super::{Fixture, forever, ids, look_up, name, see, service};
use crate::check::{Checked, ensure, poll_once, unique, within};

pub(super) async fn registering_again_is_one_registration(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    for _ in 0..3 {
        here.register(&service(&name, "1", &["a"]), forever()).await?;
    }
    see(&*there, &name, "the node", |seen| ids(seen, "1") == ["a"]).await?;
    // Counted twice it would be there still after it was taken away once.
    here.deregister(&service(&name, "1", &["a"])).await?;
    see(&*there, &name, "nothing, after one deregister", <[_]>::is_empty).await?;
    Ok(())
}

pub(super) async fn registering_again_tells_the_newest_description(
    fixture: &dyn Fixture,
) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut described = service(&name, "1", &["a"]);
    described.metadata.insert("colour".into(), "red".into());
    described.endpoints.push(Endpoint::new("Greeter.Old"));
    here.register(&described, forever()).await?;
    see(&*there, &name, "the first description", |seen| seen == [described.clone()]).await?;

    described.metadata.insert("colour".into(), "blue".into());
    described.endpoints = vec![Endpoint::new("Greeter.New")];
    described.nodes = vec![Node::new("a", "moved").with_metadata("zone", "2")];
    here.register(&described, forever()).await?;
    see(&*there, &name, "the newest description", |seen| seen == [described.clone()]).await?;
    Ok(())
}

pub(super) async fn a_lost_node_can_be_registered_again(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    for round in 0..3 {
        here.register(&service(&name, "1", &["a"]), forever()).await?;
        see(&*there, &name, &format!("the node, round {round}"), |s| ids(s, "1") == ["a"]).await?;
        here.deregister(&service(&name, "1", &["a"])).await?;
        see(&*there, &name, &format!("no node, round {round}"), <[_]>::is_empty).await?;
    }
    Ok(())
}

pub(super) async fn nodes_of_one_call_are_registrations_of_their_own(
    fixture: &dyn Fixture,
) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    here.register(&service(&name, "1", &["a", "b", "c"]), forever()).await?;
    see(&*there, &name, "three nodes", |seen| ids(seen, "1") == ["a", "b", "c"]).await?;
    here.deregister(&service(&name, "1", &["b"])).await?;
    see(&*there, &name, "the two others", |seen| ids(seen, "1") == ["a", "c"]).await?;
    Ok(())
}

pub(super) async fn one_id_in_two_versions_is_two_registrations(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    here.register(&service(&name, "2", &["a"]), forever()).await?;
    let both = |seen: &[Service]| ids(seen, "1") == ["a"] && ids(seen, "2") == ["a"];
    see(&*there, &name, "the node in both versions", both).await?;
    here.deregister(&service(&name, "1", &["a"])).await?;
    let second = |seen: &[Service]| ids(seen, "1").is_empty() && ids(seen, "2") == ["a"];
    see(&*there, &name, "the node in the second version alone", second).await?;
    Ok(())
}

pub(super) async fn deregistering_takes_only_what_is_named(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.registry().await, fixture.registry().await);
    let (name, other) = (name()?, name()?);
    here.register(&service(&name, "1", &["a", "b"]), forever()).await?;
    here.register(&service(&other, "1", &["a"]), forever()).await?;
    there.register(&service(&name, "1", &["c"]), forever()).await?;
    see(&*there, &name, "three nodes", |seen| ids(seen, "1") == ["a", "b", "c"]).await?;
    here.deregister(&service(&name, "1", &["a"])).await?;
    see(&*there, &name, "the other two", |seen| ids(seen, "1") == ["b", "c"]).await?;
    see(&*there, &other, "the other name", |seen| ids(seen, "1") == ["a"]).await?;
    Ok(())
}

pub(super) async fn deregistering_what_is_not_there_is_fine(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    here.deregister(&service(&name, "1", &["never"])).await?;
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    here.deregister(&service(&name, "1", &["never"])).await?;
    here.deregister(&service(&name, "never", &["b"])).await?;
    see(&*there, &name, "what was not named", |seen| ids(seen, "1") == ["a"]).await?;
    here.deregister(&service(&name, "1", &["a"])).await?;
    here.deregister(&service(&name, "1", &["a"])).await?;
    see(&*there, &name, "nothing", <[_]>::is_empty).await?;
    Ok(())
}

pub(super) async fn what_cannot_be_registered_is_refused(fixture: &dyn Fixture) -> Checked {
    let (here, good) = (fixture.registry().await, name()?);
    let node = || Node::new("a", "at-a");
    let bad = [
        ("an empty name", Service::new("", "1").with_node(node())),
        ("a name with a space", Service::new("a b", "1").with_node(node())),
        ("a name with a wildcard", Service::new("a.*", "1").with_node(node())),
        ("no node", Service::new(good.as_str(), "1")),
        ("a node without an id", Service::new(good.as_str(), "1").with_node(Node::new("", "x"))),
        (
            "one of two nodes without an id",
            Service::new(good.as_str(), "1").with_node(node()).with_node(Node::new("", "x")),
        ),
    ];
    for (what, service) in bad {
        for (call, outcome) in [
            ("register", within(what, here.register(&service, forever())).await?),
            ("deregister", within(what, here.deregister(&service)).await?),
        ] {
            let kind = outcome.map_err(|error| error.kind());
            let refused = kind == Err(ErrorKind::InvalidInput);
            ensure!(refused, "{call} of {what}: {kind:?}, not InvalidInput");
        }
    }
    let seen = look_up(&*here, &good).await?;
    ensure!(seen.is_empty(), "something of what was refused is there: {seen:?}");
    Ok(())
}

pub(super) async fn a_description_arrives_unchanged(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let field = |name: &str, kind: &str, values| Value {
        name: name.to_owned(),
        kind: kind.to_owned(),
        values,
    };
    let inner = field("inner", "Inner", vec![field("zahl", "int64", vec![])]);
    let mut endpoint = Endpoint::new("Greeter.Hello").with_metadata("stream", "true");
    endpoint.request = Some(field("Request", "Request", vec![inner]));
    endpoint.response = Some(field("", "", vec![]));
    let mut described = Service::new(name.as_str(), "1.0 \"β\" / x");
    described.metadata.insert("key with space".into(), "\u{0}\n\"'<>&\u{1F980}".into());
    described.metadata.insert(String::new(), String::new());
    described.endpoints = vec![endpoint, Endpoint::new("Greeter.Plain")];
    let node = Node::new(unique("node"), "[::1]:1 \u{1F980}").with_metadata("größe", "größer");
    let described = described.with_node(node);
    here.register(&described, forever()).await?;
    see(&*there, &name, "the same description", |seen| seen == [described.clone()]).await?;
    Ok(())
}

pub(super) async fn a_description_too_large_is_refused(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut large = service(&name, "1", &["a"]);
    let size = fixture.too_large().unwrap_or(2 << 20);
    large.metadata.insert("large".into(), "x".repeat(size));
    let outcome = within("register", here.register(&large, forever())).await?;
    if fixture.too_large().is_none() {
        outcome?;
        see(&*there, &name, "the large description", |seen| seen == [large.clone()]).await?;
        return Ok(());
    }
    let kind = outcome.map_err(|error| error.kind());
    ensure!(kind == Err(ErrorKind::TooLarge), "{size} bytes: {kind:?}, not TooLarge");
    // Nor does it keep what is small enough from being registered.
    here.register(&service(&name, "1", &["b"]), forever()).await?;
    see(&*there, &name, "the small one alone", |seen| ids(seen, "1") == ["b"]).await?;
    Ok(())
}

pub(super) async fn a_register_that_was_given_up_can_be_repeated(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let one = service(&name, "1", &["a"]);
    for _ in 0..3 {
        // Polled once and dropped: it may or may not have happened.
        let _ = poll_once(here.register(&one, forever()));
    }
    within("register", here.register(&one, forever())).await??;
    see(&*there, &name, "one node", |seen| ids(seen, "1") == ["a"]).await?;
    for _ in 0..3 {
        let _ = poll_once(here.deregister(&one));
    }
    within("deregister", here.deregister(&one)).await??;
    see(&*there, &name, "nothing", <[_]>::is_empty).await?;
    Ok(())
}

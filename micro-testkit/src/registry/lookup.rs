//! `get` and `list`.

use micro_core::ErrorKind;
use micro_core::registry::{Service, ServiceName};

use super::{Fixture, forever, ids, name, see, service, well_formed};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, eventually, poll_once, within};

pub(super) async fn nodes_of_one_version_are_merged(fixture: &dyn Fixture) -> Checked {
    let (one, two, three) =
        (fixture.registry().await, fixture.registry().await, fixture.registry().await);
    let name = name()?;
    one.register(&service(&name, "1", &["a"]), forever()).await?;
    two.register(&service(&name, "1", &["b", "c"]), forever()).await?;
    let all = ["a", "b", "c"];
    for registry in [&one, &two, &three] {
        let seen = see(&**registry, &name, "all nodes", |seen| ids(seen, "1") == all).await?;
        ensure!(seen.len() == 1, "one version was told as {} services", seen.len());
    }
    Ok(())
}

pub(super) async fn versions_are_told_apart(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    for (version, id) in [("", "a"), ("1", "b"), ("1.0", "c")] {
        here.register(&service(&name, version, &[id]), forever()).await?;
    }
    let apart = |seen: &[Service]| {
        seen.len() == 3
            && ids(seen, "") == ["a"]
            && ids(seen, "1") == ["b"]
            && ids(seen, "1.0") == ["c"]
    };
    see(&*there, &name, "three versions with a node each", apart).await?;
    Ok(())
}

pub(super) async fn an_unknown_name_is_not_found(fixture: &dyn Fixture) -> Checked {
    let (here, name) = (fixture.registry().await, name()?);
    match within("get", here.get(&name)).await? {
        Ok(services) => Err(Failure::new(format!("an unknown name was found: {services:?}"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let named = error.detail().contains(name.as_str());
            ensure!(named, "the error does not name {name}: {error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn a_name_without_nodes_is_not_found(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    see(&*there, &name, "the node", |seen| ids(seen, "1") == ["a"]).await?;
    here.deregister(&service(&name, "1", &["a"])).await?;
    see(&*there, &name, "NotFound", <[_]>::is_empty).await?;
    let listed = within("list", there.list()).await??;
    let gone = listed.iter().all(|service| service.name != name.as_str());
    ensure!(gone, "list still tells a service without nodes");
    Ok(())
}

pub(super) async fn names_that_begin_alike_are_told_apart(fixture: &dyn Fixture) -> Checked {
    let (here, there, short) = (fixture.registry().await, fixture.registry().await, name()?);
    let long = ServiceName::new(format!("{short}.more"))?;
    let longer = ServiceName::new(format!("{short}x"))?;
    for (name, id) in [(&short, "a"), (&long, "b"), (&longer, "c")] {
        here.register(&service(name, "1", &[id]), forever()).await?;
    }
    for (name, id) in [(&short, "a"), (&long, "b"), (&longer, "c")] {
        see(&*there, name, "its own node", |seen| ids(seen, "1") == [id]).await?;
    }
    here.deregister(&service(&short, "1", &["a"])).await?;
    see(&*there, &short, "nothing", <[_]>::is_empty).await?;
    see(&*there, &long, "the longer name", |seen| ids(seen, "1") == ["b"]).await?;
    Ok(())
}

pub(super) async fn list_tells_what_get_tells(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.registry().await, fixture.registry().await);
    // Of nothing it is no error.
    within("list", there.list()).await??;
    let names = [name()?, name()?];
    for name in &names {
        here.register(&service(name, "1", &["a"]), forever()).await?;
        there.register(&service(name, "1", &["b"]), forever()).await?;
        here.register(&service(name, "2", &["c"]), forever()).await?;
    }
    for name in &names {
        let whole = |seen: &[Service]| ids(seen, "1") == ["a", "b"] && ids(seen, "2") == ["c"];
        let mut got = see(&*there, name, "all nodes", whole).await?;
        got.sort_by(|a, b| a.version.cmp(&b.version));
        let got = &got;
        let there = &there;
        eventually(LIMIT, "list with all nodes", || async move {
            let mut listed = within("list", there.list()).await??;
            listed.retain(|service| service.name == name.as_str());
            well_formed(&listed)?;
            listed.sort_by(|a, b| a.version.cmp(&b.version));
            // A list may leave out the description; who is there is the same.
            let same = listed.len() == got.len()
                && listed.iter().zip(got).all(|(a, b)| {
                    a.version == b.version
                        && ids(std::slice::from_ref(a), &a.version)
                            == ids(std::slice::from_ref(b), &b.version)
                });
            Ok(if same { Ok(()) } else { Err(format!("listed: {listed:?}, got: {got:?}")) })
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn lookups_that_were_given_up_do_no_harm(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    for _ in 0..20 {
        let _ = poll_once(there.get(&name));
        let _ = poll_once(there.list());
    }
    see(&*there, &name, "the node", |seen| ids(seen, "1") == ["a"]).await?;
    within("list", there.list()).await??;
    Ok(())
}

pub(super) async fn every_handle_has_the_same_name_and_is_healthy(
    fixture: &dyn Fixture,
) -> Checked {
    let (here, there, unknown) = (fixture.registry().await, fixture.registry().await, name()?);
    ensure!(!here.name().is_empty(), "it has no name");
    ensure!(here.name() == there.name(), "two names: {} and {}", here.name(), there.name());
    let answered = within("get", here.get(&unknown)).await?;
    let answered = answered.map_err(|error| error.kind());
    ensure!(answered == Err(ErrorKind::NotFound), "get of an unknown name: {answered:?}");
    here.health()?;
    Ok(())
}

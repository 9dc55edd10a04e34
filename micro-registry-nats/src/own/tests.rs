use micro_core::registry::{Endpoint, Value};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MAX: usize = 1 << 20;

fn service(ids: &[&str]) -> Service {
    let nodes = ids.iter().map(|id| Node::new(*id, "a"));
    nodes.fold(Service::new("greeter", "1"), Service::with_node)
}

fn own() -> (Own, Instant) {
    (Own::new(&Options::default()), Instant::now())
}

fn announced(due: &Due) -> usize {
    due.announce.iter().map(|(service, _)| service.nodes.len()).sum()
}

#[test]
fn what_is_registered_is_announced_once_and_again_after_the_interval() {
    let (mut own, now) = own();
    own.register(&service(&["a", "b"]), None, MAX, now).unwrap();
    assert_eq!(announced(&own.due(true, now)), 2);
    assert_eq!(announced(&own.due(true, now + SECOND)), 0);
    assert_eq!(announced(&own.due(true, now + 34 * SECOND)), 2);
}

#[test]
fn a_renewal_is_not_announced_a_moment_after_but_a_change_is() {
    let (mut own, now) = own();
    own.register(&service(&["a"]), None, MAX, now).unwrap();
    own.due(true, now);
    own.register(&service(&["a"]), None, MAX, now + SECOND).unwrap();
    assert_eq!(announced(&own.due(true, now + SECOND)), 0);
    let mut changed = service(&["a"]);
    changed.nodes[0].address = "b".into();
    own.register(&changed, None, MAX, now + SECOND).unwrap();
    assert_eq!(announced(&own.due(true, now + SECOND)), 1);
    own.register(&changed, None, MAX, now + 20 * SECOND).unwrap();
    assert_eq!(announced(&own.due(true, now + 20 * SECOND)), 1);
}

#[test]
fn a_new_description_is_announced_for_every_node() {
    let (mut own, now) = own();
    own.register(&service(&["a", "b"]), None, MAX, now).unwrap();
    own.due(true, now);
    let mut described = service(&["b"]);
    described.endpoints.push(Endpoint::new("Greeter.Hello"));
    own.register(&described, None, MAX, now).unwrap();
    assert_eq!(announced(&own.due(true, now)), 2);
}

#[test]
fn whoever_looks_in_this_process_is_told_the_lease_that_others_are() {
    let (mut own, now) = own();
    let registered = own.register(&service(&["a"]), None, MAX, now).unwrap();
    assert_eq!(registered.nodes[0].lease, Some(6 * SECOND));
    let lease = |own: &Own| own.matching(&Target::All)[0].nodes[0].lease;
    assert_eq!(lease(&own), Some(6 * SECOND));
    for id in 0..999 {
        own.heard("greeter", NodeKey::new("1", &id.to_string()), now + 60 * SECOND);
    }
    let announced = own.due(true, now).announce[0].1;
    assert_eq!((announced, lease(&own)), (30 * SECOND, Some(announced)));
}

#[test]
fn heartbeats_come_three_times_in_a_lease() {
    let (mut own, now) = own();
    own.register(&service(&["a"]), None, MAX, now).unwrap();
    own.due(true, now);
    let steps = (1..=180u32).map(|tenth| now + tenth * SECOND / 10);
    let beats: usize = steps.map(|at| own.due(true, at).beats.len()).sum();
    assert!((8..=10).contains(&beats), "{beats} in 18 s");
}

#[test]
fn a_service_of_many_nodes_sends_a_hundred_heartbeats_a_second_and_longer_leases() {
    let (mut own, now) = own();
    own.register(&service(&["a"]), None, MAX, now).unwrap();
    for other in 0..999 {
        let key = NodeKey::new("1", &format!("other-{other}"));
        own.heard("greeter", key, now + 1000 * SECOND);
    }
    let (_, lease) = own.due(true, now).announce.remove(0);
    assert_eq!(lease, 30 * SECOND);
    let steps = (1..=1000u32).map(|tenth| now + tenth * SECOND / 10);
    let mut beats = 0;
    for at in steps {
        let due = own.due(true, at);
        assert!(due.beats.iter().all(|(_, beat)| beat.lease() == 30 * SECOND));
        beats += due.beats.len() + announced(&due);
    }
    // A thousand nodes like this one: 100,000 in 1000 s.
    assert!((8..=14).contains(&beats), "{beats} of one node in 100 s");
    assert_eq!(announced(&own.due(true, now + 2000 * SECOND)), 1);
    assert_eq!(own.siblings["greeter"].lease, 6 * SECOND, "the others are gone");
}

#[test]
fn a_registration_that_is_not_renewed_ends_also_while_nobody_can_hear_it() {
    for connected in [true, false] {
        let (mut own, now) = own();
        own.register(&service(&["a", "b"]), Some(now + SECOND), MAX, now).unwrap();
        own.register(&service(&["b"]), Some(now + 2 * SECOND), MAX, now).unwrap();
        assert!(own.due(connected, now).ended.is_empty());
        assert_eq!(own.due(connected, now + SECOND).ended, [service(&["a"])]);
        assert_eq!(own.due(connected, now + 2 * SECOND).ended, [service(&["b"])]);
        assert!(own.is_empty() && own.names().next().is_none());
    }
}

#[test]
fn nothing_is_said_while_nobody_can_hear_it_and_all_of_it_afterwards() {
    let (mut own, now) = own();
    own.register(&service(&["a"]), None, MAX, now).unwrap();
    own.due(true, now);
    own.register(&service(&["b"]), None, MAX, now).unwrap();
    assert_eq!(announced(&own.due(false, now + 10 * SECOND)), 0);
    own.reconnected(MAX, false, now + 10 * SECOND);
    assert_eq!(announced(&own.due(true, now + 11 * SECOND)), 2, "also what was said before");
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_of_it_remembered() {
    let (mut own, now) = own();
    let mut large = service(&["a"]);
    large.metadata.insert("k".into(), "x".repeat(5000));
    let error = own.register(&large, None, 4096, now).unwrap_err();
    assert_eq!(error.kind(), micro_core::ErrorKind::TooLarge);
    assert!(own.is_empty());
}

#[test]
fn a_description_without_its_types_has_one_hash_in_all_messages() {
    let (mut own, now) = own();
    let mut large = service(&["a"]);
    let kind = "x".repeat(5000);
    let value = Value { name: "v".into(), kind, values: Vec::new() };
    large.endpoints.push(Endpoint { request: Some(value), ..Endpoint::new("Greeter.Hello") });
    own.register(&large, None, 4096, now).unwrap();
    let (announce, _) = own.due(true, now).announce.remove(0);
    let answer = crate::message::decode_answer(&own.answers(&Target::All, 4096)[0]).unwrap();
    assert_eq!(answer.service, announce);
    assert_eq!(announce.endpoints, [Endpoint::new("Greeter.Hello")]);
    let (_, beat) = own.due(true, now + 3 * SECOND).beats.remove(0);
    assert!(beat.is_of(Description::of(&announce).with(&announce.nodes[0])));
    assert_eq!(own.matching(&Target::All), [large]);
}

#[test]
fn a_wrong_farewell_is_contradicted_but_not_in_a_race() {
    let (mut own, now) = own();
    own.register(&service(&["a"]), None, MAX, now).unwrap();
    own.due(true, now);
    own.contradict("greeter", &NodeKey::new("1", "a"), now);
    assert_eq!(announced(&own.due(true, now + SECOND / 2)), 0);
    assert_eq!(announced(&own.due(true, now + 2 * SECOND)), 1);
}

#[test]
fn a_lease_in_the_metadata_of_a_node_is_ignored_and_leaves_its_heartbeats_true() {
    let (mut own, now) = own();
    let mut registered = service(&["a"]);
    registered.nodes[0].metadata.insert(LEASE_KEY.into(), "1".into());
    own.register(&registered, None, MAX, now).unwrap();
    let answers = own.answers(&Target::All, MAX);
    let told = crate::message::decode_answer(&answers[0]).unwrap();
    assert_eq!(told.service.nodes[0].lease, Some(6 * SECOND));
    own.due(true, now);
    let beats = own.due(true, now + 3 * SECOND).beats;
    assert!(beats[0].1.is_of(Description::of(&told.service).with(&told.service.nodes[0])));
}

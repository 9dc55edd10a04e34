use micro_core::ErrorKind;
use micro_core::registry::{Endpoint, Node};

use super::*;
use crate::record::{MAX_PARTS, Record, decode};

const SECOND: Duration = Duration::from_secs(1);

fn own() -> Own {
    Own::new(&Options::default(), "K3F7Q2XZ".to_owned())
}

fn service(ids: &[&str]) -> Service {
    let nodes = ids.iter().map(|id| Node::new(*id, "127.0.0.1:4000"));
    nodes.fold(Service::new("greeter", "1"), Service::with_node)
}

/// So many endpoints that compression cannot make them few.
fn large(endpoints: usize) -> Service {
    let mut service = service(&["a"]);
    let mut random = fastrand::Rng::with_seed(1);
    let name = |_| Endpoint::new(format!("{:032x}", random.u128(..)));
    service.endpoints = (0..endpoints).map(name).collect();
    service
}

/// What is said, as others read it; `None`: withdrawn.
fn said(say: &mut VecDeque<Say>) -> Vec<(String, Option<Record>)> {
    let read = |say| match say {
        Say::Withdraw(label) => (label, None),
        Say::Announce(Announcement { label, txt, .. }) => {
            let record = decode(&txt, None).unwrap();
            (label, Some(record))
        }
    };
    say.drain(..).map(read).collect()
}

fn head(record: &Option<Record>) -> &Head {
    match record {
        Some(Record::Head(head)) => head,
        other => panic!("{other:?} is no head"),
    }
}

#[test]
fn what_is_new_is_said_at_once_and_again_a_second_later_and_then_renewed() {
    let (mut own, mut say, now) = (own(), VecDeque::new(), Instant::now());
    let claimed = own.register(&service(&["a"]), None, now, &mut say).unwrap();
    assert_eq!(claimed[0].service.nodes[0].lease, Some(20 * SECOND));
    let first = said(&mut say);
    assert_eq!(first.len(), 1);
    let (label, record) = &first[0];
    assert_eq!(label, "greeter a K3F7Q2XZ-1");
    assert_eq!((head(record).beat, head(record).lease), (1, 20 * SECOND));
    let (read, _) = Description::read(&head(record).data, head(record).revision).unwrap();
    assert_eq!(read, service(&["a"]));

    assert_eq!(own.next_due(), Some(now + REPEAT));
    assert!(own.due(now + REPEAT, &mut say).is_empty());
    assert_eq!(said(&mut say), first, "the same once more");

    let next = own.next_due().unwrap();
    assert!(next > now + 5 * SECOND && next <= now + 20 * SECOND / 3, "{:?}", next - now);
    own.due(next, &mut say);
    let renewed = said(&mut say);
    assert_eq!(renewed.len(), 1);
    assert_eq!(
        (head(&renewed[0].1).beat, head(&renewed[0].1).revision),
        (2, head(record).revision)
    );
}

#[test]
fn registering_the_same_again_says_nothing_and_a_change_says_it_under_the_same_name() {
    let (mut own, mut say, now) = (own(), VecDeque::new(), Instant::now());
    own.register(&service(&["a"]), None, now, &mut say).unwrap();
    said(&mut say);
    assert!(own.register(&service(&["a"]), None, now, &mut say).unwrap().is_empty());
    assert_eq!(said(&mut say), []);
    let mut changed = service(&["a"]);
    changed.metadata.insert("colour".into(), "red".into());
    own.register(&changed, None, now, &mut say).unwrap();
    let again = said(&mut say);
    assert_eq!(again[0].0, "greeter a K3F7Q2XZ-1");
    assert_eq!(head(&again[0].1).beat, 2);
}

#[test]
fn who_leaves_says_so_and_comes_back_under_another_name() {
    let (mut own, mut say, now) = (own(), VecDeque::new(), Instant::now());
    let keys = |own: &Own| own.keys();
    own.register(&service(&["a", "b"]), None, now, &mut say).unwrap();
    said(&mut say);
    let [a, b] = &*keys(&own) else { panic!("{:?}", own.keys()) };
    assert!(own.deregister(a, &mut say) && !own.deregister(a, &mut say));
    let gone = said(&mut say);
    assert_eq!(gone.len(), 2);
    assert!(head(&gone[0].1).lease.is_zero() && head(&gone[0].1).beat == 2);
    assert_eq!(gone[1], ("greeter a K3F7Q2XZ-1".to_owned(), None));
    own.register(&service(&["a"]), None, now, &mut say).unwrap();
    assert_eq!(said(&mut say)[0].0, "greeter a K3F7Q2XZ-3");
    assert!(own.is_own("greeter a K3F7Q2XZ-1") && own.is_own("greeter a K3F7Q2XZ-1 2"));
    assert_eq!(own.keys().len(), 2);
    assert_eq!(own.keys()[1], *b);
}

#[test]
fn a_registration_with_a_ttl_ends_unless_it_is_registered_again() {
    let (mut own, mut say, now) = (own(), VecDeque::new(), Instant::now());
    own.register(&service(&["a", "b"]), Some(now + SECOND / 2), now, &mut say).unwrap();
    own.register(&service(&["b"]), Some(now + 3 * SECOND), now, &mut say).unwrap();
    assert_eq!(own.next_due(), Some(now + SECOND / 2));
    let ended = own.due(now + SECOND / 2, &mut say);
    assert_eq!(ended.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_large_description_is_spread_over_instances_and_only_the_head_is_renewed() {
    let (mut own, mut say, now) = (own(), VecDeque::new(), Instant::now());
    let large_service = large(500);
    own.register(&large_service, None, now, &mut say).unwrap();
    let mut instances = said(&mut say);
    let (label, record) = instances.pop().unwrap();
    let whole = head(&record).clone();
    assert!(whole.data.is_empty() && usize::from(whole.parts) == instances.len());
    let mut data = Vec::new();
    for (index, (part_label, record)) in instances.iter().enumerate() {
        let Some(Record::Part(part)) = record else { panic!("{record:?}") };
        assert_eq!(*part_label, format!("{label} {}", index + 1));
        assert_eq!((usize::from(part.number), part.revision), (index + 1, whole.revision));
        data.extend(&part.data);
    }
    let (read, _) = Description::read(&data, whole.revision).unwrap();
    assert_eq!(read, large_service);

    own.due(now + REPEAT, &mut say);
    assert_eq!(said(&mut say).len(), instances.len() + 1, "all of it is said twice");
    own.due(now + 7 * SECOND, &mut say);
    assert_eq!(said(&mut say).len(), 1, "the head alone");

    // With fewer parts, those that are too many are withdrawn.
    own.register(&large(200), None, now, &mut say).unwrap();
    let fewer = said(&mut say);
    let withdrawn: Vec<_> =
        fewer.iter().filter(|(_, record)| record.is_none()).map(|(label, _)| label).collect();
    let kept = fewer.len() - withdrawn.len() - 1;
    assert_eq!(kept + withdrawn.len(), instances.len());
    assert_eq!(withdrawn.last().map(|l| &***l), instances.last().map(|(label, _)| &**label));
}

#[test]
fn what_has_no_room_in_all_parts_is_refused_with_both_sizes_and_nothing_is_registered() {
    let (mut own, mut say) = (own(), VecDeque::new());
    let mut service = large(5000);
    service.nodes.insert(0, Node::new("small", "x"));
    let error = own.register(&service, None, Instant::now(), &mut say).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let limit = usize::from(MAX_PARTS) * part_room(None);
    assert!(error.to_string().contains(&limit.to_string()), "{error}");
    assert!(own.keys().is_empty() && say.is_empty());
}

#[test]
fn whoever_moves_where_only_this_machine_can_dial_leaves_first() {
    let (mut own, mut say, now) = (own(), VecDeque::new(), Instant::now());
    let at = |address: &str| Service::new("greeter", "1").with_node(Node::new("a", address));
    own.register(&at("10.0.0.7:1"), None, now, &mut say).unwrap();
    own.register(&at("127.0.0.1:1"), None, now, &mut say).unwrap();
    let local: Vec<(String, Option<bool>)> = say
        .drain(..)
        .map(|say| {
            let is_local = if let Say::Announce(told) = &say { Some(told.is_local) } else { None };
            (say.label().to_owned(), is_local)
        })
        .collect();
    let [old, new] = ["greeter a K3F7Q2XZ-1", "greeter a K3F7Q2XZ-2"].map(str::to_owned);
    let left = (old.clone(), Some(false));
    assert_eq!(local, [left.clone(), left, (old, None), (new, Some(true))]);
}

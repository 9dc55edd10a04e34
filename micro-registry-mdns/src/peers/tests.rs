use micro_core::registry::{Endpoint, Node};
use miniz_oxide::deflate::compress_to_vec;

use super::*;
use crate::description::hash;
use crate::record::MAX_PARTS;

const SECOND: Duration = Duration::from_secs(1);

fn peers() -> Peers {
    Peers::new(&Options::default())
}

fn service(id: &str, address: &str) -> Service {
    Service::new("greeter", "1").with_node(Node::new(id, address))
}

fn description(service: &Service) -> Description {
    Description::of(service, &service.nodes[0], None).unwrap()
}

/// What an instance says that has room for all of it.
fn head(service: &Service, beat: u64, since: u64) -> Record {
    let Description { revision, data } = description(service);
    Record::Head(Head { lease: 20 * SECOND, beat, since, revision, parts: 0, data })
}

fn farewell(beat: u64) -> Record {
    let (revision, data) = (0, Vec::new());
    Record::Head(Head { lease: Duration::ZERO, beat, since: 1, revision, parts: 0, data })
}

/// The head and the parts of a description that is cut into so many.
fn spread(service: &Service, beat: u64, count: usize) -> (Record, Vec<Record>) {
    let Description { revision, data } = description(service);
    let size = data.len().div_ceil(count);
    let part = |(index, data): (usize, &[u8])| {
        Record::Part(Part { revision, number: index as u16 + 1, data: data.to_vec() })
    };
    let parts: Vec<Record> = data.chunks(size).enumerate().map(part).collect();
    let lease = 20 * SECOND;
    let head = Head { lease, beat, since: 1, revision, parts: count as u16, data: Vec::new() };
    (Record::Head(head), parts)
}

fn addresses(peers: &Peers) -> Vec<String> {
    let services = peers.get("greeter");
    services.iter().flat_map(|s| &s.nodes).map(|n| n.address.clone()).collect()
}

fn text(label: &str) -> Question {
    Question::Text(label.to_owned())
}

#[test]
fn a_node_is_known_with_its_lease_until_it_ends_and_is_asked_before() {
    let (mut peers, now) = (peers(), Instant::now());
    peers.hear("a", head(&service("1", "x"), 1, 1), now);
    let nodes = peers.get("greeter").remove(0).nodes;
    assert_eq!((nodes[0].clone(), nodes[0].lease), (Node::new("1", "x"), Some(20 * SECOND)));
    assert_eq!(peers.next_due(), Some(now + 19 * SECOND));
    assert_eq!(peers.due(now + 18 * SECOND), []);
    assert_eq!(peers.due(now + 19 * SECOND), [text("a")]);
    assert_eq!(peers.due(now + 19 * SECOND), [], "it was asked a moment ago");
    assert_eq!(addresses(&peers), ["x"]);
    assert_eq!(peers.due(now + 20 * SECOND), []);
    assert_eq!(addresses(&peers), [""; 0]);
    assert_eq!((peers.bytes, peers.next_due()), (0, None));
}

#[test]
fn only_something_new_renews_a_lease() {
    let (mut peers, now) = (peers(), Instant::now());
    let record = |beat| head(&service("1", "x"), beat, 1);
    peers.hear("a", record(5), now);
    for beat in [4, 5] {
        peers.hear("a", record(beat), now + 19 * SECOND);
    }
    peers.due(now + 20 * SECOND);
    assert!(addresses(&peers).is_empty(), "it said nothing that it had not said before");
    peers.hear("a", record(5), now);
    peers.hear("a", record(6), now + 19 * SECOND);
    peers.due(now + 38 * SECOND);
    assert_eq!(addresses(&peers), ["x"]);
}

#[test]
fn who_says_goodbye_is_gone_and_is_not_brought_back_by_what_was_said_before() {
    let (mut peers, now) = (peers(), Instant::now());
    peers.hear("a", head(&service("1", "x"), 1, 1), now);
    peers.hear("a", farewell(3), now);
    assert!(addresses(&peers).is_empty());
    peers.hear("a", head(&service("1", "x"), 2, 1), now);
    assert!(addresses(&peers).is_empty());
    peers.due(now + REMEMBERED);
    assert_eq!(peers.bytes, 0);
}

#[test]
fn whoever_is_said_to_be_no_more_is_asked_and_stays_if_they_answer() {
    let (mut peers, now) = (peers(), Instant::now());
    let record = || head(&service("1", "x"), 1, 1);
    peers.hear("a", record(), now);
    peers.doubt("a", now);
    peers.doubt("nobody", now);
    assert_eq!(peers.due(now), [text("a")]);
    peers.hear("a", record(), now + SECOND / 10);
    peers.due(now + 2 * SECOND);
    assert_eq!(addresses(&peers), ["x"]);
    peers.doubt("a", now + 3 * SECOND);
    peers.due(now + 3 * SECOND);
    assert_eq!(addresses(&peers), ["x"]);
    peers.due(now + 4 * SECOND);
    assert!(addresses(&peers).is_empty());
}

#[test]
fn a_description_in_parts_is_known_when_all_are_there_in_any_order() {
    let told = service("1", "x");
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let (mut peers, now) = (peers(), Instant::now());
        let (head, parts) = spread(&told, 1, 3);
        let all = [head, parts[0].clone(), parts[1].clone(), parts[2].clone()];
        for (heard, which) in order.into_iter().enumerate() {
            assert!(peers.get("greeter").is_empty(), "after {heard} of {order:?}");
            let label = if which == 0 { "a".to_owned() } else { format!("a {which}") };
            peers.hear(&label, all[which].clone(), now);
        }
        assert_eq!(peers.get("greeter"), std::slice::from_ref(&told));
        assert!(!peers.is_incomplete());
    }
}

#[test]
fn parts_that_are_missing_are_asked_for_less_and_less() {
    let (mut peers, mut now) = (peers(), Instant::now());
    let (head, parts) = spread(&service("1", "x"), 1, 3);
    peers.hear("a", head, now);
    peers.hear("a 2", parts[1].clone(), now);
    assert!(peers.is_incomplete());
    assert_eq!(peers.due(now), [], "they may be on their way");
    let mut waits = Vec::new();
    for _ in 0..TRIES {
        let next = peers.next_due().unwrap();
        waits.push((next - now).as_millis());
        now = next;
        assert_eq!(peers.due(now), [text("a 1"), text("a 3")]);
    }
    assert_eq!(waits, [100, 100, 200, 400, 800, 1600]);
    assert!(!peers.is_incomplete(), "nobody waits for it any more");
    peers.hear("a 1", parts[0].clone(), now);
    peers.hear("a 3", parts[2].clone(), now);
    assert_eq!(addresses(&peers), ["x"]);
}

#[test]
fn what_cannot_be_the_name_of_a_part_is_not_asked_for() {
    let (mut peers, now) = (peers(), Instant::now());
    let (head, _) = spread(&service("1", "x"), 1, 12);
    let longest = "x".repeat(names::MAX_LABEL - " 9".len());
    peers.hear(&longest, head.clone(), now);
    peers.hear(&"x".repeat(names::MAX_LABEL), head, now);
    let asked = peers.due(now + PARTS_ARE_LATE);
    assert_eq!(asked, (1..=9).map(|n| text(&format!("{longest} {n}"))).collect::<Vec<_>>());
}

#[test]
fn parts_of_different_descriptions_are_never_mixed() {
    let (mut peers, now) = (peers(), Instant::now());
    let (old, old_parts) = spread(&service("1", "old"), 1, 2);
    let (new, new_parts) = spread(&service("1", "new"), 2, 2);
    peers.hear("a", old, now);
    peers.hear("a 1", old_parts[0].clone(), now);
    peers.hear("a 2", new_parts[1].clone(), now);
    assert!(addresses(&peers).is_empty());
    peers.hear("a 2", old_parts[1].clone(), now);
    assert_eq!(addresses(&peers), ["old"]);
    peers.hear("a", new, now);
    assert_eq!(addresses(&peers), ["old"], "until the new one is whole");
    peers.hear("a 1", new_parts[0].clone(), now);
    peers.hear("a 2", new_parts[1].clone(), now);
    assert_eq!(addresses(&peers), ["new"]);
}

#[test]
fn of_two_who_claim_one_node_the_later_counts_and_the_other_when_it_leaves() {
    let (mut peers, now) = (peers(), Instant::now());
    peers.hear("new", head(&service("1", "new"), 1, 2000), now);
    peers.hear("old", head(&service("1", "old"), 1, 1000), now);
    for beat in 2..5 {
        peers.hear("old", head(&service("1", "old"), beat, 1000), now);
        assert_eq!(addresses(&peers), ["new"]);
        peers.hear("new", head(&service("1", "new"), beat, 2000), now);
        assert_eq!(addresses(&peers), ["new"]);
    }
    peers.hear("new", farewell(9), now);
    assert_eq!(addresses(&peers), ["old"]);
    let claimed = |since| {
        let service = service("1", "own");
        let key = NodeKey::of(&service).unwrap();
        Claimed { key, label: "l".into(), service, since }
    };
    peers.claim(claimed(500));
    assert_eq!(addresses(&peers), ["old"], "everywhere the same one counts");
    peers.claim(claimed(1500));
    assert_eq!(addresses(&peers), ["own"]);
    peers.claim(claimed(1000));
    assert_eq!(addresses(&peers), ["old"], "of two of one moment, the one of the later name");
    peers.give_up(&claimed(0).key);
    assert_eq!(addresses(&peers), ["old"]);
}

#[test]
fn who_was_the_later_one_and_says_something_else_since_earlier_counts_no_more() {
    let (mut peers, now) = (peers(), Instant::now());
    peers.hear("a", head(&service("1", "a"), 1, 2000), now);
    peers.hear("b", head(&service("1", "b"), 1, 1500), now);
    assert_eq!(addresses(&peers), ["a"]);
    // Its clock was put back.
    peers.hear("a", head(&service("1", "new"), 2, 1000), now);
    assert_eq!(addresses(&peers), ["b"]);
}

#[test]
fn a_renewal_of_a_node_that_describes_its_service_otherwise_changes_nothing() {
    let (mut peers, now) = (peers(), Instant::now());
    let red = |beat| {
        let mut service = service("1", "x");
        service.metadata.insert("colour".into(), "red".into());
        head(&service, beat, 1)
    };
    peers.hear("red", red(1), now);
    peers.hear("blue", head(&service("2", "y"), 1, 1), now);
    let before = peers.get("greeter");
    assert!(before[0].metadata.is_empty(), "the newest one counts");
    peers.hear("red", red(2), now);
    assert_eq!(peers.get("greeter"), before);
}

#[test]
fn neither_more_nodes_nor_more_bytes_are_kept_than_allowed() {
    let now = Instant::now();
    let mut few = Peers::new(&Options::default().with_max_nodes(2));
    for id in ["1", "2", "3"] {
        few.hear(id, head(&service(id, id), 1, 1), now);
    }
    assert_eq!(addresses(&few), ["1", "2"]);
    assert_eq!(few.dropped(), 1);

    let mut small = Peers::new(&Options::default().with_max_bytes(20_000));
    let mut large = service("1", "x");
    large.metadata.insert("large".into(), "x".repeat(100_000));
    small.hear("large", head(&large, 1, 1), now);
    assert!(addresses(&small).is_empty(), "small as it came, it is large unpacked");
    for id in 0..100 {
        small.hear(&format!("n{id}"), head(&service(&format!("{id}"), "x"), 1, 1), now);
        let part = Part { revision: 1, number: 1, data: vec![0; 900] };
        small.hear(&format!("p{id} 1"), Record::Part(part), now);
    }
    assert!(small.bytes <= 20_000 && small.bytes > 10_000, "{}", small.bytes);
    small.due(now + 20 * SECOND);
    small.due(now + 20 * SECOND + DOUBTED);
    assert_eq!((small.bytes, small.peers.len(), small.get("greeter").len()), (0, 0, 0));
}

#[test]
fn what_is_no_description_is_neither_known_nor_asked_for_again() {
    let (mut peers, now) = (peers(), Instant::now());
    let garbage = |beat| {
        let (revision, data) = (1, b"garbage".to_vec());
        Record::Head(Head { lease: SECOND, beat, since: 1, revision, parts: 0, data })
    };
    peers.hear("a", garbage(1), now);
    peers.hear("a", garbage(2), now);
    assert!(peers.list().is_empty() && !peers.is_incomplete());
    assert_eq!(peers.dropped(), 1);
    peers.hear("a", head(&service("1", "x"), 3, 1), now);
    assert_eq!(addresses(&peers), ["x"]);
}

#[test]
fn parts_without_a_head_are_forgotten_and_only_of_two_revisions_kept() {
    let (mut peers, now) = (peers(), Instant::now());
    for revision in 0..100 {
        for number in 1..=MAX_PARTS {
            let part = Part { revision, number, data: vec![0; 900] };
            peers.hear(&format!("a {number}"), Record::Part(part), now);
        }
    }
    assert!(peers.bytes < 2 * 64 * 1000, "{}", peers.bytes);
    peers.hear("a", Record::Part(Part { revision: 0, number: 1, data: Vec::new() }), now);
    assert_eq!(peers.peers.len(), 1, "a part whose name is not that of a part is nobody's");
    peers.due(now + HEADLESS);
    assert_eq!(peers.bytes, 0);
}

#[test]
fn who_found_no_room_is_known_when_there_is_some() {
    let now = Instant::now();
    let mut few = Peers::new(&Options::default().with_max_nodes(1));
    few.hear("a", head(&service("1", "x"), 1, 1), now);
    few.hear("b", head(&service("2", "y"), 1, 1), now);
    assert_eq!(addresses(&few), ["x"]);
    few.hear("a", farewell(2), now);
    // As long as it is remembered that somebody left, they take their room.
    let forgotten = now + REMEMBERED;
    few.due(forgotten);
    few.hear("b", head(&service("2", "y"), 2, 1), forgotten);
    assert_eq!(addresses(&few), ["y"]);
}

#[test]
fn there_is_room_for_what_is_registered_here_however_many_others_there_are() {
    let now = Instant::now();
    let mut few = Peers::new(&Options::default().with_max_nodes(1));
    few.hear("a", head(&service("1", "x"), 1, 1), now);
    let own = service("2", "own");
    let key = NodeKey::of(&own).unwrap();
    few.claim(Claimed { key, label: "own".into(), service: own, since: 1 });
    assert_eq!(addresses(&few), ["x", "own"]);
}

#[test]
fn who_could_not_listen_asks_before_others_are_gone() {
    let (mut peers, now) = (peers(), Instant::now());
    peers.hear("a", head(&service("1", "x"), 1, 1), now);
    peers.hear("b", head(&service("2", "y"), 1, 1), now);
    // Stopped for a minute, with what was heard meanwhile still to be read.
    let mut now = now + 60 * SECOND;
    assert_eq!(peers.due(now).len(), 2);
    assert_eq!(addresses(&peers), ["x", "y"]);
    peers.hear("a", head(&service("1", "x"), 9, 1), now);
    now += DOUBTED;
    peers.due(now);
    assert_eq!(addresses(&peers), ["x"]);
}

#[test]
fn what_is_small_as_it_came_counts_for_what_it_takes() {
    let now = Instant::now();
    let mut peers = Peers::new(&Options::default().with_max_bytes(4 << 20));
    let mut large = service("1", "x");
    large.endpoints = vec![Endpoint::default(); 30_000];
    let text = serde_json::to_string(&large).unwrap();
    let text = text.replace(&serde_json::to_string(&large.endpoints[0]).unwrap(), "{}");
    let data = compress_to_vec(text.as_bytes(), 8);
    let revision = hash(&data);
    assert!(data.len() < 1000, "{}", data.len());
    let head = Head { lease: SECOND, beat: 1, since: 1, revision, parts: 0, data };
    peers.hear("a", Record::Head(head), now);
    assert!(peers.list().is_empty(), "{} bytes are counted", peers.bytes);
}

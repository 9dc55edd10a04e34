//! The view that backends keep of a registry, and the watchers of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use micro_core::registry::{Change, Endpoint, Node, Service, ServiceName, View, Watcher};
use proptest::prelude::*;
use tokio::time::Instant;
use tokio_stream::Stream;

fn service(name: &str, version: &str, nodes: &[(&str, &str)]) -> Service {
    nodes.iter().fold(Service::new(name, version), |service, (id, address)| {
        service.with_node(Node::new(*id, *address))
    })
}

fn name(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

/// Takes a service in for ever.
fn insert(view: &mut View, service: Service) {
    assert_eq!(view.insert(service, |_| None), 0);
}

/// Takes a service in and tells it.
fn tell(view: &mut View, service: Service) {
    insert(view, service);
    view.publish();
}

/// What a watcher has to tell now.
fn read(watcher: &mut Watcher) -> Vec<Change> {
    std::iter::from_fn(|| next(watcher)).collect()
}

fn next(watcher: &mut Watcher) -> Option<Change> {
    match poll(watcher, Waker::noop()) {
        Poll::Ready(change) => Some(change.expect("the registry is not closed")),
        Poll::Pending => None,
    }
}

fn poll(watcher: &mut Watcher, waker: &Waker) -> Poll<Option<Change>> {
    Pin::new(watcher).poll_next(&mut Context::from_waker(waker))
}

fn added(service: Service) -> Change {
    Change::Added(Arc::new(service))
}

fn updated(service: Service) -> Change {
    Change::Updated(Arc::new(service))
}

fn removed(service: Service) -> Change {
    Change::Removed(Arc::new(service))
}

#[test]
fn nodes_of_one_name_and_version_are_merged_by_id() {
    let mut view = View::new(10);
    insert(&mut view, service("a", "1", &[("n2", "x")]));
    insert(&mut view, service("a", "1", &[("n1", "y"), ("n2", "x")]));
    insert(&mut view, service("a", "2", &[("n1", "z")]));
    let expected =
        [service("a", "1", &[("n1", "y"), ("n2", "x")]), service("a", "2", &[("n1", "z")])];
    assert_eq!(view.get("a"), expected);
    assert_eq!(view.list(), expected);
    assert_eq!((view.len(), view.len_of("a")), (3, 3));
}

#[test]
fn the_newest_description_of_a_node_and_of_its_service_holds() {
    let mut view = View::new(10);
    let mut old = service("a", "1", &[("n", "old")]);
    old.endpoints.push(Endpoint::new("A.Old"));
    insert(&mut view, old);
    let mut new = service("a", "1", &[("n", "newer"), ("n", "newest")]);
    new.metadata.insert("k".into(), "v".into());
    insert(&mut view, new.clone());
    new.nodes.remove(0);
    assert_eq!(view.list(), [new]);
    assert_eq!(view.node("a", "n").map(|n| &*n.address), Some("newest"));
    assert_eq!(view.len(), 1);
}

#[test]
fn a_service_that_is_not_there_has_no_versions() {
    let mut view = View::new(10);
    insert(&mut view, service("ab", "", &[("n", "x")]));
    assert!(view.get("a").is_empty());
    assert!(view.get("b").is_empty());
    assert_eq!(view.len_of("a"), 0);
    assert_eq!(view.node("a", "n"), None);
    assert!(!view.is_empty());
}

#[test]
fn a_full_view_takes_no_new_nodes_but_renews_those_it_has() {
    let mut view = View::new(2);
    assert_eq!(
        view.insert(service("a", "1", &[("1", ""), ("2", ""), ("3", ""), ("4", "")]), |_| None),
        2
    );
    assert_eq!(view.insert(service("b", "1", &[("1", "")]), |_| None), 1);
    assert!(view.get("b").is_empty());
    assert_eq!(view.insert(service("a", "1", &[("1", "moved")]), |_| None), 0);
    assert_eq!(view.node("a", "1").map(|n| &*n.address), Some("moved"));
    assert_eq!(view.remove("a", None, "2"), 1);
    assert_eq!(view.insert(service("b", "1", &[("1", "")]), |_| None), 0);
    assert_eq!(view.len(), 2);
}

#[test]
fn a_node_is_removed_from_one_version_or_from_all() {
    let mut view = View::new(10);
    insert(&mut view, service("a", "1", &[("n", "")]));
    insert(&mut view, service("a", "2", &[("n", ""), ("m", "")]));
    assert_eq!(view.remove("a", Some("3"), "n"), 0);
    assert_eq!(view.remove("a", Some("1"), "n"), 1);
    assert_eq!(view.get("a"), [service("a", "2", &[("m", ""), ("n", "")])]);
    insert(&mut view, service("a", "1", &[("n", "")]));
    assert_eq!(view.remove("a", None, "n"), 2);
    assert_eq!(view.remove("a", None, "n"), 0);
    assert_eq!(view.get("a"), [service("a", "2", &[("m", "")])]);
    assert_eq!(view.remove("a", None, "m"), 1);
    assert!(view.is_empty());
}

#[test]
fn leases_run_out_are_renewed_and_extended() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let mut view = View::new(10);
    view.insert(service("a", "1", &[("n", ""), ("for ever", "")]), |node| {
        (node.id == "n").then(|| at(1))
    });
    view.insert(service("b", "1", &[("n", "")]), |_| Some(at(3)));
    assert_eq!(view.next_expiry(), Some(at(1)));
    assert!(view.expired(start).is_empty());
    let ids = |view: &View, now| -> Vec<String> {
        view.expired(now)
            .into_iter()
            .map(|e| format!("{}/{}/{}", e.name, e.version, e.id))
            .collect()
    };
    assert_eq!(ids(&view, at(1)), ["a/1/n"], "a lease has run out when its time has come");
    assert_eq!(ids(&view, at(3)), ["a/1/n", "b/1/n"]);
    assert_eq!(view.len(), 3, "what has run out stays until it is removed");

    assert!(view.renew("a", "n", Some(at(5))));
    assert!(!view.renew("a", "unknown", None));
    assert!(!view.renew("unknown", "n", None));
    assert_eq!(view.next_expiry(), Some(at(3)));
    view.extend(at(4));
    assert_eq!(view.next_expiry(), Some(at(4)), "extended");
    assert_eq!(ids(&view, at(4)), ["b/1/n"], "the later lease is not cut short");
    assert_eq!(ids(&view, at(999)), ["a/1/n", "b/1/n"], "what has no lease gets none");
    assert!(view.renew("b", "n", None));
    view.remove("a", None, "n");
    assert_eq!(view.next_expiry(), None);
}

#[test]
fn a_lease_alone_is_no_change() {
    let mut view = View::new(10);
    tell(&mut view, service("a", "1", &[("n", "")]));
    let mut watcher = view.watch(None);
    read(&mut watcher);
    view.insert(service("a", "1", &[("n", "")]), |_| Some(Instant::now()));
    view.renew("a", "n", Some(Instant::now()));
    view.publish();
    assert_eq!(read(&mut watcher), []);
}

#[test]
fn a_lease_that_a_node_says_is_told_to_whoever_looks_and_is_no_change() {
    let leased = |lease| {
        let node = Node { lease: Some(Duration::from_secs(lease)), ..Node::new("n", "") };
        Service::new("a", "1").with_node(node)
    };
    let lease = |services: &[Service]| services[0].nodes[0].lease.map(|lease| lease.as_secs());
    let mut view = View::new(10);
    tell(&mut view, leased(6));
    let mut before = view.watch(None);
    read(&mut before);
    tell(&mut view, leased(9));
    assert_eq!(read(&mut before), []);
    assert_eq!((lease(&view.get("a")), lease(&view.list())), (Some(9), Some(9)));
    let Some(Change::Added(told)) = next(&mut view.watch(None)) else { panic!("not added") };
    assert_eq!(lease(&[Service::clone(&told)]), Some(9));
    // The next change brings it along.
    tell(&mut view, service("a", "1", &[("m", "")]));
    let changes = read(&mut before);
    let [Change::Updated(told)] = &*changes else { panic!("{changes:?}") };
    assert_eq!(
        told.nodes.iter().map(|node| node.lease.is_some()).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn the_lease_of_a_node_is_not_in_its_json() {
    let plain = Node::new("n", "here");
    let leased = Node { lease: Some(Duration::from_secs(6)), ..plain.clone() };
    assert_eq!(leased, plain);
    let text = serde_json::to_string(&leased).unwrap();
    assert_eq!(text, r#"{"metadata":null,"id":"n","address":"here"}"#);
    let read: Node = serde_json::from_str(r#"{"id":"n","address":"here","lease":6}"#).unwrap();
    assert_eq!(read.lease, None);
}

#[test]
fn a_watcher_is_told_what_is_there_and_then_once_that_this_was_all() {
    let mut view = View::new(10);
    tell(&mut view, service("b", "1", &[("n", "")]));
    tell(&mut view, service("a", "1", &[("n", "")]));
    view.set_synced(None);
    view.publish();
    let mut watcher = view.watch(None);
    assert_eq!(
        read(&mut watcher),
        [
            added(service("a", "1", &[("n", "")])),
            added(service("b", "1", &[("n", "")])),
            Change::Synced
        ]
    );
    view.set_synced(None);
    view.set_synced(Some(&name("a")));
    tell(&mut view, service("c", "1", &[("n", "")]));
    assert_eq!(read(&mut watcher), [added(service("c", "1", &[("n", "")]))]);
}

#[test]
fn synced_comes_after_the_state_also_when_both_come_late() {
    let mut view = View::new(10);
    let mut watcher = view.watch(Some(name("a")));
    assert_eq!(read(&mut watcher), []);
    view.set_synced(Some(&name("b")));
    tell(&mut view, service("a", "1", &[("n", "")]));
    assert_eq!(read(&mut watcher), [added(service("a", "1", &[("n", "")]))]);
    view.set_synced(Some(&name("a")));
    tell(&mut view, service("a", "2", &[("n", "")]));
    assert_eq!(read(&mut watcher), [added(service("a", "2", &[("n", "")])), Change::Synced]);
}

#[test]
fn a_watcher_of_all_is_not_synced_by_one_name_but_one_of_a_name_is_by_all() {
    let mut view = View::new(10);
    let (mut all, mut one) = (view.watch(None), view.watch(Some(name("a"))));
    view.set_synced(Some(&name("b")));
    view.publish();
    assert_eq!((read(&mut all), read(&mut one)), (vec![], vec![]));
    view.set_synced(None);
    view.publish();
    assert_eq!((read(&mut all), read(&mut one)), (vec![Change::Synced], vec![Change::Synced]));
}

#[test]
fn nothing_is_told_before_it_is_published_and_then_a_burst_as_one() {
    let mut view = View::new(2000);
    let mut watcher = view.watch(None);
    let ids: Vec<String> = (0..1000).map(|i| format!("{i:04}")).collect();
    for id in &ids {
        insert(&mut view, service("a", "1", &[(id, "")]));
    }
    assert_eq!(read(&mut watcher), []);
    view.publish();
    let nodes: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "")).collect();
    assert_eq!(read(&mut watcher), [added(service("a", "1", &nodes))]);
}

#[test]
fn a_slow_reader_is_told_the_last_of_many_changes() {
    let mut view = View::new(10);
    tell(&mut view, service("kept", "1", &[("n", "0")]));
    tell(&mut view, service("gone", "1", &[("n", "")]));
    let mut watcher = view.watch(None);
    assert_eq!(read(&mut watcher).len(), 2);
    for i in 1..=1000 {
        tell(&mut view, service("kept", "1", &[("n", &i.to_string())]));
        tell(&mut view, service("new", "1", &[("n", &i.to_string())]));
        view.remove("new", None, "n");
        view.publish();
    }
    view.remove("gone", None, "n");
    tell(&mut view, service("new", "1", &[("n", "last")]));
    assert_eq!(
        read(&mut watcher),
        [
            removed(service("gone", "1", &[("n", "")])),
            updated(service("kept", "1", &[("n", "1000")])),
            added(service("new", "1", &[("n", "last")])),
        ]
    );
}

#[test]
fn removed_and_added_again_is_two_changes_if_read_between_and_otherwise_what_differs() {
    let mut view = View::new(10);
    tell(&mut view, service("a", "1", &[("n", "x")]));
    let mut watcher = view.watch(None);
    read(&mut watcher);

    view.remove("a", None, "n");
    view.publish();
    assert_eq!(read(&mut watcher), [removed(service("a", "1", &[("n", "x")]))]);
    tell(&mut view, service("a", "1", &[("n", "x")]));
    assert_eq!(read(&mut watcher), [added(service("a", "1", &[("n", "x")]))]);

    view.remove("a", None, "n");
    view.publish();
    tell(&mut view, service("a", "1", &[("n", "x")]));
    assert_eq!(read(&mut watcher), [], "the same again is no change");

    view.remove("a", None, "n");
    view.publish();
    tell(&mut view, service("a", "1", &[("m", "x")]));
    assert_eq!(read(&mut watcher), [updated(service("a", "1", &[("m", "x")]))]);
}

#[test]
fn a_watcher_of_one_name_sees_no_other() {
    let mut view = View::new(10);
    let mut watcher = view.watch(Some(name("b")));
    for other in ["a", "b.c", "ba", "c"] {
        tell(&mut view, service(other, "1", &[("n", "")]));
    }
    assert_eq!(read(&mut watcher), []);
    tell(&mut view, service("b", "1", &[("n", "")]));
    tell(&mut view, service("b", "2", &[("n", "")]));
    assert_eq!(
        read(&mut watcher),
        [added(service("b", "1", &[("n", "")])), added(service("b", "2", &[("n", "")]))]
    );
}

#[test]
fn what_is_forgotten_is_removed_and_no_longer_synced() {
    let mut view = View::new(10);
    insert(&mut view, service("a", "1", &[("n", ""), ("m", "")]));
    insert(&mut view, service("a", "2", &[("n", "")]));
    view.set_synced(Some(&name("a")));
    tell(&mut view, service("b", "1", &[("n", "")]));
    let mut watcher = view.watch(Some(name("a")));
    assert_eq!(read(&mut watcher).len(), 3);
    view.forget("a");
    view.publish();
    assert_eq!(view.len(), 1);
    assert_eq!(read(&mut watcher).len(), 2);
    assert_eq!(read(&mut view.watch(Some(name("a")))), [], "not synced any more");
    view.set_synced(Some(&name("a")));
    view.publish();
    assert_eq!(read(&mut view.watch(Some(name("a")))), [Change::Synced]);
    assert_eq!(read(&mut watcher), [], "it comes once");
}

#[test]
fn a_watcher_is_not_woken_for_nothing_and_ends_after_the_last_change() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let count = Arc::new(Count(0.into()));
    let waker = Waker::from(count.clone());
    let woken = || count.0.load(std::sync::atomic::Ordering::SeqCst);

    let mut view = View::new(10);
    insert(&mut view, service("a", "1", &[("n", "")]));
    view.set_synced(Some(&name("a")));
    view.publish();
    let mut watcher = view.watch(None);
    read(&mut watcher);
    assert_eq!(poll(&mut watcher, &waker), Poll::Pending);

    view.set_synced(Some(&name("a")));
    view.forget("unknown");
    view.remove("a", None, "unknown");
    insert(&mut view, service("a", "1", &[("n", "")]));
    let node = Node { lease: Some(Duration::from_secs(6)), ..Node::new("n", "") };
    insert(&mut view, Service::new("a", "1").with_node(node));
    view.publish();
    assert_eq!(woken(), 0);

    tell(&mut view, service("a", "1", &[("m", "")]));
    drop(view);
    assert_ne!(woken(), 0);
    assert_eq!(
        poll(&mut watcher, &waker),
        Poll::Ready(Some(updated(service("a", "1", &[("m", ""), ("n", "")]))))
    );
    assert_eq!(poll(&mut watcher, &waker), Poll::Ready(None));
    assert_eq!(poll(&mut watcher, &waker), Poll::Ready(None));
}

/// One step of the random sequences.
#[derive(Clone, Debug)]
enum Step {
    Insert { name: usize, version: usize, nodes: Vec<(usize, usize)>, metadata: usize },
    Remove { name: usize, version: Option<usize>, node: usize },
    Forget(usize),
    Synced(Option<usize>),
    Publish,
    Watch(Option<usize>),
    Read { watcher: usize, changes: usize },
}

const NAMES: [&str; 3] = ["a", "a.b", "b"];
const VERSIONS: [&str; 2] = ["", "1"];
const NODES: [&str; 4] = ["1", "2", "3", "4"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, version, node) = (0..NAMES.len(), 0..VERSIONS.len(), 0..NODES.len());
    let nodes = prop::collection::vec((node.clone(), 0..3usize), 0..4);
    let step = prop_oneof![
        6 => (name.clone(), version.clone(), nodes, 0..2usize).prop_map(
            |(name, version, nodes, metadata)| Step::Insert { name, version, nodes, metadata }
        ),
        4 => (name.clone(), prop::option::of(version), node)
            .prop_map(|(name, version, node)| Step::Remove { name, version, node }),
        1 => name.clone().prop_map(Step::Forget),
        1 => prop::option::of(name.clone()).prop_map(Step::Synced),
        5 => Just(Step::Publish),
        1 => prop::option::of(name).prop_map(Step::Watch),
        5 => (0..4usize, 0..6usize)
            .prop_map(|(watcher, changes)| Step::Read { watcher, changes }),
    ];
    prop::collection::vec(step, 0..80)
}

/// The same state, kept in the simplest way.
#[derive(Default)]
struct Model(BTreeMap<(usize, usize), (usize, BTreeMap<usize, usize>)>);

impl Model {
    fn insert(&mut self, name: usize, version: usize, nodes: &[(usize, usize)], metadata: usize) {
        if nodes.is_empty() && !self.0.contains_key(&(name, version)) {
            return;
        }
        let (held, of) = self.0.entry((name, version)).or_default();
        *held = metadata;
        of.extend(nodes.iter().copied());
    }

    fn remove(&mut self, name: usize, version: Option<usize>, node: usize) {
        for ((n, v), (_, nodes)) in &mut self.0 {
            if *n == name && version.is_none_or(|version| version == *v) {
                nodes.remove(&node);
            }
        }
        self.0.retain(|_, (_, nodes)| !nodes.is_empty());
    }

    fn list(&self) -> Vec<Service> {
        self.0
            .iter()
            .map(|((name, version), (metadata, nodes))| {
                let nodes: Vec<_> = nodes.iter().map(|(n, a)| (*n, *a)).collect();
                described(*name, *version, &nodes, *metadata)
            })
            .collect()
    }
}

fn described(name: usize, version: usize, nodes: &[(usize, usize)], metadata: usize) -> Service {
    let mut service = Service::new(NAMES[name], VERSIONS[version]);
    service.metadata.insert("m".into(), metadata.to_string());
    service.nodes =
        nodes.iter().map(|(node, address)| Node::new(NODES[*node], address.to_string())).collect();
    service
}

/// What a reader of the changes knows; it checks that each change fits to those before.
struct Reader {
    watcher: Watcher,
    name: Option<usize>,
    known: BTreeMap<(String, String), Arc<Service>>,
    synced: bool,
}

impl Reader {
    fn new(view: &View, of: Option<usize>) -> Self {
        let watcher = view.watch(of.map(|of| name(NAMES[of])));
        Self { watcher, name: of, known: BTreeMap::new(), synced: false }
    }

    /// Reads one change; false if there is none.
    fn read(&mut self) -> Result<bool, TestCaseError> {
        let Some(change) = next(&mut self.watcher) else {
            return Ok(false);
        };
        let (service, before) = match &change {
            Change::Synced => {
                prop_assert!(!self.synced, "synced twice");
                self.synced = true;
                return Ok(true);
            }
            Change::Added(service) => (service, false),
            Change::Updated(service) | Change::Removed(service) => (service, true),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert!(self.name.is_none_or(|name| NAMES[name] == service.name));
        let key = (service.name.clone(), service.version.clone());
        let known = self.known.remove(&key);
        prop_assert_eq!(known.is_some(), before, "{:?}", change);
        match &change {
            Change::Removed(_) => prop_assert_eq!(known.as_ref(), Some(service)),
            _ => {
                prop_assert_ne!(known.as_ref(), Some(service));
                self.known.insert(key, service.clone());
            }
        }
        Ok(true)
    }
}

proptest! {
    #[test]
    fn a_watcher_that_reads_at_any_moments_ends_with_what_is_there(steps in steps()) {
        let mut view = View::new(1000);
        let mut model = Model::default();
        let mut readers = vec![Reader::new(&view, None), Reader::new(&view, Some(0))];
        let (mut synced, mut all_synced) = (BTreeSet::new(), false);
        for step in steps {
            match step {
                Step::Insert { name, version, nodes, metadata } => {
                    view.insert(described(name, version, &nodes, metadata), |_| None);
                    model.insert(name, version, &nodes, metadata);
                }
                Step::Remove { name, version, node } => {
                    view.remove(NAMES[name], version.map(|v| VERSIONS[v]), NODES[node]);
                    model.remove(name, version, node);
                }
                Step::Forget(name) => {
                    view.forget(NAMES[name]);
                    model.0.retain(|(n, _), _| *n != name);
                    synced.remove(&name);
                }
                Step::Synced(of) => {
                    view.set_synced(of.map(|of| name(NAMES[of])).as_ref());
                    match of {
                        Some(of) => _ = synced.insert(of),
                        None => all_synced = true,
                    }
                }
                Step::Publish => view.publish(),
                Step::Watch(name) => readers.push(Reader::new(&view, name)),
                Step::Read { watcher, changes } => {
                    let at = watcher % readers.len();
                    for _ in 0..changes {
                        readers[at].read()?;
                    }
                }
            }
            prop_assert_eq!(view.list(), model.list());
            prop_assert_eq!(view.len(), model.0.values().map(|(_, nodes)| nodes.len()).sum::<usize>());
        }
        view.publish();
        readers.extend([Reader::new(&view, None), Reader::new(&view, Some(1))]);
        for mut reader in readers {
            while reader.read()? {}
            let told: Vec<Service> = reader.known.into_values().map(Arc::unwrap_or_clone).collect();
            let mut list = view.list();
            list.retain(|service| reader.name.is_none_or(|name| NAMES[name] == service.name));
            prop_assert_eq!(told, list);
            let due = all_synced || reader.name.is_some_and(|name| synced.contains(&name));
            prop_assert!(reader.synced || !due, "never synced");
        }
    }
}

//! What goes beyond the contract, over multicast on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use micro_core::registry::{Endpoint, RegisterOptions, Service, Value, WatchOptions};
use micro_core::{ErrorKind, PluginConfig, Reach, Registry};
use micro_registry_mdns::fuzzing::{announcements, packet};
use micro_registry_mdns::{Interface, MdnsRegistry};
use support::{Loopback, Observer, forever, greeter, name};

/// How often something that is quick is tried where the machine may stand still for a while.
const ATTEMPTS: usize = 5;

#[tokio::test]
async fn two_that_start_together_find_each_other_within_a_second() {
    let network = Loopback::new();
    let mut took = Vec::new();
    for attempt in 0..ATTEMPTS {
        let begin = Instant::now();
        let (server, client) = (network.registry(), network.registry());
        let service = Service::new(format!("greeter-{attempt}"), "1");
        let service = service.with_node(greeter("a", "127.0.0.1:1").nodes.remove(0));
        server.register(&service, forever()).await.unwrap();
        // The announcement is over; by the rules nobody may multicast it again for a second.
        assert_eq!(client.get(&name(&service.name)).await.unwrap(), [service]);
        took.push(begin.elapsed());
    }
    assert!(took.iter().min() < Some(&Duration::from_secs(1)), "{took:?}");
}

#[tokio::test]
async fn a_network_that_carries_no_multicast_is_no_network() {
    let network = Loopback::new();
    let ipv6 = Interface::Address(Ipv6Addr::LOCALHOST.into());
    let options = network.options().with_interfaces([ipv6]);
    // By IPv4 loopback carries it, by IPv6 not on Linux.
    let registry = MdnsRegistry::with_options(options).unwrap();
    let error = registry.register(&greeter("a", "x"), forever()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.detail().contains("no multicast goes over"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_lookup_asks_everybody_and_once_more_who_is_not_known_yet() {
    let network = Loopback::new();
    let (here, there) = (network.registry(), network.registry());
    here.register(&greeter("a", "x"), forever()).await.unwrap();
    let listener = network.listen();
    there.get(&name("greeter")).await.unwrap();
    let (begin, mut buffer, mut asked) = (Instant::now(), [0; 2000], Vec::new());
    while asked.len() < 2 {
        assert!(begin.elapsed() < support::LIMIT, "it is asked {asked:?} times");
        let Ok((length, from)) = listener.recv_from(&mut buffer) else { continue };
        let is_query = buffer[2] & 0x80 == 0;
        // Those who are asked alone are asked from another port.
        if is_query && from.port() == network.port() {
            let knows = buffer[..length].windows(10).any(|bytes| bytes == b"greeter a ");
            asked.push(knows);
        }
    }
    assert_eq!(asked, [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_silent_is_asked_before_they_are_believed_dead() {
    let network = Loopback::new();
    let registry = network.registry();
    let mut watched = Observer::synced(&registry).await;
    let listener = network.listen();
    let node = Service::new("silent", "1").with_node(greeter("a", "x").nodes.remove(0));
    let (label, txt) = announcements(&node).remove(0);
    // The shorter lease, without a character more or less.
    let at = txt.windows(12).position(|bytes| bytes.starts_with(b"lease=20000")).unwrap();
    let mut short = txt.clone();
    short[at..at + 11].copy_from_slice(b"lease=02000");
    network.send(&packet(&label, &short));
    watched.until(&["silent 1 a x"]).await;
    let (begin, mut buffer, mut asked) = (Instant::now(), [0; 2000], 0);
    while begin.elapsed() < Duration::from_secs(2) {
        let Ok(length) = listener.recv(&mut buffer) else { continue };
        let is_query = buffer[2] & 0x80 == 0;
        if is_query && buffer[..length].windows(label.len()).any(|w| w == label.as_bytes()) {
            asked += 1;
        }
    }
    assert!(asked > 1, "they were asked {asked} times");
    watched.until(&[]).await;
}

#[tokio::test]
async fn a_watcher_sees_who_comes_and_who_goes_at_once() {
    let network = Loopback::new();
    let (here, there) = (network.registry(), network.registry());
    let mut watched = Observer::synced(&there).await;
    let (mut came, mut left) = (Vec::new(), Vec::new());
    for _ in 0..ATTEMPTS {
        let service = greeter("a", "x");
        let registered = here.register(&service, forever());
        let (_, seen) = tokio::join!(registered, watched.until(&["greeter 1 a x"]));
        came.push(seen);
        let (_, seen) = tokio::join!(here.deregister(&service), watched.until(&[]));
        left.push(seen);
    }
    // A lease is 20 s, and a goodbye of multicast DNS alone takes a second.
    for took in [came, left] {
        assert!(took.iter().min() < Some(&Duration::from_millis(300)), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_asks_everybody_is_answered_after_a_moment() {
    let network = Loopback::new();
    let registry = network.registry();
    registry.register(&greeter("a", "x"), forever()).await.unwrap();
    let listener = network.listen();
    let question = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x06_micro\x04_tcp\x05local\0\0\x0c\0\x01";
    // Announcements have more than the one record that is asked for.
    let is_answer = |packet: &[u8]| packet[2] & 0x80 != 0 && packet[6..8] == [0, 1];
    let (begin, mut buffer) = (Instant::now(), [0; 2000]);
    let took = 'answered: loop {
        assert!(begin.elapsed() < support::LIMIT, "nobody answers");
        network.send(question);
        let asked = Instant::now();
        // What was announced a moment ago is not said again.
        while asked.elapsed() < Duration::from_secs(1) {
            if listener.recv(&mut buffer).is_ok() && is_answer(&buffer) {
                break 'answered asked.elapsed();
            }
        }
    };
    assert!(took >= Duration::from_millis(20), "{took:?} (RFC 6762, 6)");
}

#[tokio::test]
async fn who_comes_when_nothing_was_heard_for_a_while_is_believed_for_all_of_the_lease() {
    let network = Loopback::new();
    let there = network.registry();
    let mut watched = Observer::synced(&there).await;
    // For most of a lease there is nothing to do.
    let lease = Duration::from_millis(1300);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let here = MdnsRegistry::with_options(network.options().with_lease(lease)).unwrap();
    here.register(&greeter("a", "x"), forever()).await.unwrap();
    watched.until(&["greeter 1 a x"]).await;
    let change = tokio::time::timeout(2 * lease, watched.next()).await;
    assert!(change.is_err(), "{change:?}, though it says all the time that it is there");
}

#[test]
fn whoever_goes_on_in_another_runtime_finds_who_came_meanwhile() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let network = Loopback::new();
    let registry = network.registry();
    let first = runtime();
    assert_eq!(first.block_on(registry.list()).unwrap(), []);
    drop(first);
    let second = runtime();
    second.block_on(async {
        let other = network.registry();
        other.register(&greeter("a", "x"), forever()).await.unwrap();
        // Far sooner than it renews what it says.
        assert_eq!(registry.get(&name("greeter")).await.unwrap(), [greeter("a", "x")]);
    });
}

#[tokio::test]
async fn who_closes_is_gone_at_once() {
    let network = Loopback::new();
    let there = network.registry();
    let mut watched = Observer::synced(&there).await;
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        let here = network.registry();
        here.register(&greeter("a", "x"), forever()).await.unwrap();
        watched.until(&["greeter 1 a x"]).await;
        let (closed, seen) = tokio::join!(here.close(), watched.until(&[]));
        closed.unwrap();
        took.push(seen);
    }
    assert!(took.iter().min() < Some(&Duration::from_millis(300)), "{took:?}");
}

#[tokio::test]
async fn whoever_closes_what_another_is_closing_waits_for_the_goodbye() {
    let network = Loopback::new();
    let (here, there) = (network.registry(), network.registry());
    let mut watched = Observer::synced(&there).await;
    here.register(&greeter("a", "x"), forever()).await.unwrap();
    watched.until(&["greeter 1 a x"]).await;
    let (first, second) = tokio::join!(here.close(), here.close());
    first.unwrap();
    second.unwrap();
    // Far less than a lease.
    assert!(watched.until(&[]).await < Duration::from_secs(5));
    here.close().await.unwrap();
}

#[tokio::test]
async fn five_hundred_endpoints_with_their_types_arrive() {
    let network = Loopback::new();
    let (here, there, late) = (network.registry(), network.registry(), network.registry());
    let mut watched = Observer::synced(&there).await;
    let mut service = greeter("a", "127.0.0.1:4000");
    service.endpoints = (0..500).map(endpoint).collect();
    here.register(&service, forever()).await.unwrap();
    watched.until(&["greeter 1 a 127.0.0.1:4000"]).await;
    assert_eq!(watched.services, [service.clone()]);
    assert_eq!(late.get(&name("greeter")).await.unwrap(), [service.clone()]);

    service.endpoints.truncate(400);
    here.register(&service, forever()).await.unwrap();
    while watched.services != [service.clone()] {
        watched.next().await;
    }
}

/// As the runtime describes handlers whose types have schemas.
fn endpoint(number: usize) -> Endpoint {
    let names = ["Id", "Customer", "Amount", "Currency", "CreatedAt", "Note", "Items", "Address"];
    let value = |name: String, kind: &str, values| Value { name, kind: kind.to_owned(), values };
    let fields = |seed: usize| {
        let field = |index: usize| {
            let name = names[(seed + index * 3) % names.len()];
            let kind = ["string", "integer", "array", "boolean"][(seed + index) % 4];
            value(format!("{name}{}", seed % 17), kind, Vec::new())
        };
        (0..3 + seed % 4).map(field).collect()
    };
    let entity = ["Order", "Invoice", "Payment", "Shipment", "Customer", "Ledger"][number % 6];
    let verb = ["Create", "Read", "Update", "Delete", "List", "Search", "Cancel"][number % 7];
    let mut endpoint = Endpoint::new(format!("{entity}.{verb}{number}"));
    let name = format!("{verb}{entity}{number}");
    endpoint.request = Some(value(format!("{name}Request"), "object", fields(number)));
    endpoint.response = Some(value(format!("{name}Response"), "object", fields(number * 7)));
    endpoint
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_with_both_sizes() {
    let network = Loopback::new();
    let mut random = fastrand::Rng::with_seed(1);
    let mut service = greeter("a", "x");
    let noise: String = (0..100_000).map(|_| random.alphanumeric()).collect();
    service.metadata.insert("noise".to_owned(), noise);
    let error = network.registry().register(&service, forever()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let numbers = error.detail().split(|c: char| !c.is_ascii_digit()).filter(|n| n.len() > 3);
    assert_eq!(numbers.count(), 2, "{error}");
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let network = Loopback::new();
    let in_namespace = |namespace: &str| {
        MdnsRegistry::with_options(network.options().with_namespace(namespace)).unwrap()
    };
    let worlds = [network.registry(), in_namespace("blue"), in_namespace("red")];
    for (index, world) in worlds.iter().enumerate() {
        world.register(&greeter("a", &format!("in {index}")), forever()).await.unwrap();
    }
    for (index, world) in worlds.iter().enumerate() {
        assert_eq!(world.list().await.unwrap(), [greeter("a", &format!("in {index}"))]);
    }
    let other = in_namespace("blue");
    assert_eq!(other.get(&name("greeter")).await.unwrap(), [greeter("a", "in 1")]);
}

#[tokio::test]
async fn of_two_with_one_id_the_later_one_counts_everywhere_until_it_leaves() {
    let network = Loopback::new();
    let lease = Duration::from_millis(600);
    let quick = || MdnsRegistry::with_options(network.options().with_lease(lease)).unwrap();
    let (old, new, there) = (quick(), quick(), network.registry());
    let mut watched = Observer::synced(&there).await;
    old.register(&greeter("a", "old"), forever()).await.unwrap();
    watched.until(&["greeter 1 a old"]).await;
    // Since when somebody speaks is told in milliseconds.
    tokio::time::sleep(Duration::from_millis(5)).await;
    new.register(&greeter("a", "new"), forever()).await.unwrap();
    watched.until(&["greeter 1 a new"]).await;
    for registry in [&old, &new, &there] {
        assert_eq!(registry.get(&name("greeter")).await.unwrap(), [greeter("a", "new")]);
    }
    // Both renew what they say, several times; nothing changes until one leaves.
    let before = watched.changes;
    let marker = Service::new("marker", "1").with_node(greeter("m", "m").nodes.remove(0));
    let brief = RegisterOptions::default().with_ttl(lease * 4);
    old.register(&marker, brief).await.unwrap();
    watched.until(&["greeter 1 a new", "marker 1 m m"]).await;
    watched.until(&["greeter 1 a new"]).await;
    assert_eq!(watched.changes, before + 2, "the marker came and went, and nothing else changed");
    new.close().await.unwrap();
    watched.until(&["greeter 1 a old"]).await;
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_an_error_of_whoever_uses_it() {
    let registry = MdnsRegistry::new(["nowhere0"]).unwrap();
    let service = greeter("a", "x");
    let errors = [
        registry.register(&service, forever()).await.unwrap_err(),
        registry.get(&name("greeter")).await.unwrap_err(),
        registry.list().await.unwrap_err(),
        registry.watch(WatchOptions::default()).await.unwrap_err(),
        registry.health().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let named = ["nowhere0", "127.0.0.1"].iter().all(|part| error.detail().contains(part));
        assert!(named, "{error}");
    }
    registry.deregister(&service).await.unwrap();
    registry.close().await.unwrap();
    let error = MdnsRegistry::new(["nats://127.0.0.1"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_port_that_somebody_keeps_to_themselves_is_named() {
    // Without the options by which several programs share a port.
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = Loopback::new().options().with_port(port);
    let registry = MdnsRegistry::with_options(options).unwrap();
    let error = registry.get(&name("greeter")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.detail().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn it_is_made_of_a_configuration_and_tells_how_far_it_reaches() {
    let of = |addresses: &[&str]| {
        let config = PluginConfig::default().with_addresses(addresses.to_vec());
        MdnsRegistry::from_config(&config.with_namespace("blue"))
    };
    assert_eq!(of(&["loopback"]).unwrap().capabilities().reach, Reach::Machine);
    assert_eq!(of(&["lo,127.0.0.1"]).unwrap().capabilities().reach, Reach::Machine);
    assert_eq!(of(&[]).unwrap().capabilities().reach, Reach::Network);
    assert_eq!(of(&["127.0.0.1:5353"]).unwrap_err().kind(), ErrorKind::InvalidInput);
    let bad = PluginConfig::default().with_namespace("a b");
    assert_eq!(MdnsRegistry::from_config(&bad).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!("loopback".parse::<Interface>().unwrap(), Interface::Loopback);
}

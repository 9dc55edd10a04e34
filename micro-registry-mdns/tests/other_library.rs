//! Another implementation of multicast DNS on the other end: mdns-sd.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use micro_core::Registry;
use micro_core::registry::{Node, Service};
use micro_registry_mdns::fuzzing::announcements;
use support::{LIMIT, Loopback, Observer, forever, greeter, name};

const TYPE: &str = "_micro._tcp.local.";

/// The other one, on the same network.
struct Other(ServiceDaemon);

impl Other {
    fn on(network: &Loopback) -> Self {
        let daemon = ServiceDaemon::new_with_port(network.port()).unwrap();
        daemon.disable_interface(IfKind::All).unwrap();
        daemon.enable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6]).unwrap();
        Self(daemon)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.shutdown().unwrap();
    }
}

/// What is browsed, until it is what is waited for.
async fn until<T>(
    events: &Receiver<ServiceEvent>,
    mut is_it: impl FnMut(ServiceEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            if let Some(found) = is_it(events.recv_async().await.unwrap()) {
                return found;
            }
        }
    };
    tokio::time::timeout(LIMIT, found).await.expect("nothing like that is seen")
}

async fn resolved(events: &Receiver<ServiceEvent>) -> ResolvedService {
    let resolved = |event| match event {
        ServiceEvent::ServiceResolved(service) => Some(*service),
        _ => None,
    };
    until(events, resolved).await
}

#[tokio::test]
async fn it_sees_who_comes_what_they_say_and_who_leaves() {
    let network = Loopback::new();
    let (registry, other) = (network.registry(), Other::on(&network));
    let events = other.0.browse(TYPE).unwrap();
    let service = greeter("a", "127.0.0.1:4000");
    registry.register(&service, forever()).await.unwrap();

    let seen = resolved(&events).await;
    assert_eq!(seen.port, 4000);
    assert!(seen.host.starts_with("micro-") && seen.host.ends_with(".local."), "{}", seen.host);
    let addresses: Vec<IpAddr> = seen.addresses.iter().map(|ip| ip.to_ip_addr()).collect();
    assert!(addresses.contains(&IpAddr::from([127, 0, 0, 1])), "{addresses:?}");
    assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    let text = |key| seen.txt_properties.get_property_val_str(key);
    assert_eq!(text("name"), Some("greeter"));
    assert_eq!(text("id"), Some("a"));
    assert_eq!(text("address"), Some("127.0.0.1:4000"));

    // Who comes later asks, though everybody has heard it a moment ago.
    let late = Other::on(&network);
    assert_eq!(resolved(&late.0.browse(TYPE).unwrap()).await.fullname, seen.fullname);

    registry.deregister(&service).await.unwrap();
    let is_gone = |event| match event {
        ServiceEvent::ServiceRemoved(_, name) => (name == seen.fullname).then_some(()),
        _ => None,
    };
    until(&events, is_gone).await;
}

#[tokio::test]
async fn it_is_answered_what_it_has_not_heard() {
    let network = Loopback::new();
    let registry = network.registry();
    let mut large = greeter("a", "127.0.0.1:4000");
    large.metadata.insert("noise".into(), noise(5000));
    registry.register(&large, forever()).await.unwrap();

    let other = Other::on(&network);
    let events = other.0.browse(TYPE).unwrap();
    let mut parts = std::collections::BTreeSet::new();
    let found = |event| match event {
        ServiceEvent::ServiceResolved(service) => {
            parts.insert(service.fullname);
            (parts.len() >= 4).then_some(())
        }
        _ => None,
    };
    until(&events, found).await;
    let types = other.0.browse("_services._dns-sd._udp.local.").unwrap();
    let listed = |event| match event {
        ServiceEvent::ServiceFound(_, name) => (name == TYPE).then_some(()),
        _ => None,
    };
    until(&types, listed).await;
}

#[tokio::test]
async fn what_it_announces_is_heard_and_its_goodbye_too() {
    let network = Loopback::new();
    let other = Other::on(&network);
    let service = Service::new("told", "1").with_node(Node::new("a", "127.0.0.1:4000"));
    let (label, txt) = announcements(&service).remove(0);
    let strings: Vec<(String, Vec<u8>)> = strings(&txt);
    let properties: Vec<mdns_sd::TxtProperty> = strings.into_iter().map(Into::into).collect();
    let info =
        ServiceInfo::new(TYPE, &label, "other.local.", "127.0.0.1", 4000, properties).unwrap();

    let registry = network.registry();
    let mut watched = Observer::synced(&registry).await;
    other.0.register(info.clone()).unwrap();
    watched.until(&["told 1 a 127.0.0.1:4000"]).await;
    let late = network.registry();
    assert_eq!(late.get(&name("told")).await.unwrap(), [service]);

    let begin = Instant::now();
    let receiver = other.0.unregister(info.get_fullname()).unwrap();
    receiver.recv_async().await.unwrap();
    watched.until(&[]).await;
    // Of the lease of 20 s nothing is waited for, only whether somebody else says otherwise.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// What does not become small.
fn noise(length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    (0..length).map(|_| random.alphanumeric()).collect()
}

fn strings(mut txt: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut strings = Vec::new();
    while let Some((length, rest)) = txt.split_first() {
        let (string, rest) = rest.split_at(usize::from(*length));
        let equals = string.iter().position(|byte| *byte == b'=').unwrap();
        let key = String::from_utf8(string[..equals].to_vec()).unwrap();
        strings.push((key, string[equals + 1..].to_vec()));
        txt = rest;
    }
    strings
}

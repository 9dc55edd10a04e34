//! A plugin is swapped by one line of a manifest: each of a kind has the same names at its root, is
//! made of the same configuration and says what it can.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use micro::broker::{Message, SubscribeOptions};
use micro::registry::{Node, RegisterOptions, Service};
use micro::{ErrorKind, Header, PluginConfig, Plugins, Reach};
use micro_core::{Broker, Registry, Transport};
use micro_testkit::server::NatsServer;

/// What one plugin crate has at its root.
struct Root<T: ?Sized> {
    package: String,
    /// Its `NAME`.
    name: &'static str,
    /// One of its backends for each way to make one.
    made: Vec<Arc<T>>,
}

/// The plugins of one kind. Does not compile where one lacks a name, or has another thing there.
macro_rules! roots {
    ($kind:ident: $($plugin:ident),*) => {
        vec![$({
            options::<$plugin::Options>();
            backend::<$plugin::$kind>();
            let of = |made: micro::Result<$plugin::$kind>| Arc::new(made.unwrap()) as Arc<dyn $kind>;
            let config = PluginConfig::default();
            let none: [&str; 0] = [];
            let made = vec![
                of($plugin::$kind::new(none)),
                of($plugin::$kind::new(Vec::<String>::new())),
                of($plugin::$kind::from_config(&config)),
                of($plugin::$kind::from_config(&config.with_namespace("fleet"))),
            ];
            let package = stringify!($plugin).replace('_', "-");
            Root { package, name: $plugin::NAME, made }
        }),*]
    };
}

fn options<T: Clone + Debug + Default + PartialEq + Send + Sync + 'static>() {}

fn backend<T: Clone + Debug + Send + Sync + 'static>() {}

fn registries() -> Vec<Root<dyn Registry>> {
    roots!(Registry: micro_memory, micro_registry_mdns, micro_registry_nats)
}

fn transports() -> Vec<Root<dyn Transport>> {
    roots!(Transport: micro_memory, micro_transport_nats, micro_transport_tcp)
}

fn brokers() -> Vec<Root<dyn Broker>> {
    roots!(Broker: micro_memory, micro_broker_nats)
}

/// The folders of our plugins of a kind; memory is of each.
fn folders(kind: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let prefix = format!("micro-{kind}-");
    names.filter(|name| name.starts_with(&prefix) || name == "micro-memory").collect()
}

/// Each is there, and called by the last word of its package's name.
fn check<T: ?Sized>(kind: &str, roots: &[Root<T>], name: impl Fn(&T) -> &'static str) {
    let packages: BTreeSet<_> = roots.iter().map(|root| root.package.clone()).collect();
    assert_eq!(packages, folders(kind), "the {kind} plugins of this test are those that there are");
    for Root { package, name: wanted, made } in roots {
        assert!(package.ends_with(&format!("-{wanted}")), "{package} is called {wanted}");
        for backend in made {
            assert_eq!(name(backend), *wanted, "{package}: NAME is what its backend says");
        }
    }
}

// Without a runtime: nothing is spawned or connected before it is used.
#[test]
fn every_plugin_is_made_in_the_same_ways_under_its_name() {
    check("registry", &registries(), |made| made.name());
    check("transport", &transports(), |made| made.name());
    check("broker", &brokers(), |made| made.name());
}

#[test]
fn what_differs_is_a_capability_that_is_known_before_the_first_use() {
    let alone = |name: &str| name == "memory";
    for root in registries() {
        for made in &root.made {
            let reach = made.capabilities().reach;
            assert_eq!(reach == Reach::Process, alone(root.name), "{}", root.package);
        }
    }
    for root in transports() {
        for made in &root.made {
            let reach = made.capabilities().reach;
            assert_eq!(reach == Reach::Process, alone(root.name), "{}", root.package);
            assert_eq!(made.capabilities(), root.made[0].capabilities(), "{}", root.package);
        }
    }
    for root in brokers() {
        for made in &root.made {
            let reach = made.capabilities().reach;
            assert_eq!(reach == Reach::Process, alone(root.name), "{}", root.package);
            assert_eq!(made.capabilities(), root.made[0].capabilities(), "{}", root.package);
        }
    }
}

#[test]
fn what_the_facade_makes_by_name_is_what_the_plugin_makes() {
    let (plugins, config) = (Plugins::new(), PluginConfig::default());
    let names = |roots: Vec<&'static str>| roots.into_iter().collect::<BTreeSet<_>>();
    let [registries_named, transports_named, brokers_named] = plugins.names();

    let roots = registries();
    assert_eq!(
        BTreeSet::from_iter(registries_named),
        names(roots.iter().map(|r| r.name).collect())
    );
    for root in roots {
        let made = plugins.registry(root.name, &config).unwrap();
        assert_eq!(made.name(), root.name);
        assert_eq!(made.capabilities(), root.made[0].capabilities(), "{}", root.package);
    }
    let roots = transports();
    assert_eq!(
        BTreeSet::from_iter(transports_named),
        names(roots.iter().map(|r| r.name).collect())
    );
    for root in roots {
        let made = plugins.transport(root.name, &config).unwrap();
        assert_eq!(made.name(), root.name);
        assert_eq!(made.capabilities(), root.made[0].capabilities(), "{}", root.package);
    }
    let roots = brokers();
    assert_eq!(BTreeSet::from_iter(brokers_named), names(roots.iter().map(|r| r.name).collect()));
    for root in roots {
        let made = plugins.broker(root.name, &config).unwrap();
        assert_eq!(made.name(), root.name);
        assert_eq!(made.capabilities(), root.made[0].capabilities(), "{}", root.package);
    }
}

/// Two of one namespace and one of another, at the same place.
fn fleets<T>(address: &str, make: impl Fn(&PluginConfig) -> micro::Result<T>) -> [T; 3] {
    ["blue", "blue", "green"].map(|namespace| {
        let config = PluginConfig::default().with_addresses([address]).with_namespace(namespace);
        make(&config).unwrap()
    })
}

async fn registries_are_apart(named: &str, [blue, other_blue, green]: [impl Registry; 3]) {
    let service = Service::new("painter", "1").with_node(Node::new("painter-1", "somewhere"));
    blue.register(&service, RegisterOptions::default()).await.unwrap();
    let found = other_blue.get(&"painter".parse().unwrap()).await.unwrap();
    assert_eq!(found[0].nodes[0].address, "somewhere", "{named}");
    let error = green.get(&"painter".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{named}: {error}");
    for registry in [&blue as &dyn Registry, &other_blue, &green] {
        registry.close().await.unwrap();
    }
}

async fn brokers_are_apart(named: &str, [blue, other_blue, green]: [impl Broker; 3]) {
    let topic = || "painted".parse::<micro::broker::Topic>().unwrap();
    let listen = async |broker: &dyn Broker| {
        broker.subscribe(&topic().into(), SubscribeOptions::default()).await.unwrap()
    };
    let (mut at_blue, mut at_green) = (listen(&other_blue).await, listen(&green).await);
    let message = |text: &str| Message::new(Header::new(), text.to_owned());
    // Once it is heard by its own, whoever else hears it has it before the next one.
    green.publish(&topic(), message("of green")).await.unwrap();
    assert_eq!(at_green.next().await.unwrap().unwrap().message.body, "of green", "{named}");
    blue.publish(&topic(), message("of blue")).await.unwrap();
    assert_eq!(at_blue.next().await.unwrap().unwrap().message.body, "of blue", "{named}");
}

#[tokio::test]
async fn plugins_that_share_a_place_are_kept_apart_by_their_namespace() {
    let server = NatsServer::start().await;
    let nats = server.address();
    let made = fleets(&nats, micro_registry_nats::Registry::from_config);
    registries_are_apart("nats", made).await;
    let made = fleets(&nats, micro_broker_nats::Broker::from_config);
    brokers_are_apart("nats", made).await;
    let made = fleets("loopback", micro_registry_mdns::Registry::from_config);
    registries_are_apart("mdns", made).await;
}

//! What avahi shows of our nodes, and we of what avahi publishes: between two machines, and on one
//! where both share the port.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use micro_core::Registry;
use micro_core::registry::Endpoint;
use micro_registry_mdns::{MdnsRegistry, Options};
use support::program::{DONE, Program, role_of_this, say, told};
use support::scene::scenes;
use support::shown::Shown;
use support::{LIMIT, forever, greeter};

const KIND: &str = "_micro._tcp";
/// Avahi forgets a second after it is told to, as multicast DNS says. Leases are 20 s here, and
/// records last for minutes.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_node_is_shown_with_its_name_its_port_its_addresses_and_the_strings_for_people() {
    for mut scene in scenes("").await {
        let address = format!("{}:4000", scene.v4);
        scene.node.does(&format!("register Köln;1 {address} 0")).await;
        let both = |shown: &[Shown]| on_link(shown).len() == 2;
        let shown = scene.avahi.browse_until(KIND, both).await;
        for shown in on_link(&shown) {
            assert!(shown.name.starts_with("greeter Köln;1 "), "{shown:?}");
            let resolved = shown.resolved.as_ref().unwrap();
            // Each family may tell the addresses of both.
            assert!([scene.v4, &scene.v6].contains(&&*resolved.address), "{shown:?}");
            assert_eq!(resolved.port, 4000);
            let strings = ["name", "version", "address"].map(|key| shown.txt(key).unwrap());
            assert_eq!(strings, ["greeter", "1", &address]);
            // Avahi tells by number what is no ASCII.
            assert_eq!(shown.txt("id"), Some("K\\195\\182ln;1"));
        }
        scene.end();
    }
}

#[tokio::test]
async fn our_type_is_among_those_of_everything_that_there_is() {
    for mut scene in scenes("").await {
        scene.node.does("register a x 0").await;
        let begin = Instant::now();
        while scene.avahi.types().await != [KIND] {
            assert!(begin.elapsed() < LIMIT, "{:?}", scene.avahi.types().await);
        }
        scene.end();
    }
}

#[tokio::test]
async fn the_addresses_of_a_node_are_found_for_each_family() {
    for mut scene in scenes("").await {
        scene.node.does("register a x 0").await;
        let shown = scene.avahi.browse_until(KIND, |shown| !on_link(shown).is_empty()).await;
        let host = &shown[0].resolved.as_ref().unwrap().host;
        for family in ["-4", "-6"] {
            let address = scene.avahi.resolve(family, host).await;
            assert!(scene.is_address(family, address.as_deref()), "{family}: {address:?}");
        }
        scene.end();
    }
}

#[tokio::test]
async fn who_leaves_is_forgotten_at_once() {
    for mut scene in scenes("").await {
        for how in ["deregister", "end"] {
            let mut watched = scene.avahi.watch(KIND);
            scene.node.does("register a x 200").await;
            let shown = scene.avahi.browse_until(KIND, |shown| on_link(shown).len() > 2).await;
            let hosts = shown.iter().map(|shown| &shown.resolved.as_ref().unwrap().host);
            let mut names: Vec<&str> = hosts.map(String::as_str).collect();
            names.push("greeter");
            let leads = |record: &&String| names.iter().any(|name| record.contains(name));
            assert!(scene.avahi.records().await.iter().any(|record| leads(&record)));
            scene.node.does(how).await;
            let is_gone = |here: &[String], came: &[String]| here.is_empty() && on_both(came);
            let took = watched.until(is_gone).await;
            assert!(took < AT_ONCE, "{how}: {took:?}");
            let begin = Instant::now();
            loop {
                let records = scene.avahi.records().await;
                let left: Vec<&String> = records.iter().filter(leads).collect();
                if left.is_empty() {
                    break;
                }
                assert!(begin.elapsed() < AT_ONCE, "{how}: {left:#?}");
            }
        }
        assert!(scene.node.child.wait().await.unwrap().success());
        scene.end();
    }
}

#[tokio::test]
async fn who_renews_stays_for_many_leases() {
    for mut scene in scenes("lease").await {
        let mut watched = scene.avahi.watch(KIND);
        scene.node.does("register a x 0").await;
        let both = |shown: &[Shown]| on_link(shown).len() == 2;
        let shown = scene.avahi.browse_until(KIND, both).await;
        let beat = |shown: &Shown| shown.txt("beat").unwrap().parse::<u64>().unwrap();
        let first = beat(on_link(&shown)[0]);
        let begin = Instant::now();
        loop {
            let shown = scene.avahi.browse(KIND).await;
            assert_eq!(on_link(&shown).len(), 2, "{shown:#?}");
            if on_link(&shown).iter().all(|shown| beat(shown) >= first + LEASES * RENEWALS) {
                break;
            }
            assert!(begin.elapsed() < LIMIT, "{shown:#?}");
        }
        scene.node.does("deregister").await;
        let is_gone = |here: &[String], came: &[String]| here.is_empty() && on_both(came);
        watched.until(is_gone).await;
        // None had gone before, to come again.
        watched.came.sort();
        let all = watched.came.len();
        watched.came.dedup();
        assert_eq!(watched.came.len(), all, "{:?}", watched.came);
        scene.end();
    }
}

/// For how long it is looked at, in leases, and how often in one a node is renewed.
const LEASES: u64 = 4;
const RENEWALS: u64 = 3;

#[tokio::test]
async fn a_description_of_many_endpoints_is_shown_as_several_instances() {
    for mut scene in scenes("").await {
        scene.node.does("register a 10.0.0.7:4000 200").await;
        scene.avahi.browse_until(KIND, is_whole).await;
        scene.end();
    }
}

#[tokio::test]
async fn whoever_comes_later_is_answered() {
    for mut scene in scenes("long").await {
        scene.register_before_avahi("register a x 0").await;
        let both = |shown: &[Shown]| on_link(shown).len() == 2;
        let shown = scene.avahi.browse_until(KIND, both).await;
        let host = &shown[0].resolved.as_ref().unwrap().host;
        for family in ["-4", "-6"] {
            let address = scene.avahi.resolve(family, host).await;
            assert!(scene.is_address(family, address.as_deref()), "{family}: {address:?}");
        }
        scene.end();
    }
}

#[tokio::test]
async fn whoever_comes_later_finds_all_instances_of_a_description() {
    for mut scene in scenes("long").await {
        scene.register_before_avahi("register a 10.0.0.7:4000 200").await;
        scene.avahi.browse_until(KIND, is_whole).await;
        scene.end();
    }
}

/// Whether all instances of the one node are there at the cable, for both families.
fn is_whole(shown: &[Shown]) -> bool {
    let is_whole = |family| {
        let of_family = on_link(shown).into_iter().filter(|shown| shown.family == family);
        let (heads, parts): (Vec<_>, Vec<_>) =
            of_family.partition(|shown| shown.txt("part").is_none());
        let [head] = heads[..] else { return false };
        let promised: usize = head.txt("parts").unwrap().parse().unwrap();
        assert!(promised > 1, "{head:?}");
        assert_eq!(head.resolved.as_ref().unwrap().port, 4000);
        let mut numbers: Vec<usize> = Vec::new();
        for part in parts {
            let number = part.txt("part").unwrap();
            assert_eq!(part.name, format!("{} {number}", head.name));
            assert_eq!(part.txt("rev"), head.txt("rev"));
            numbers.push(number.parse().unwrap());
        }
        numbers.sort_unstable();
        numbers == (1..=promised).collect::<Vec<_>>()
    };
    is_whole("IPv4") && is_whole("IPv6")
}

#[tokio::test]
async fn a_namespace_has_a_type_of_its_own() {
    for mut scene in scenes("namespace").await {
        scene.node.does("register a x 0").await;
        let begin = Instant::now();
        let kind = loop {
            match &scene.avahi.types().await[..] {
                [] => assert!(begin.elapsed() < LIMIT),
                [kind] => break kind.clone(),
                more => panic!("{more:?}"),
            }
        };
        let digits = kind.strip_prefix("_micro-").and_then(|rest| rest.strip_suffix("._tcp"));
        let is_hash = |digits: &str| digits.len() == 8 && u32::from_str_radix(digits, 16).is_ok();
        assert!(digits.is_some_and(is_hash), "{kind}");
        let shown = scene.avahi.browse_until(&kind, |shown| !on_link(shown).is_empty()).await;
        assert_eq!(shown[0].txt("ns"), Some("blue"));
        assert_eq!(scene.avahi.browse(KIND).await, []);
        scene.end();
    }
}

#[tokio::test]
async fn what_others_publish_under_our_type_is_garbage_that_harms_nothing() {
    for mut scene in scenes("").await {
        let stranger = ["x", KIND, "4000", "garbage=1"];
        let _stranger = scene.avahi.publish(&stranger);
        // It looks for everything, and so hears of it.
        let begin = Instant::now();
        while scene.node.tell("garbage").await == "0" {
            assert_eq!(scene.node.tell("list").await, "");
            assert!(begin.elapsed() < LIMIT, "it is not seen");
        }
        for machine in scene.machines.run_on() {
            let mut other = Program::start(&machine, &["node", ""]);
            other.does("register b x 0").await;
            while scene.node.tell("list").await != "greeter b x" {
                assert!(begin.elapsed() < LIMIT, "{}", scene.node.tell("list").await);
            }
            // And avahi shows both.
            let is_both = |shown: &[Shown]| {
                let is_there = |name: &str| on_link(shown).iter().any(|s| s.name.starts_with(name));
                is_there("x") && is_there("greeter b ")
            };
            scene.avahi.browse_until(KIND, is_both).await;
            other.does("end").await;
            while !scene.node.tell("list").await.is_empty() {
                assert!(begin.elapsed() < LIMIT, "it is still there");
            }
        }
        scene.end();
    }
}

#[tokio::test]
async fn a_node_that_this_machine_alone_can_dial_is_shown_on_loopback_alone() {
    for mut scene in scenes("").await {
        scene.node.does("register local 127.0.0.1:4000 0").await;
        scene.node.does("register everywhere x 0").await;
        let is_at = |shown: &Shown| (shown.txt("id").unwrap().to_owned(), shown.interface.clone());
        let expected: &[_] = if scene.is_one {
            &[("everywhere", "lo"), ("everywhere", "veth0"), ("local", "lo")]
        } else {
            &[("everywhere", "veth0")]
        };
        let is_expected = |shown: &[Shown]| {
            let mut at: Vec<_> = shown.iter().map(is_at).collect();
            at.sort();
            at.dedup();
            let wrong = |at: &(String, String)| *at == ("local".into(), "veth0".into());
            assert!(!at.iter().any(wrong), "{shown:#?}");
            at.iter().map(|(id, at)| (&**id, &**at)).eq(expected.iter().copied())
        };
        scene.avahi.browse_until(KIND, is_expected).await;
        scene.end();
    }
}

/// Whether some of them are at the cable, for both families.
fn on_both(places: &[String]) -> bool {
    let is_there = |start| places.iter().any(|place| place.starts_with(start));
    is_there("veth0 IPv4 ") && is_there("veth0 IPv6 ")
}

fn on_link(shown: &[Shown]) -> Vec<&Shown> {
    shown.iter().filter(|shown| shown.interface == "veth0").collect()
}

/// What a node does; as a test of its own it does nothing.
#[tokio::test]
async fn role() {
    let Some(role) = role_of_this() else { return };
    let mut options = Options::default();
    match role.strip_prefix("node ").unwrap() {
        "" => {}
        "lease" => options = options.with_lease(Duration::from_millis(1500)),
        "long" => options = options.with_lease(Duration::from_secs(300)),
        "namespace" => options = options.with_namespace("blue"),
        other => panic!("{other} is no option"),
    }
    let registry = MdnsRegistry::with_options(options).unwrap();
    let mut registered = Vec::new();
    while let Some(told) = told().await {
        match &told.split(' ').collect::<Vec<_>>()[..] {
            ["register", id, address, endpoints] => {
                let mut service = greeter(id, address);
                let endpoint = |number| Endpoint::new(format!("Greeter.{:016x}", noise(number)));
                service.endpoints = (0..endpoints.parse().unwrap()).map(endpoint).collect();
                registry.register(&service, forever()).await.unwrap();
                registered.push(service);
                say(DONE);
            }
            ["deregister"] => {
                for service in registered.drain(..) {
                    registry.deregister(&service).await.unwrap();
                }
                say(DONE);
            }
            ["list"] => {
                let all = registry.list().await.unwrap();
                let nodes = all.iter().flat_map(|s| s.nodes.iter().map(move |node| (s, node)));
                let nodes: Vec<_> =
                    nodes.map(|(s, n)| format!("{} {} {}", s.name, n.id, n.address)).collect();
                say(&nodes.join(", "));
            }
            ["garbage"] => say(&registry.dropped_records().to_string()),
            ["end"] => {
                registry.close().await.unwrap();
                return say(DONE);
            }
            other => panic!("{other:?} is nothing to do"),
        }
    }
}

/// What no compression makes shorter.
fn noise(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

//! Nodes are killed under load.

use std::time::Duration;

use futures_util::FutureExt;
use micro::RequestState;
use serde_json::json;
use tokio::time::Instant;

use crate::load::{Kind, LIMIT, Load, was_the_truth};
use crate::nodes::{World, number};

/// From a kill to the end of the calls that were in flight there: the bar is 115 ms. This is for a
/// machine that does many other things.
const USUAL: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// What a killed process may still have been sent after the kill.
const DYING: Duration = Duration::from_secs(1);

struct Kill {
    address: String,
    at: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_calls_nodes_that_are_killed_is_told_soon_and_the_truth() {
    told_soon_and_the_truth(World::over_nats().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_whoever_calls_nodes_that_are_killed_is_told_soon_and_the_truth() {
    told_soon_and_the_truth(World::without_a_server()).await;
}

async fn told_soon_and_the_truth(world: World) {
    let kills = number("MICRO_KILLS", 40);
    let client = world.client();

    // One that lives, and does not answer.
    let keeper = world.node("keeper");
    world.is_found(&client, "keeper").await;
    let hour = Duration::from_secs(3600);
    let request = json!({ "entry": "hour", "work_ms": 3_600_000 });
    let hangs = client.call::<_, u32>("keeper", "Ledger.Write", &request).timeout(hour);
    let mut hangs = tokio::spawn(hangs.into_future());

    let mut nodes = [(); 3].map(|()| world.node("ledger"));
    let kinds = [(24, Kind::Plain), (8, Kind::Once), (8, Kind::Idempotent)];
    let load = Load::start(&client, &kinds, &[5, 10, 20, 40]);
    let mut killed = Vec::new();
    for kill in 0..kills {
        let victim = &mut nodes[kill as usize % 3];
        load.answered_by(victim.pid).await;
        // Not so quickly that a call meets more dying nodes than it may try.
        load.goes_on(600).await;
        let address = victim.address().await;
        killed.push(Kill { address, at: Instant::now() });
        victim.program.child.start_kill().unwrap();
        victim.program.child.wait().await.unwrap();
        *victim = world.node("ledger");
    }
    for node in &nodes {
        load.answered_by(node.pid).await;
    }
    let told = load.end().await;
    was_the_truth(&told, &world.written());

    let mut unknown = Vec::new();
    for told in &told {
        let Some(error) = &told.error else { continue };
        if error.request() == Some(RequestState::Unknown) {
            let kill = killed.iter().find(|kill| error.detail().contains(&kill.address));
            let kill = kill.unwrap_or_else(|| panic!("unknown, and nobody died: {error:?}"));
            assert!(told.began < kill.at + DYING && told.ended > kill.at, "{error:?}");
            unknown.push(told.ended - kill.at);
        }
    }
    unknown.sort();
    let not_sent = told.iter().filter(|told| told.error.is_some()).count() - unknown.len();
    assert!(unknown.len() as u64 >= kills, "hardly anything was in flight: {}", unknown.len());
    let (median, late) = (unknown[unknown.len() / 2], unknown[unknown.len() * 99 / 100]);
    let longest = unknown[unknown.len() - 1];
    eprintln!(
        "{kills} kills, {} calls: {} unknown, {not_sent} not sent; in flight calls knew after \
         {median:.1?} (median), {late:.1?} (99 %), {longest:.1?} (longest)",
        told.len(),
        unknown.len()
    );
    assert!(median <= USUAL && longest <= LONGEST, "{median:?}, {longest:?}");

    assert!((&mut hangs).now_or_never().is_none(), "a call to a node that lives was ended");
    hangs.abort();
    drop(keeper);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_call_that_takes_long_is_not_left_waiting_for_a_killed_node() {
    for world in [World::over_nats().await, World::without_a_server()] {
        a_lone_call_is_not_left_waiting(world).await;
    }
}

async fn a_lone_call_is_not_left_waiting(world: World) {
    let client = world.client();
    let mut waited = Vec::new();
    for (number, in_flight) in [50, 500, 2500].into_iter().enumerate() {
        let mut node = world.node("ledger");
        let address = node.address().await;
        let entry = format!("lone {number}");
        let request = json!({ "entry": entry, "work_ms": 3_600_000 });
        let hour = Duration::from_secs(3600);
        let call = client.call::<_, u32>("ledger", "Ledger.Write", &request).timeout(hour);
        let call = tokio::spawn(call.address(&address).into_future());
        world.is_written(&entry).await;
        // It is asked all the while whether it lives.
        tokio::time::sleep(Duration::from_millis(in_flight)).await;
        let at = Instant::now();
        node.program.child.start_kill().unwrap();
        let error = tokio::time::timeout(LIMIT, call).await.expect("it waits on").unwrap();
        waited.push(at.elapsed());
        assert_eq!(error.unwrap_err().request(), Some(RequestState::Unknown));
    }
    eprintln!("lone calls knew after {waited:.0?}");
    assert!(waited.iter().all(|waited| *waited <= LONGEST), "{waited:?}");
}

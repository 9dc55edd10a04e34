//! A node of ours and an avahi, between two machines or on one.

use std::sync::Once;
use std::time::Instant;

use micro_testkit::{TwoMachines, not_done};
use tokio::process::Command;

use super::LIMIT;
use super::avahi::Avahi;
use super::program::Program;

/// A node, and an avahi that sees it.
pub(crate) struct Scene {
    pub(crate) avahi: Avahi,
    pub(crate) node: Program,
    /// The addresses of the node's machine.
    pub(crate) v4: &'static str,
    pub(crate) v6: String,
    /// Whether both are on one machine.
    pub(crate) is_one: bool,
    pub(crate) machines: TwoMachines,
}

impl Scene {
    /// Both of them, and the machines.
    async fn set(options: &str, is_one: bool) -> Result<Self, String> {
        let machines = TwoMachines::joined()?;
        let index = usize::from(!is_one);
        let (run_node, v4) = (machines.run_on()[index], TwoMachines::ADDRESSES[index]);
        let v6 = link_local(&run_node).await;
        let avahi = Avahi::start(&machines.run_on()[0]).await?;
        let node = Program::start(&run_node, &["node", options]);
        Ok(Self { avahi, node, v4, v6, is_one, machines })
    }

    /// Nothing that was said was wrong in the eyes of avahi.
    pub(crate) fn end(self) {
        assert_eq!(self.avahi.complaints(), [""; 0]);
    }
}

/// On two machines, and on one; none where there cannot be one, which is said by name.
pub(crate) async fn scenes(options: &str) -> impl Iterator<Item = Scene> {
    static SAID: Once = Once::new();
    let both = async {
        Avahi::lacks().map_or(Ok(()), Err)?;
        tokio::try_join!(Scene::set(options, false), Scene::set(options, true))
    };
    let scenes = match both.await {
        Ok((two, one)) => vec![two, one],
        Err(why) => {
            SAID.call_once(|| not_done("what avahi shows of our nodes", &why));
            Vec::new()
        }
    };
    let tell = |scene: &Scene| println!("with both on one machine: {}", scene.is_one);
    scenes.into_iter().inspect(tell)
}

/// The address for IPv6 of the end of the cable, as soon as it is certain that nobody else has it.
async fn link_local(run: &[&str]) -> String {
    let begin = Instant::now();
    loop {
        let mut show = Command::new(run[0]);
        show.args(&run[1..]).args(["ip", "-6", "-oneline", "address", "show", "dev", "veth0"]);
        let lines = String::from_utf8(show.output().await.unwrap().stdout).unwrap();
        if !lines.contains("tentative")
            && let Some((_, address)) = lines.split_once("inet6 ")
        {
            return address.split('/').next().unwrap().to_owned();
        }
        assert!(begin.elapsed() < LIMIT, "there is no address: {lines}");
    }
}

//! A node of ours and an avahi, between two machines or on one.

use std::sync::Once;
use std::time::{Duration, Instant};

use micro_testkit::{TwoMachines, not_done};
use tokio::process::Command;

use super::LIMIT;
use super::avahi::Avahi;
use super::program::Program;

/// What is new is said once more a second later; then nothing is said until it is renewed.
const SAID_AGAIN: Duration = Duration::from_secs(2);

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

    /// The node registers something with the longest lease, and only then there is an avahi: what
    /// it is to know of it, it has to ask for. It is another one than before.
    pub(crate) async fn register_before_avahi(&mut self, what: &str) {
        self.node.does(what).await;
        let registered = Instant::now();
        let mut is_silent = false;
        while !is_silent {
            is_silent = registered.elapsed() > SAID_AGAIN;
            self.avahi = Avahi::start(&self.machines.run_on()[0]).await.unwrap();
        }
    }

    /// Whether this is the address of the node for this family, `-4` or `-6`.
    pub(crate) fn is_address(&self, family: &str, address: Option<&str>) -> bool {
        let (own, loopback) =
            if family == "-4" { (self.v4, "127.0.0.1") } else { (&*self.v6, "::1") };
        // On one machine it is found on loopback too.
        address.is_some_and(|address| address == own || self.is_one && address == loopback)
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

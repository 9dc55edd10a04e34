//! Two machines of a network, as far as one machine can be two.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::check::unique;

/// How long a cable may take until it is up.
const LIMIT: Duration = Duration::from_secs(20);

/// Two network namespaces of Linux with a cable (a pair of `veth`) between them, which go with this
/// value. Whoever makes them needs to be root, and iproute2's `ip`.
///
/// In each the end of the cable is `veth0`; loopback is up, and there is a way to nowhere else.
#[derive(Debug)]
pub struct TwoMachines {
    namespaces: [String; 2],
}

impl TwoMachines {
    /// The address of each at the cable.
    pub const ADDRESSES: [&str; 2] = ["10.213.0.1", "10.213.0.2"];

    /// Makes them.
    ///
    /// # Errors
    /// Why this machine has none: what `ip` says.
    ///
    /// # Panics
    /// If the cable does not come up within 20 s.
    pub fn joined() -> Result<Self, String> {
        let machines = Self { namespaces: [unique("micro-a"), unique("micro-b")] };
        let [a, b] = &machines.namespaces;
        let [at_a, at_b] = Self::ADDRESSES;
        for step in [
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add veth0 netns {a} type veth peer name veth0 netns {b}"),
            format!("-n {a} addr add {at_a}/24 dev veth0"),
            format!("-n {b} addr add {at_b}/24 dev veth0"),
            format!("-n {a} link set veth0 up"),
            format!("-n {b} link set veth0 up"),
            format!("-n {a} link set lo up"),
            format!("-n {b} link set lo up"),
        ] {
            ip(&step)?;
        }
        // A cable is up a moment after both of its ends are.
        let begin = Instant::now();
        for namespace in &machines.namespaces {
            while !ip(&format!("-n {namespace} -brief link show veth0"))?.contains(" UP ") {
                assert!(begin.elapsed() < LIMIT, "the cable does not come up");
            }
        }
        Ok(machines)
    }

    /// What a command begins with that runs on the first one, and on the second one.
    pub fn run_on(&self) -> [[&str; 4]; 2] {
        self.namespaces.each_ref().map(|namespace| ["ip", "netns", "exec", namespace])
    }

    /// Gives the first one this IPv4 address at the cable in place of the one that it has there, as
    /// another network would. The second one reaches it if it begins as
    /// [`ADDRESSES`](Self::ADDRESSES) do.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn set_address(&self, address: &str) -> Result<(), String> {
        let machine = &self.namespaces[0];
        ip(&format!("-4 -n {machine} addr flush dev veth0"))?;
        ip(&format!("-n {machine} addr add {address}/24 dev veth0")).map(drop)
    }

    /// Pulls the cable out, at the first one's end, or puts it back.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn set_cable(&self, up: bool) -> Result<(), String> {
        let state = if up { "up" } else { "down" };
        ip(&format!("-n {} link set veth0 {state}", self.namespaces[0])).map(drop)
    }
}

impl Drop for TwoMachines {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let delete = ["netns", "delete", namespace];
            let _ = Command::new("ip").args(delete).stderr(Stdio::null()).status();
        }
    }
}

fn ip(arguments: &str) -> Result<String, String> {
    let outcome = Command::new("ip").args(arguments.split(' ')).output();
    let outcome = outcome.map_err(|error| format!("ip: {error}"))?;
    if !outcome.status.success() {
        let why = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
        return Err(format!("ip {arguments}: {why}"));
    }
    Ok(String::from_utf8_lossy(&outcome.stdout).into_owned())
}

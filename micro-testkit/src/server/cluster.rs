//! Several nats-servers with routes between them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::port::Port;
use super::{LIMIT, NatsServer};

/// A cluster of nats-servers on 127.0.0.1, each of which can be stopped and started on its own.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    /// Where the servers listen for each other.
    _routes: Vec<Port>,
}

impl NatsCluster {
    /// `n` servers; returns when each knows all others and tells its clients of them.
    ///
    /// # Panics
    /// As [`NatsServer`] does.
    pub async fn start(n: usize) -> Self {
        Self::start_configured(n, "").await
    }

    /// `n` servers with a configuration file of this text each; what makes them a cluster stands
    /// beside it.
    ///
    /// # Panics
    /// As [`NatsServer`] does.
    pub async fn start_configured(n: usize, config: &str) -> Self {
        let routes: Vec<Port> = (0..n).map(|_| Port::reserve()).collect();
        let urls: Vec<String> =
            routes.iter().map(|port| format!("nats://127.0.0.1:{}", port.number())).collect();
        let all = urls.join(",");
        let mut servers: Vec<NatsServer> = (urls.iter())
            .map(|url| {
                NatsServer::stopped(&[
                    "--cluster_name",
                    "micro-testkit",
                    "--cluster",
                    url.as_str(),
                    "--routes",
                    &all,
                ])
            })
            .collect();
        for server in &mut servers {
            server.configure(config);
            server.restart().await;
        }
        let cluster = Self { servers, _routes: routes };
        cluster.joined().await;
        cluster
    }

    /// `127.0.0.1:PORT` of each server.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::address).collect()
    }

    /// One of the servers.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn server(&mut self, index: usize) -> &mut NatsServer {
        &mut self.servers[index]
    }

    /// Waits until every server that runs has a route to each other one that runs, and names its
    /// address to clients.
    pub async fn joined(&self) {
        let running: Vec<&NatsServer> =
            self.servers.iter().filter(|server| server.child.is_some()).collect();
        let addresses: BTreeSet<String> = running.iter().map(|server| server.address()).collect();
        let started = Instant::now();
        for server in &running {
            loop {
                let routes = server.monitor("/routez").await;
                let others: BTreeSet<&str> = (routes["routes"].as_array().into_iter().flatten())
                    .filter_map(|route| route["remote_id"].as_str())
                    .collect();
                let info = server.info().await;
                let mut told: BTreeSet<String> = (info["connect_urls"].as_array().into_iter())
                    .flatten()
                    .filter_map(|url| url.as_str().map(str::to_owned))
                    .collect();
                told.insert(server.address());
                if others.len() + 1 >= running.len() && told.is_superset(&addresses) {
                    break;
                }
                assert!(started.elapsed() < LIMIT, "no cluster of {addresses:?}: {told:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

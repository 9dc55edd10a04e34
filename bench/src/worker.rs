//! The other end of [`lines`](crate::lines): a process of ours, and what it is told to do.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::lines::{CpuAsked, CpuUsed, Ready};

/// How long an answer may take: far longer than any order should.
const LIMIT: Duration = Duration::from_secs(60);

/// This program once more, with another subcommand. Killed when it is dropped.
pub(crate) struct Worker {
    name: String,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    uri: Option<String>,
}

impl Worker {
    /// Starts it with these arguments, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start, or is not ready within a minute.
    pub(crate) async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let name = arguments.join(" ");
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{name} has no pipes");
        };
        let answers = BufReader::new(answers).lines();
        let mut worker = Self { name, child, orders, answers, uri: None };
        let Ready { uri, .. } = worker.answer().await?;
        Ok(Self { uri, ..worker })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If it did not say so.
    pub(crate) fn uri(&self) -> anyhow::Result<&str> {
        let uri = self.uri.as_deref();
        uri.with_context(|| format!("{} does not say where it listens", self.name))
    }

    /// Has an order carried out.
    ///
    /// # Errors
    /// If it ended instead, or took more than a minute.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &mut self,
        order: &impl Serialize,
    ) -> anyhow::Result<A> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let told = self.orders.write_all(&line).await;
        told.with_context(|| format!("{} takes no orders", self.name))?;
        self.answer().await
    }

    /// The processor time that a server has used, in seconds.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub(crate) async fn cpu_seconds(&mut self) -> anyhow::Result<f64> {
        let CpuUsed { cpu_seconds } = self.ask(&CpuAsked {}).await?;
        Ok(cpu_seconds)
    }

    /// Ends it, and waits until it has.
    ///
    /// # Errors
    /// If it could not be waited for.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn answer<A: DeserializeOwned>(&mut self) -> anyhow::Result<A> {
        let name = &self.name;
        match tokio::time::timeout(LIMIT, self.answers.next_line()).await {
            Ok(Ok(Some(line))) => {
                serde_json::from_str(&line).with_context(|| format!("{name} says {line:?}"))
            }
            Ok(Ok(None)) => bail!("{name} ended: {}", self.child.wait().await?),
            Ok(Err(error)) => Err(error).with_context(|| format!("what {name} says")),
            Err(_) => bail!("{name} says nothing for {LIMIT:?}"),
        }
    }
}

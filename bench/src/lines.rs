//! How a process is told what to do: an order on each line of stdin, the answer on a line of
//! stdout. It ends with stdin, so it does not outlive who started it.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

/// The first line of every process: it listens, or has its connection.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
    /// Where a server listens that is not reached over NATS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uri: Option<String>,
}

/// What a server is asked for: how much processor time it has used so far.
#[derive(Serialize, Deserialize)]
pub(crate) struct CpuAsked {}

/// The answer to it.
#[derive(Serialize, Deserialize)]
pub(crate) struct CpuUsed {
    pub(crate) cpu_seconds: f64,
}

/// Says that it is ready, and carries out order after order until stdin ends.
///
/// # Errors
/// The first order that failed, or was none.
pub(crate) async fn carry_out<Q, A>(
    order: impl AsyncFnMut(Q) -> anyhow::Result<A>,
) -> anyhow::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
{
    carry_out_at(None, order).await
}

/// [`carry_out`] of a server, which is asked for nothing but its processor time, and tells where it
/// listens if that is not on NATS.
///
/// # Errors
/// As there.
pub(crate) async fn tell_cpu(uri: Option<String>) -> anyhow::Result<()> {
    let told = async |_: CpuAsked| Ok(CpuUsed { cpu_seconds: cpu_time().as_secs_f64() });
    carry_out_at(uri, told).await
}

async fn carry_out_at<Q, A>(
    uri: Option<String>,
    mut order: impl AsyncFnMut(Q) -> anyhow::Result<A>,
) -> anyhow::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
{
    say(&Ready { ready: true, uri })?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let asked = serde_json::from_str(&line).with_context(|| format!("no order: {line}"))?;
        say(&order(asked).await?)?;
    }
    Ok(())
}

/// The processor time that this process has used, in the kernel too.
pub(crate) fn cpu_time() -> Duration {
    // The kernel counts in it from zero upwards.
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn say(answer: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

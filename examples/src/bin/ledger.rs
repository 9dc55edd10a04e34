//! A service that must run nothing twice: it writes down each entry that it is given.
//!
//! ```text
//! $ cargo run --bin ledger -- --profile=nats --file entries.txt
//! INFO serving service="ledger" node="ledger-77e0…" address="_INBOX.…"
//! ```
//!
//! `Ledger.Write` takes `{"entry": "a line", "work_ms": 20}`, appends the line to the file, works
//! for so long (0 by default), and answers with the id of its process. Its calls are not idempotent, so an
//! error says of each whether it was *not sent* (write it again) or whether that is *unknown* (look
//! into the file). Kill it as often as you like: what callers were told is what the file says.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use micro::{Context, Error, Service};
use serde::Deserialize;

#[derive(Parser)]
#[command(about = "Writes down what Ledger.Write is called with, until Ctrl-C")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
    /// What it is appended to
    #[arg(long, default_value = "ledger.txt")]
    file: PathBuf,
}

#[derive(Deserialize)]
struct Entry {
    entry: String,
    #[serde(default)]
    work_ms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("info");
    let options = Options::parse();
    let file = Arc::new(OpenOptions::new().append(true).create(true).open(&options.file)?);
    Service::builder("ledger")
        .handler("Ledger.Write", move |_: Context, entry: Entry| {
            let file = file.clone();
            async move {
                append(&file, &entry.entry)?;
                if entry.work_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(entry.work_ms)).await;
                }
                Ok(std::process::id())
            }
        })
        .flags(&options.micro)
        .build()?
        .run()
        .await?;
    Ok(())
}

/// In one piece, so that several processes may share the file.
fn append(mut file: &File, entry: &str) -> micro::Result<()> {
    let line = format!("{entry}\n");
    file.write_all(line.as_bytes())
        .map_err(|error| Error::internal("the entry cannot be written").with_source(error))
}

//! `micro health`: how the nodes of a service are.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use micro::codec::JSON;
use micro::registry::{Node, Service};
use micro::{Error, ErrorKind, RequestState};
use serde::{Deserialize, Serialize};

use crate::args::Health;
use crate::console::{Console, Paint, Terminal};
use crate::failure::Failure;
use crate::network::{Network, Part};
use crate::table::{self, Row};

/// What is asked: go-micro's debug handler has it, and so has every server of ours.
const ENDPOINT: &str = "Debug.Health";
/// How many nodes are asked at once.
const AT_ONCE: usize = 64;

/// What a server says of itself.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    status: String,
}

/// What was found out of one node.
#[derive(Serialize)]
struct Found {
    node: String,
    version: String,
    address: String,
    /// It answers, and says nothing bad.
    well: bool,
    state: String,
    /// How long its answer took, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    millis: Option<f64>,
}

/// How a node is.
enum State {
    Well(String),
    /// It answers, and is not well.
    Ill(String),
    Silent(String),
}

pub(crate) async fn run(
    args: &Health,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let terminal = console.terminal();
    let looking = network.whole_service(&args.service);
    let mut services = terminal.waiting("looking for the service", looking).await?;
    services.sort_by(|one, other| one.version.cmp(&other.version));
    let nodes =
        services.iter().flat_map(|service| service.nodes.iter().map(move |node| (service, node)));
    let asking = nodes.map(|(service, node)| ask(service, node, args.timeout, network));
    let asked = network.reach(&[Part::Transport], async {
        Ok(stream::iter(asking).buffered(AT_ONCE).collect::<Vec<Found>>().await)
    });
    let found = terminal.waiting("asking every node", asked).await?;
    print(args, &found, console)?;
    console.out().flush()?;
    let well = found.iter().filter(|found| found.well).count();
    let detail = format!("{well} of {} nodes of {} are well", found.len(), args.service);
    if well < found.len() {
        return Err(Error::unavailable(detail).into());
    }
    if !args.json {
        // Worth a look: one that hangs does not even tell the registry that it is there.
        console.say(detail);
    }
    Ok(())
}

async fn ask(service: &Service, node: &Node, timeout: Duration, network: &Network) -> Found {
    let began = Instant::now();
    let transport = network.client.transport().name();
    let other = node.metadata.get("transport").filter(|name| *name != transport);
    let state = match other {
        Some(other) => State::Silent(format!("is reached over {other}, not {transport}")),
        None => {
            let call = network
                .client
                .call_raw(&service.name, ENDPOINT, "{}")
                .content_type(JSON)
                .address(&node.address)
                .timeout(timeout)
                .retries(0);
            judge(call.await.map(|body| body.to_vec()), timeout)
        }
    };
    let millis = (began.elapsed().as_secs_f64() * 1e5).round() / 100.0;
    let (well, state, millis) = match state {
        State::Well(state) => (true, state, Some(millis)),
        State::Ill(state) => (false, state, Some(millis)),
        State::Silent(state) => (false, state, None),
    };
    let (id, version, address) = (&node.id, &service.version, &node.address);
    Found {
        node: id.clone(),
        version: version.clone(),
        address: address.clone(),
        well,
        state,
        millis,
    }
}

fn judge(answer: micro::Result<Vec<u8>>, timeout: Duration) -> State {
    let error = match answer {
        Ok(body) => {
            return match serde_json::from_slice::<Reply>(&body) {
                Ok(Reply { status }) if status == "ok" => State::Well(status),
                Ok(Reply { status }) => State::Ill(format!("answers that it is {status:?}")),
                Err(_) => State::Ill(format!("answers {ENDPOINT} with something else")),
            };
        }
        Err(error) => error,
    };
    match (error.request(), error.kind()) {
        (Some(RequestState::Executed), ErrorKind::NotFound) => {
            State::Well("answers, no health endpoint".to_owned())
        }
        (Some(RequestState::Executed), _) => State::Ill(format!("answers with an error: {error}")),
        (_, ErrorKind::Timeout) => {
            let timeout = humantime::format_duration(timeout);
            State::Silent(format!("no answer within {timeout}"))
        }
        (Some(RequestState::NotSent), ErrorKind::Unavailable) => {
            State::Silent("nobody is there".to_owned())
        }
        _ => State::Silent(error.to_string()),
    }
}

fn print(args: &Health, found: &[Found], console: &mut Console) -> io::Result<()> {
    if args.json {
        for found in found {
            serde_json::to_writer(&mut *console.out(), found)?;
            writeln!(console.out())?;
        }
        return Ok(());
    }
    let millis = |found: &Found| found.millis.map(|ms| format!("{ms:.2} ms")).unwrap_or_default();
    if console.terminal().stdout {
        let rows: Vec<_> = found
            .iter()
            .map(|found| Row {
                cells: [
                    found.node.clone(),
                    found.version.clone(),
                    found.state.clone(),
                    millis(found),
                ],
                paint: Some(if found.well { Paint::Good } else { Paint::Bad }),
            })
            .collect();
        return table::print(console, ["NODE", "VERSION", "HEALTH", "TIME"], &rows);
    }
    for found in found {
        let (node, state) = (Terminal::clean(&found.node), Terminal::clean(&found.state));
        writeln!(console.out(), "{node}\t{state}\t{}", millis(found))?;
    }
    Ok(())
}

//! `micro stream`: messages both ways.

use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use micro::codec::Raw;
use micro::stream::{Receiver, Sender};
use micro::{Error, ErrorKind};
use tokio::sync::mpsc;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use crate::args::Stream;
use crate::console::{Console, LinesRead};
use crate::failure::Failure;
use crate::format::Format;
use crate::known::Known;
use crate::network::{Network, Part};

/// How long messages are waited for when no more are sent: what a stream ends with, or what answers those before.
const LAST_MESSAGES: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    args: &Stream,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let target = &args.target;
    let format = Format::of(target)?;
    let terminal = console.terminal();
    let only = match &args.body {
        None => None,
        Some(body) => {
            let (input, name) = body.read(console).await?;
            Some(format.encode(input, &name)?)
        }
    };
    let known = terminal.waiting("looking for the service", Known::find(target, network)).await?;
    known.must_be_stream(true)?;
    if let Some(body) = &only
        && let Some(hint) = known.check_fields(&format, body)?
    {
        console.hint(hint);
    }
    let opening = open(args, &format, only, network);
    let what = format!("opening {} of {}", target.endpoint, target.service);
    let (sender, receiver) = terminal.waiting(&what, opening).await?;
    let exchanged = match sender {
        None => print_all(receiver, &format, network, console).await,
        Some(sender) => {
            let lines = Lines::new(console, &format, &known)?;
            let mut receives = pin!(print_all(receiver, &format, network, console));
            tokio::select! {
                biased;
                received = &mut receives => received,
                sent = lines.send_all(&sender) => match sent {
                    Ok(()) => match sender.finish() {
                        Ok(()) => receives.await,
                        Err(error) => after(error, receives).await,
                    },
                    Err(NotSent::Error(error)) => after(error, receives).await,
                    // What was sent before it may be answered yet, before the stream is given up.
                    Err(NotSent::Input(failure)) => {
                        let _ = timeout(LAST_MESSAGES, receives).await;
                        Err(failure)
                    }
                }
            }
        }
    };
    match exchanged {
        Err(Failure::Failed(error, hints)) if hints.is_empty() && error.id() != "micro" => {
            Err(network.explain(&target.service, &target.endpoint, error).await)
        }
        other => other,
    }
}

type Ends = (Option<Sender<Bytes>>, Receiver<Bytes>);

/// `only`: the one message that is sent; otherwise there is a sender for others.
async fn open(
    args: &Stream,
    format: &Format,
    only: Option<Bytes>,
    network: &Network,
) -> Result<Ends, Failure> {
    let target = &args.target;
    let mut stream = network
        .client
        .stream(target.service.as_str(), &target.endpoint)
        .codec::<Raw>()
        .content_type(format.content_type.clone());
    for (key, value) in &target.metadata {
        stream = stream.metadata(key.clone(), value.clone());
    }
    if let Some(address) = &target.address {
        stream = stream.address(address.clone());
    }
    if let Some(timeout) = args.timeout {
        stream = stream.timeout(timeout);
    }
    if let Some(idle) = args.idle {
        stream = stream.idle(idle);
    }
    let parts = [Part::Transport, Part::Registry];
    let parts = if target.address.is_some() { &parts[..1] } else { &parts[..] };
    let opened = network.reach(parts, async {
        Ok(match only {
            Some(only) => (None, stream.server_streaming::<Bytes, Bytes>(&only).await?),
            None => {
                let (sender, receiver) = stream.bidirectional::<Bytes, Bytes>().await?.split();
                (Some(sender), receiver)
            }
        })
    });
    match opened.await {
        Ok(ends) => Ok(ends),
        Err(error) => Err(network.explain(&target.service, &target.endpoint, error).await),
    }
}

/// Why a message was not sent.
enum NotSent {
    /// It is none.
    Input(Failure),
    Error(Error),
}

/// The lines of standard input, each a message.
struct Lines<'a> {
    lines: mpsc::Receiver<LinesRead>,
    format: &'a Format,
    known: &'a Known<'a>,
}

impl<'a> Lines<'a> {
    fn new(console: &mut Console, format: &'a Format, known: &'a Known<'a>) -> io::Result<Self> {
        Ok(Self { lines: console.stdin_lines(format.is_raw())?, format, known })
    }

    async fn send_all(mut self, sender: &Sender<Bytes>) -> Result<(), NotSent> {
        let mut number = 0_u64;
        while let Some(read) = self.lines.recv().await {
            let (lines, error) = match read {
                Ok(lines) => (lines, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            for line in lines.into_iter().map(Ok).chain(error.map(Err)) {
                number += 1;
                let body = self.body(line, number).map_err(|flaw| match number {
                    1 => NotSent::Input(flaw),
                    // Others went before it.
                    _ => NotSent::Input(flaw.of_stream()),
                })?;
                sender.send(&body).await.map_err(NotSent::Error)?;
            }
        }
        Ok(())
    }

    fn body(&self, line: io::Result<Bytes>, number: u64) -> Result<Bytes, Failure> {
        let name = format!("message {number} of standard input");
        let line = line.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
        let body = self.format.encode(line, &name)?;
        // Of fields that may be meant, nothing is said between the messages that come.
        self.known.check_fields(self.format, &body).map_err(|flaw| flaw.of(&name))?;
        Ok(body)
    }
}

/// Nothing more can be sent. Where that is because the stream is over, what it ended with comes after the messages
/// before it.
async fn after(
    error: Error,
    receives: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    match error.kind() {
        // The other side has ended it well.
        ErrorKind::Cancelled => receives.await,
        // It is about the message, and the stream would go on without it.
        ErrorKind::TooLarge | ErrorKind::InvalidInput => Err(error.into()),
        _ => match timeout(LAST_MESSAGES, receives).await {
            Ok(Err(ended)) => Err(ended),
            _ => Err(error.into()),
        },
    }
}

/// Prints what comes, as soon as it comes.
async fn print_all(
    mut receiver: Receiver<Bytes>,
    format: &Format,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut outages = network.outages(Part::Transport);
    loop {
        // Others have their turn, however much comes: what is sent, and Ctrl-C.
        consume_budget().await;
        let next = match receiver.recv().now_or_never() {
            Some(next) => next,
            None => {
                console.out().flush()?;
                tokio::select! {
                    biased;
                    next = receiver.recv() => next,
                    outage = outages.next() => {
                        console.say(outage);
                        continue;
                    }
                }
            }
        };
        match next? {
            Some(message) => format.print(console, message, false)?,
            None => return Ok(()),
        }
    }
}

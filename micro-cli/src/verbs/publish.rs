//! `micro publish`: an event.

use bytes::Bytes;
use micro::ErrorKind;
use micro::codec::Raw;

use crate::args::Publish;
use crate::console::Console;
use crate::failure::Failure;
use crate::format::Format;
use crate::network::{Network, Part};

pub(crate) async fn run(
    args: &Publish,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let format = Format::without_proto(&args.bodies)?;
    let (input, name) = args.body.read(console).await?;
    let body = format.encode(input, &name)?;
    let mut event = network
        .client
        .publish_with::<Raw, Bytes>(args.topic.as_str(), &body)
        .content_type(format.content_type);
    for (key, value) in &args.metadata {
        event = event.metadata(key.clone(), value.clone());
    }
    let publishing = network.reach(&[Part::Broker], async {
        event.await?;
        // Until it has left: the process ends after this.
        network.client.broker().flush().await
    });
    match console.terminal().waiting("publishing", publishing).await {
        // It is about what was typed: metadata that belongs to the wire.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Err(Failure::usage(error)),
        published => Ok(published?),
    }
}

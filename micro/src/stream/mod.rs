//! Streams: many messages for one call, one way or both.
//!
//! | shape | caller | handler |
//! |---|---|---|
//! | server streaming: one request, many replies | [`OpenStream::server_streaming`] → [`Receiver`] | [`server_streaming`] |
//! | client streaming: many requests, one reply | [`OpenStream::client_streaming`] → [`ClientStream`] | [`client_streaming`] |
//! | bidirectional | [`OpenStream::bidirectional`] → [`Bidirectional`] | [`bidirectional`] |
//!
//! ```
//! use micro::stream::{self, Receiver, Sender};
//! use micro::{Context, Service};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> micro::Result<()> {
//! let service = Service::builder("numbers")
//!     .stream_handler(
//!         "Numbers.Count",
//!         stream::server_streaming(async |_: Context, upto: u32, numbers: Sender<u32>| {
//!             for number in 1..=upto {
//!                 numbers.send(&number).await?;
//!             }
//!             Ok(())
//!         }),
//!     )
//!     .stream_handler(
//!         "Numbers.Sum",
//!         stream::client_streaming(async |_: Context, mut numbers: Receiver<u32>| {
//!             let mut sum = 0;
//!             while let Some(number) = numbers.recv().await? {
//!                 sum += number;
//!             }
//!             Ok(sum)
//!         }),
//!     )
//!     .build()?
//!     .start()
//!     .await?;
//! let client = service.client();
//!
//! let mut sum = client.stream("numbers", "Numbers.Sum").client_streaming::<u32, u32>().await?;
//! let mut numbers = client.stream("numbers", "Numbers.Count").server_streaming(&4u32).await?;
//! while let Some(number) = numbers.recv().await? {
//!     sum.send(&number).await?;
//! }
//! assert_eq!(sum.finish().await?, 10);
//! # service.stop().await
//! # }
//! ```
//!
//! # What holds for all of them
//! * Messages arrive in the order in which they were sent, all of them or else an error: also where
//!   the network was away in between. An error comes after the messages that were sent before it.
//! * A stream lives as long as both sides want: it has a [deadline](OpenStream::timeout) and an
//!   [idle time](OpenStream::idle) only if it is given them. While it is idle the caller asks after
//!   25 s whether the service lives ([`stream_keepalive`](crate::ClientOptions::stream_keepalive)).
//! * Dropping what the caller holds, [`Sender`] or [`Receiver`], gives the stream up: the handler is
//!   stopped. Only [`finish`](Sender::finish) says that nothing is missing. A handler ends its stream
//!   by returning, well or with an error.
//! * What has come and is not read is held, up to [a limit](StreamLimits); one message more ends the
//!   stream as `Overloaded` on both sides. A handler of ours sends no more than a caller of ours
//!   takes, and waits; go-micro's protocol has no such flow control, nor have messages to a handler.
//! * [`send`](Sender::send) waits while the network takes nothing, at most
//!   [`connect_wait`](crate::ClientOptions::connect_wait).

mod client;
mod end;
mod handler;
mod limits;
mod receiver;
mod sender;

pub use self::client::{Bidirectional, ClientStream};
pub(crate) use self::end::End;
pub(crate) use self::handler::Ends;
pub use self::handler::{
    StreamHandler, bidirectional, bidirectional_with, client_streaming, client_streaming_with,
    server_streaming, server_streaming_with,
};
pub use self::limits::StreamLimits;
pub use self::receiver::Receiver;
pub use self::sender::Sender;
pub use crate::client::OpenStream;

//! The meaning of packets: go-micro's envelope and calls, and a state machine per peer.
//!
//! Nothing here does I/O, looks at a clock or starts a task. A runtime feeds packets into a
//! [`Session`] and acts on its [`Event`]s; what is to go out is pulled from it, packet by packet:
//!
//! ```
//! use micro_core::Header;
//! use micro_core::wire::{Event, Limits, Outgoing, Session};
//!
//! let (mut client, mut server) = (Session::client(Limits::default()), Session::server(Limits::default()));
//! let mut events = Vec::new();
//!
//! let call = client.call(&Outgoing {
//!     service: "greeter",
//!     endpoint: "Greeter.Hello",
//!     content_type: "application/json",
//!     timeout: None,
//!     metadata: &Header::new(),
//!     body: b"{\"name\":\"Bob\"}",
//! })?;
//! let packet = client.next_packet(1 << 20, &mut events).expect("the call waits to be sent");
//! client.taken();
//!
//! server.on_packet(&packet, &mut events);
//! let Some(Event::Request { id, request }) = events.pop() else { panic!() };
//! assert_eq!(request.endpoint(), "Greeter.Hello");
//! server.reply(id, Ok(("application/json", b"{\"greeting\":\"Hello Bob\"}")));
//!
//! let packet = server.next_packet(1 << 20, &mut events).expect("the reply waits to be sent");
//! server.taken();
//! client.on_packet(&packet, &mut events);
//! assert!(matches!(events.pop(), Some(Event::Reply { call: answered, .. }) if answered == call));
//! # Ok::<(), micro_core::Error>(())
//! ```

pub mod envelope;
mod gomicro;
mod ids;
mod open;
mod session;
mod window;

pub use self::gomicro::{Outgoing, Reply, Request, is_reserved, metadata};
pub use self::ids::{IdHasher, IdMap};
pub use self::session::{
    CallId, Counts, Event, Limits, PROBE_ENDPOINT, RETRY_AFTER, RequestId, Session, StreamId,
};
pub use self::window::Window;

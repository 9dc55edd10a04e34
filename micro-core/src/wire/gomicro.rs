//! Calls in go-micro's words: which header entries say what.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::envelope::Writer;
use super::window::Window;
use crate::codec;
use crate::header::keys::{
    ACCEPT, CONNECTION, CONTENT_TYPE, MICRO_ENDPOINT, MICRO_ERROR, MICRO_ID, MICRO_ID_OLD,
    MICRO_METHOD, MICRO_SERVICE, MICRO_STREAM, MICRO_WINDOW, TIMEOUT, X_MICRO_ENDPOINT,
    X_MICRO_ERROR, X_MICRO_ID, X_MICRO_METHOD, X_MICRO_SERVICE, X_MICRO_STREAM,
};

/// The error that ends a stream well.
pub(super) const EOS: &str = "EOS";
use crate::{Error, Header, RequestState, Result};

/// A call to be sent.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The service's name.
    pub service: &'a str,
    /// `Greeter.Hello`.
    pub endpoint: &'a str,
    /// Of the body, and of the reply that is wanted.
    pub content_type: &'a str,
    /// How long the caller will wait.
    pub timeout: Option<Duration>,
    /// The caller's metadata; none of its keys may be [reserved](is_reserved).
    pub metadata: &'a Header,
    /// The encoded body.
    pub body: &'a [u8],
}

/// A call that has arrived.
#[derive(Clone)]
pub struct Request {
    header: Arc<Header>,
    body: Bytes,
}

/// The answer to a call that succeeded.
#[derive(Clone)]
#[non_exhaustive]
pub struct Reply {
    /// Of the body; empty where there is none.
    pub content_type: Cow<'static, str>,
    /// The encoded body.
    pub body: Bytes,
}

impl Reply {
    /// A reply with this body.
    pub fn new(content_type: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), body: body.into() }
    }
}

impl Request {
    pub(super) fn new(header: Arc<Header>, body: Bytes) -> Self {
        Self { header, body }
    }

    /// The service that is asked; empty where the caller does not say.
    pub fn service(&self) -> &str {
        either(&self.header, MICRO_SERVICE, X_MICRO_SERVICE).unwrap_or_default()
    }

    /// What is called; empty where the caller does not say.
    pub fn endpoint(&self) -> &str {
        endpoint(&self.header)
    }

    /// Whether the caller says that it opens a stream. go-micro's handlers hand the word on to the
    /// calls that they make, so the endpoint decides.
    pub fn names_stream(&self) -> bool {
        stream(&self.header).is_some()
    }

    /// The content type of the body, if the caller says it.
    pub fn content_type(&self) -> Option<&str> {
        self.header.get_ignore_case(CONTENT_TYPE).filter(|text| !text.is_empty())
    }

    /// How long the caller waits from when it sent this.
    pub fn timeout(&self) -> Option<Duration> {
        let nanoseconds: u64 = self.header.get_ignore_case(TIMEOUT)?.parse().ok()?;
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
    }

    /// The caller's metadata, without what belongs to the wire.
    pub fn metadata(&self) -> Header {
        metadata(&self.header)
    }

    /// The encoded body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether the caller closes its socket after the answer.
    pub fn closes(&self) -> bool {
        self.header.get_ignore_case(CONNECTION).is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("service", &self.service)
            .field("endpoint", &self.endpoint)
            .field("content_type", &self.content_type)
            .field("timeout", &self.timeout)
            .field("metadata", &self.metadata)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("header", &self.header)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("content_type", &self.content_type)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// Whether a key belongs to the wire, in whatever case, so that no metadata may have it.
pub fn is_reserved(key: &str) -> bool {
    let starts = |prefix: &str| {
        key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    starts("Micro-")
        || starts("X-Micro-")
        || [TIMEOUT, CONTENT_TYPE, ACCEPT, CONNECTION, "Local", "Remote"]
            .iter()
            .any(|reserved| key.eq_ignore_ascii_case(reserved))
}

/// A header without the entries that belong to the wire.
pub fn metadata(header: &Header) -> Header {
    let mut own = header.clone();
    own.retain(|key, _| !is_reserved(key));
    own
}

/// The request with both spellings of its id, so that every generation answers it.
pub(super) fn encode_request(id: u64, call: &Outgoing<'_>) -> Bytes {
    request(id, call, false)
}

/// How much of a stream the caller takes, if a request says that.
pub(super) fn window(header: &Header) -> Option<Window> {
    header.get_ignore_case(MICRO_WINDOW)?.parse().ok()
}

/// What opens a stream. Its body is for nobody: a handler sees only what comes after it.
pub(super) fn encode_opening(id: u64, call: &Outgoing<'_>) -> Bytes {
    request(id, call, true)
}

fn request(id: u64, call: &Outgoing<'_>, opens: bool) -> Bytes {
    let metadata: usize = call.metadata.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
    let fixed = 200 + call.service.len() + 2 * call.endpoint.len() + 2 * call.content_type.len();
    let mut out = Writer::new(metadata + fixed, call.body);
    for (key, value) in call.metadata.iter() {
        out.entry(key, value);
    }
    names(&mut out, id, call);
    if opens {
        out.number(MICRO_STREAM, id);
    }
    if let Some(timeout) = call.timeout {
        // Nothing left is still not "no limit".
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
        out.number(TIMEOUT, nanoseconds);
    }
    out.finish(call.body)
}

fn names(out: &mut Writer, id: u64, call: &Outgoing<'_>) {
    out.number(MICRO_ID, id);
    out.number(MICRO_ID_OLD, id);
    out.entry(MICRO_SERVICE, call.service);
    out.entry(MICRO_METHOD, call.endpoint);
    out.entry(MICRO_ENDPOINT, call.endpoint);
    out.entry(CONTENT_TYPE, call.content_type);
    out.entry(ACCEPT, call.content_type);
}

/// What the messages of a stream begin with, written once.
pub(super) struct StreamHead {
    entries: Vec<u8>,
    /// What a message with a body says of it; where it always says so it is among the entries.
    content_type: Option<Box<str>>,
}

impl StreamHead {
    /// For who opened it.
    pub(super) fn of_caller(id: u64, call: &Outgoing<'_>) -> Self {
        let mut out = Writer::new(256, b"");
        names(&mut out, id, call);
        out.number(MICRO_STREAM, id);
        Self { entries: out.into_entries(), content_type: None }
    }

    /// For who serves it; in the spelling of what opened it.
    pub(super) fn of_service(opening: &Header) -> Self {
        let mut out = Writer::new(256, b"");
        ids(opening, &mut out);
        for (plain, x) in [
            (MICRO_SERVICE, X_MICRO_SERVICE),
            (MICRO_METHOD, X_MICRO_METHOD),
            (MICRO_ENDPOINT, X_MICRO_ENDPOINT),
        ] {
            if let Some(value) = either(opening, plain, x) {
                out.entry(plain, value);
                out.entry(x, value);
            }
        }
        let content_type = opening.get_ignore_case(CONTENT_TYPE).unwrap_or(codec::PROTOBUF);
        Self { entries: out.into_entries(), content_type: Some(content_type.into()) }
    }

    /// A message.
    pub(super) fn message(&self, body: &[u8]) -> Bytes {
        let mut out = Writer::with_entries(&self.entries, 64, body);
        if let Some(content_type) = self.content_type.as_deref().filter(|_| !body.is_empty()) {
            out.entry(CONTENT_TYPE, content_type);
        }
        out.finish(body)
    }

    /// The end of a caller's messages: `EOS`, or why there are no more.
    pub(super) fn end(&self, text: &str) -> Bytes {
        let mut out = Writer::with_entries(&self.entries, text.len() + 32, b"");
        out.entry(MICRO_ERROR, text);
        out.finish(b"")
    }
}

/// The request's id under every spelling and its `X-` form.
pub(super) fn id(header: &Header) -> Option<&str> {
    either(header, MICRO_ID, X_MICRO_ID)
}

/// The stream that a message belongs to.
pub(super) fn stream(header: &Header) -> Option<&str> {
    either(header, MICRO_STREAM, X_MICRO_STREAM)
}

/// What a message asks for, or answers to.
pub(super) fn endpoint(header: &Header) -> &str {
    either(header, MICRO_ENDPOINT, X_MICRO_ENDPOINT)
        .or_else(|| either(header, MICRO_METHOD, X_MICRO_METHOD))
        .unwrap_or_default()
}

/// Whether the message is the end of a stream or an error, so no request.
pub(super) fn error(header: &Header) -> Option<&str> {
    either(header, MICRO_ERROR, X_MICRO_ERROR)
}

/// The answer in the spelling in which it was asked.
pub(super) fn encode_reply(request: &Header, content_type: &str, body: &[u8]) -> Bytes {
    let mut out = Writer::new(160, body);
    ids(request, &mut out);
    if !body.is_empty() {
        out.entry(CONTENT_TYPE, content_type);
    }
    out.finish(body)
}

/// The request's header again, and the error, whose text comes back too.
pub(super) fn encode_error(request: &Header, error: &Error) -> (Bytes, Box<str>) {
    let text = error.to_wire();
    let packet = encode_error_text(request, &text);
    (packet, text.into_boxed_str())
}

/// The end of a stream, which is an error by its form.
pub(super) fn encode_end(opening: &Header) -> Bytes {
    encode_error_text(opening, EOS)
}

fn encode_error_text(request: &Header, text: &str) -> Bytes {
    let echo: usize = request.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
    let mut out = Writer::new(echo + 2 * text.len() + 64, b"");
    let echoed = |key: &str| {
        !key.eq_ignore_ascii_case(MICRO_ERROR) && !key.eq_ignore_ascii_case(X_MICRO_ERROR)
    };
    for (key, value) in request.iter().filter(|(key, _)| echoed(key)) {
        out.entry(key, value);
    }
    out.entry(MICRO_ERROR, text);
    out.entry(X_MICRO_ERROR, text);
    out.finish(b"")
}

/// The error with no more than the ids, where the request's header does not fit.
pub(super) fn encode_short_error(request: &Header, text: &str) -> Bytes {
    let mut out = Writer::new(text.len() + 160, b"");
    ids(request, &mut out);
    out.entry(MICRO_ERROR, text);
    out.finish(b"")
}

/// What an answer says: the reply, or the error that it carries.
pub(super) fn read_reply(header: &Header, body: Bytes) -> Result<Reply> {
    match error(header) {
        Some(text) => Err(Error::from_wire(text).with_request(RequestState::Executed)),
        None => {
            let content_type = header.get_ignore_case(CONTENT_TYPE).unwrap_or_default();
            Ok(Reply::new(codec::known_content_type(content_type), body))
        }
    }
}

fn ids(request: &Header, out: &mut Writer) {
    for (plain, x) in [(MICRO_ID, X_MICRO_ID), (MICRO_ID_OLD, crate::header::keys::X_MICRO_ID_OLD)]
    {
        if let Some(id) = request.get(plain) {
            out.entry(plain, id);
            out.entry(x, id);
            return;
        }
    }
    if let Some(id) = id(request) {
        out.entry(MICRO_ID, id);
        out.entry(X_MICRO_ID, id);
    }
}

/// Keys are compared ignoring case; the `X-` form counts where the plain one is missing.
fn either<'a>(header: &'a Header, plain: &str, x: &str) -> Option<&'a str> {
    let find = |key| header.get_ignore_case(key).filter(|value| !value.is_empty());
    find(plain).or_else(|| find(x))
}

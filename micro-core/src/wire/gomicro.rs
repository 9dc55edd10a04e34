//! Calls in go-micro's words: which header entries say what.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::envelope::Writer;
use crate::codec;
use crate::header::keys::{
    ACCEPT, CONNECTION, CONTENT_TYPE, MICRO_ENDPOINT, MICRO_ERROR, MICRO_ID, MICRO_ID_OLD,
    MICRO_METHOD, MICRO_SERVICE, TIMEOUT, X_MICRO_ENDPOINT, X_MICRO_ERROR, X_MICRO_ID,
    X_MICRO_METHOD, X_MICRO_SERVICE,
};
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
        let header = &*self.header;
        either(header, MICRO_ENDPOINT, X_MICRO_ENDPOINT)
            .or_else(|| either(header, MICRO_METHOD, X_MICRO_METHOD))
            .unwrap_or_default()
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
    let metadata: usize = call.metadata.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
    let fixed = 200 + call.service.len() + 2 * call.endpoint.len() + 2 * call.content_type.len();
    let mut out = Writer::new(metadata + fixed, call.body);
    for (key, value) in call.metadata.iter() {
        out.entry(key, value);
    }
    out.number(MICRO_ID, id);
    out.number(MICRO_ID_OLD, id);
    out.entry(MICRO_SERVICE, call.service);
    out.entry(MICRO_METHOD, call.endpoint);
    out.entry(MICRO_ENDPOINT, call.endpoint);
    out.entry(CONTENT_TYPE, call.content_type);
    out.entry(ACCEPT, call.content_type);
    if let Some(timeout) = call.timeout {
        // Nothing left is still not "no limit".
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
        out.number(TIMEOUT, nanoseconds);
    }
    out.finish(call.body)
}

/// The request's id under every spelling and its `X-` form.
pub(super) fn id(header: &Header) -> Option<&str> {
    either(header, MICRO_ID, X_MICRO_ID)
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
    let echo: usize = request.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
    let mut out = Writer::new(echo + 2 * text.len() + 64, b"");
    let echoed = |key: &str| {
        !key.eq_ignore_ascii_case(MICRO_ERROR) && !key.eq_ignore_ascii_case(X_MICRO_ERROR)
    };
    for (key, value) in request.iter().filter(|(key, _)| echoed(key)) {
        out.entry(key, value);
    }
    out.entry(MICRO_ERROR, &text);
    out.entry(X_MICRO_ERROR, &text);
    (out.finish(b""), text.into_boxed_str())
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

//! The one error type of every interface, and its form on the wire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of every fallible operation of these crates.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely: what a caller branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input does not decode or breaks a rule (code 400).
    InvalidInput,
    /// The caller is not who it has to be (code 401).
    Unauthenticated,
    /// The caller may not do this (code 403).
    PermissionDenied,
    /// No such service, endpoint or thing (code 404).
    NotFound,
    /// The deadline passed (code 408).
    Timeout,
    /// The present state does not allow it (code 409).
    Conflict,
    /// A body or packet is larger than what carries it allows (code 413).
    TooLarge,
    /// No codec for the content type (code 415).
    UnsupportedMediaType,
    /// Too busy now; later may be better (code 429).
    Overloaded,
    /// The caller gave up (code 499).
    Cancelled,
    /// The other side failed, or this one did (code 500).
    Internal,
    /// This backend or peer cannot do what was asked (code 501).
    Unsupported,
    /// Nobody there, or the network is away (code 503).
    Unavailable,
    /// A code that has no kind of its own; see [`Error::code`].
    Other,
}

/// What is known of the request of a call that failed: whether asking again is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestState {
    /// No handler has seen it and none will. Asking again is safe.
    NotSent,
    /// It left, and nothing more is known. Asking again is safe only if the call is idempotent.
    Unknown,
    /// It was received, and this error is the answer.
    Executed,
}

/// The error of every interface here.
///
/// It carries a [`kind`](Self::kind) to branch on, a message for people, what is known of the
/// request if it was a call ([`request`](Self::request)), and the four fields of go-micro's
/// error JSON `{"id","code","detail","status"}`, to and from which it converts without loss
/// ([`to_wire`](Self::to_wire), [`from_wire`](Self::from_wire)).
///
/// `Display` prints the message alone, never its source, so that a printed chain says each thing
/// once.
///
/// ```
/// use micro_core::{Error, ErrorKind};
///
/// let error = Error::not_found("no greeting for Bob").with_id("greeter");
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(
///     error.to_wire(),
///     r#"{"id":"greeter","code":404,"detail":"no greeting for Bob","status":"Not Found"}"#
/// );
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    id: String,
    code: i32,
    detail: String,
    status: String,
    /// It came as plain text, not as JSON, and goes out again as it came.
    plain: bool,
    request: Option<RequestState>,
    retry_after: Option<Duration>,
    source: Option<Arc<anyhow::Error>>,
}

/// go-micro's error on the wire: a key may be missing, `null` or in another case.
#[derive(Deserialize)]
struct WireIn {
    #[serde(default, alias = "Id", alias = "ID")]
    id: Option<String>,
    #[serde(default, alias = "Code")]
    code: Option<i32>,
    #[serde(default, alias = "Detail")]
    detail: Option<String>,
    #[serde(default, alias = "Status")]
    status: Option<String>,
    /// Ours: go-micro neither writes nor reads it.
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

#[derive(Serialize)]
struct WireOut<'a> {
    id: &'a str,
    code: i32,
    detail: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Error {
    /// An error of this kind, with a message for people.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let code = kind.code();
        Self(Box::new(Inner {
            kind,
            id: String::new(),
            code,
            detail: detail.into(),
            status: status_text(code).to_owned(),
            plain: false,
            request: None,
            retry_after: None,
            source: None,
        }))
    }

    /// An error with a code of the application's own; HTTP's codes get their kind and text.
    pub fn with_code(code: i32, detail: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::from_code(code), detail);
        error.0.code = code;
        error.0.status = status_text(code).to_owned();
        error
    }

    /// [`ErrorKind::InvalidInput`].
    pub fn invalid_input(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, detail)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, detail)
    }

    /// [`ErrorKind::Unavailable`].
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, detail)
    }

    /// [`ErrorKind::Timeout`].
    pub fn timeout(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, detail)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, detail)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, detail)
    }

    /// [`ErrorKind::TooLarge`], with both sizes in bytes.
    pub fn too_large(what: &str, size: usize, limit: usize) -> Self {
        Self::new(
            ErrorKind::TooLarge,
            format!("{what} of {size} bytes is over the limit of {limit} bytes"),
        )
    }

    /// Who reports: on the wire the `id`, usually the service's name.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.0.id = id.into();
        self
    }

    /// What is known of the request that failed.
    #[must_use]
    pub fn with_request(mut self, state: RequestState) -> Self {
        self.0.request = Some(state);
        self
    }

    /// When asking again may be of use: what an [`Overloaded`](ErrorKind::Overloaded) error tells
    /// a caller. It travels as a fifth field of the error's JSON, `retry_after_ms`, which go-micro
    /// ignores.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The cause, kept for [`std::error::Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.0.source = Some(Arc::new(source.into()));
        self
    }

    /// What to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is known of the request, if this is the error of a call.
    pub fn request(&self) -> Option<RequestState> {
        self.0.request
    }

    /// How long to wait before asking again, if whoever refused said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Who reported it; empty where nobody said.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The code as it is on the wire: HTTP's, the application's own, or 0 where there is none.
    pub fn code(&self) -> i32 {
        self.0.code
    }

    /// The message; what `Display` prints.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The text that goes with the code; empty where there is none.
    pub fn status(&self) -> &str {
        &self.0.status
    }

    /// Reads what go-micro puts into `Micro-Error`: its error's JSON, or plain text, which
    /// becomes the message of an error with code 0.
    pub fn from_wire(text: &str) -> Self {
        // serde would take an array for the struct too; go-micro would not.
        let json = text.trim_start().starts_with('{').then(|| serde_json::from_str::<WireIn>(text));
        let (id, code, detail, status, retry_after_ms, plain) = match json {
            // Somebody's own JSON, if none of the four is there.
            Some(Ok(WireIn { id: None, code: None, detail: None, status: None, .. }))
                if text != "{}" =>
            {
                (String::new(), 0, text.to_owned(), String::new(), None, true)
            }
            Some(Ok(WireIn { id, code, detail, status, retry_after_ms })) => (
                id.unwrap_or_default(),
                code.unwrap_or_default(),
                detail.unwrap_or_default(),
                status.unwrap_or_default(),
                retry_after_ms,
                false,
            ),
            _ => (String::new(), 0, text.to_owned(), String::new(), None, true),
        };
        Self(Box::new(Inner {
            kind: ErrorKind::from_wire(code, &detail),
            id,
            code,
            detail,
            status,
            plain,
            request: None,
            retry_after: retry_after_ms.map(Duration::from_millis),
            source: None,
        }))
    }

    /// Writes what go-micro reads from `Micro-Error`: all four fields, or the plain text as it
    /// came.
    pub fn to_wire(&self) -> String {
        let inner = &*self.0;
        if inner.plain && inner.id.is_empty() && inner.retry_after.is_none() {
            return inner.detail.clone();
        }
        let wire = WireOut {
            id: &inner.id,
            code: inner.code,
            detail: &inner.detail,
            status: &inner.status,
            retry_after_ms: (inner.retry_after)
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        };
        // Four plain fields always encode; the message alone would still tell the truth.
        serde_json::to_string(&wire).unwrap_or_else(|_| inner.detail.clone())
    }
}

impl ErrorKind {
    /// The HTTP status that stands for the kind on the wire; 0 for [`ErrorKind::Other`].
    pub fn code(self) -> i32 {
        match self {
            Self::InvalidInput => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Overloaded => 429,
            Self::Cancelled => 499,
            Self::Internal => 500,
            Self::Unsupported => 501,
            Self::Unavailable => 503,
            Self::Other => 0,
        }
    }

    /// The kind that a code stands for; [`ErrorKind::Other`] where it has none.
    pub fn from_code(code: i32) -> Self {
        match code {
            400 => Self::InvalidInput,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            415 => Self::UnsupportedMediaType,
            429 => Self::Overloaded,
            499 => Self::Cancelled,
            500 => Self::Internal,
            501 => Self::Unsupported,
            503 => Self::Unavailable,
            _ => Self::Other,
        }
    }

    /// go-micro says "no such service" and "no such method" with code 0 and these words.
    fn from_wire(code: i32, detail: &str) -> Self {
        let unknown = ["rpc: can't find service", "rpc: can't find method"];
        if code == 0 && unknown.iter().any(|words| detail.starts_with(words)) {
            return Self::NotFound;
        }
        Self::from_code(code)
    }
}

/// HTTP's text for a code as go-micro writes it (Go's `http.StatusText`), empty where HTTP knows
/// none.
fn status_text(code: i32) -> &'static str {
    match code {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &inner.kind).field("detail", &inner.detail);
        if !inner.id.is_empty() {
            out.field("id", &inner.id);
        }
        if inner.code != inner.kind.code() {
            out.field("code", &inner.code);
        }
        if let Some(request) = inner.request {
            out.field("request", &request);
        }
        if let Some(after) = inner.retry_after {
            out.field("retry_after", &after);
        }
        if let Some(source) = &inner.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &***source as _)
    }
}

/// An application's error of no kind of its own: code 500, the whole chain as the message.
/// An [`Error`] inside comes out as it was.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(other) => Self::internal(format!("{other:#}")).with_source(other),
        }
    }
}

/// What `tower`'s middleware and others return as `BoxError`; as from `anyhow`: an [`Error`] inside
/// comes out as it was, everything else is code 500 with the whole chain as the message.
impl From<Box<dyn std::error::Error + Send + Sync>> for Error {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(other) => anyhow::Error::from_boxed(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_micro_sends_comes_back_unchanged() {
        for text in [
            r#"{"id":"greeter.fail","code":404,"detail":"failed as asked: x","status":"Not Found"}"#,
            r#"{"id":"a","code":799,"detail":"own code","status":""}"#,
            r#"{"id":"a","code":404,"detail":"d","status":"another text"}"#,
            "plain failure of x",
            "rpc: can't find method Nope",
            "",
            "null",
            "{",
            r#"{"error":"somebody's own"}"#,
            r#"["a",404,"d","s"]"#,
        ] {
            assert_eq!(Error::from_wire(text).to_wire(), text);
        }
    }

    #[test]
    fn missing_keys_read_as_zero() {
        let error = Error::from_wire(r#"{"detail":"d"}"#);
        assert_eq!((error.id(), error.code(), error.detail(), error.status()), ("", 0, "d", ""));
    }

    #[test]
    fn null_and_other_case_read_as_in_go() {
        let error = Error::from_wire(r#"{"Id":"a","code":404,"detail":null}"#);
        assert_eq!((error.id(), error.code(), error.detail()), ("a", 404, ""));
    }

    #[test]
    fn when_to_come_back_travels_in_a_field_of_its_own() {
        let error = Error::new(ErrorKind::Overloaded, "busy");
        let error = error.with_retry_after(Duration::from_millis(250));
        let text = error.to_wire();
        assert!(text.starts_with(r#"{"id":"","code":429,"detail":"busy","#), "{text}");
        assert_eq!(Error::from_wire(&text).retry_after(), Some(Duration::from_millis(250)));
        assert_eq!(Error::from_wire(&text).to_wire(), text);
    }

    #[test]
    fn a_plain_error_that_got_an_id_keeps_it_on_the_wire() {
        let error = Error::from_wire("plain").with_id("greeter");
        assert_eq!(Error::from_wire(&error.to_wire()).id(), "greeter");
    }

    #[test]
    fn go_micros_unknown_endpoint_is_not_found_with_its_code_kept() {
        let error = Error::from_wire("rpc: can't find service No");
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, 0));
    }

    #[test]
    fn every_kind_has_a_code_that_names_it_again() {
        for code in 0..600 {
            let kind = ErrorKind::from_code(code);
            assert_eq!(ErrorKind::from_code(kind.code()), kind);
        }
    }

    #[test]
    fn an_error_survives_a_way_through_anyhow() {
        let there = anyhow::Error::from(Error::with_code(418, "tea").with_id("pot"));
        let back = Error::from(there);
        assert_eq!((back.code(), back.id(), back.status()), (418, "pot", "I'm a teapot"));
    }

    #[test]
    fn an_error_survives_a_way_through_a_box_and_another_ones_chain_becomes_its_message() {
        type Boxed = Box<dyn std::error::Error + Send + Sync>;
        let busy = Error::new(ErrorKind::Overloaded, "busy").with_id("pot");
        let busy =
            busy.with_request(RequestState::NotSent).with_retry_after(Duration::from_secs(1));
        let back = Error::from(Boxed::from(busy));
        assert_eq!((back.kind(), back.id(), back.detail()), (ErrorKind::Overloaded, "pot", "busy"));
        assert_eq!(back.request(), Some(RequestState::NotSent));
        assert_eq!(back.retry_after(), Some(Duration::from_secs(1)));

        let outer = Error::internal("outer").with_source(anyhow::anyhow!("inner"));
        #[derive(Debug)]
        struct Theirs(Error);
        impl fmt::Display for Theirs {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("theirs")
            }
        }
        impl std::error::Error for Theirs {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let other = Error::from(Boxed::from(Theirs(outer)));
        assert_eq!((other.kind(), other.code()), (ErrorKind::Internal, 500));
        assert_eq!(other.detail(), "theirs: outer: inner");
        assert_eq!(Error::from(Boxed::from("words alone")).detail(), "words alone");
    }

    #[test]
    fn display_never_repeats_the_source() {
        let error = Error::internal("outer").with_source(anyhow::anyhow!("inner"));
        assert_eq!(error.to_string(), "outer");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "inner");
    }
}

//! Why the command did not do what it was asked to.

use std::fmt::Display;
use std::io;

use micro::{Error, RequestState};
use serde::Serialize;

use crate::json;

/// Why the command did not do what it was asked to.
pub(crate) enum Failure {
    /// It was tried: the error, and what may help.
    Failed(Error, Vec<String>),
    /// It has been told already, error by error.
    Told,
    /// What was typed makes no sense, and nothing was sent for it.
    Usage(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// What should be printed cannot be.
    Output(io::Error),
}

/// What programs read from standard error.
#[derive(Serialize)]
struct ErrorLine<'a> {
    id: &'a str,
    code: i32,
    detail: &'a str,
    status: &'a str,
}

impl Failure {
    pub(crate) fn usage(text: impl Display) -> Self {
        Self::Usage(text.to_string())
    }

    /// What was typed is this part of it.
    pub(crate) fn of(self, name: &str) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(format!("{name}: {text}")),
            other => other,
        }
    }

    /// It came in the middle of a stream: what was sent before it was sent.
    pub(crate) fn of_stream(self) -> Self {
        match self {
            Self::Usage(text) => {
                let detail = format!("{text}; the stream was given up");
                Self::from(Error::invalid_input(detail).with_id("micro"))
            }
            other => other,
        }
    }

    /// The error, with one more thing that may help.
    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        match self {
            Self::Failed(error, mut hints) => {
                hints.extend(hint);
                Self::Failed(error, hints)
            }
            other => other,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error, Vec::new())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// An error as a line of JSON. One of ours that says not whose it is has the command's name.
pub(crate) fn line(error: &Error) -> String {
    let ours = error.request() != Some(RequestState::Executed) && error.id().is_empty();
    let line = ErrorLine {
        id: if ours { "micro" } else { error.id() },
        code: error.code(),
        detail: error.detail(),
        status: error.status(),
    };
    // Four plain fields always encode.
    let line = serde_json::to_string(&line).unwrap_or_else(|_| error.detail().to_owned());
    json::harmless(&line).into_owned()
}

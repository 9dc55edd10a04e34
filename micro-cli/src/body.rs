//! What is sent: an argument, a file, or standard input.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use bytes::Bytes;

use crate::console::{Console, beside};
use crate::failure::Failure;

/// No backend carries more: NATS takes at most 64 MiB in a message.
pub(crate) const MOST: usize = 64 << 20;

/// Where a body comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Given(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Body {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None if text == "-" => Self::Stdin,
            None => Self::Given(text.to_owned()),
        })
    }
}

impl Body {
    /// The bytes, and in words where they are from.
    pub(crate) async fn read(&self, console: &mut Console) -> Result<(Bytes, String), Failure> {
        match self {
            Self::Given(text) => Ok((text.clone().into(), "the request".into())),
            Self::File(path) => {
                let name = path.display().to_string();
                let path = path.clone();
                let read = beside(move || whole(File::open(path)?)).await;
                Ok((read.map_err(|error| cannot(&name, &error))?, name))
            }
            Self::Stdin => {
                let name = "standard input".to_owned();
                let bytes = console.stdin_whole().await.map_err(|error| cannot(&name, &error))?;
                Ok((bytes, name))
            }
        }
    }
}

/// All of it, if it is not too much.
pub(crate) fn whole(from: impl Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    from.take(MOST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST {
        let text = format!("it has more than {MOST} bytes, the most that NATS can carry");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes.into())
}

fn cannot(name: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot read {name}: {error}"))
}

//! In the place of TLS, where it is not compiled in.

use micro_core::{Error, Result};

use crate::address::Host;
use crate::config::Options;
use crate::stream::Stream;

/// Why there is none.
pub(crate) const ABSENT: &str = "the feature `tls` of micro-transport-tcp is off";

/// What is never there.
pub(crate) enum Loaded {}

impl Loaded {
    pub(crate) fn load(_: &Options, wanted: bool, _: Option<&str>) -> Result<Option<Self>> {
        if wanted { Err(Error::invalid_input(ABSENT)) } else { Ok(None) }
    }

    pub(crate) fn cannot_listen(&self) -> Option<&'static str> {
        match *self {}
    }

    pub(crate) fn cannot_dial(&self) -> Option<&'static str> {
        match *self {}
    }

    pub(crate) fn accept(&self, _: Box<dyn Stream>) -> Never {
        match *self {}
    }

    pub(crate) fn connect(&self, _: Box<dyn Stream>, _: &Host) -> Never {
        match *self {}
    }
}

type Never = std::future::Ready<Result<Box<dyn Stream>>>;

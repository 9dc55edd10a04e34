//! The generations of go-micro.

use std::fmt;
use std::path::PathBuf;

/// A generation of go-micro that there is a peer of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// `github.com/micro/go-micro/v2`.
    V2,
    /// `github.com/asim/go-micro/v3`.
    V3,
    /// `go-micro.dev/v6`.
    V6,
}

impl Generation {
    /// The one that cannot find this one.
    pub fn other(self) -> Self {
        match self {
            Self::V2 | Self::V3 => Self::V6,
            Self::V6 => Self::V3,
        }
    }

    /// Whether metadata keys stay as they are; the older ones write each part with a capital.
    pub fn keeps_keys(self) -> bool {
        self == Self::V6
    }

    /// The header that carries the request's id.
    pub fn id_key(self) -> &'static str {
        match self {
            Self::V2 | Self::V3 => "Micro-Id",
            Self::V6 => "Micro-ID",
        }
    }

    /// The peer's program.
    ///
    /// # Panics
    /// If there is none: only `ci/interop` builds it.
    pub(crate) fn program(self) -> PathBuf {
        let folder = std::env::var_os("MICRO_INTEROP_PEERS")
            .expect("MICRO_INTEROP_PEERS is not set: run these tests with ci/interop, which builds go-micro's peers");
        let program = PathBuf::from(folder).join(format!("peer-{self}"));
        assert!(
            program.exists(),
            "no {}: run these tests with ci/interop, which builds it",
            program.display()
        );
        program
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V6 => "v6",
        })
    }
}

//! Wrappers that break one promise each: they prove that the suites notice.
//!
//! Every fault names the check that must fail with it ([`RegistryFault::caught_by`] and its
//! like). Without a fault a wrapper is transparent.

mod broker;
mod registry;
mod transport;

pub use self::broker::{BrokerFault, FaultyBroker};
pub use self::registry::{FaultyRegistry, RegistryFault};
pub use self::transport::{FaultyTransport, TransportFault};

/// Faults of an interface, each with the check that must fail.
macro_rules! faults {
    ($name:ident of $suite:literal: $($(#[$doc:meta])* $fault:ident => $check:ident,)*) => {
        #[doc = concat!("What a ", $suite, " may do wrong.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $fault,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            /// The name of the check that must fail.
            pub fn caught_by(self) -> &'static str {
                match self {
                    $(Self::$fault => stringify!($check),)*
                }
            }
        }
    };
}
use faults;

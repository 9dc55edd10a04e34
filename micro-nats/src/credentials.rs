//! Who we are to NATS.

use std::fmt;

use async_nats::ConnectOptions;
use micro_core::Result;

/// How a connection proves who it is. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    UserPassword {
        user: String,
        password: Secret,
    },
    Token(Secret),
    #[cfg(feature = "nkeys")]
    NkeySeed(Secret),
    #[cfg(feature = "nkeys")]
    File(std::path::PathBuf),
}

impl Credentials {
    /// A user and a password.
    pub fn user_password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::UserPassword { user: user.into(), password: Secret(password.into()) })
    }

    /// A token.
    pub fn token(token: impl Into<String>) -> Self {
        Self(Kind::Token(Secret(token.into())))
    }

    /// The seed of an NKey (`SU…`), with which the server's challenge is signed.
    #[cfg(feature = "nkeys")]
    pub fn nkey_seed(seed: impl Into<String>) -> Self {
        Self(Kind::NkeySeed(Secret(seed.into())))
    }

    /// A credentials file: a JWT and the seed that goes with it. It is read when the connection
    /// is first used.
    #[cfg(feature = "nkeys")]
    pub fn file(path: impl Into<std::path::PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// # Errors
    /// `InvalidInput` for a file that is missing or holds no credentials.
    pub(crate) fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions> {
        match &self.0 {
            Kind::UserPassword { user, password } => {
                Ok(options.user_and_password(user.clone(), password.0.clone()))
            }
            Kind::Token(token) => Ok(options.token(token.0.clone())),
            #[cfg(feature = "nkeys")]
            Kind::NkeySeed(seed) => Ok(options.nkey(seed.0.clone())),
            #[cfg(feature = "nkeys")]
            Kind::File(path) => {
                let failed = |error| {
                    let path = path.display();
                    micro_core::Error::invalid_input(format!("no credentials from {path}: {error}"))
                };
                let text = std::fs::read_to_string(path).map_err(failed)?;
                options.credentials(&text).map_err(failed)
            }
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

//! Where the nats-server binary is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The nats-server that tests run: `$NATS_SERVER_BIN`, else the first in `PATH` or `/usr/sbin`,
/// else what `ci/nats-server` fetched.
///
/// # Panics
/// If there is none, with one line that says how to get it.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("NATS_SERVER_BIN").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "NATS_SERVER_BIN={}: there is no such file", path.display());
        return path;
    }
    let in_path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&in_path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
        .or_else(fetched)
        .unwrap_or_else(|| {
            panic!(
                "no nats-server in $NATS_SERVER_BIN, PATH or /usr/sbin: \
                 run ci/nats-server once, it fetches one"
            )
        })
}

/// The newest in the folder that `ci/nats-server` keeps its downloads in.
fn fetched() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let mut found: Vec<PathBuf> = fs::read_dir(workspace.join(".cache/nats-server"))
        .ok()?
        .filter_map(Result::ok)
        .map(|version| version.path().join("nats-server"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop()
}

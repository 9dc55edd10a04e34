//! Unix sockets: one in the file system, or one beside a TCP listener that has no file.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use micro_core::Result;
use tokio::net::UnixListener;

#[cfg(target_os = "linux")]
use crate::address::Id;
use crate::listening::cannot_listen;
use crate::stream::Stream;

/// A Unix socket that listens.
pub(crate) struct UnixDoor {
    // Before the socket is closed, so that whoever finds the file finds us.
    _file: Option<SocketFile>,
    listener: UnixListener,
}

/// A socket's file; removed when it is dropped, unless it is another's by now.
struct SocketFile {
    path: PathBuf,
    which: (u64, u64),
}

/// A name in Linux's abstract namespace: it needs no file, ends with its process and is known in
/// its network namespace alone.
#[cfg(target_os = "linux")]
pub(crate) fn abstract_name(id: &Id) -> String {
    format!("\0micro-tcp-{id}")
}

impl UnixDoor {
    #[cfg(target_os = "linux")]
    pub(crate) fn beside(id: &Id) -> io::Result<Self> {
        Ok(Self { _file: None, listener: UnixListener::bind(abstract_name(id))? })
    }

    /// At this path. What an earlier process left there is removed if nobody answers.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| cannot_listen(&format!("unix:{}", path.display()), &error);
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path).map_err(failed)?;
                UnixListener::bind(path)
            }
            other => other,
        };
        let listener = listener.map_err(failed)?;
        let which = which(path).map_err(failed)?;
        Ok(Self { _file: Some(SocketFile { path: path.to_owned(), which }), listener })
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, String)>> {
        self.listener.poll_accept(cx).map_ok(|(stream, _)| {
            let pid = stream.peer_cred().ok().and_then(|them| them.pid());
            let remote = pid.map_or("unix".to_owned(), |pid| format!("unix:process {pid}"));
            (Box::new(stream) as Box<dyn Stream>, remote)
        })
    }
}

/// Removes a socket's file at which nobody listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let taken = || io::Error::from(io::ErrorKind::AddrInUse);
    let before = which(path)?;
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(taken());
    }
    // Of another kind than what may listen there, so that nobody is disturbed.
    let answer = std::os::unix::net::UnixDatagram::unbound()?.connect(path);
    let refused = matches!(answer, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    if !refused || which(path)? != before {
        return Err(taken());
    }
    fs::remove_file(path)
}

fn which(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if which(&self.path).is_ok_and(|which| which == self.which) {
            // Who cannot remove it leaves a stale one, which the next one finds so.
            let _ = fs::remove_file(&self.path);
        }
    }
}

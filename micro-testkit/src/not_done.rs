//! What a machine does not allow.

use std::fs::OpenOptions;
use std::io::Write;

/// Says by name what a test cannot do on this machine, and why: on standard error, and as a line of
/// the file that `CI_NOT_DONE` names, so that a script can list all of it at its end. The test is to
/// end then.
///
/// # Panics
/// If that file cannot be written: nothing is to be left out in silence.
pub fn not_done(name: &str, why: &str) {
    eprintln!("not done on this machine: {name}: {why}");
    if let Some(path) = std::env::var_os("CI_NOT_DONE") {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{name}: {why}"));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

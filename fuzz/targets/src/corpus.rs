//! The inputs that fuzzing starts from, in `fuzz/corpus`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The folder `fuzz`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder of a target's inputs.
pub fn folder(target: &str) -> PathBuf {
    root().join("corpus").join(target)
}

/// The inputs of a target, each with its name, in the order of names.
///
/// # Errors
/// Those of the file system.
pub fn read(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder(target))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            inputs.push((name, fs::read(entry.path())?));
        }
    }
    inputs.sort();
    Ok(inputs)
}

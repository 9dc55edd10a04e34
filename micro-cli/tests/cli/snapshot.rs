//! What was printed, beside what should be: `SNAPSHOTS=overwrite` writes the files of `snapshots` anew.

use std::path::Path;

use snapbox::Data;
use snapbox::assert::{Assert, DEFAULT_ACTION_ENV};

/// Fails with the difference, if the text is another than in the file of this name.
#[track_caller]
pub(crate) fn is_as_in(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots").join(file);
    let expected = Data::read_from(&path, None);
    Assert::new().action_env(DEFAULT_ACTION_ENV).eq(text, expected);
}

//! `micro man`: the manual pages.

use std::fs;

use crate::args::{Line, Man};
use crate::console::Console;
use crate::failure::Failure;

pub(crate) fn run(args: &Man, console: &mut Console) -> Result<(), Failure> {
    let folder = &args.folder;
    let cannot = |error| Failure::usage(format!("cannot write to {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(Line::command(), folder).map_err(cannot)?;
    console.say(format_args!("the manual pages are in {}: man {0}/micro.1", folder.display()));
    Ok(())
}

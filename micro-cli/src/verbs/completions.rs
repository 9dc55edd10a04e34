//! `micro completions`: what a shell completes.

use crate::args::{Completions, Line};
use crate::console::Console;
use crate::failure::Failure;

pub(crate) fn run(args: &Completions, console: &mut Console) -> Result<(), Failure> {
    // It writes to memory first: a closed standard output is no panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Line::command(), "micro", &mut script);
    std::io::Write::write_all(console.out(), &script)?;
    Ok(())
}

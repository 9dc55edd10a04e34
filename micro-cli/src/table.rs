//! Tables, for terminals.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};

use crate::console::{Console, Paint, Terminal};

/// A row, and how it is painted.
pub(crate) struct Row<const N: usize> {
    pub(crate) cells: [String; N],
    pub(crate) paint: Option<Paint>,
}

/// Prints rows under a head, without lines around them.
pub(crate) fn print<const N: usize>(
    console: &mut Console,
    head: [&str; N],
    rows: &[Row<N>],
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    // A cell is a line, whatever is in it.
    table.add_rows(
        rows.iter().map(|row| row.cells.iter().map(|cell| Terminal::name(cell).into_owned())),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let terminal = console.terminal();
    let paints = std::iter::once(Some(Paint::Faint)).chain(rows.iter().map(|row| row.paint));
    for (line, paint) in table.lines().zip(paints) {
        let line = line.trim_end();
        match paint {
            Some(paint) => writeln!(console.out(), "{}", terminal.on_stdout(line, paint))?,
            None => writeln!(console.out(), "{line}")?,
        }
    }
    Ok(())
}

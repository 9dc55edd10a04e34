//! A tree of lines.

use std::io::{self, Write};

use crate::console::{Console, Paint, Terminal};

/// Names that are longer have no column: somebody else's name must not become as many spaces on each line.
const WIDEST: usize = 40;

/// A line, and what belongs to it.
pub(super) struct Tree {
    name: String,
    text: String,
    /// A heading without anything under it is left out.
    heading: bool,
    children: Vec<Self>,
}

impl Tree {
    /// A name that stands for itself.
    pub(super) fn name(name: &str) -> Self {
        Self::field(name, "")
    }

    /// A name, and what is said of it.
    pub(super) fn field(name: &str, text: &str) -> Self {
        let own = |text: &str| Terminal::name(text).into_owned();
        Self { name: own(name), text: own(text), heading: false, children: Vec::new() }
    }

    /// A heading over others.
    pub(super) fn list(name: &str, children: impl Iterator<Item = Self>) -> Self {
        Self { heading: true, children: children.collect(), ..Self::name(name) }
    }

    pub(super) fn push(&mut self, child: Self) {
        if !child.heading || !child.children.is_empty() {
            self.children.push(child);
        }
    }

    /// Prints all of it.
    pub(super) fn print(&self, console: &mut Console) -> io::Result<()> {
        let terminal = console.terminal();
        writeln!(console.out(), "{}", terminal.on_stdout(&self.name, Paint::Name))?;
        self.branches("", terminal, console.out())
    }

    fn branches(&self, before: &str, terminal: Terminal, out: &mut impl Write) -> io::Result<()> {
        // What is said stands in a column of its own.
        let said = self.children.iter().filter(|child| !child.text.is_empty());
        let width = said.map(|child| child.name.chars().count()).filter(|width| *width <= WIDEST);
        let width = width.max().unwrap_or_default();
        let mut children = self.children.iter().peekable();
        while let Some(child) = children.next() {
            let (branch, under) = match children.peek() {
                Some(_) => ("├─ ", "│  "),
                None => ("└─ ", "   "),
            };
            let name = &child.name;
            let space = width.saturating_sub(name.chars().count());
            let line = match child.text.is_empty() {
                true => terminal.on_stdout(name, Paint::Name),
                false => format!(
                    "{}{:space$}  {}",
                    terminal.on_stdout(name, Paint::Name),
                    "",
                    child.text
                ),
            };
            let branch = terminal.on_stdout(&format!("{before}{branch}"), Paint::Faint);
            writeln!(out, "{branch}{line}")?;
            child.branches(&format!("{before}{under}"), terminal, out)?;
        }
        Ok(())
    }
}

//! A tree of lines.

use crate::console::{Paint, Terminal};

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
        let own = |text: &str| Terminal::clean(text).into_owned();
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

    /// All lines, each with its end.
    pub(super) fn lines(&self, terminal: Terminal) -> String {
        let mut out = terminal.on_stdout(&self.name, Paint::Name) + "\n";
        self.branches("", terminal, &mut out);
        out
    }

    fn branches(&self, before: &str, terminal: Terminal, out: &mut String) {
        // What is said stands in a column of its own.
        let said = self.children.iter().filter(|child| !child.text.is_empty());
        let width = said.map(|child| child.name.chars().count()).max().unwrap_or_default();
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
            out.push_str(&terminal.on_stdout(&format!("{before}{branch}"), Paint::Faint));
            out.push_str(&line);
            out.push('\n');
            child.branches(&format!("{before}{under}"), terminal, out);
        }
    }
}

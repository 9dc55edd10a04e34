//! The table of the exchanges with go-micro, made of the names of their tests.
//!
//! ```text
//! $ cells --list | interop-table check
//! $ cells --list | interop-table write
//! ```
//!
//! `ci/interop` calls it: `write` after all tests have passed for all generations, `check` otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

/// A cell: its module, and what it is about.
const CELLS: [(&str, &str); 13] = [
    ("discovery", "discovery"),
    ("leases", "deregistration, leases, kills"),
    ("call", "calls: bodies, volume, metadata, nested"),
    ("errors", "errors"),
    ("deadline", "deadlines"),
    ("long_work", "calls of 70 s, streams idle for 70 s"),
    ("streams", "streams"),
    ("events", "events"),
    ("restart", "nats-server restarted"),
    ("mixed_fleet", "a mixed fleet"),
    ("command", "the `micro` command"),
    ("exactly_one", "exactly one answer"),
    ("hostile", "what must not be sent, and is survived"),
];
const GENERATIONS: [&str; 3] = ["v6", "v3", "v2"];
const DIRECTIONS: [(&str, &str); 2] =
    [("go_calls_rust", "Go → Rust"), ("rust_calls_go", "Rust → Go")];

/// The two pages, and what stands before and after the table.
const PAGES: [(&str, Make); 2] = [("docs/go-micro.md", whole), ("README.md", short)];
const BEGIN: &str = "<!-- go-micro -->\n";
const END: &str = "<!-- end of go-micro -->\n";

type Make = fn(&Counts) -> String;

/// How many tests there are, by cell, generation and direction.
#[derive(Default)]
struct Counts(BTreeMap<(usize, usize, usize), usize>);

fn main() -> ExitCode {
    match run() {
        Ok(said) => {
            println!("interop-table: {said}");
            ExitCode::SUCCESS
        }
        Err(flaw) => {
            eprintln!("interop-table: {flaw}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    let write = match std::env::args().nth(1).as_deref() {
        Some("write") => true,
        Some("check") => false,
        _ => return Err("usage: cells --list | interop-table check|write".to_owned()),
    };
    let mut list = String::new();
    std::io::stdin().read_to_string(&mut list).map_err(|error| error.to_string())?;
    let counts = Counts::read(&list)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, make) in PAGES {
        let path = root.join(name);
        let page = std::fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let wanted =
            with_table(&page, &make(&counts)).ok_or(format!("{name} has no {}", BEGIN.trim()))?;
        if write {
            std::fs::write(&path, wanted).map_err(|error| format!("{name}: {error}"))?;
        } else if page != wanted {
            return Err(format!(
                "the table in {name} is not that of the tests: run ci/interop --all, which writes it"
            ));
        }
    }
    let all: usize = counts.0.values().sum();
    Ok(format!("{all} tests are in the table{}", if write { ", which is written" } else { "" }))
}

fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

impl Counts {
    /// Reads the lines `call::v6::go_calls_rust::NAME: test`.
    fn read(list: &str) -> Result<Self, String> {
        let mut counts = Self::default();
        for name in list.lines().filter_map(|line| line.strip_suffix(": test")) {
            let parts: Vec<&str> = name.split("::").collect();
            let [cell, generation, direction, _] = parts[..] else {
                return Err(format!("{name} is no cell::generation::direction::what"));
            };
            let place =
                |known: Option<usize>| known.ok_or(format!("{name} is in no place of the table"));
            let cell = place(CELLS.iter().position(|known| known.0 == cell))?;
            let generation = place(GENERATIONS.iter().position(|known| *known == generation))?;
            let direction = place(DIRECTIONS.iter().position(|known| known.0 == direction))?;
            *counts.0.entry((cell, generation, direction)).or_default() += 1;
        }
        if counts.0.is_empty() {
            return Err("there is no test".to_owned());
        }
        Ok(counts)
    }

    fn of(&self, cell: usize, generation: usize, direction: usize) -> usize {
        self.0.get(&(cell, generation, direction)).copied().unwrap_or_default()
    }
}

/// Each generation and direction of its own.
fn whole(counts: &Counts) -> String {
    let mut table = String::from("| |");
    for generation in GENERATIONS {
        for (_, direction) in DIRECTIONS {
            let _ = write!(table, " {generation} {direction} |");
        }
    }
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for (cell, (_, title)) in CELLS.iter().enumerate() {
        let _ = write!(table, "| {title} |");
        for generation in 0..GENERATIONS.len() {
            for direction in 0..DIRECTIONS.len() {
                let _ = write!(table, " {} |", passed(counts.of(cell, generation, direction)));
            }
        }
        table.push('\n');
    }
    table
}

/// Both directions together.
fn short(counts: &Counts) -> String {
    let mut table = String::from("| both ways | go-micro v6 | v3 | v2 |\n|---|---|---|---|\n");
    for (cell, (_, title)) in CELLS.iter().enumerate() {
        let _ = write!(table, "| {title} |");
        for generation in 0..GENERATIONS.len() {
            let both =
                (0..DIRECTIONS.len()).map(|direction| counts.of(cell, generation, direction)).sum();
            let _ = write!(table, " {} |", passed(both));
        }
        table.push('\n');
    }
    table
}

fn passed(tests: usize) -> String {
    if tests == 0 { "–".to_owned() } else { format!("✓ {tests}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_is_counted_in_its_place() {
        let list = "call::v6::go_calls_rust::a: test\ncall::v6::go_calls_rust::b: test\n\
                    call::v3::rust_calls_go::a: test\n\n3 tests, 0 benchmarks\n";
        let counts = Counts::read(list).unwrap();
        assert!(
            whole(&counts).contains("nested | ✓ 2 | – | – | ✓ 1 | – | – |"),
            "{}",
            whole(&counts)
        );
        assert!(short(&counts).contains("nested | ✓ 2 | ✓ 1 | – |"), "{}", short(&counts));
    }

    #[test]
    fn a_test_without_a_place_is_an_error() {
        for name in [
            "other::v6::go_calls_rust::a",
            "call::v5::go_calls_rust::a",
            "call::v6::a",
            "call::v6::both::a",
        ] {
            assert!(Counts::read(&format!("{name}: test\n")).is_err(), "{name}");
        }
        assert!(Counts::read("0 tests, 0 benchmarks\n").is_err());
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(
            with_table(&page, "new\n").unwrap(),
            format!("before\n{BEGIN}\nnew\n\n{END}after\n")
        );
        assert!(with_table("no marks\n", "new\n").is_none());
    }
}

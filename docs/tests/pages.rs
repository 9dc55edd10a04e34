//! What the pages say of files, of each other and of the flags is so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command};
use micro::{ClientOptions, Flags, Plugins, Service};

/// Where the pages are read, and what links to our own files begin with: the book holds only pages.
const REPOSITORY: &str = "https://github.com/micro-on-nats/micro-on-nats/blob/main/";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The targets of `[text](target)`, but for those in blocks of code.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            let after = line.split("](").skip(1);
            links.extend(after.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        }
    }
    links
}

/// The anchors of a page's headings, as both GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

fn pages() -> BTreeSet<String> {
    links(&read(&folder().join("SUMMARY.md"))).into_iter().collect()
}

#[test]
fn every_page_is_in_the_summary_and_its_snippets_are_tested() {
    let files = fs::read_dir(folder()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> =
        files.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    assert_eq!(pages(), files, "what the summary lists is what there is");
    let modules = read(&folder().join("lib.rs"));
    for page in pages() {
        assert!(modules.contains(&format!(": \"{page}\";")), "lib.rs has no module for {page}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let (folder, root) = (folder(), folder().join(".."));
    for page in pages() {
        let text = read(&folder.join(&page));
        for link in links(&text) {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = match target.strip_prefix(REPOSITORY) {
                Some(file) => root.join(file),
                None if target.contains("://") => continue,
                None if target.is_empty() => folder.join(&page),
                None => folder.join(target),
            };
            assert!(file.exists(), "{page} links to {link}, which is not there");
            // Else the book lacks it.
            let inside = target.contains("://") || target.is_empty() || pages().contains(target);
            assert!(inside, "{page}: write {REPOSITORY}… for {link}");
            let known = anchor.is_empty() || anchors(&read(&file)).contains(anchor);
            assert!(known, "{page} links to {link}, but there is no such heading");
        }
    }
}

/// The rows of the table of flags, from what clap knows of them.
fn flag_rows() -> Vec<String> {
    let command = Flags::augment_args(Command::new("test"));
    let row = |arg: &clap::Arg| {
        let name = arg.get_long()?;
        let value = arg.get_value_names().map_or("", |names| names[0].as_str());
        let variable = arg.get_env()?.to_str()?;
        let help = arg.get_help()?.to_string().replace('\n', " ");
        let (meaning, default) = default_of(&help);
        Some(format!("| `--{name}={value}` | `{variable}` | {meaning} | {default} |"))
    };
    let arguments = command.get_arguments().collect::<Vec<_>>();
    let rows: Vec<String> = arguments.iter().filter_map(|arg| row(arg)).collect();
    assert_eq!(rows.len(), arguments.len(), "each has a name, a variable and a help");
    rows
}

/// What a flag's help says it means, and what holds without it: `… [default: 30]`,
/// `… [default for nats: x]` or `memory (…; the default) …`.
fn default_of(help: &str) -> (&str, String) {
    if let Some((meaning, rest)) = help.split_once(" [default") {
        let default = rest.trim_end_matches(']');
        return match default.split_once(": ") {
            Some(("", default)) => (meaning, default.to_owned()),
            Some((of, default)) => (meaning, format!("{default}{of}")),
            None => panic!("{help:?} says no default"),
        };
    }
    let before = help.split_once("the default)").and_then(|(before, _)| before.rsplit_once(" ("));
    let word = before.and_then(|(before, _)| before.rsplit(' ').next());
    (help, word.unwrap_or_default().to_owned())
}

#[test]
fn every_flag_is_in_the_table() {
    let (begin, end) = ("<!-- flags -->\n", "<!-- end of flags -->\n");
    let path = folder().join("flags.md");
    let page = read(&path);
    let (before, rest) = page.split_once(begin).unwrap();
    let (table, after) = rest.split_once(end).unwrap();
    let head = "| flag | environment | what it says | default |\n|---|---|---|---|";
    let wanted = format!("\n{head}\n{}\n\n", flag_rows().join("\n"));
    if std::env::var("MICRO_DOCS").is_ok_and(|value| value == "write") {
        fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
        return;
    }
    assert!(table == wanted, "the table is not that of the flags; it should be:\n{wanted}");
}

#[tokio::test]
async fn the_defaults_of_the_flags_are_those_of_the_code() {
    let rows = flag_rows();
    let default = |flag: &str| {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `--{flag}="))).unwrap();
        row.trim_end_matches(" |").rsplit("| ").next().unwrap().to_owned()
    };
    let client = ClientOptions::default();
    let timeout = format!("{:?}", client.request_timeout);
    assert_eq!(default("client_request_timeout"), timeout);
    assert_eq!(default("client_retries"), client.retries.to_string());
    let strategy = format!("{:?}", client.strategy).to_lowercase();
    assert_eq!(default("selector"), strategy);

    // A registration that could not be renewed in time says both of its times.
    let day = Duration::from_secs(24 * 60 * 60);
    let error = Service::builder("a").register_interval(day).build().unwrap_err().to_string();
    let ttl = format!("lives {}s ", default("register_ttl"));
    assert!(error.contains(&ttl), "{ttl}: {error}");
    let error = Service::builder("a").register_ttl(Duration::ZERO).build().unwrap_err().to_string();
    let interval = format!("every {}s", default("register_interval"));
    assert!(error.contains(&interval), "{interval}: {error}");

    let plugins = Plugins::new();
    let service = Service::builder("a").plugins(&plugins).build().unwrap();
    let backends = service.backends().clone();
    for (flag, chosen) in [
        ("registry", backends.registry.name()),
        ("transport", backends.transport.name()),
        ("broker", backends.broker.name()),
    ] {
        assert_eq!(default(flag), chosen);
    }
    let running = service.start().await.unwrap();
    let known = backends.registry.list().await.unwrap();
    assert!(default("server_version").ends_with(&known[0].version), "{known:?}");
    running.stop().await.unwrap();
}

//! Flags before the verb.

use std::ffi::OsString;

use clap::{Arg, Command};

/// The same words with the verb first, so that whatever flag stands before it is the verb's own.
pub(crate) fn verb_first(mut words: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        if word == "--" {
            break;
        }
        if !is_flag(word) {
            if command.find_subcommand(word).is_some() {
                words[1..=at].rotate_right(1);
            }
            break;
        }
        match takes_next(word, command) {
            Some(true) => at += 2,
            Some(false) => at += 1,
            // Whatever it is: clap says so.
            None => break,
        }
    }
    words
}

fn is_flag(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// Whether the flag's value is the next word; `None` if no verb knows such a flag.
fn takes_next(word: &str, command: &Command) -> Option<bool> {
    let (name, has_value) = match word.split_once('=') {
        Some((name, _)) => (name, true),
        None => (word, false),
    };
    let mut known =
        std::iter::once(command).chain(command.get_subcommands()).flat_map(Command::get_arguments);
    if let Some(long) = name.strip_prefix("--") {
        let arg = known.find(|arg| is_called(arg, long))?;
        return Some(!has_value && arg.get_action().takes_values());
    }
    let short = name.chars().nth(1)?;
    let arg = known.find(|arg| arg.get_short() == Some(short))?;
    // `-mkey=value` brings its own.
    Some(arg.get_action().takes_values() && word.len() == 2)
}

fn is_called(arg: &Arg, long: &str) -> bool {
    let aliases = arg.get_all_aliases().unwrap_or_default();
    arg.get_long() == Some(long) || aliases.contains(&long)
}

#[cfg(test)]
mod tests {
    use super::verb_first;
    use crate::args::Line;

    #[test]
    fn flags_before_the_verb_stand_after_it_with_their_values() {
        for (given, expected) in [
            ("micro services --json", "micro services --json"),
            ("micro --json services", "micro services --json"),
            (
                "micro --registry_address a:1 --timeout 2s -m k=v call s E.p {}",
                "micro call --registry_address a:1 --timeout 2s -m k=v s E.p {}",
            ),
            (
                "micro --registry-address=a:1 -mk=v call s E.p",
                "micro call --registry-address=a:1 -mk=v s E.p",
            ),
            ("micro --nobody knows call", "micro --nobody knows call"),
            ("micro --json nothing", "micro --json nothing"),
            ("micro -- --json services", "micro -- --json services"),
            ("micro", "micro"),
        ] {
            let words = given.split(' ').map(Into::into).collect();
            let ordered = verb_first(words, &Line::command());
            let ordered: Vec<_> = ordered.iter().filter_map(|word| word.to_str()).collect();
            assert_eq!(ordered.join(" "), expected);
        }
    }
}

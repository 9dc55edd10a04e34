//! Whether a text repeats what came.

/// Panics if `text`, which was made from `data`, repeats a word of it.
///
/// The same word may be in both by chance ("string", "Header"). So the word is changed in `data`:
/// it was repeated if `again` then has the changed one.
pub(crate) fn assert_none(data: &[u8], text: &str, again: impl Fn(&[u8]) -> Option<String>) {
    for word in words(data).filter(|word| text.contains(word)) {
        let other = changed(word);
        if let Some(text) = again(&replaced(data, word.as_bytes(), other.as_bytes())) {
            assert!(!text.contains(&other), "{word:?} of the input is repeated: {text}");
        }
    }
}

/// What looks like a word, or a secret: five and more letters and digits, not digits alone.
pub(crate) fn words(data: &[u8]) -> impl Iterator<Item = &str> {
    data.split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 5)
        .filter(|word| word.iter().filter(|byte| byte.is_ascii_alphabetic()).count() >= 2)
        .filter_map(|word| std::str::from_utf8(word).ok())
        .take(64)
}

/// Another word of the same form.
fn changed(word: &str) -> String {
    let next = |c| match c {
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        _ => char::from_u32(u32::from(c) + 1).unwrap_or(c),
    };
    word.chars().map(next).collect()
}

fn replaced(data: &[u8], word: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let mut at = 0;
    while at + word.len() <= out.len() {
        if out[at..].starts_with(word) {
            out[at..at + word.len()].copy_from_slice(other);
            at += word.len();
        } else {
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(data: &[u8]) -> Option<String> {
        Some(format!("no string expected: {}", String::from_utf8_lossy(data)))
    }

    #[test]
    #[should_panic(expected = "\"hunter2\" of the input is repeated")]
    fn a_word_that_is_repeated_is_found() {
        let data = b"{\"password\":\"hunter2\"}";
        assert_none(data, "not expected: hunter2", repeats);
    }

    #[test]
    fn a_word_that_is_in_both_by_chance_is_not() {
        assert_none(b"{\"string\":1}", "no string expected", |_| Some("no string".to_owned()));
        assert_none(b"{\"string\":1}", "no string expected", |_| None);
    }

    #[test]
    fn every_occurrence_is_changed() {
        assert_eq!(replaced(b"abcde-abcde", b"abcde", changed("abcde").as_bytes()), b"bcdef-bcdef");
        assert_eq!(changed("azAZ09"), "baBA10");
    }
}

//! What somebody may have meant.

use strsim::{damerau_levenshtein, normalized_damerau_levenshtein};

/// How many names are offered.
const MOST: usize = 3;
/// How many names are listed where none is near.
const LISTED: usize = 12;

/// The names that are like this one, the nearest first.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(f64, &str)> = (known.into_iter())
        .filter_map(|name| likeness(wanted, name).map(|likeness| (likeness, name)))
        .collect();
    near.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.cmp(other)));
    near.dedup_by_key(|(_, name)| *name);
    // Where one is much nearer, the others are noise.
    let best = near.first().map_or(0.0, |(likeness, _)| *likeness);
    near.retain(|(likeness, _)| best - likeness < 0.05);
    near.into_iter().map(|(_, name)| name).take(MOST).collect()
}

/// "did you mean …?", or what there is: `things` is its name in the plural.
pub(crate) fn hint<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
    things: &str,
) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let near = nearest(wanted, known.iter().copied());
    match (near.split_last(), known.len()) {
        (_, 0) => None,
        (Some((last, [])), _) => Some(format!("did you mean {last}?")),
        (Some((last, others)), _) => Some(format!("did you mean {} or {last}?", others.join(", "))),
        (None, ..=LISTED) => Some(format!("{things}: {}", known.join(", "))),
        (None, more) => {
            Some(format!("{things}: {} and {} more", known[..LISTED].join(", "), more - LISTED))
        }
    }
}

/// From 0 to 1, if they are alike. What stands before a dot may be left out.
fn likeness(wanted: &str, name: &str) -> Option<f64> {
    let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
    let alike = |wanted: &str, name: &str| {
        let (distance, longest) = (damerau_levenshtein(wanted, name), wanted.len().max(name.len()));
        let typed = distance <= (longest / 3).max(1);
        let begun = wanted.len() >= 3 && (name.starts_with(wanted) || wanted.starts_with(name));
        (typed || begun).then(|| normalized_damerau_levenshtein(wanted, name))
    };
    let short = |text: &'_ str| text.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let whole = alike(&wanted, &name);
    let parts = || alike(&short(&wanted), &short(&name)).map(|likeness| likeness * 0.9);
    whole.or_else(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINTS: [&str; 4] = ["Echo.Call", "Echo.Chat", "Echo.Count", "Echo.Size"];

    #[test]
    fn a_slip_finds_the_name_and_nothing_finds_everything() {
        assert_eq!(nearest("Echo.Cal", ENDPOINTS), ["Echo.Call"]);
        assert_eq!(nearest("Echo.Clal", ENDPOINTS), ["Echo.Call"]);
        assert_eq!(nearest("echo.size", ENDPOINTS), ["Echo.Size"]);
        assert_eq!(nearest("Size", ENDPOINTS), ["Echo.Size"]);
        assert_eq!(nearest("Greeter.Size", ENDPOINTS), ["Echo.Size"]);
        assert_eq!(nearest("gretter", ["echo", "greeter"]), ["greeter"]);
        assert_eq!(nearest("billing", ["echo", "greeter"]), [""; 0]);
    }

    #[test]
    fn a_hint_names_the_nearest_or_all() {
        assert_eq!(hint("grete", ["greeter"], "services"), Some("did you mean greeter?".into()));
        let two = hint("echo1", ["echo2", "echo3"], "services");
        assert_eq!(two, Some("did you mean echo2 or echo3?".into()));
        let all = hint("zzz", ["b", "a", "a"], "services there are");
        assert_eq!(all, Some("services there are: a, b".into()));
        assert_eq!(hint("zzz", [], "services there are"), None);
        let many: Vec<String> = (0..20).map(|n| format!("service-{n:02}")).collect();
        let many = hint("zzz", many.iter().map(String::as_str), "there are").unwrap();
        assert!(many.ends_with("service-11 and 8 more"), "{many}");
    }
}

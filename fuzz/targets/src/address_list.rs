//! A list of addresses, as a flag or a setting has it.

use micro_nats::{Addresses, Credentials};

use crate::echo;

const SECRET: &str = "correct-horse-battery-staple";

/// A list that is read prints the addresses and never what gives access to them; read again, it
/// is the same. An error names the address without its secrets.
pub fn address_list(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let addresses: Addresses = match text.parse() {
        Ok(addresses) => addresses,
        Err(error) => {
            assert!(error.to_string().len() <= 12 * text.len() + 200, "{error}");
            no_secret_in(&text, |list| {
                list.parse::<Addresses>().map_or_else(|e| format!("{e} {e:?}"), |a| a.to_string())
            });
            return false;
        }
    };
    let printed = addresses.to_string();
    assert!(!printed.contains('@') && !printed.is_empty());
    let again: Addresses = printed.parse().expect("what was printed is a list");
    assert_eq!(again.to_string(), printed, "it is another once printed");
    assert!(again.credentials().is_none(), "credentials were printed");
    let items = text.split(',').filter(|item| !item.trim().is_empty()).count();
    assert!(printed.split(',').count() <= items.max(1), "more addresses than were written");
    let parts = Addresses::parse(text.split(',')).expect("a list is the list of its items");
    assert_eq!(parts, addresses);

    // The same servers, with credentials that are known here.
    for userinfo in [SECRET.to_owned(), format!("somebody:{SECRET}")] {
        let (scheme, rest) = printed.split_at(if printed.starts_with("tls://") { 6 } else { 0 });
        let list = format!("{scheme}{userinfo}@{rest}");
        let with: Addresses = list.parse().expect("any address may have credentials");
        assert_eq!(with.to_string(), printed);
        let expected = match userinfo.split_once(':') {
            Some((user, password)) => Credentials::user_password(user, password),
            None => Credentials::token(SECRET),
        };
        assert_eq!(with.credentials(), Some(&expected));
        assert!(!format!("{with:?}").contains(SECRET), "{with:?}");
    }
    true
}

/// Panics if what `print` makes of a list has a secret of it: a word of what stands before an
/// address's `@`, unless the same word is also in the open.
fn no_secret_in(list: &str, print: impl Fn(&str) -> String) {
    let (mut secrets, mut open) = (Vec::new(), String::new());
    for item in list.split(',').map(str::trim) {
        let (scheme, rest) = item.split_once("://").unwrap_or(("", item));
        let (userinfo, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        secrets.extend(echo::words(userinfo.as_bytes()));
        open.extend([scheme, " ", place, " "]);
    }
    let printed = print(list);
    for word in secrets.into_iter().filter(|word| printed.contains(word) && !open.contains(word)) {
        // It may be a word of ours. If it is the list's, another comes with another list.
        let other: String = word.chars().rev().chain("Qx".chars()).collect();
        let again = print(&list.replace(word, &other));
        assert!(!again.contains(&other), "{word:?} is in {printed:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "\"hunter22\" is in")]
    fn a_secret_that_is_printed_is_found() {
        no_secret_in("nats://u:hunter22@a", |list| format!("{list} is no address"));
    }

    #[test]
    fn what_is_also_in_the_open_is_no_secret() {
        no_secret_in("nats://u:example@example", |list| format!("{list} is no address"));
    }
}

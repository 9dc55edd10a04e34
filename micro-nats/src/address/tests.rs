use proptest::prelude::*;

use super::*;

fn parsed(list: &str) -> Addresses {
    list.parse().unwrap_or_else(|error| panic!("{list:?}: {error}"))
}

#[test]
fn each_form_of_an_address_is_read() {
    for (list, means) in [
        ("127.0.0.1:4222", "127.0.0.1:4222"),
        ("localhost", "localhost:4222"),
        ("nats://h:1", "h:1"),
        ("NATS://H.Example:65535", "h.example:65535"),
        ("tls://h", "tls://h:4222"),
        ("tls://h:4443/", "tls://h:4443"),
        ("[::1]:4222", "[::1]:4222"),
        ("nats://[0:0:0:0:0:0:0:1]", "[::1]:4222"),
        ("nats://u:p@h", "h:4222"),
        ("u:p@[::1]:7", "[::1]:7"),
        ("a,b , nats://c:1,", "a:4222,b:4222,c:1"),
        ("a:4222,nats://A,a", "a:4222"),
        ("a,tls://a", "a:4222,tls://a:4222"),
        ("", "127.0.0.1:4222"),
        (" , ", "127.0.0.1:4222"),
    ] {
        assert_eq!(parsed(list).to_string(), means, "{list:?}");
    }
    assert_eq!(Addresses::parse(["a,b", "c"]).unwrap().to_string(), "a:4222,b:4222,c:4222");
    assert_eq!(Addresses::parse([""; 0]).unwrap(), Addresses::default());
}

#[test]
fn credentials_are_split_off_and_decoded() {
    for (list, credentials) in [
        ("h", None),
        ("u:p@h", Some(Credentials::user_password("u", "p"))),
        ("u:@h", Some(Credentials::user_password("u", ""))),
        ("u:p@ss:w@h", Some(Credentials::user_password("u", "p@ss:w"))),
        ("tls://u%3A:%40%2C%25%C3%A4@h", Some(Credentials::user_password("u:", "@,%ä"))),
        ("t0ken@h", Some(Credentials::token("t0ken"))),
        ("a,u:p@b,u:p@c", Some(Credentials::user_password("u", "p"))),
    ] {
        assert_eq!(parsed(list).credentials(), credentials.as_ref(), "{list:?}");
    }
}

#[test]
fn a_bad_address_is_named_with_its_flaw() {
    for (list, name, flaw) in [
        ("a,b:port", "\"b:***\"", "port is no number"),
        ("a:0", "\"a:0\"", "port is no number"),
        ("a:65536", "\"a:65536\"", "port is no number"),
        ("a:", "\"a:\"", "port is no number"),
        ("a:+1", "\"a:***\"", "port is no number"),
        (":4222", "\":4222\"", "no host"),
        ("ws://a", "\"ws://a\"", "scheme is neither"),
        ("::1", "\"::1\"", "written in brackets"),
        ("[::1", "\"[::1\"", "bracket is not closed"),
        ("[a]:1", "\"[a]:1\"", "no IPv6 address"),
        ("[::1]4222", "\"[::1]4222\"", "only a port may follow"),
        ("a b", "\"a b\"", "host is no name"),
        ("nats://a/path", "\"nats://a/path\"", "host is no name"),
        ("nats://a\n", "", ""),
        ("nats://a\u{7}", "\"nats://a\\u{7}\"", "host is no name"),
    ] {
        match list.parse::<Addresses>() {
            Ok(addresses) => assert_eq!((addresses.to_string().as_str(), name), ("a:4222", "")),
            Err(error) => {
                let text = error.to_string();
                let start = format!("{name} is no address of a NATS server: ");
                assert!(text.starts_with(&start) && text.contains(flaw), "{list:?}: {text}");
            }
        }
    }
}

#[test]
fn no_error_shows_a_password() {
    for list in [
        "nats://user:s3cret@host:port",
        "nats://user:s3cret@",
        "user:s3cret@a b",
        "redis://user:s3cret@h",
        "nats://user:s3%cret@h",
        ":s3cret@h",
        "u:s3cret://a@h",
        "u:s3cret@a,u:other-s3cret@b",
        "s3cret@a,other-s3cret@b",
        // Forgotten: the host, or to encode a comma.
        "nats://user:s3cret",
        "nats://user:s3cret,more@h",
        "a,user:s3cret,s3cret,more@h",
    ] {
        let error = list.parse::<Addresses>().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("s3"), "{told}");
    }
}

#[test]
fn debug_and_display_show_no_password() {
    let addresses = parsed("nats://user:s3cret@h,tls://user:s3cret@i");
    assert!(!format!("{addresses} {addresses:?}").contains("s3cret"));
    let addresses = parsed("s3cret@h");
    assert!(!format!("{addresses} {addresses:?}").contains("s3cret"));
}

#[test]
fn the_client_takes_each_server_with_its_scheme() {
    let urls = parsed("a,tls://b:1,[::1]").urls().unwrap();
    let seen: Vec<_> = urls.iter().map(|u| (u.host(), u.port(), u.tls_required())).collect();
    assert_eq!(seen, [("a", 4222, false), ("b", 1, true), ("::1", 4222, false)]);
    assert!(!parsed("a,tls://b").all_tls());
    assert!(parsed("tls://a,tls://b").all_tls());
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(list in ".{0,60}") {
        let _ = list.parse::<Addresses>();
    }

    #[test]
    fn what_is_displayed_is_read_as_the_same(list in "((nats|tls)://)?([a-z%:@]{0,4}@)?[a-zA-Z0-9._\\[\\]:,-]{0,30}") {
        if let Ok(addresses) = list.parse::<Addresses>() {
            let again: Addresses = addresses.to_string().parse().unwrap();
            prop_assert_eq!(&again.servers, &addresses.servers);
            prop_assert_eq!(again.urls().unwrap().len(), addresses.servers.len());
        }
    }

    #[test]
    fn any_encoded_password_comes_back(password in ".{0,20}") {
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let addresses = format!("u:{encoded}@h").parse::<Addresses>().unwrap();
        prop_assert_eq!(addresses.credentials(), Some(&Credentials::user_password("u", password)));
    }

    #[test]
    fn no_error_shows_a_password_in_front_of_a_host(
        before in "[a-z:,/]{0,5}",
        after in "[a-z:,@/ %]{0,8}",
    ) {
        if let Err(error) = format!("{before}u:PASSWORD{after}@h").parse::<Addresses>() {
            prop_assert!(!error.to_string().contains("PASSWORD"), "{}", error);
        }
    }
}

use super::*;

fn tcp(host: &str, port: u16) -> Place {
    Place::Tcp(self::host(host.trim_matches(['[', ']'])).unwrap(), port)
}

#[test]
fn an_address_says_where_whom_and_whether_encrypted() {
    let id = || Id::parse("abc123");
    for (address, tls, place, id) in [
        ("127.0.0.1:80", false, tcp("127.0.0.1", 80), None),
        ("127.0.0.1:80/abc123", false, tcp("127.0.0.1", 80), id()),
        ("[::1]:65535/abc123", false, tcp("::1", 65_535), id()),
        ("host_1.example:1", false, tcp("host_1.example", 1), None),
        ("tls://host.example:443/abc123", true, tcp("host.example", 443), id()),
        ("unix:80/abc123", false, tcp("unix", 80), id()),
        ("unix:/run/a b.sock", false, Place::Unix("/run/a b.sock".into()), None),
    ] {
        assert_eq!(Target::parse(address).unwrap(), Target { tls, place, id }, "{address}");
    }
}

#[test]
fn what_cannot_be_dialled_is_refused_with_the_reason() {
    for (address, reason) in [
        ("", "no host"),
        (":80", "no host"),
        ("host", "no port"),
        ("host:0", "no port"),
        ("::1", "no port"),
        ("host:", "no number"),
        ("host:+1", "no number"),
        ("host:65536", "no number"),
        ("host:http", "no number"),
        ("a:1:2", "no number"),
        ("[::1", "bracket"),
        ("[host]:1", "IPv6"),
        ("[::1]80", "no number"),
        ("a b:1", "neither an address nor a name"),
        ("a\n:1", "neither an address nor a name"),
        ("http://a:1", "no number"),
        ("host:1/", "id"),
        ("host:1/a-b", "id"),
        ("host:1/0123456789012345678901234567890123", "id"),
        ("unix:", "no number"),
        ("unix:here", "no number"),
        ("unix:/\n", "control"),
    ] {
        let error = Target::parse(address).unwrap_err();
        assert_eq!(error.kind(), micro_core::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(reason), "{address:?}: {error}");
    }
}

#[test]
fn where_nothing_is_said_it_listens_on_loopback_at_any_port() {
    let loopback = |port| Spot::Tcp(LOOPBACK, port);
    for (address, tls, spot) in [
        ("127.0.0.1", false, loopback(0)),
        (":80", false, loopback(80)),
        ("tls://", true, loopback(0)),
        ("tls://:80", true, loopback(80)),
        ("::", false, Spot::Tcp(host("::").unwrap(), 0)),
        ("[::]:80", false, Spot::Tcp(host("::").unwrap(), 80)),
        ("unix:/run/x", false, Spot::Unix("/run/x".into())),
        ("unix:/run/", false, Spot::UnixIn("/run/".into())),
    ] {
        assert_eq!(Listen::parse(address).unwrap(), Listen { tls, spot }, "{address}");
    }
    assert_eq!(Listen::default(), Listen::parse("127.0.0.1").unwrap());
    for address in ["", "a b", "host:1/abc", "unix:x"] {
        assert!(Listen::parse(address).is_err(), "{address:?}");
    }
}

#[test]
fn what_only_this_machine_reaches_is_known() {
    for (address, local) in [
        ("127.9.9.9", true),
        ("LocalHost:1", true),
        ("[::1]", true),
        ("unix:/x", true),
        ("0.0.0.0", false),
        ("[::]:1", false),
        ("192.0.2.1:1", false),
        ("host.example", false),
    ] {
        assert_eq!(Listen::parse(address).unwrap().is_local(), local, "{address}");
    }
}

#[test]
fn ids_are_new_each_time_and_read_back() {
    let (one, two) = (Id::fresh(), Id::fresh());
    assert_ne!(one, two);
    assert_eq!(one.as_str().len(), ID_DIGITS);
    assert_eq!(Id::parse(one.as_str()), Some(one));
}

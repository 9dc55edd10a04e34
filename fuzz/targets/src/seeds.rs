//! What the corpus starts from: what real go-micro processes sent, and texts by hand for what
//! none of them sends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{fs, io};

use serde_json::Value;

use crate::corpus;

/// By target, the name and the bytes of each input.
pub type Seeds = BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>;

/// All of them, from the fixtures in the crates that read what go-micro sends.
///
/// # Errors
/// Those of the file system, and `InvalidData` for a fixture that is none.
pub fn all() -> io::Result<Seeds> {
    let mut seeds = Seeds::new();
    for version in ["v6", "v3", "v2"] {
        let fixtures =
            |file: &str| lines(&format!("micro-core/tests/fixtures/{file}-{version}.jsonl"));
        let envelopes = fixtures("envelopes")?;
        let errors = fixtures("errors")?;
        for (exchange, messages) in by_exchange(&envelopes) {
            // The older ones differ in little.
            if version == "v6" || matches!(&*exchange, "call" | "error") {
                let name = format!("{version}-{exchange}");
                add(&mut seeds, "session", &name, conversation(&messages));
                if exchange.contains("stream") {
                    add(&mut seeds, "stream", &name, streaming(&messages));
                }
                let first = |answer: bool| messages.iter().find(|m| m["reply"].is_null() == answer);
                for (kind, message) in [("request", first(false)), ("answer", first(true))] {
                    let Some(body) = message.map(body) else { continue };
                    let name = format!("{name}-{kind}");
                    add(&mut seeds, "header", &name, json(&body)?["Header"].to_string());
                    add(&mut seeds, "envelope", &name, body);
                }
            }
        }
        let mut known = BTreeSet::new();
        for message in &errors {
            let packet = json(&body(message))?;
            let text = packet["Header"]["Micro-Error"].as_str().unwrap_or_default();
            if known.insert(text.to_owned()) {
                let name = format!("{version}-{}", exchange(message));
                add(&mut seeds, "error", &name, text);
            }
        }
        let path = format!("micro-registry-nats/tests/fixtures/go-micro-{version}.jsonl");
        for (exchange, messages) in by_exchange(&lines(&path)?) {
            for (index, message) in messages.iter().map(body).enumerate() {
                let name = format!("{version}-{exchange}-{index}");
                let read = json(&message)?;
                let service = if read.get("nodes").is_some() { &read } else { &read["Service"] };
                if !service.is_null() {
                    add(&mut seeds, "service", &name, service.to_string());
                }
                add(&mut seeds, "registry_result", &name, message);
            }
        }
    }
    for (name, input) in micro_registry_mdns::fuzzing::samples() {
        add(&mut seeds, "mdns_record", name, input);
    }
    for (target, texts) in BY_HAND {
        for (index, text) in texts.iter().enumerate() {
            add(&mut seeds, target, &format!("hand-{index:02}"), *text);
        }
    }
    for (index, bytes) in CONNECTIONS.iter().enumerate() {
        add(&mut seeds, "connection", &format!("hand-{index:02}"), *bytes);
    }
    Ok(seeds)
}

/// Requests go to our server, and answers to our client, which called before.
fn conversation(messages: &[Value]) -> String {
    let mut script = String::from("capplication/json\ns\n");
    for message in messages {
        let to = if message["reply"].is_null() { "<" } else { ">" };
        script += &format!("{to}{}\n", body(message));
    }
    script + "r{}\nS"
}

/// What both sides of a stream said, said to ours.
fn streaming(messages: &[Value]) -> String {
    let mut script = String::from("s\ns\n");
    for (index, message) in messages.iter().enumerate() {
        let to = if message["reply"].is_null() { "<" } else { ">" };
        script += &format!("{to}{}\n", body(message));
        if index == 0 {
            script += "A\n";
        }
    }
    script + "m{}\nM{}\nh\ns\ns\nw\nS\nS\nS"
}

/// A greeting, and what follows it, of the TCP transport.
const CONNECTIONS: [&[u8]; 12] = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x9emicro\r\n\x01\x01\x05\x06\x00\x00\x00\x00",
    b"\x9emicro\r\n\x01\x01\x05\x00\x01\x00\x00\x00\x00\x00\x00\x05hello\x00\x00\x00\x00",
    b"\x9emicro\r\n\x01\x02\x15\x00\x01\x00\x00\x100123456789abcDEF\x00\x00\x00\x01x\x00\x00",
    b"\x9emicro\r\n\x02\x02\x0a\x00\x01\x00\x00\x02idmore\x00\x00\x00\x02hi\x00\x00\x00\x09half",
    b"\x9emicro\r\n\x01\x02\x06\x00\x00\x00\xff\x01a\x00\x00\x00\x01a\x00\x00\x00\x02bc",
    b"\x9emicro\r\n\x01\x01\x05\x00\x00\x00\x04\x00\x00\x00\x00\x04four\x00\x00\x00\x05fiveX",
    b"\x9emicro\r\n\x01\x01\x05\xff\xff\xff\xff\x00\xff\xff\xff\xff",
    b"\x9emicro\r\n\x01\x01\x05\x00\x00\x00\x04\x00\x00\x00\x00\x01a\xff\xff\xff\xff\0\0\0\0\0\0\0\x01b",
    b"\x9emicro\r\n\x01\x03\x05\x00\x01\x00\x00\x00",
    b"\x9emicro\r\n\x00\x01\x05\x00\x01\x00\x00\x00",
    b"\x9emicro\r\n\x01\x01\x06\x00\x01\x00\x00\x02i",
];

const BY_HAND: [(&str, &[&str]); 10] = [
    (
        "address_list",
        &[
            "",
            "127.0.0.1",
            "nats://localhost:4222",
            "a.example:4222, tls://b.example:4443,,a.example",
            "nats://somebody:pass%2Cword@a.example,nats://somebody:pass%2Cword@b.example:5222/",
            "tls://a-t0ken-of-24-characters@[::1]:4222",
            "[2001:db8::1]",
            "NATS://Host_1.example",
            "nats://somebody:p@ss:w@rd@a.example",
            "nats://somebody:pass,word@a.example",
            "http://a.example",
            "a.example:0",
            "somebody:password",
            "nats://%zz@a.example",
            "::1",
            "h\u{e9}te.example",
        ],
    ),
    (
        "envelope",
        &[
            "{}",
            "null",
            r#"{"Header":null,"Body":null}"#,
            r#"{"header":{"a":"1","a":"2"},"body":"aGk="}"#,
            r#"{"Header":{"k\u0022":"\u003cv\\\n\u00e9\ud83d\ude00"},"Body":"aGk\u003d"}"#,
            r#"{"Header":{"a":1},"Body":"@@"}"#,
            r#"{"Body":"","Other":{"deep":[[[1e9]]]}}"#,
        ],
    ),
    (
        "error",
        &[
            "",
            "EOS",
            "{}",
            "null",
            "rpc: can't find service No",
            r#"{"Id":"a","CODE":404,"detail":null}"#,
            r#"{"error":"somebody's own"}"#,
            r#"["a",404,"d","s"]"#,
            r#"{"id":"a","code":-2147483648,"detail":"\u0000","status":"x"}"#,
        ],
    ),
    (
        "header",
        &[
            "null",
            "{}",
            r#"{"a":"1","A":"2","a":"3"}"#,
            r#"{"micro-id":"0","":"","x-Micro-Id":"1"}"#,
        ],
    ),
    (
        "mdns_record",
        &[
            "",
            "\x09txtvers=1\x07lease=0\x06beat=2\x07since=1",
            "\x09txtvers=1\x0alease=1000\x06beat=1\x07since=1\x05rev=1\x07parts=2",
            "\x09txtvers=1\x06part=1\x05rev=1\x04d0=x\x04d2=y",
            "\x09txtvers=1\x06ns=red\x07lease=1\x06beat=1\x07since=1\x05rev=1",
            "\x09txtvers=1\x19lease=18446744073709551615\x06beat=1\x07since=1\x05rev=f",
            "\x7f",
            r#"{"name":"a","nodes":[{"id":"1"}]}"#,
            r#"{"name":"a b","nodes":[{"id":"1"}]}"#,
        ],
    ),
    (
        "registry_result",
        &[
            r#"{"Service":null,"Action":"list","Micro":{"id":"0123.4"}}"#,
            r#"{"Service":{"name":"a"},"Action":"get"}"#,
            r#"{"Service":{"name":"a","nodes":[{"id":"a-1","metadata":{"micro-lease":"6000"}},{"id":"a-2"}]},"Action":"put","Micro":{"id":"0123.5"}}"#,
            r#"{"name":"a","nodes":[{"id":"a-1","metadata":{"micro-lease":"18446744073709551615"}}]}"#,
            r#"{"id":"a-1","version":"1","lease":6000,"hash":"00000000deadbeef"}"#,
            r#"{"id":"a-1","lease":18446744073709551615,"hash":""}"#,
            r#"{"Service":{"name":"a","nodes":null},"Action":"delete"}"#,
            r#"[null,"get"]"#,
        ],
    ),
    (
        "service",
        &[
            "{}",
            r#"{"name":"a","nodes":[{"id":"1"},{"id":""}],"more":[null]}"#,
            r#"{"endpoints":[{"name":"E","request":{"name":"a","type":"b","values":[{"values":[{}]}]}}]}"#,
        ],
    ),
    (
        "session",
        &[
            "capplication/json\ncapplication/json\ns\ns\nr{}\neno\nS\nS",
            "capplication/x-none\ns\n<{\"Header\":{\"Content-Type\":\"text/plain\"},\"Body\":\"bm8=\"}",
            "l300\ncapplication/json\ns\nr{\"too\":\"large, with all of this text that goes on and on until it does not fit into a packet of the few bytes that are allowed\"}\nS\nS",
            "l10\ncapplication/json\ns\ng\nc\nx1",
            "{}\n{}\n{}\n{}\n{}\n{}\nS\nX1",
            "c\nc\nc\nc\nc\ns\ns\nx1\nx0\ng",
            "{\"Header\":{\"Micro-ID\":\"0\",\"Micro-Error\":\"EOS\"},\"Body\":null}",
            "l10\ncapplication/json\n<{\"Header\":{\"Micro-ID\":\"0\"},\"Body\":null}\ns",
        ],
    ),
    (
        "stream",
        &[
            "s\ns\nA\nm1\ns\nM2\nS\nh\ns\na\ns\nw\nS\na\ns\nS",
            "s\ns\nA\nm1\nm2\ng\ns\ns\ns\nS",
            "s\nA\np\ns\nr\nS\nh\ns\ng\ns\ns",
            "s\nA\nM1\nI\nS\nS\nm1\ns\ns",
            "s\nA\nm1\ni\ns\ns\nx1",
            "s\nA\neno\nS\nm1\ns\nX1",
            "s\nr\nm1\ns\nm2\ns\nh\ns\nS",
            "l200\ns\nl4000\ns\nA\nM1\nl60\nS\nS\nm1\nl40\ns",
            "n\ns\nA\na\ns\nx1\nf\ns",
            ">{\"Header\":{\"Micro-Stream\":\"0\"},\"Body\":null}\nA\nM\nM1\nS\nS\nw",
        ],
    ),
    (
        "tcp_address",
        &[
            "",
            "127.0.0.1:4711/0123456789abcDEF",
            "[::1]:65535/a",
            "::1",
            "tls://greeter.example:443/a1",
            "tls://",
            ":80",
            "unix:/run/greeter.sock",
            "unix:/run/",
            "unix:relative",
            "unix:80",
            "host:0",
            "host:65536",
            "host:80/not-an-id",
            "a b:1",
            "[::1",
        ],
    ),
];

/// Versions of go-micro, and exchanges, often differ in nothing.
fn add(seeds: &mut Seeds, target: &'static str, name: &str, input: impl Into<Vec<u8>>) {
    let (inputs, input) = (seeds.entry(target).or_default(), input.into());
    if !inputs.values().any(|known| *known == input) {
        inputs.insert(name.to_owned(), input);
    }
}

fn lines(path: &str) -> io::Result<Vec<Value>> {
    let root: PathBuf = corpus::root().join("..").join(path);
    fs::read_to_string(root)?.lines().map(json).collect()
}

fn by_exchange(messages: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in messages {
        found.entry(exchange(message)).or_default().push(message.clone());
    }
    found
}

fn exchange(message: &Value) -> String {
    message["exchange"].as_str().unwrap_or_default().to_owned()
}

fn body(message: &Value) -> String {
    message["body"].as_str().unwrap_or_default().to_owned()
}

fn json(text: &str) -> io::Result<Value> {
    serde_json::from_str(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

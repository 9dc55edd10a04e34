//! Whatever comes: nothing panics, and each message is an event, an answer or is counted.

use micro_core::wire::{Counts, Event, Limits, PROBE_ENDPOINT, Session, envelope};
use micro_core::{Error, Header};
use proptest::prelude::*;

use crate::{opened, take_all};

/// Entries that mean something, in any spelling.
fn entry() -> impl Strategy<Value = (String, String)> {
    let key = prop::sample::select(
        &[
            "Micro-ID",
            "Micro-Id",
            "X-Micro-ID",
            "Micro-Stream",
            "micro-stream",
            "X-Micro-Stream",
            "Micro-Error",
            "X-Micro-Error",
            "Micro-Endpoint",
            "Micro-Method",
            "Content-Type",
        ][..],
    );
    let value = prop_oneof![
        4 => prop::sample::select(&["0", "1", "2", "", "EOS", "text/plain", PROBE_ENDPOINT][..])
            .prop_map(str::to_owned),
        1 => Just(r#"{"code":404}"#.to_owned()),
        1 => any::<String>(),
    ];
    (key.prop_map(str::to_owned), value)
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let made =
        (prop::collection::vec(entry(), 0..6), any::<Vec<u8>>()).prop_map(|(entries, body)| {
            let header: Header = entries.into_iter().collect();
            envelope::encode(&header, &body).to_vec()
        });
    prop_oneof![9 => made, 1 => any::<Vec<u8>>()]
}

fn dropped(counts: Counts) -> u64 {
    counts.garbage + counts.stray + counts.late + counts.lost_requests
}

proptest! {
    #[test]
    fn a_caller_survives_anything(
        half_closes in any::<bool>(),
        packets in prop::collection::vec(packet(), 0..60),
    ) {
        let (mut session, stream) = opened();
        session.probe();
        if half_closes {
            session.half_close(stream);
        }
        take_all(&mut session);
        let (mut over, mut probes) = (false, 1);
        for packet in packets {
            let before = session.counts();
            let mut events = Vec::new();
            session.on_packet(&packet, &mut events);
            prop_assert!(events.len() <= 1, "{:?}", events);
            let counted = dropped(session.counts()) - dropped(before);
            if events.is_empty() && counted == 0 {
                // It was the answer to the probe.
                probes -= 1;
            }
            prop_assert!(!over || events.is_empty(), "{:?} after the end", events);
            over |= matches!(events[..], [Event::Finished { .. } | Event::Broken { .. }]);
            prop_assert!(events.len() as u64 + counted <= 1 && probes >= 0);
        }
        let told = take_all(&mut session);
        prop_assert!(told.len() <= 1, "at most its end is said");
        prop_assert_eq!(session.is_idle(), over);
    }

    #[test]
    fn a_service_survives_anything_and_holds_no_more_than_it_may(
        packets in prop::collection::vec((packet(), any::<u8>()), 0..100),
    ) {
        const OPEN: usize = 3;
        let mut session = Session::server(Limits::default().with_open(OPEN));
        let (mut requests, mut streams) = (Vec::new(), Vec::new());
        for (packet, then) in packets {
            let mut events = Vec::new();
            session.on_packet(&packet, &mut events);
            prop_assert!(events.len() <= 1, "{:?}", events);
            for event in events {
                match event {
                    Event::Request { id, .. } => match session.accept(id) {
                        Some(stream) => streams.push((stream, false)),
                        None => requests.push(id),
                    },
                    Event::Message { stream, .. } => {
                        prop_assert!(streams.contains(&(stream, false)), "{stream:?}");
                    }
                    Event::Finished { stream } => {
                        let open = streams.iter_mut().find(|open| **open == (stream, false));
                        *open.unwrap() = (stream, true);
                    }
                    Event::Broken { stream, .. } => {
                        let at = streams.iter().position(|open| open.0 == stream).unwrap();
                        streams.remove(at);
                        prop_assert!(!session.end(stream, Ok(())));
                    }
                    other => panic!("{other:?}"),
                }
            }
            prop_assert!(requests.len() + streams.len() <= OPEN);
            match then {
                0..40 => {
                    if let Some((stream, _)) = streams.pop() {
                        prop_assert!(session.end(stream, Err(&Error::internal("as asked"))));
                    }
                }
                40..80 => {
                    if let Some(id) = requests.pop() {
                        prop_assert!(session.reply(id, Ok(("", b""))));
                    }
                }
                80..100 => drop(take_all(&mut session)),
                _ => {}
            }
        }
        take_all(&mut session);
        prop_assert_eq!(session.is_idle(), requests.is_empty() && streams.is_empty());
        let mut events = Vec::new();
        session.undelivered(0, true, &mut events);
        prop_assert_eq!(events.len(), requests.len() + streams.len());
        prop_assert!(session.is_idle());
    }
}

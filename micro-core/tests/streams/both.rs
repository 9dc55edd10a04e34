//! Two sessions and whatever comes in between: nothing is lost, doubled or out of order.

use std::collections::VecDeque;

use micro_core::wire::{Event, Limits, Session, StreamId};
use micro_core::{Error, ErrorKind};
use proptest::prelude::*;

use crate::{MAX, opening};

#[derive(Clone, Copy, Debug)]
enum Step {
    CallerSends,
    CallerFinishes,
    CallerGivesUp,
    CallerAsks,
    CallerProbes,
    ServiceSends,
    ServiceEnds,
    ServiceFails,
    /// So many packets leave the caller, or arrive at the service, …
    CallerLeaves(u8),
    ServiceHears(u8),
    ServiceLeaves(u8),
    CallerHears(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let few = || 1..5u8;
    prop_oneof![
        6 => Just(Step::CallerSends),
        1 => Just(Step::CallerFinishes),
        1 => Just(Step::CallerGivesUp),
        2 => Just(Step::CallerAsks),
        1 => Just(Step::CallerProbes),
        6 => Just(Step::ServiceSends),
        1 => Just(Step::ServiceEnds),
        1 => Just(Step::ServiceFails),
        4 => few().prop_map(Step::CallerLeaves),
        4 => few().prop_map(Step::ServiceHears),
        4 => few().prop_map(Step::ServiceLeaves),
        4 => few().prop_map(Step::CallerHears),
    ]
}

/// How a side saw the stream end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    Broken(i32),
}

struct Side {
    session: Session,
    stream: Option<StreamId>,
    /// Left, and not arrived yet.
    leaves: VecDeque<Vec<u8>>,
    sent: u32,
    heard: Vec<u32>,
    ends: Vec<End>,
    handler_ended: bool,
    /// It says no more: it finished, gave up or ended.
    done: Option<Step>,
}

impl Side {
    fn new(session: Session) -> Self {
        let (leaves, heard, ends) = (VecDeque::new(), Vec::new(), Vec::new());
        Self {
            session,
            stream: None,
            leaves,
            sent: 0,
            heard,
            ends,
            handler_ended: false,
            done: None,
        }
    }

    fn send(&mut self) {
        let Some(stream) = self.stream else { return };
        let body = self.sent.to_string();
        if self.session.send(stream, body.as_bytes(), MAX).unwrap() {
            assert!(self.done.is_none(), "it said that it is done");
            self.sent += 1;
        }
    }

    fn leave(&mut self, packets: u8) {
        for _ in 0..packets {
            let Some(packet) = self.session.next_packet(MAX, &mut Vec::new()) else { return };
            self.session.taken();
            self.leaves.push_back(packet.to_vec());
        }
    }

    fn hear(&mut self, from: &mut Self, packets: u8) {
        for _ in 0..packets {
            let Some(packet) = from.leaves.pop_front() else { return };
            let mut events = Vec::new();
            self.session.on_packet(&packet, &mut events);
            assert!(events.len() <= 1, "{events:?}");
            events.into_iter().for_each(|event| self.on(event));
        }
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Request { id, request } if request.names_stream() => {
                assert!(self.stream.is_none(), "the stream is opened twice");
                self.stream = self.session.accept(id);
                assert!(self.stream.is_some());
            }
            Event::Request { id, .. } => {
                self.session.reply(id, Err(&Error::not_found("nobody's endpoint")));
            }
            Event::Message { stream, body } => {
                assert_eq!(Some(stream), self.stream);
                assert!(self.ends.is_empty(), "a message after the end");
                self.heard.push(std::str::from_utf8(&body).unwrap().parse().unwrap());
            }
            Event::Finished { .. } => self.ends.push(End::Finished),
            Event::Broken { error, .. } => self.ends.push(End::Broken(error.code())),
            Event::HandlerEnded { .. } => self.handler_ended = true,
            other => panic!("{other:?}"),
        }
    }
}

fn run(steps: &[Step]) -> (Side, Side) {
    let mut caller = Side::new(Session::streaming(Limits::default()));
    caller.stream = Some(caller.session.open(&opening("Greeter.Chat")).unwrap());
    let called = caller.stream.unwrap();
    let mut service = Side::new(Session::server(Limits::default()));
    let fails = Error::with_code(409, "as asked");
    for &step in steps {
        match step {
            Step::CallerSends => caller.send(),
            Step::CallerFinishes => {
                if caller.session.half_close(called) {
                    caller.done = Some(step);
                }
            }
            Step::CallerGivesUp => {
                let why = Error::new(ErrorKind::Cancelled, "not wanted");
                if caller.session.give_up_stream(called, &why).is_some() {
                    caller.done = Some(step);
                }
            }
            Step::CallerAsks => caller.session.ask_end(called),
            Step::CallerProbes => caller.session.probe(),
            Step::ServiceSends => service.send(),
            Step::ServiceEnds | Step::ServiceFails => {
                let Some(stream) = service.stream else { continue };
                let well = matches!(step, Step::ServiceEnds);
                if service.session.end(stream, if well { Ok(()) } else { Err(&fails) }) {
                    service.done = Some(step);
                }
            }
            Step::CallerLeaves(packets) => caller.leave(packets),
            Step::ServiceHears(packets) => service.hear(&mut caller, packets),
            Step::ServiceLeaves(packets) => service.leave(packets),
            Step::CallerHears(packets) => caller.hear(&mut service, packets),
        }
    }
    // Whatever is left to be said is said, until both are silent.
    loop {
        caller.leave(u8::MAX);
        service.leave(u8::MAX);
        if caller.leaves.is_empty() && service.leaves.is_empty() {
            return (caller, service);
        }
        service.hear(&mut caller, u8::MAX);
        caller.hear(&mut service, u8::MAX);
    }
}

fn in_order(heard: &[u32]) -> bool {
    heard.iter().copied().eq(0..u32::try_from(heard.len()).unwrap())
}

proptest! {
    #[test]
    fn whatever_the_order_nothing_is_lost_doubled_or_out_of_order_and_both_know_the_end(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let (caller, service) = run(&steps);
        prop_assert!(in_order(&caller.heard) && in_order(&service.heard));
        prop_assert!(caller.ends.len() <= 1, "{:?}", caller.ends);
        let counts = (caller.session.counts(), service.session.counts());
        prop_assert_eq!((counts.0.garbage, counts.1.garbage), (0, 0));

        // What the service said arrives whole, unless the caller did not want it any more.
        let gave_up = matches!(caller.done, Some(Step::CallerGivesUp));
        if !gave_up {
            prop_assert_eq!(caller.heard.len(), service.sent as usize);
            let end = service.done.map(|done| match done {
                Step::ServiceEnds => End::Finished,
                _ => End::Broken(409),
            });
            prop_assert_eq!(caller.ends.first().copied(), end);
            prop_assert_eq!(caller.session.is_idle(), end.is_some());
        }
        // What the caller said arrives whole, unless the service had ended or the caller took it
        // back.
        if service.done.is_none() && !gave_up {
            prop_assert_eq!(service.heard.len(), caller.sent as usize);
            let finished = matches!(caller.done, Some(Step::CallerFinishes));
            prop_assert_eq!(&*service.ends, if finished { &[End::Finished][..] } else { &[] });
            prop_assert!(!caller.handler_ended, "its handler runs");
        }
        // A good end is never what a caller that gave up has said.
        if gave_up && service.done.is_none() && service.stream.is_some() {
            let told = service.ends.last().copied();
            let finished = service.ends.first() == Some(&End::Finished);
            prop_assert!(told == Some(End::Broken(499)) || finished, "{:?}", service.ends);
            if finished {
                // Only where that had left before it gave up.
                prop_assert_eq!(service.heard.len(), caller.sent as usize);
            }
        }
        // Nothing is begun anew by what comes late.
        prop_assert!(service.session.is_idle() || service.done.is_none());
    }
}

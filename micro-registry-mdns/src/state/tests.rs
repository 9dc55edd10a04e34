use std::pin::pin;
use std::task::{Context, Poll, Waker};

use micro_core::ErrorKind;
use micro_core::registry::{Change, Node};

use super::*;
use crate::own::Announcement;

fn state() -> State {
    State::new(Options::default(), "AAAAAAAA".to_owned())
}

fn name() -> ServiceName {
    ServiceName::new("greeter").unwrap()
}

fn service() -> Service {
    Service::new("greeter", "1").with_node(Node::new("1", "x"))
}

/// What another registry says when this service is registered there.
fn announcement(service: &Service, now: Instant) -> (String, Strings) {
    let mut other = State::new(Options::default(), "BBBBBBBB".to_owned());
    other.register(service, None, now).unwrap();
    let Some(Say::Announce(Announcement { label, txt, .. })) = other.pop_say() else {
        panic!("nothing is said")
    };
    (label, txt)
}

/// What a watcher is told at this moment.
fn told(watcher: &mut Watcher) -> Option<Change> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(watcher.next()).poll(&mut cx) {
        Poll::Ready(change) => change,
        Poll::Pending => None,
    }
}

fn services(found: Found) -> Option<Vec<Service>> {
    match found {
        Found::Services(services) => Some(services),
        Found::NotYet(_) => None,
    }
}

#[test]
fn a_lookup_is_done_when_there_was_no_news_for_a_while() {
    let (mut state, start) = (state(), Instant::now());
    let options = Options::default();
    state.search(start).unwrap();
    state.advance(start);
    assert_eq!(state.take_questions(MOST_QUESTIONS), [Question::Instances]);
    assert!(services(state.get(&name(), start)).is_none());

    let heard = start + Duration::from_millis(30);
    let (label, txt) = announcement(&service(), heard);
    state.hear(&label, &txt, heard);
    state.advance(heard);
    assert!(services(state.get(&name(), heard)).is_none(), "others may answer");
    let settled = heard + options.quiet;
    assert_eq!(services(state.get(&name(), settled)), Some(vec![service()]));
    assert!(services(state.list(settled)).is_none(), "a list waits longer");
    let settled = start + options.quiet * QUIET_OF_LISTS;
    assert_eq!(services(state.list(settled)), Some(vec![service()]));
    state.advance(start + Duration::from_millis(300));
    assert!(
        state.take_questions(MOST_QUESTIONS).is_empty(),
        "who answered need not be asked again"
    );
}

#[test]
fn what_is_not_there_is_known_after_the_limit_and_at_once_from_then_on() {
    let (mut state, start) = (state(), Instant::now());
    let limit = start + Options::default().query_limit;
    state.search(start).unwrap();
    let mut now = start;
    let mut asked = Vec::new();
    while now < limit {
        let next = state.advance(now).unwrap();
        if !state.take_questions(MOST_QUESTIONS).is_empty() {
            asked.push(now - start);
        }
        assert!(next > now, "it would never sleep");
        assert!(services(state.get(&name(), now)).is_none());
        now = next;
    }
    assert_eq!((now, &*asked), (limit, &ASKED[..]));
    state.advance(now);
    assert_eq!(services(state.get(&name(), now)), Some(vec![]));
    let (label, txt) = announcement(&service(), now);
    state.hear(&label, &txt, now);
    assert_eq!(services(state.get(&name(), now)), Some(vec![service()]));
}

#[test]
fn what_is_registered_here_is_found_when_others_had_the_time_to_answer() {
    let (mut state, start) = (state(), Instant::now());
    state.register(&service(), None, start).unwrap();
    state.search(start).unwrap();
    let quiet = Options::default().quiet;
    assert!(services(state.get(&name(), start + quiet)).is_none());
    let found = services(state.get(&name(), start + quiet * QUIET_OF_LISTS)).unwrap();
    assert_eq!(found[0].nodes.len(), 1);
    let other = ServiceName::new("other").unwrap();
    assert!(services(state.get(&other, start + quiet * QUIET_OF_LISTS)).is_none());
}

#[tokio::test]
async fn a_watcher_is_synced_when_the_first_answers_have_settled() {
    let (mut state, start) = (state(), Instant::now());
    state.search(start).unwrap();
    let mut watcher = state.watch(None);
    let (label, txt) = announcement(&service(), start);
    state.hear(&label, &txt, start);
    state.advance(start);
    assert_eq!(watcher.next().await, Some(Change::Added(service().into())));
    state.advance(start + Options::default().quiet * QUIET_OF_LISTS);
    assert_eq!(watcher.next().await, Some(Change::Synced));
    state.close();
    assert_eq!(watcher.next().await, None);
}

#[tokio::test]
async fn a_watcher_of_a_name_is_synced_as_soon_as_a_lookup_of_it_is_done() {
    let (mut state, start) = (state(), Instant::now());
    state.search(start).unwrap();
    let mut watcher = state.watch(Some(name()));
    let mut other = state.watch(Some("nobody".parse().unwrap()));
    let (label, txt) = announcement(&service(), start);
    state.hear(&label, &txt, start);
    state.advance(start);
    assert_eq!(watcher.next().await, Some(Change::Added(service().into())));
    let settled = start + Options::default().quiet;
    state.advance(settled - Duration::from_millis(1));
    assert!(told(&mut watcher).is_none());
    state.advance(settled);
    assert_eq!(told(&mut watcher), Some(Change::Synced));
    assert!(told(&mut other).is_none());
    state.advance(start + Options::default().query_limit);
    assert_eq!(told(&mut other), Some(Change::Synced));
}

#[test]
fn what_is_registered_here_is_known_here_and_its_echo_is_not_heard() {
    let (mut state, now) = (state(), Instant::now());
    state.register(&service(), None, now).unwrap();
    state.search(now).unwrap();
    state.advance(now + Options::default().query_limit);
    assert_eq!(services(state.get(&name(), now)), Some(vec![service()]));
    let Some(Say::Announce(said)) = state.pop_say() else { panic!("nothing is said") };
    state.deregister(&service());
    let (_, txt) = announcement(&service(), now);
    state.hear(&said.label, &txt, now);
    assert_eq!(services(state.get(&name(), now)), Some(vec![]));
}

#[test]
fn what_is_closed_says_goodbye_and_takes_nothing() {
    let (mut state, now) = (state(), Instant::now());
    state.register(&service(), None, now).unwrap();
    state.pop_say();
    let revision = state.close();
    let says: Vec<Say> = std::iter::from_fn(|| state.pop_say()).collect();
    let label = "greeter 1 AAAAAAAA-1".to_owned();
    assert!(matches!(&says[0], Say::Announce(said) if said.label == label));
    assert_eq!(says[1..], [Say::Withdraw(label)]);
    assert_eq!(state.close(), revision);
    let refused = state.register(&service(), None, now).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(state.search(now).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_new_responder_is_told_who_is_there_and_who_leaves() {
    let (mut state, now) = (state(), Instant::now());
    let mut both = service();
    both.nodes.push(Node::new("2", "y"));
    state.register(&both, None, now).unwrap();
    state.deregister(&service());
    state.say_all(now);
    let told: Vec<(String, bool)> = std::iter::from_fn(|| state.pop_say())
        .map(|say| (say.label().to_owned(), matches!(say, Say::Announce(_))))
        .collect();
    let (gone, here) = ("greeter 1 AAAAAAAA-1".to_owned(), "greeter 2 AAAAAAAA-2".to_owned());
    assert_eq!(told, [(gone.clone(), true), (gone.clone(), true), (gone, false), (here, true)]);
}

#[test]
fn an_instance_of_which_nothing_else_came_is_asked() {
    let mut state = state();
    state.ask_for("somebody".to_owned());
    state.ask_for("greeter 1 AAAAAAAA-1".to_owned());
    assert_eq!(state.take_questions(MOST_QUESTIONS), [Question::Text("somebody".to_owned())]);
}

#[test]
fn what_came_while_nobody_listened_is_looked_for_anew() {
    let (mut state, start) = (state(), Instant::now());
    let limit = Options::default().query_limit;
    state.search(start).unwrap();
    let (label, txt) = announcement(&service(), start);
    state.hear(&label, &txt, start);
    state.advance(start + limit);
    assert_eq!(services(state.get(&"other".parse().unwrap(), start + limit)), Some(vec![]));
    state.take_questions(MOST_QUESTIONS);

    let later = start + 4 * limit;
    state.resume(later);
    state.advance(later);
    assert_eq!(state.take_questions(MOST_QUESTIONS), [Question::Instances]);
    assert!(services(state.get(&"other".parse().unwrap(), later)).is_none());
    assert_eq!(services(state.get(&name(), later)), Some(vec![service()]), "it is still known");
    state.advance(later + limit);
    assert_eq!(services(state.get(&"other".parse().unwrap(), later + limit)), Some(vec![]));
}

#[test]
fn everybody_is_asked_at_once_and_when_who_had_just_spoken_may_speak_again() {
    let (mut state, start) = (state(), Instant::now());
    state.search(start).unwrap();
    let (label, txt) = announcement(&service(), start);
    let mut now = start;
    let mut asked = Vec::new();
    while now < start + Options::default().query_limit {
        let next = state.advance(now).unwrap();
        if state.asks_all() {
            asked.push(now - start);
            state.has_asked_all();
        }
        // Others need not be asked alone once somebody has answered.
        state.hear(&label, &txt, now);
        now = next;
    }
    assert_eq!(asked, [ASKED[0], ASKED[3]]);
    assert_eq!(state.take_questions(MOST_QUESTIONS), [Question::Instances]);
    assert_eq!(state.known().collect::<Vec<_>>(), [label]);
}

#[test]
fn who_hears_nobody_asks_again_less_and_less_often_and_who_hears_somebody_does_not() {
    for hears in [false, true] {
        let (mut state, start) = (state(), Instant::now());
        state.search(start).unwrap();
        let (label, txt) = announcement(&service(), start);
        let mut now = start + Options::default().query_limit;
        let mut asked = Vec::new();
        state.advance(now);
        state.take_questions(MOST_QUESTIONS);
        while now < start + 5 * *ASKED_AGAIN.end() {
            if hears {
                state.hear_said(Answer::Text(label.clone(), txt.clone()), now);
            }
            let next = state.advance(now).unwrap().min(now + DEAF / 2);
            let questions = state.take_questions(MOST_QUESTIONS);
            if questions.contains(&Question::Instances) {
                asked.push((now - start).as_secs());
            }
            now = next;
        }
        let expected: &[u64] = if hears { &[] } else { &[6, 21, 66, 126, 186, 246] };
        assert_eq!(asked, expected);
    }
}

#[test]
fn no_more_is_asked_at_once_than_may_be_and_the_rest_waits() {
    let mut state = state();
    for number in 0..2 * MOST_QUESTIONS {
        state.ask_for(number.to_string());
    }
    assert_eq!(state.take_questions(1000).len(), 1000);
    assert!(state.has_questions());
    assert_eq!(state.take_questions(1000).len(), MOST_QUESTIONS - 1000);
    assert!(!state.has_questions());
}

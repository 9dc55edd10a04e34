use super::*;

const MS: Duration = Duration::from_millis(1);

fn state() -> (State, Instant) {
    let state = State::new(Options::default(), Subjects::plain(), "inbox".into(), 1 << 20);
    (state, Instant::now())
}

fn greeter() -> ServiceName {
    ServiceName::new("greeter").unwrap()
}

/// Does what is due and returns the queries that leave, each once.
fn sent(state: &mut State, now: Instant) -> Vec<Outgoing> {
    state.advance(now);
    let mut queries = Vec::new();
    while let Some(outgoing) = state.pop_outgoing() {
        if let Some(token) = outgoing.token {
            state.sent(token, now);
            queries.push(outgoing);
        }
    }
    queries
}

fn receive(state: &mut State, source: Source, subject: &str, payload: &str, now: Instant) {
    let payload = payload.as_bytes();
    state.receive(Incoming { source, subject, reply: None, payload, nobody: false }, now);
}

#[test]
fn many_leases_that_run_out_one_after_the_other_are_asked_for_together() {
    let (mut state, start) = state();
    let _watcher = state.watch(Some(&greeter())).unwrap();
    state.connected(1, 1 << 20, start);
    let mut asked = 0;
    for step in 0..400u32 {
        let now = start + 10 * step * MS;
        let node =
            format!(r#"{{"id":"{}","address":"a","metadata":{{"micro-lease":"1"}}}}"#, step % 100);
        let service = format!(r#"{{"name":"greeter","version":"1","nodes":[{node}]}}"#);
        let announcement = format!(r#"{{"Service":{service},"Action":"create"}}"#);
        if step < 100 {
            receive(&mut state, Source::Announcements, "micro.nats.watch", &announcement, now);
        }
        for query in sent(&mut state, now) {
            asked += 1;
            // One of them answers whatever is asked.
            receive(&mut state, Source::Answers, &query.reply.unwrap(), &service, now);
        }
    }
    assert!((3..=6).contains(&asked), "asked {asked} times in 4 s");
}

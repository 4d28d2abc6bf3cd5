//! What is remembered, for how long, for whom, and how much of it.

use jackfield_model::app::{Block, Ejection, Hello, InvalidTokens, Origin, Refresh, Unsubscribe};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientId, Disconnect, Grant, Payload, Uuid};

use super::*;

fn event(user: &str, kind: EventKind, data: &str) -> Event {
    let is_rpc = kind == EventKind::Rpc;
    Event {
        id: Uuid::nil(),
        kind,
        origin: Origin { user: user.into(), ..Origin::default() },
        channel: (!is_rpc).then(|| "room:1".into()),
        name: if is_rpc { "room:1".to_owned() } else { String::new() },
        data: Payload::json(data.to_owned()),
        seq: 1,
        time: 0,
        deadline: Some(1),
        hello: None,
    }
}

fn answer(text: &str, seconds: u64) -> Read {
    let answer = Answer::Rpc(Payload::json(text.to_owned()));
    Read { answer, cache_for: (seconds > 0).then(|| Duration::from_secs(seconds)) }
}

/// Asks, and keeps the answer.
fn learn(memory: &Remembered, event: &Event, read: &Read, now: Instant) {
    let asked = memory.recall(event, now).unwrap_err();
    memory.keep(asked, read, (now, 1_000_000));
}

fn knows(memory: &Remembered, event: &Event, now: Instant) -> bool {
    memory.recall(event, now).is_ok()
}

#[test]
fn an_answer_is_given_again_as_long_as_it_says() {
    let (memory, start) = (Remembered::default(), Instant::now());
    let rpc = event("ann", EventKind::Rpc, "1");
    learn(&memory, &rpc, &answer("[1]", 60), start);
    assert_eq!(memory.recall(&rpc, start + Duration::from_secs(59)).unwrap(), Answer::Rpc(Payload::json("[1]")));
    assert!(!knows(&memory, &rpc, start + Duration::from_secs(60)));
    assert_eq!(memory.lock().bytes, 0);
    learn(&memory, &rpc, &answer("[1]", 0), start);
    assert!(!knows(&memory, &rpc, start));
}

#[test]
fn another_question_has_another_answer() {
    let (memory, start) = (Remembered::default(), Instant::now());
    learn(&memory, &event("ann", EventKind::Rpc, "1"), &answer("[1]", 60), start);
    let with_token = |token: &str| {
        let hello = Some(Box::new(Hello { token: token.to_owned(), ..Hello::default() }));
        Event { hello, ..event("ann", EventKind::Subscribe, "1") }
    };
    learn(&memory, &with_token("a"), &answer("2", 60), start);
    let others = [
        event("bob", EventKind::Rpc, "1"),
        event("", EventKind::Rpc, "1"),
        event("ann", EventKind::Rpc, "2"),
        event("ann", EventKind::Rpc, ""),
        event("ann", EventKind::Subscribe, "1"),
        with_token("b"),
        Event { data: Payload::text("1"), ..event("ann", EventKind::Rpc, "1") },
        Event { name: "room:2".to_owned(), ..event("ann", EventKind::Rpc, "1") },
    ];
    for other in others {
        assert!(!knows(&memory, &other, start), "{other:?}");
    }
    assert!(knows(&memory, &with_token("a"), start));
    for kind in [EventKind::Connect, EventKind::Publish, EventKind::Refresh, EventKind::SubRefresh] {
        assert!(memory.recall(&event("ann", kind, "1"), start).unwrap_err().is_none(), "{}", kind.name());
    }
}

#[test]
fn a_grant_is_remembered_no_longer_than_it_lasts() {
    let (memory, start) = (Remembered::default(), Instant::now());
    let subscribe = event("ann", EventKind::Subscribe, "");
    let grant = |expire_at| Read {
        answer: Answer::Subscribe(Grant { expire_at: Some(expire_at), ..Grant::default() }),
        cache_for: Some(Duration::from_secs(60)),
    };
    // The clock of the test stands at second 1,000.
    learn(&memory, &subscribe, &grant(1_010), start);
    assert!(knows(&memory, &subscribe, start + Duration::from_secs(9)));
    assert!(!knows(&memory, &subscribe, start + Duration::from_secs(10)));
    learn(&memory, &subscribe, &grant(999), start);
    assert!(!knows(&memory, &subscribe, start));
}

fn target(user: Option<&str>) -> Target {
    Target { user: user.map(Into::into), client: Some(ClientId::nil()), session: None }
}

fn commands(user: Option<&str>) -> Vec<Command> {
    let unsubscribed = Unsubscribed::SERVER;
    vec![
        Command::Disconnect(Ejection { target: target(user), whitelist: Vec::new(), disconnect: Disconnect::FORCE }),
        Command::Refresh(Refresh { target: target(user), ..Refresh::default() }),
        Command::Unsubscribe(Unsubscribe { target: target(user), channel: "room:1".into(), unsubscribed }),
    ]
}

#[test]
fn a_command_about_a_user_makes_its_answers_forgotten() {
    let (memory, start) = (Remembered::default(), Instant::now());
    let (ann, bob) = (event("ann", EventKind::Rpc, "1"), event("bob", EventKind::Subscribe, "1"));
    let also_ann = event("ann", EventKind::Subscribe, "1");
    let mut all = commands(Some("ann"));
    all.push(Command::BlockUser(Block { user: "ann".into(), ..Block::default() }));
    all.push(Command::InvalidateUserTokens(InvalidTokens { user: "ann".into(), ..InvalidTokens::default() }));
    learn(&memory, &bob, &answer("1", 60), start);
    for command in all {
        learn(&memory, &ann, &answer("1", 60), start);
        learn(&memory, &also_ann, &answer("1", 60), start);
        memory.hear(&command);
        assert!(!knows(&memory, &ann, start) && !knows(&memory, &also_ann, start), "{command:?}");
        assert!(knows(&memory, &bob, start), "{command:?}");
    }
    for command in commands(None) {
        learn(&memory, &ann, &answer("1", 60), start);
        memory.hear(&command);
        assert!(!knows(&memory, &ann, start) && !knows(&memory, &bob, start), "{command:?}");
    }
    assert_eq!(memory.lock().bytes, 0);
    learn(&memory, &ann, &answer("1", 60), start);
    memory.hear(&Command::Info);
    assert!(knows(&memory, &ann, start));
}

#[test]
fn an_answer_from_before_a_command_is_not_kept_after_it() {
    let (memory, start) = (Remembered::default(), Instant::now());
    let ann = event("ann", EventKind::Rpc, "1");
    let asked = memory.recall(&ann, start).unwrap_err();
    memory.hear(&commands(Some("ann"))[0]);
    memory.keep(asked, &answer("old", 60), (start, 0));
    assert!(!knows(&memory, &ann, start));
    let asked = memory.recall(&ann, start).unwrap_err();
    memory.hear(&commands(None)[0]);
    memory.keep(asked, &answer("old", 60), (start, 0));
    assert!(!knows(&memory, &ann, start));
}

#[test]
fn memory_is_bounded_and_the_next_to_end_goes_first() {
    let (memory, start) = (Remembered::default(), Instant::now());
    for nth in 0..=MOST {
        let seconds = if nth == 5 { 10 } else { 60 };
        learn(&memory, &event("ann", EventKind::Rpc, &nth.to_string()), &answer("1", seconds), start);
    }
    assert_eq!(memory.lock().kept.len(), MOST);
    assert!(!knows(&memory, &event("ann", EventKind::Rpc, "5"), start));
    assert!(knows(&memory, &event("ann", EventKind::Rpc, "0"), start));
    let large = "x".repeat(LARGEST - OVERHEAD - 16);
    for nth in 0..40 {
        learn(&memory, &event("bob", EventKind::Rpc, &nth.to_string()), &answer(&large, 90), start);
    }
    let table = memory.lock();
    assert!(table.bytes <= MOST_BYTES && table.bytes > MOST_BYTES - 2 * LARGEST, "{}", table.bytes);
    assert_eq!(table.bytes, table.kept.values().map(|kept| kept.bytes).sum::<usize>());
    assert_eq!(table.kept.len(), table.ends.len());
    drop(table);
    let huge = event("eve", EventKind::Rpc, "1");
    learn(&memory, &huge, &answer(&"x".repeat(LARGEST), 60), start);
    assert!(!knows(&memory, &huge, start));
}

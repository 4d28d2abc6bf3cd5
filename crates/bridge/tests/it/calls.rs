//! Calls over the queue: what each kind may be answered, when it is too late, what is remembered.

use bytes::Bytes;
use jackfield_bridge::{BridgeOptions, Carrier, QueueError, Request, Routes, Way, Ways};
use jackfield_model::app::{Answer, EventKind, PublishAnswer, RefreshAnswer};
use jackfield_model::{ClientError, Disconnect, Grant, Payload};
use tokio::time::Duration;

use crate::fake::{Rig, call, count, delivery, pass};

const CHANNEL_CALLS: [EventKind; 3] = [EventKind::Subscribe, EventKind::Publish, EventKind::SubRefresh];

fn say(rig: &Rig, request: &Request, said: &str) {
    let body = format!(r#"{{"v":1,"id":"{}",{said}}}"#, request.event.id);
    rig.queue.with(|state| state.answers.push_back(Bytes::from(body)));
}

fn ask(kind: EventKind, seq: u64, user: &str) -> Request {
    let mut request = call(u128::from(seq), seq, kind, 60_000);
    request.event.origin.user = user.into();
    match kind {
        EventKind::Rpc => request.event.name = "rooms.list".to_owned(),
        kind if CHANNEL_CALLS.contains(&kind) => request.event.channel = Some("room:1".into()),
        _ => {}
    }
    request
}

/// Every kind of call that has its own result goes through result, error, disconnect, garbage and silence.
#[tokio::test(start_paused = true)]
async fn each_kind_of_call_has_its_answers() {
    let kinds = [
        (EventKind::Subscribe, Answer::Subscribe(Grant::default())),
        (EventKind::Publish, Answer::Publish(Box::<PublishAnswer>::default())),
        (EventKind::Refresh, Answer::Refresh(RefreshAnswer::default())),
        (EventKind::SubRefresh, Answer::Refresh(RefreshAnswer::default())),
    ];
    for (kind, result) in kinds {
        let rig = Rig::default();
        let calls: Vec<Request> = (1..=5).map(|seq| ask(kind, seq, "ann")).collect();
        rig.submit(calls.clone());
        pass(10).await;
        assert_eq!(rig.sent(), [1, 2, 3, 4, 5]);
        say(&rig, &calls[0], r#""result":{}"#);
        say(&rig, &calls[1], r#""error":{"code":403,"message":"no","temporary":true}"#);
        say(&rig, &calls[2], r#""disconnect":{"code":4403,"reason":"banned"}"#);
        say(&rig, &calls[3], r#""result":{"unknown":1}"#);
        pass(100).await;
        let internal = Answer::Error(ClientError::INTERNAL);
        let expected = [
            (1, result),
            (2, Answer::Error(ClientError::temporary(403, "no"))),
            (3, Answer::Disconnect(Disconnect::new(4403, "banned"))),
            (4, internal.clone()),
        ];
        assert_eq!(rig.answers(), expected, "{}", kind.name());
        pass(60_000).await;
        assert_eq!(rig.answers(), [(5, internal)], "{}", kind.name());
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_may_have_less_time_than_the_session_waits() {
    let soon = Way { by: Carrier::Link, timeout: Duration::from_secs(2) };
    let rpc = Ways { without: Some(soon), ..Ways::default() };
    let rig = Rig::start(BridgeOptions { routes: Routes { rpc, ..Routes::default() }, ..BridgeOptions::default() });
    let request = ask(EventKind::Rpc, 1, "ann");
    rig.submit([request.clone()]);
    pass(1_500).await;
    assert!(rig.answers().is_empty());
    pass(1_000).await;
    assert_eq!(rig.answers(), [(1, Answer::Error(ClientError::INTERNAL))]);
    let deadline = rig.queue.with(|state| state.sent[0].deadline);
    assert!(deadline < request.event.deadline, "the application knows how long it has");
}

/// Asks, has it answered by the application if it asks that, and tells what came of it.
async fn round(rig: &Rig, request: Request, said: &str) -> Answer {
    let before = rig.queue.with(|state| state.sent.len());
    rig.submit([request.clone()]);
    pass(10).await;
    if rig.queue.with(|state| state.sent.len()) > before {
        say(rig, &request, said);
    }
    pass(100).await;
    rig.answers().remove(0).1
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_as_long_as_it_says() {
    let rig = Rig::default();
    let minute = r#""result":{"cache_for":60}"#;
    for (kind, again) in [
        (EventKind::Rpc, Answer::Rpc(Payload::json("null"))),
        (EventKind::Subscribe, Answer::Subscribe(Grant::default())),
    ] {
        let before = rig.queue.with(|state| state.sent.len());
        for seq in 1..=3 {
            assert_eq!(round(&rig, ask(kind, seq, "ann"), minute).await, again);
        }
        assert_eq!(rig.queue.with(|state| state.sent.len()), before + 1);
        round(&rig, ask(kind, 4, "bob"), minute).await;
        assert_eq!(rig.queue.with(|state| state.sent.len()), before + 2, "another user is asked about");
        pass(60_000).await;
        round(&rig, ask(kind, 5, "ann"), r#""result":{}"#).await;
        round(&rig, ask(kind, 6, "ann"), r#""result":{}"#).await;
        assert_eq!(rig.queue.with(|state| state.sent.len()), before + 4, "its time was up, and the next said nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_remembered_only_if_they_say_so() {
    let rig = Rig::default();
    let refused = Answer::Error(ClientError::new(403, "no"));
    for seq in 1..=2 {
        round(&rig, ask(EventKind::Subscribe, seq, "ann"), r#""error":{"code":403,"message":"no"}"#).await;
    }
    assert_eq!(rig.sent(), [1, 2]);
    for seq in 3..=4 {
        let said = r#""error":{"code":403,"message":"no","cache_for":60}"#;
        assert_eq!(round(&rig, ask(EventKind::Subscribe, seq, "ann"), said).await, refused);
    }
    assert_eq!(rig.sent(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_told_while_the_queue_is_down() {
    let rig = Rig::default();
    let minute = r#""result":{"cache_for":60}"#;
    round(&rig, ask(EventKind::Subscribe, 1, "ann"), minute).await;
    rig.queue.with(|state| state.send_error = Some(QueueError::Unreachable("gone".to_owned())));
    round(&rig, ask(EventKind::Subscribe, 2, "bob"), minute).await;
    let known = round(&rig, ask(EventKind::Subscribe, 3, "ann"), minute).await;
    assert_eq!(known, Answer::Subscribe(Grant::default()));
    assert_eq!(count(&rig.counters.answers_remembered), 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_about_a_user_makes_its_answers_forgotten() {
    let rig = Rig::default();
    let minute = r#""result":{"cache_for":60}"#;
    round(&rig, ask(EventKind::Subscribe, 1, "ann"), minute).await;
    round(&rig, ask(EventKind::Subscribe, 2, "bob"), minute).await;
    rig.deliver([delivery(1, "disconnect", r#"{"user":"ann"}"#)]);
    pass(100).await;
    round(&rig, ask(EventKind::Subscribe, 3, "ann"), minute).await;
    round(&rig, ask(EventKind::Subscribe, 4, "bob"), minute).await;
    assert_eq!(rig.sent(), [1, 2, 3]);
}

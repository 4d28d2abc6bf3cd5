//! Events and calls: enqueued, answered, refused, held back.

use std::time::Duration;

use bytes::Bytes;
use jackfield_bridge::{BridgeOptions, DoorError, QueueError, Request};
use jackfield_model::app::{Answer, ConnectAnswer, EventKind};
use jackfield_model::{ClientError, ClientId, Disconnect, Payload};

use crate::fake::{Rig, call, count, message, notice, pass};

fn down() -> Option<QueueError> {
    Some(QueueError::Unreachable("gone".to_owned()))
}

fn answer(rig: &Rig, request: &Request, said: &str) {
    let body = format!(r#"{{"v":1,"id":"{}",{said}}}"#, request.event.id);
    rig.queue.with(|state| state.answers.push_back(Bytes::from(body)));
}

fn codes(answers: &[(u32, Answer)]) -> Vec<(u32, u32)> {
    let code = |answer: &Answer| match answer {
        Answer::Error(error) => error.code,
        _ => 0,
    };
    answers.iter().map(|(call, answer)| (*call, code(answer))).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_are_answered_when_the_queue_has_them() {
    let rig = Rig::default();
    rig.submit((1..=600).map(|seq| message(1, seq)));
    pass(10).await;
    assert_eq!(rig.sent(), (1..=600).collect::<Vec<_>>());
    assert_eq!(rig.queue.with(|state| state.batches.clone()), [512, 88]);
    let answers = rig.answers();
    assert_eq!(answers.len(), 600);
    assert!(answers.iter().all(|(_, answer)| *answer == Answer::Enqueued));
}

#[tokio::test(start_paused = true)]
async fn large_events_make_small_batches() {
    let rig = Rig::default();
    rig.submit((1..=4).map(|seq| {
        let mut request = message(1, seq);
        request.event.data = Payload::binary(vec![0; 400_000]);
        request
    }));
    pass(10).await;
    assert_eq!(rig.queue.with(|state| state.batches.clone()), [2, 2]);
    assert_eq!(rig.sent(), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn calls_get_the_answer_of_their_kind() {
    let rig = Rig::default();
    let calls: Vec<_> =
        (1..=4).map(|seq| call(1, seq, if seq == 1 { EventKind::Connect } else { EventKind::Rpc }, 5_000)).collect();
    rig.submit(calls.clone());
    pass(10).await;
    assert!(rig.answers().is_empty());
    answer(&rig, &calls[0], r#""result":{"user":"ann"}"#);
    answer(&rig, &calls[1], r#""result":{"data":[1]}"#);
    answer(&rig, &calls[2], r#""error":{"code":400,"message":"no"}"#);
    answer(&rig, &calls[3], r#""disconnect":{"code":4403,"reason":"banned"}"#);
    pass(100).await;
    let connect = ConnectAnswer { user: "ann".into(), ..ConnectAnswer::default() };
    let expected = [
        (1, Answer::Connect(connect)),
        (2, Answer::Rpc(Payload::json("[1]"))),
        (3, Answer::Error(ClientError::new(400, "no"))),
        (4, Answer::Disconnect(Disconnect::new(4403, "banned"))),
    ];
    assert_eq!(rig.answers(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_waiting_and_a_late_answer_is_dropped() {
    let rig = Rig::default();
    let (late, soon) = (call(1, 1, EventKind::Rpc, 5_000), call(1, 2, EventKind::Rpc, 2_000));
    rig.submit([late.clone(), soon]);
    pass(1_500).await;
    assert!(rig.answers().is_empty());
    pass(1_000).await;
    assert_eq!(rig.answers(), [(2, Answer::Error(ClientError::INTERNAL))]);
    pass(3_000).await;
    assert_eq!(rig.answers(), [(1, Answer::Error(ClientError::INTERNAL))]);
    answer(&rig, &late, r#""result":{}"#);
    pass(100).await;
    assert!(rig.answers().is_empty());
    assert_eq!(count(&rig.counters.answers_late), 1);
    assert_eq!(count(&rig.counters.calls_timed_out), 2);
    rig.submit([call(1, 3, EventKind::Rpc, 0)]);
    pass(10).await;
    assert_eq!(codes(&rig.answers()), [(3, 100)]);
    assert_eq!(rig.sent(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_spoilt_answer_fails_its_call_at_once() {
    let rig = Rig::default();
    let calls = [call(1, 1, EventKind::Rpc, 5_000), call(1, 2, EventKind::Connect, 5_000)];
    rig.submit(calls.clone());
    pass(10).await;
    answer(&rig, &calls[0], r#""reslt":{}"#);
    answer(&rig, &calls[1], r#""result":{"user":7}"#);
    pass(100).await;
    assert_eq!(codes(&rig.answers()), [(1, 100), (2, 100)]);
    assert_eq!(count(&rig.counters.answers_spoilt), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_queue_is_down_notices_wait_and_messages_are_refused() {
    let rig = Rig::default();
    rig.queue.with(|state| state.send_error = down());
    rig.submit([notice(1, 1), message(1, 2), call(2, 1, EventKind::Rpc, 60_000)]);
    pass(10).await;
    assert_eq!(codes(&rig.answers()), [(2, 111), (1, 111)]);
    let tries = rig.queue.with(|state| state.batches.len());
    rig.submit([message(1, 3), notice(1, 4), notice(2, 5)]);
    pass(10).await;
    assert_eq!(codes(&rig.answers()), [(3, 111)]);
    assert_eq!(rig.queue.with(|state| state.batches.len()), tries);
    pass(20_000).await;
    let trials = rig.queue.with(|state| state.batches.len()) - tries;
    assert!((4..=8).contains(&trials), "{trials}");
    assert_eq!(count(&rig.counters.notices_waiting), 3);
    rig.queue.with(|state| state.send_error = None);
    pass(5_000).await;
    assert_eq!(rig.sent(), [1, 3, 5], "what was refused unasked left no number");
    rig.submit([message(1, 6)]);
    pass(10).await;
    assert_eq!(rig.answers(), [(6, Answer::Enqueued)]);
    assert_eq!(count(&rig.counters.notices_lost), 0);
    assert_eq!(count(&rig.counters.notices_waiting), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_the_trial_where_nothing_is_held() {
    let rig = Rig::default();
    rig.queue.with(|state| state.send_error = down());
    rig.submit([message(1, 1)]);
    pass(10).await;
    rig.queue.with(|state| state.send_error = None);
    rig.submit([message(1, 2)]);
    pass(600).await;
    assert_eq!(codes(&rig.answers()), [(1, 111), (2, 111)]);
    rig.submit([message(1, 3)]);
    pass(10).await;
    assert_eq!(rig.answers(), [(3, Answer::Enqueued)]);
}

#[tokio::test(start_paused = true)]
async fn a_full_partition_holds_up_its_own_connections_only() {
    let rig = Rig::default();
    rig.queue.with(|state| state.full = vec![ClientId::from_u128(1)]);
    rig.submit([notice(1, 1), message(2, 10)]);
    pass(10).await;
    rig.submit([message(1, 2), message(2, 11), notice(1, 3)]);
    pass(10).await;
    assert_eq!(codes(&rig.answers()), [(10, 0), (2, 111), (11, 0)]);
    rig.queue.with(|state| state.full.clear());
    pass(1_000).await;
    assert_eq!(rig.sent(), [10, 11, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn notices_beyond_the_bound_are_counted_and_the_application_hears_of_it() {
    let rig = Rig::start(BridgeOptions { notice_capacity: 2, ..BridgeOptions::default() });
    rig.queue.with(|state| state.send_error = down());
    rig.submit([notice(1, 1)]);
    pass(10).await;
    rig.submit([notice(1, 2)]);
    for seq in 3..=4 {
        assert_eq!(rig.try_submit(notice(1, seq)), Err(DoorError::Full));
    }
    pass(10).await;
    assert_eq!(count(&rig.counters.notices_lost), 2);
    rig.queue.with(|state| state.send_error = None);
    pass(5_000).await;
    assert_eq!(rig.sent(), [1, 2, 0]);
    let last = rig.queue.with(|state| state.sent.pop()).unwrap();
    assert_eq!((last.kind, &last.data.bytes[..]), (EventKind::NoticesLost, &br#"{"count":2}"#[..]));
    assert_eq!(count(&rig.counters.notices_waiting), 0);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_crowd_is_told_though_the_queue_is_down_and_the_door_is_narrow() {
    let options = BridgeOptions { notice_capacity: 30_000, door_capacity: 4, ..BridgeOptions::default() };
    let rig = Rig::start(options);
    rig.queue.with(|state| state.send_error = down());
    rig.submit((1..=30_000).map(|client| notice(client, 1)));
    pass(10).await;
    rig.queue.with(|state| state.send_error = None);
    pass(20_000).await;
    let mut clients = rig.queue.with(|state| state.sent.iter().map(|event| event.origin.client).collect::<Vec<_>>());
    clients.dedup();
    assert_eq!(clients.len(), 30_000);
    assert_eq!((count(&rig.counters.notices_lost), count(&rig.counters.notices_waiting)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn numbers_have_no_gap_where_the_queue_surely_has_nothing() {
    let rig = Rig::default();
    rig.queue.with(|state| state.full = vec![ClientId::from_u128(1)]);
    rig.submit([message(1, 1), message(2, 1), message(1, 2)]);
    pass(10).await;
    assert_eq!(codes(&rig.answers()), [(1, 111), (1, 0), (2, 111)]);
    rig.queue.with(|state| state.full.clear());
    rig.submit([message(1, 3), message(2, 2), call(1, 4, EventKind::Rpc, 0), notice(1, 5)]);
    pass(1_000).await;
    rig.submit([message(1, 6)]);
    pass(10).await;
    let sent = rig.queue.with(|state| {
        let told = |event: &jackfield_model::app::Event| (event.origin.client.as_u128(), event.seq);
        state.sent.iter().map(told).collect::<Vec<_>>()
    });
    assert_eq!(sent, [(2, 1), (1, 1), (2, 2), (1, 2), (1, 6)], "after the end nothing is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_full_door_says_so() {
    let rig = Rig::start(BridgeOptions { door_capacity: 2, ..BridgeOptions::default() });
    rig.submit([message(1, 1), message(1, 2)]);
    assert_eq!(rig.try_submit(message(1, 3)), Err(DoorError::Full));
    pass(10).await;
    rig.submit([message(1, 4)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_sends_what_waits_and_closes_the_queue() {
    let rig = Rig::default();
    rig.queue.with(|state| state.send_error = down());
    rig.submit([notice(1, 1)]);
    pass(10).await;
    rig.queue.with(|state| state.send_error = None);
    rig.submit([notice(1, 2)]);
    let Rig { queue, door, bridge, .. } = rig;
    bridge.stop(Duration::from_secs(5)).await;
    assert_eq!(door.submit(message(1, 3), &mut 2), Err(DoorError::NotAvailable));
    assert_eq!(queue.with(|state| state.sent.len()), 2);
    assert!(queue.with(|state| state.closed));
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_longer_than_its_grace() {
    let rig = Rig::default();
    rig.queue.with(|state| state.send_error = down());
    rig.submit([notice(1, 1)]);
    pass(10).await;
    let before = tokio::time::Instant::now();
    let Rig { queue, bridge, .. } = rig;
    bridge.stop(Duration::from_secs(5)).await;
    assert!(before.elapsed() <= Duration::from_secs(6));
    assert!(queue.with(|state| state.closed));
}

//! Commands: done, repeated, buried, replied to.

use jackfield_bridge::{Delivery, QueueError};
use jackfield_hub::Address;
use jackfield_model::app::Answer;
use serde_json::json;

use crate::fake::{Rig, count, delivery, pass};

fn publish(number: u64) -> Delivery {
    delivery(number, "publish", &format!(r#"{{"channel":"room:1","data":{number}}}"#))
}

fn history(rig: &Rig) -> Vec<String> {
    let page = rig.hub.history("room:1", -1, (None, None), false, 1).unwrap();
    page.publications.iter().map(|one| String::from_utf8(one.data.bytes.to_vec()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn commands_are_applied_in_order_and_then_acknowledged() {
    let rig = Rig::default();
    rig.deliver((1..=3).map(publish));
    pass(100).await;
    assert_eq!(history(&rig), ["1", "2", "3"]);
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [1, 2, 3]);
    assert_eq!(count(&rig.counters.commands_applied), 3);
}

#[tokio::test(start_paused = true)]
async fn a_busy_worker_holds_up_what_comes_after() {
    let rig = Rig::default();
    while !rig.mailbox.is_full() {
        rig.hub.resume(Address::default(), 1, Answer::Enqueued);
    }
    rig.deliver([publish(1), publish(2)]);
    pass(100).await;
    assert!(history(&rig).is_empty());
    assert!(rig.queue.with(|state| state.acknowledged.is_empty()));
    rig.mailbox.take(&mut Vec::new());
    pass(100).await;
    assert_eq!(history(&rig), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn publications_wait_for_the_log_together_and_questions_wait_for_them() {
    let rig = Rig::default();
    let safe = |number: u64| delivery(number, "publish", &format!(r#"{{"channel":"safe:1","data":{number}}}"#));
    let ask = Delivery { reply_to: "here".to_owned(), ..delivery(4, "history", r#"{"channel":"safe:1","limit":-1}"#) };
    // The third is the first one again: it is not begun before that is done.
    rig.deliver([safe(1), safe(2), safe(1), safe(3), ask, publish(5)]);
    pass(100).await;
    assert_eq!(rig.log.waiting(), 2);
    assert!(rig.queue.with(|state| state.acknowledged.is_empty() && state.replies.is_empty()));
    rig.log.write(&rig.hub);
    pass(100).await;
    assert_eq!(rig.log.waiting(), 1);
    rig.log.write(&rig.hub);
    pass(100).await;
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [1, 2, 1, 3, 4, 5]);
    let replies = rig.queue.with(|state| state.replies.clone());
    let told: Vec<_> =
        replies[0]["result"]["publications"].as_array().unwrap().iter().map(|one| &one["data"]).collect();
    assert_eq!(told, [1, 2, 3]);
    assert_eq!(history(&rig), ["5"]);
    assert_eq!(count(&rig.counters.commands_repeated), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_buried_and_the_next_goes_on() {
    let rig = Rig::default();
    let mut large = publish(5);
    large.payload = vec![b' '; (1 << 20) + 1].into();
    rig.deliver([
        delivery(1, "publish", "no json"),
        delivery(2, "", "{}"),
        delivery(3, "publish", r#"{"channel":"none:1","data":1}"#),
        delivery(4, "broadcast", r#"{"channels":["none:1"],"data":1}"#),
        large,
        publish(6),
    ]);
    pass(100).await;
    let buried = rig.queue.with(|state| state.buried.clone());
    let reasons: Vec<_> = buried.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons.len(), 5);
    assert!(reasons[0].contains("`publish` is no JSON object"));
    assert!(reasons[1].contains("the method is missing"));
    assert_eq!(reasons[2], "unknown channel `none:1`: its namespace is not configured");
    assert!(reasons[4].contains("max_payload_bytes"));
    assert_eq!(history(&rig), ["6"]);
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [6]);
}

#[tokio::test(start_paused = true)]
async fn a_known_id_is_acknowledged_and_dropped() {
    let rig = Rig::default();
    let nameless = || Delivery { id: String::new(), ..publish(2) };
    rig.deliver([publish(1), nameless(), nameless()]);
    pass(100).await;
    rig.deliver([publish(1)]);
    pass(100).await;
    assert_eq!(history(&rig), ["1", "2", "2"]);
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [1, 2, 2, 1]);
    assert_eq!(count(&rig.counters.commands_repeated), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_acknowledge_is_tried_again_and_nothing_done_twice() {
    let rig = Rig::default();
    let down = QueueError::Unreachable("gone".to_owned());
    rig.queue.with(|state| state.acknowledge_error = Some(down));
    rig.deliver([publish(1)]);
    pass(100).await;
    rig.queue.with(|state| state.acknowledge_error = None);
    rig.deliver([publish(1)]);
    pass(1500).await;
    assert_eq!(history(&rig), ["1"]);
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn asks_are_replied_to_even_if_refused() {
    let rig = Rig::default();
    let ask = |delivery| Delivery { reply_to: "here".to_owned(), ..delivery };
    rig.deliver([
        ask(delivery(1, "history", r#"{"channel":"room:1"}"#)),
        ask(delivery(2, "publish", r#"{"channel":"none:1","data":1}"#)),
        ask(delivery(3, "publsh", "{}")),
    ]);
    pass(100).await;
    let replies = rig.queue.with(|state| state.replies.clone());
    assert_eq!(replies[0]["id"], "id-1");
    assert_eq!(replies[0]["result"]["offset"], 0);
    let refused = json!({"v": 1, "id": "id-2", "error": {"code": 102, "message": "unknown channel"}});
    assert_eq!(replies[1], refused);
    assert_eq!(replies[2]["error"]["code"], 104);
    assert!(rig.queue.with(|state| state.buried.is_empty()));
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_when_the_queue_is_back() {
    let rig = Rig::default();
    rig.queue.with(|state| state.receive_error = Some(QueueError::Unreachable("gone".to_owned())));
    rig.deliver([publish(1)]);
    pass(10_000).await;
    assert!(history(&rig).is_empty());
    rig.queue.with(|state| state.receive_error = None);
    pass(2_500).await;
    assert_eq!(history(&rig), ["1"]);
}

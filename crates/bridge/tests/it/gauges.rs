//! What is told of how things stand: depth of the queue, calls that wait, failures by their reason.

use std::time::Duration;

use jackfield_bridge::{BridgeOptions, Delivery, Depth, Oldest, QueueError, Reason, Tally};
use jackfield_model::app::EventKind;

use crate::fake::{Rig, call, count, delivery, message, pass};

fn counted<R: Reason>(tally: &Tally<R>) -> Vec<(&'static str, u64)> {
    tally.read().filter(|(_, number)| *number > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn the_depth_is_as_of_the_last_look_and_unknown_while_the_queue_is_down() {
    let look_every = Some(Duration::from_secs(10));
    let rig = Rig::start(BridgeOptions { look_every, ..BridgeOptions::default() });
    let oldest = Some(Oldest { command: Duration::from_secs(7), event: Duration::ZERO });
    let depth = Depth { commands: 3, events: 0, dead: 1, oldest };
    rig.queue.with(|state| state.depth = Some(depth));
    assert_eq!(rig.counters.depth(), None);
    pass(10_500).await;
    assert_eq!(rig.counters.depth(), Some(depth));
    rig.queue.with(|state| state.depth_error = Some(QueueError::Refused("no permissions".to_owned())));
    rig.submit([call(1, 1, EventKind::Rpc, 60_000)]);
    pass(10_000).await;
    assert_eq!((rig.counters.depth(), count(&rig.counters.calls_waiting)), (None, 1));
    rig.queue.with(|state| state.depth_error = None);
    pass(10_000).await;
    assert_eq!(rig.counters.depth(), Some(depth));
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_where_nobody_wants_to_know() {
    let rig = Rig::default();
    rig.queue.with(|state| state.depth = Some(Depth::default()));
    pass(60_000).await;
    assert_eq!(rig.counters.depth(), None);
}

#[tokio::test(start_paused = true)]
async fn commands_that_are_not_done_are_counted_by_the_reason() {
    let rig = Rig::default();
    let ask = |delivery| Delivery { reply_to: "here".to_owned(), ..delivery };
    let mut large = delivery(9, "publish", "");
    large.payload = vec![b' '; (1 << 20) + 1].into();
    rig.deliver([
        delivery(1, "publish", "no json"),
        delivery(2, "", "{}"),
        delivery(3, "publish", r#"{"channel":"none:1","data":1}"#),
        delivery(4, "broadcast", r#"{"channels":["none:1"],"data":1}"#),
        ask(delivery(5, "publish", r#"{"channel":"none:1","data":1}"#)),
        ask(delivery(6, "publsh", "{}")),
        delivery(7, "call", r#"{"user":"1","method":"m","data":1}"#),
        delivery(8, "shared_poll_publish", "{}"),
        large,
        delivery(10, "publish", r#"{"channel":"room:1","data":1}"#),
    ]);
    pass(100).await;
    let wanted = [
        ("malformed", 1),
        ("no_reply_to", 1),
        ("not_available", 1),
        ("too_large", 1),
        ("unknown_channel", 3),
        ("unknown_method", 2),
    ];
    assert_eq!(counted(&rig.counters.command_failures), wanted);
    assert_eq!(count(&rig.counters.commands_buried), 7);
}

#[tokio::test(start_paused = true)]
async fn events_that_the_queue_does_not_take_are_counted_by_the_reason() {
    let rig = Rig::default();
    rig.queue.with(|state| state.full = vec![message(1, 1).event.origin.client]);
    rig.submit([message(1, 1), message(2, 1)]);
    pass(100).await;
    rig.queue.with(|state| state.send_error = Some(QueueError::Unreachable("gone".to_owned())));
    rig.submit([message(2, 2)]);
    pass(100).await;
    assert_eq!(counted(&rig.counters.event_failures), [("full", 1), ("unreachable", 1)]);
    assert_eq!((count(&rig.counters.breaker_open), rig.sent()), (1, vec![1]));
}

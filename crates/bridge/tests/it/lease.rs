//! Nodes that are lost: told once, and only by who has been there.

use jackfield_bridge::{LostNode, NodeLease, QueueError};
use jackfield_model::app::EventKind;

use crate::fake::{Rig, pass};

fn told(rig: &Rig) -> Vec<String> {
    let lost = |state: &mut crate::fake::State| {
        let losses = state.sent.iter().filter(|event| event.kind == EventKind::NodeLost);
        losses.map(|event| event.name.clone()).collect()
    };
    rig.queue.with(lost)
}

fn lose(rig: &Rig, uid: &str) {
    let node = NodeLease { uid: uid.to_owned(), name: "two".to_owned() };
    rig.queue.with(|state| state.lost.push(LostNode { node, lost_at: 5 }));
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_once_and_again_only_where_it_was_not_taken() {
    let rig = Rig::default();
    lose(&rig, "a");
    pass(14_000).await;
    assert!(told(&rig).is_empty(), "it may be the others that are there, and the queue that was away");
    pass(5_000).await;
    assert_eq!(told(&rig), ["a"]);
    pass(30_000).await;
    assert_eq!(told(&rig), ["a"]);
    rig.queue.with(|state| state.send_error = Some(QueueError::Full("partition 0".to_owned())));
    lose(&rig, "b");
    pass(10_000).await;
    rig.queue.with(|state| state.send_error = None);
    pass(10_000).await;
    assert_eq!(told(&rig), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn after_the_queue_was_away_nobody_is_lost_for_a_while() {
    let rig = Rig::default();
    pass(20_000).await;
    rig.queue.with(|state| state.lease_error = Some(QueueError::Unreachable("away".to_owned())));
    pass(20_000).await;
    rig.queue.with(|state| state.lease_error = None);
    lose(&rig, "a");
    pass(12_000).await;
    assert!(told(&rig).is_empty(), "its lease ran out only because nobody could renew any");
    rig.queue.with(|state| state.lost.clear());
    pass(30_000).await;
    assert!(told(&rig).is_empty());
}

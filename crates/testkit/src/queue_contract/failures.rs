//! The contract while the queue's server fails.

use std::collections::BTreeSet;

use jackfield_bridge::{Queue, QueueError};
use jackfield_model::Uuid;

use super::flows::empty;
use super::{Bench, acknowledge, client_events, commands, event, receive, soon, text, until};
use crate::servers::ServerControl;

/// A server killed in mid-flow: errors come soon, and afterwards the same queue object goes on. Nothing that was
/// acknowledged in either direction is lost, and nothing that was settled comes again.
pub async fn restart(bench: &mut Bench<'_>, server: &mut dyn ServerControl) {
    let queue = (bench.open)("restart");
    let (before, client) = (commands(7000, 60), Uuid::new_v4());
    soon("send", bench.app.send(&before)).await;
    let received = receive(&*queue, before.len()).await;
    let (done, open) = received.split_at(30);
    acknowledge(&*queue, done).await;
    until("the settled are gone", {
        let app = &mut bench.app;
        async || app.commands_left().await == open.len()
    })
    .await;
    let results = soon("send", queue.send(&client_events(client, 1, 50))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");

    server.stop();
    unreachable(&*queue).await;
    server.start();

    until("events are taken again", async || queue.send(&[event(client, 51)]).await.remove(0).is_ok()).await;
    // At least once: an event whose confirmation was lost may be there twice.
    let mut seqs = BTreeSet::new();
    while seqs.len() < 51 {
        let fields = soon("events", bench.app.events(1)).await.remove(0);
        seqs.insert(text(&fields, "seq").parse::<u64>().unwrap());
    }
    // What was open is settled with the old receipts, or comes again with new ones where they died with the connection.
    let after = commands(7100, 30);
    soon("send", bench.app.send(&after)).await;
    let receipts: Vec<_> = open.iter().map(|delivery| delivery.receipt).collect();
    until("acknowledge", async || queue.acknowledge(&receipts).await.is_ok()).await;
    let settled: BTreeSet<&String> = done.iter().map(|delivery| &delivery.id).collect();
    let mut wanted: BTreeSet<&String> = after.iter().map(|command| &command.id).collect();
    while !wanted.is_empty() {
        let more = receive(&*queue, 1).await;
        for delivery in &more {
            assert!(!settled.contains(&delivery.id), "{} came again", delivery.id);
            wanted.remove(&delivery.id);
        }
        acknowledge(&*queue, &more).await;
    }
    settle_all(bench, &*queue).await;
    soon("close", queue.close()).await;
}

/// Takes and settles until nothing is left.
async fn settle_all(bench: &mut Bench<'_>, queue: &dyn Queue) {
    until("all commands are gone", async || {
        let more = queue.receive().await.unwrap_or_default();
        acknowledge(queue, &more).await;
        bench.app.commands_left().await == 0
    })
    .await;
}

/// A server that does not answer though it is there: errors come soon, and when it answers again the same queue object
/// works. `freeze` and `thaw` do that to the server.
pub async fn frozen(bench: &mut Bench<'_>, freeze: impl FnOnce(), thaw: impl FnOnce()) {
    let queue = (bench.open)("frozen");
    let client = Uuid::new_v4();
    until("events are taken", async || queue.send(&[event(client, 1)]).await.remove(0).is_ok()).await;
    freeze();
    unreachable(&*queue).await;
    thaw();
    until("events are taken", async || queue.send(&[event(client, 2)]).await.remove(0).is_ok()).await;
    // At least once: an event that was not confirmed may be there all the same, with or without its successors.
    let mut last = String::new();
    while last != "2" {
        last = text(&soon("events", bench.app.events(1)).await[0], "seq");
    }
    let sent = commands(9000, 20);
    soon("send", bench.app.send(&sent)).await;
    let received = receive(&*queue, sent.len()).await;
    acknowledge(&*queue, &received).await;
    empty(bench).await;
    soon("close", queue.close()).await;
}

/// A server that is not there at the start: errors come soon, and when it comes the same queue object works.
pub async fn down_at_start(bench: &mut Bench<'_>, server: &mut dyn ServerControl) {
    let queue = (bench.open)("early");
    unreachable(&*queue).await;
    server.start();
    let client = Uuid::new_v4();
    until("events are taken", async || queue.send(&[event(client, 1)]).await.remove(0).is_ok()).await;
    assert_eq!(soon("events", bench.app.events(1)).await.len(), 1);
    let sent = commands(8000, 20);
    soon("send", bench.app.send(&sent)).await;
    let received = receive(&*queue, sent.len()).await;
    acknowledge(&*queue, &received).await;
    empty(bench).await;
    soon("close", queue.close()).await;
}

/// Every method says soon that the server is not reachable.
async fn unreachable(queue: &dyn Queue) {
    let event = event(Uuid::new_v4(), 1);
    let mut results = Vec::new();
    for _ in 0..3 {
        results.push(soon("send", queue.send(std::slice::from_ref(&event))).await.remove(0));
        results.push(soon("answers", queue.answers()).await.map(|_| ()));
        results.push(soon("depth", queue.depth()).await.map(|_| ()));
    }
    for result in &results {
        assert!(matches!(result, Err(QueueError::Unreachable(_))), "{result:?}");
    }
    until("receive fails", async || matches!(queue.receive().await, Err(QueueError::Unreachable(_)))).await;
}

//! How much lies in the queue.

use std::time::Duration;

use jackfield_bridge::{Depth, Oldest, Queue};
use jackfield_model::Uuid;

use super::{Bench, acknowledge, client_events, commands, receive, soon, until};

/// What lies in the queue is told: commands until they are settled, handed out or not; events until the application has
/// handled them; dead letters. Where ages are told they rise while something waits, and are 0 while nothing does.
pub async fn depth(bench: &mut Bench<'_>, tells_ages: bool) {
    let queue = (bench.open)("depth");
    let start = settled(&*queue, |depth| (depth.commands, depth.events) == (0, 0)).await;
    assert_eq!(start.oldest, tells_ages.then(Oldest::default));
    let sent = commands(9000, 24);
    soon("send", bench.app.send(&sent)).await;
    let waits = |age: Option<Duration>| if tells_ages { age.is_some_and(|age| !age.is_zero()) } else { age.is_none() };
    let command = |depth: &Depth| depth.oldest.map(|oldest| oldest.command);
    settled(&*queue, |depth| depth.commands == 24 && waits(command(depth))).await;
    let received = receive(&*queue, sent.len()).await;
    settled(&*queue, |depth| depth.commands == 24 && waits(command(depth))).await;
    soon("bury", queue.bury(&received[0], "for a test")).await.unwrap();
    settled(&*queue, |depth| depth.commands == 23 && depth.dead == start.dead + 1).await;
    acknowledge(&*queue, &received[1..]).await;
    let results = soon("send", queue.send(&client_events(Uuid::new_v4(), 1, 8))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let event = |depth: &Depth| depth.oldest.map(|oldest| oldest.event);
    settled(&*queue, |depth| (depth.commands, depth.events) == (0, 8) && waits(event(depth))).await;
    soon("events", bench.app.events(8)).await;
    let end = Depth { dead: start.dead + 1, ..start };
    settled(&*queue, |depth| *depth == end).await;
    soon("close", queue.close()).await;
}

/// Asks until it is so; errors pass.
async fn settled(queue: &dyn Queue, is_so: impl Fn(&Depth) -> bool) -> Depth {
    let mut last = None;
    let asking = async {
        until("the queue tells how much lies in it", async || {
            last = Some(queue.depth().await);
            matches!(&last, Some(Ok(Some(depth))) if is_so(depth))
        })
        .await;
    };
    soon("depth", asking).await;
    last.and_then(Result::ok).flatten().unwrap()
}

//! The contract while the server fails.

use jackfield_cluster::{EngineError, Incoming};

use super::{Node, Open, breathe, fresh, interest, keep, number, numbered, position, soon};
use crate::servers::ServerControl;

/// A node that gives up its connections hears that it was interrupted; when it has opened its channels again, it hears
/// everything.
pub async fn interrupted(open: Open<'_>) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let channel = fresh("interrupted");
    two.open(&interest(&channel, 100)).await;
    one.publish(numbered(&channel, 1, Some(keep(100)))).await;
    assert_eq!(number(&two.publication(&channel).await.1), 1);
    two.engine.reset();
    two.next("an interruption", |incoming| matches!(incoming, Incoming::Interrupted(_)).then_some(())).await;
    one.publish(numbered(&channel, 2, Some(keep(100)))).await;
    let kept = two.open(&interest(&channel, 100)).await.unwrap();
    let read: Vec<u64> = kept.bodies.iter().map(|(_, body)| number(body)).collect();
    assert_eq!(read, [1, 2]);
    one.publish(numbered(&channel, 3, Some(keep(100)))).await;
    while number(&two.publication(&channel).await.1) != 3 {}
}

/// A server that is killed and comes back: calls end soon with an error while it is away, every node hears that it was
/// interrupted, and afterwards everything goes on. `keeps`: it had written to the disk all that it confirmed, so the life
/// goes on and nothing of it is missing; else a new one may begin, and then it says so.
pub async fn restart(open: Open<'_>, server: &mut dyn ServerControl, keeps: bool) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let channel = fresh("restart");
    two.open(&interest(&channel, 1000)).await;
    let mut last = position(&one.publish(numbered(&channel, 1, Some(keep(1000)))).await);
    for n in 2..=100 {
        last = position(&one.publish(numbered(&channel, n, Some(keep(1000)))).await);
    }
    server.stop();
    let is_away = |error: &EngineError| matches!(error, EngineError::Unreachable(_));
    loop {
        let results = soon("publish", one.engine.publish(&[numbered(&channel, 101, None)])).await;
        if results[0].as_ref().is_err_and(is_away) {
            break;
        }
        breathe().await;
    }
    let results = soon("open", two.engine.open(&[interest(&fresh("away"), 10)])).await;
    assert!(results[0].as_ref().is_err_and(is_away), "{results:?}");
    two.next("an interruption", |incoming| matches!(incoming, Incoming::Interrupted(_)).then_some(())).await;
    server.start();

    let kept = two.open(&interest(&channel, 1000)).await.unwrap();
    if keeps {
        assert_eq!(kept.position, last);
    }
    let is_same = kept.position.epoch == last.epoch;
    let read: Vec<u64> = kept.bodies.iter().map(|(_, body)| number(body)).collect();
    if is_same {
        assert_eq!(read, (1..=100).collect::<Vec<_>>(), "a life that goes on has lost nothing");
    }
    let next = position(&one.publish(numbered(&channel, 102, Some(keep(1000)))).await);
    assert_eq!(next.epoch, kept.position.epoch);
    loop {
        let (place, body) = two.publication(&channel).await;
        if number(&body) == 102 {
            assert_eq!(place.unwrap().offset, next.offset);
            break;
        }
    }
}

//! What only engines over shared logs promise, besides the contract: other limits are refused, and a log that somebody
//! removed is a new life.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_cluster::{Engine, EngineError, Interest, Keep, Outgoing};
use jackfield_model::Position;
use tokio::time::{sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

fn keep() -> Option<Keep> {
    Some(Keep { size: 10, ttl: 600_000, meta_ttl: 600_000, ..Keep::default() })
}

/// An engine that is told other limits than those that are there.
pub(crate) async fn refused(engine: Arc<dyn Engine>, names: &str) {
    let interest = [Interest { channel: "refused".into(), ..Interest::default() }];
    let refusal = async {
        loop {
            match engine.open(&interest).await.remove(0) {
                Err(EngineError::Refused(text)) => return text,
                Err(EngineError::Unreachable(_)) => sleep(PAUSE).await,
                Ok(_) => panic!("other limits were taken"),
            }
        }
    };
    let text = timeout(DEADLINE, refusal).await.unwrap();
    assert!(text.contains(names), "{text}");
    engine.end().await;
}

/// Publishes as often as it takes.
async fn published(engine: &Arc<dyn Engine>, id: u128) -> Position {
    let mut out =
        Outgoing { channel: "removed".into(), body: Bytes::from_static(b"x"), id, keep: keep(), ..Outgoing::default() };
    let publishing = async {
        loop {
            match engine.publish(std::slice::from_ref(&out)).await.remove(0) {
                Ok(placed) => return placed.position.unwrap(),
                Err(EngineError::Refused(text)) => panic!("{text}"),
                Err(EngineError::Unreachable(_)) => sleep(PAUSE).await,
            }
            out.again = true;
        }
    };
    timeout(DEADLINE, publishing).await.unwrap()
}

/// A node goes on after all logs were removed, and nobody takes its new numbers for old ones.
pub(crate) async fn removed(open: &(dyn Fn(&str) -> Arc<dyn Engine> + Sync), remove: impl Future<Output = ()>) {
    let one = open("one");
    let mut last = published(&one, 1).await;
    for id in 2..=20 {
        last = published(&one, id).await;
    }
    remove.await;
    let next = published(&one, 21).await;
    assert_ne!(next.epoch, last.epoch);
    // Who was not there before agrees.
    let two = open("two");
    let interest = [Interest { channel: "removed".into(), keep: keep(), after: None }];
    let reading = async {
        loop {
            match two.open(&interest).await.remove(0) {
                Ok(snapshot) => return snapshot.unwrap(),
                Err(EngineError::Refused(text)) => panic!("{text}"),
                Err(EngineError::Unreachable(_)) => sleep(PAUSE).await,
            }
        }
    };
    let kept = timeout(DEADLINE, reading).await.unwrap();
    assert_eq!((kept.position, kept.bodies.len()), (next, 1));
}

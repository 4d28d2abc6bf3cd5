//! The suite that every engine between nodes passes.
//!
//! A driver's tests bring a way to open the engine for a node. Each function is one promise of
//! [`jackfield_cluster::Engine`]; every wait in it has an end and waits for a condition. Engines need not number without
//! gaps: what counts is that each publication names the one before it.

#![expect(clippy::unwrap_used, reason = "a broken promise ends the test that runs the suite")]

mod failures;
mod flows;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jackfield_cluster::{
    Body, Engine, EngineError, Incoming, Interest, Keep, Outgoing, Place, Placed, Snapshot, encode,
};
use jackfield_model::{Payload, Position, Publication};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::failures::{interrupted, restart};
pub use self::flows::{
    conditions, forget, history, hostile_names, late, plain, run, sent_again, trim, values, while_it_is_opened, words,
};

/// How long a condition may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Opens an engine for a node of this name, all on the same server.
pub type Open<'a> = &'a (dyn Fn(&str) -> Arc<dyn Engine> + Sync);

/// A node: an engine, and what it has heard.
pub(crate) struct Node {
    pub(crate) engine: Arc<dyn Engine>,
    heard: Mutex<VecDeque<Incoming>>,
}

impl Node {
    pub(crate) fn new(open: Open<'_>, name: &str) -> Self {
        Self { engine: open(name), heard: Mutex::default() }
    }

    /// The next thing that `pick` wants; what comes before it is dropped.
    pub(crate) async fn next<T>(&self, what: &str, mut pick: impl FnMut(Incoming) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut heard = self.heard.lock().await;
        loop {
            while let Some(incoming) = heard.pop_front() {
                if let Some(picked) = pick(incoming) {
                    return picked;
                }
            }
            let more = tokio::time::timeout_at(deadline, self.engine.hear()).await;
            heard.extend(more.unwrap_or_else(|_| panic!("{what} did not come through {}", self.engine.describe())));
        }
    }

    /// The next publication of a channel.
    pub(crate) async fn publication(&self, channel: &str) -> (Option<Place>, Bytes) {
        self.next(&format!("a publication of {channel:?}"), |incoming| match incoming {
            Incoming::Publication { channel: of, place, body } if *of == *channel => Some((place, body)),
            _ => None,
        })
        .await
    }

    /// Opens one channel, as often as it takes.
    pub(crate) async fn open(&self, interest: &Interest) -> Option<Snapshot> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match soon("open", self.engine.open(std::slice::from_ref(interest))).await.remove(0) {
                Ok(snapshot) => return snapshot,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            breathe().await;
        }
    }

    /// Publishes one after the other, as often as it takes; what was sent before says so.
    pub(crate) async fn publish(&self, mut out: Outgoing) -> Placed {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match soon("publish", self.engine.publish(std::slice::from_ref(&out))).await.remove(0) {
                Ok(placed) => return placed,
                Err(EngineError::Refused(reason)) => panic!("refused: {reason}"),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            out.again = true;
            breathe().await;
        }
    }
}

/// Bounds a wait.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took too long"),
    }
}

pub(crate) async fn breathe() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// What is kept in most parts of the suite.
pub(crate) fn keep(size: usize) -> Keep {
    static EPOCHS: AtomicU64 = AtomicU64::new(0);
    let epoch = format!("epoch{}", EPOCHS.fetch_add(1, Ordering::Relaxed)).into();
    Keep { size, ttl: 600_000, meta_ttl: 3_600_000, keys: 0, epoch }
}

/// A channel that keeps its publications.
pub(crate) fn interest(channel: &str, size: usize) -> Interest {
    Interest { channel: channel.into(), keep: Some(keep(size)), after: None }
}

/// A publication with a number in it.
pub(crate) fn numbered(channel: &str, number: u64, keep: Option<Keep>) -> Outgoing {
    let id = uuid::Uuid::new_v4().as_u128();
    Outgoing { channel: channel.into(), body: body(number, id), id, keep, ..Outgoing::default() }
}

pub(crate) fn body(number: u64, id: u128) -> Bytes {
    let publication = Publication { data: Payload::json(number.to_string()), time: number, ..Publication::default() };
    encode(&Body::Publication(Box::new(publication), false), id)
}

/// The number in it.
pub(crate) fn number(body: &Bytes) -> u64 {
    match jackfield_cluster::decode(body).unwrap() {
        Body::Publication(publication, _) => std::str::from_utf8(&publication.data.bytes).unwrap().parse().unwrap(),
        other => panic!("{other:?} is no publication"),
    }
}

pub(crate) fn position(placed: &Placed) -> Position {
    placed.position.clone().unwrap()
}

/// A name that no other part of the suite has.
pub(crate) fn fresh(name: &str) -> String {
    format!("{name}:{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

//! The suite that every queue between the server and the web application passes.
//!
//! A driver's tests bring an [`AppSide`], which speaks to the queue as the web application does, and a way to open the
//! queue. Each function is one promise of the contract; every wait in it has an end and waits for a condition.

#![expect(clippy::unwrap_used, reason = "a broken promise ends the test that runs the suite")]

mod depth;
mod failures;
mod flows;
mod nodes;
mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::{Delivery, Queue};
use jackfield_model::app::{Event, EventKind, Origin};
use jackfield_model::{Payload, Uuid};
use tokio::time::Instant;

pub use self::depth::depth;
pub use self::failures::{down_at_start, frozen, restart};
pub use self::flows::{
    answers, asks, commands_in_order, dead_letters, events, full, hostile_strings, run, two_nodes, unsettled,
};

pub use self::nodes::lost_nodes;
pub use self::shares::shares;

/// How long a condition may take; leases of a dropped queue object run out within it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A command as the application sends it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SentCommand {
    /// Where it goes.
    pub partition: u32,
    /// Its id.
    pub id: String,
    /// Its method.
    pub method: String,
    /// Its payload.
    pub payload: Bytes,
}

/// The fields of an event or of a dead letter by name.
pub type Fields = BTreeMap<String, Vec<u8>>;

/// The web application's end of the queue. Methods wait until they have what is asked for and panic where it does not
/// come; the suite bounds them.
#[async_trait]
pub trait AppSide: Send {
    /// Sends commands, in order.
    async fn send(&mut self, commands: &[SentCommand]);

    /// Sends a command that waits for a reply.
    async fn ask(&mut self, command: &SentCommand);

    /// The reply to the last ask.
    async fn reply(&mut self) -> Bytes;

    /// The next events, settled; per partition in the order of the queue.
    async fn events(&mut self, count: usize) -> Vec<Fields>;

    /// Answers a call.
    async fn answer(&mut self, call: &Fields, body: &str);

    /// The dead letters so far, at least `count`: `reason`, `id`, `method`, `payload`.
    async fn dead(&mut self, count: usize) -> Vec<Fields>;

    /// Buries an event, as a worker does whose handler cannot take it.
    async fn bury_event(&mut self, event: &[(&str, &str)], reason: &str);

    /// How many commands the queue holds, handed out or not.
    async fn commands_left(&mut self) -> usize;
}

/// What a suite runs on; partitions are 8.
pub struct Bench<'a> {
    /// The application.
    pub app: &'a mut dyn AppSide,
    /// Opens the queue for a node of this name. Where the queue lives in the process it is the same store.
    pub open: &'a (dyn Fn(&str) -> Arc<dyn Queue> + Sync),
}

impl std::fmt::Debug for Bench<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Bench")
    }
}

/// Bounds a wait; a test that hangs tells where.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took too long"),
    }
}

/// Receives until so many commands are there; errors pass, because the contract lets a queue come back by itself.
pub(crate) async fn receive(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let (mut deliveries, deadline) = (Vec::new(), Instant::now() + DEADLINE);
    let mut last = None;
    while deliveries.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} commands came from {}; the last error: {last:?}",
            deliveries.len(),
            queue.describe()
        );
        match soon("receive", queue.receive()).await {
            Ok(more) => {
                assert!(more.len() <= 256, "{} commands at a time", more.len());
                deliveries.extend(more);
            }
            Err(error) => {
                last = Some(error);
                breathe().await;
            }
        }
    }
    deliveries
}

/// Settles and returns; errors pass as in [`receive`].
pub(crate) async fn acknowledge(queue: &dyn Queue, deliveries: &[Delivery]) {
    let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
    until("acknowledge", async || queue.acknowledge(&receipts).await.is_ok()).await;
}

/// Tries until it is so.
pub(crate) async fn until(what: &str, mut attempt: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !soon(what, attempt()).await {
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        breathe().await;
    }
}

/// Lets the machine do something else between two looks.
pub(crate) async fn breathe() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Commands numbered from `first`, spread over partitions.
pub(crate) fn commands(first: usize, count: usize) -> Vec<SentCommand> {
    let numbers = first..first + count;
    let command = |number: usize| SentCommand {
        partition: u32::try_from(number % 8).unwrap_or_default(),
        id: format!("id-{number:05}"),
        method: "publish".to_owned(),
        payload: Bytes::from(format!("{{\"channel\":\"c\",\"data\":{number}}}")),
    };
    numbers.map(command).collect()
}

/// The events of a client, numbered from `first`.
pub(crate) fn client_events(client: Uuid, first: u64, count: u64) -> Vec<Event> {
    (first..first + count).map(|seq| event(client, seq)).collect()
}

/// An event with every field that a message may have.
pub(crate) fn event(client: Uuid, seq: u64) -> Event {
    Event {
        id: Uuid::now_v7(),
        kind: EventKind::Message,
        origin: Origin {
            client,
            user: "42".into(),
            meta: Some(Bytes::from_static(b"{\"plan\":\"pro\"}")),
            transport: "websocket",
            protocol: "centrifugo-json",
            remote: "127.0.0.1:50000".to_owned(),
            listener: "/connection/websocket".into(),
        },
        channel: Some("room:1".into()),
        name: String::new(),
        data: Payload::json(format!("{{\"n\":{seq}}}")),
        seq,
        time: 1_700_000_000_000,
        deadline: None,
        hello: None,
    }
}

/// A field as text.
pub(crate) fn text(fields: &Fields, name: &str) -> String {
    String::from_utf8_lossy(fields.get(name).map_or(&[], Vec::as_slice)).into_owned()
}

//! The contract of a queue between the server and the web application; every driver in `brokers` keeps it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_model::app::Event;

use crate::lease::{LostNode, NodeLease};

/// Names one received command until it is settled.
///
/// The numbers are the driver's own: a stream id, or a delivery tag with the generation of its connection.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Receipt {
    /// Partition it came from.
    pub partition: u32,
    /// Generation of the connection, where a receipt dies with it.
    pub generation: u32,
    /// What the queue itself calls it.
    pub number: (u64, u64),
}

/// A command as it lay in the queue; nothing in it is trusted or parsed yet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Delivery {
    /// To settle it.
    pub receipt: Receipt,
    /// The message's id; empty where the sender gave none.
    pub id: String,
    /// The method; empty where the sender gave none.
    pub method: String,
    /// The payload.
    pub payload: Bytes,
    /// Where the reply of an ask goes; empty where none is wanted.
    pub reply_to: String,
    /// It may have been handed out before, to this node or another one.
    pub again: bool,
}

/// How much lies in a queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Depth {
    /// Commands that are not done.
    pub commands: u64,
    /// Events that the application has not handled.
    pub events: u64,
    /// Dead letters, of commands and of events.
    pub dead: u64,
    /// Ages, where the queue knows them.
    pub oldest: Option<Oldest>,
}

/// How long the oldest have waited, by the queue's clock where it has one; nothing for one that is empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Oldest {
    /// Of the commands.
    pub command: Duration,
    /// Of the events.
    pub event: Duration,
}

/// Why a queue did not do as asked. All of them may pass: the caller tries again later.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QueueError {
    /// The partition's backlog is at its limit.
    #[error("the queue is full: {0}")]
    Full(String),
    /// The server of the queue does not answer.
    #[error("the queue is not reachable: {0}")]
    Unreachable(String),
    /// It answered, but not with what it should.
    #[error("the queue refused: {0}")]
    Refused(String),
}

/// A queue to the web application.
///
/// Every method may be called again after an error: the driver connects anew by itself. Methods may run at the same
/// time from several tasks, and a driver keeps what blocks (`receive`, `answers`) on connections of their own.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Where it is, for log lines: product and address, never a password.
    fn describe(&self) -> String;

    /// Waits up to about a second for commands; an empty list is no error. At most 256 commands or 4 MiB are handed
    /// out at a time. The order within a partition is kept. What was received and never settled comes again, after a
    /// restart of either side too.
    async fn receive(&self) -> Result<Vec<Delivery>, QueueError>;

    /// Whether what was handed out is still this node's to do. Asked after the node stood still for longer than a lease
    /// holds: by then another one may have done it, and what came after it.
    fn is_ours(&self, _: &Receipt) -> bool {
        true
    }

    /// The commands are done and go away for good.
    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// The command cannot be done: it moves to the dead letters with the reason.
    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError>;

    /// Hands events to the application; returns, for each, after the queue has it for sure. `call` events carry a
    /// deadline and get the address of this node's answers as `reply_to`. The order of events of one connection is kept.
    async fn send(&self, events: &[Event]) -> Vec<Result<(), QueueError>>;

    /// Waits up to about a second for answers to calls; the bodies are the JSON of `spec/app-link.md`.
    async fn answers(&self) -> Result<Vec<Bytes>, QueueError>;

    /// Sends the reply of an ask to the `reply_to` of its delivery.
    async fn reply(&self, delivery: &Delivery, body: Bytes) -> Result<(), QueueError>;

    /// Renews the lease of this node, and names the nodes whose lease ran out and of which nobody has told the
    /// application yet. A queue that lives and dies with its node knows none.
    async fn lease(&self, _: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        Ok(Vec::new())
    }

    /// The application was told of a lost node: nobody needs to any more.
    async fn settle_lost(&self, _: &LostNode) -> Result<(), QueueError> {
        Ok(())
    }

    /// How much lies in it; `None` where it does not tell. Asked every few seconds where metrics are on, beside all else.
    async fn depth(&self) -> Result<Option<Depth>, QueueError> {
        Ok(None)
    }

    /// Gives back leases and connections, so that another node can go on at once.
    async fn close(&self);
}

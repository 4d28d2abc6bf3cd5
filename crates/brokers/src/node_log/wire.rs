//! What a product must be able to do so that nodes share a log in it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_cluster::EngineError;

/// Logs that channels with history are spread over. Another number would be another cluster.
pub(crate) const PARTITIONS: u16 = 8;
/// Groups of channels that a node subscribes to. Why not each channel: in RabbitMQ a binding is a transaction of the whole
/// cluster, and in NATS a subscription costs its client a buffer; a hundred thousand of them are too many for both.
const GROUPS: u32 = 4096;

/// How much history the logs hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// Records are dropped when they are older; above the longest history of a namespace.
    pub age: Duration,
    /// All logs together hold about so many bytes; every node reads all of it when it starts.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(86_400), bytes: 512 << 20 }
    }
}

/// Who gets what is not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum To {
    All,
    Node(String),
    Group(u16),
}

impl fmt::Display for To {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::Node(node) => write!(formatter, "node.{node}"),
            Self::Group(group) => write!(formatter, "group.{group}"),
        }
    }
}

/// The partition of a channel.
pub(crate) fn partition(channel: &str) -> u16 {
    (crc32fast::hash(channel.as_bytes()) % u32::from(PARTITIONS)) as u16
}

/// The group of a channel.
pub(crate) fn group(channel: &str) -> u16 {
    // The lowest bits choose the partition.
    (crc32fast::hash(channel.as_bytes()) / u32::from(PARTITIONS) % GROUPS) as u16
}

/// How a connection is made.
#[async_trait]
pub(crate) trait Plan: Send + Sync + 'static {
    /// The connection.
    type Wire: Wire;

    /// Product and address, never a password.
    fn describe(&self) -> &str;

    /// This node.
    fn node(&self) -> &str;

    /// Connects and declares all that is needed; hears what goes to all and to this node.
    async fn connect(&self) -> Result<Self::Wire, EngineError>;
}

/// A connection. After an error it is given up.
#[async_trait]
pub(crate) trait Wire: Send + Sync + 'static {
    /// A log that is read.
    type Reading: Send;
    /// Something that was sent.
    type Sent: Send;

    /// Appends to a log, in the order of calls. Who reads it there knows that it was kept.
    async fn write(&self, partition: u16, record: Vec<u8>) -> Result<(), EngineError>;

    /// Reads a log from its beginning, or from a record on; its first record has the number 0. Behind its end: nothing
    /// comes, or what comes then.
    async fn read(&self, partition: u16, from: Option<u64>) -> Result<Self::Reading, EngineError>;

    /// Waits for records with their numbers; none: the log ended. A reading whose wait was given up is worth nothing.
    async fn next(&self, reading: &mut Self::Reading) -> Result<Vec<(u64, Bytes)>, EngineError>;

    /// Sends what is not kept, in the order of calls.
    async fn spread(&self, to: &To, record: Vec<u8>) -> Result<Self::Sent, EngineError>;

    /// Waits until the server has it.
    async fn arrived(&self, sent: Self::Sent) -> Result<(), EngineError>;

    /// Hears what goes to these groups too, when it has returned.
    async fn join(&self, groups: &[u16]) -> Result<(), EngineError>;

    /// Does not hear them any more.
    async fn leave(&self, groups: &[u16]) -> Result<(), EngineError>;

    /// Waits for what is not kept; called by one task.
    async fn hear(&self) -> Result<Vec<Bytes>, EngineError>;

    /// Says goodbye.
    async fn close(&self);
}

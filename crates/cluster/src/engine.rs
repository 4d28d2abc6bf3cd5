//! What carries channels between nodes, as a contract; `brokers` keeps it for each product.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_hub::Forgetting;
use jackfield_model::{Millis, Position};

/// Why an engine did not do as asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// It does not answer, or the answer was lost: what was asked may have been done.
    #[error("the broker is not reachable: {0}")]
    Unreachable(String),
    /// It answered, but not with what it should; the same again fails too.
    #[error("the broker refused: {0}")]
    Refused(String),
}

/// What an engine can do beyond carrying publications.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Powers {
    /// History with positions.
    pub history: bool,
    /// The latest value of every key.
    pub values: bool,
    /// Idempotency keys and versions of publishers.
    pub conditions: bool,
}

/// What is kept of a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keep {
    /// Publications.
    pub size: usize,
    /// How long each, milliseconds.
    pub ttl: Millis,
    /// How long the position outlives them, milliseconds.
    pub meta_ttl: Millis,
    /// Keys that may have a value; 0: values are not kept.
    pub keys: usize,
    /// The life that begins if the channel has none.
    pub epoch: Arc<str>,
}

/// A publication, or anything else that goes to the subscribers of a channel, on its way out.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The channel.
    pub channel: Arc<str>,
    /// What the subscribers' nodes get; see `frame`.
    pub body: Bytes,
    /// By what it is known when it is sent again.
    pub id: u128,
    /// It may have arrived already.
    pub again: bool,
    /// When it takes longer than this to the broker, another node may have sent it meanwhile: it is looked for as if it
    /// were sent again. Only the broker can know that, for this node may stand still at any moment on the way. An engine
    /// without a clock that it shares with the node leaves it aside.
    pub fresh_for: Option<Duration>,
    /// It is numbered and kept.
    pub keep: Option<Keep>,
    /// What it is the latest value of.
    pub key: Option<Arc<str>>,
    /// The key has no value any more.
    pub removes: bool,
    /// One with the same key of the last five minutes is not taken again.
    pub idempotency_key: String,
    /// The publisher's own count, and its life.
    pub version: Option<(u64, Arc<str>)>,
}

/// What became of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Placed {
    /// Its number, where it was numbered.
    pub position: Option<Position>,
    /// It was not taken, for this reason.
    pub suppressed: Option<&'static str>,
}

/// A channel that a node cares for.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// The channel.
    pub channel: Arc<str>,
    /// What is kept of it is read too.
    pub keep: Option<Keep>,
    /// Only what came after this position is needed, if it is of the same life.
    pub after: Option<Position>,
}

/// Where a publication stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// Its number.
    pub offset: u64,
    /// The number before it in the same channel.
    pub previous: u64,
    /// The life of the channel.
    pub epoch: Arc<str>,
}

/// What an engine keeps of a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Where it stands.
    pub position: Position,
    /// Bodies with their numbers, oldest first.
    pub bodies: Vec<(u64, Bytes)>,
    /// All that came after this number is in `bodies`.
    pub floor: u64,
    /// Bodies of the latest values with their numbers, oldest first.
    pub values: Vec<(u64, Bytes)>,
}

/// What a node hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Something in a channel that it cares for.
    Publication {
        /// The channel.
        channel: Arc<str>,
        /// Where it stands, where that is kept.
        place: Option<Place>,
        /// What it is.
        body: Bytes,
    },
    /// A word of another node, or its own to all.
    Note(Bytes),
    /// A probe came through a path, of which [`Engine::paths`] are there.
    Probe {
        /// Which path.
        path: usize,
        /// What was sent.
        token: u64,
    },
    /// A connection was lost: what was heard through it may have gaps, and every channel must be opened again.
    Interrupted(String),
}

/// Carries channels and words between nodes.
///
/// Every method may be called again after an error: the driver connects anew by itself. Methods run at the same time from
/// several tasks; `publish` and `hear` from one each.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Where it is, for log lines: product and address, never a password.
    fn describe(&self) -> String;

    /// What it can do.
    fn powers(&self) -> Powers;

    /// Sends; one result each. What goes into one channel is numbered and heard everywhere in the order of calls. After
    /// an error in a batch nothing behind it in the same channel was taken.
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<Placed, EngineError>>;

    /// Cares for channels from now on: everything that is published after this has returned is heard, and so is what came
    /// after the position of each snapshot. `None`: nothing is kept.
    async fn open(&self, interests: &[Interest]) -> Vec<Result<Option<Snapshot>, EngineError>>;

    /// Does not care any more.
    async fn close(&self, channels: &[Arc<str>]) -> Result<(), EngineError>;

    /// Forgets what is kept.
    async fn forget(&self, channel: &Arc<str>, what: Forgetting) -> Result<(), EngineError>;

    /// Says something to one node, or to all of them and itself.
    async fn tell(&self, node: Option<&str>, note: Bytes) -> Result<(), EngineError>;

    /// Sends a token the whole way to this very node, through every path that publications come by.
    async fn probe(&self, token: u64) -> Result<(), EngineError>;

    /// Paths that publications come by.
    fn paths(&self) -> usize;

    /// Gives up all connections and makes new ones; `hear` tells that it was interrupted.
    fn reset(&self);

    /// Waits for what comes.
    async fn hear(&self) -> Vec<Incoming>;

    /// Says goodbye.
    async fn end(&self);
}

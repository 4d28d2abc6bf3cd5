//! What the web application says (commands, answers) and hears (events, calls). `spec/app-link.md` is the wire form.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ClientError, ClientId, Disconnect, Millis, Payload, Position, Uuid};

/// One command of the application.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Publishes one payload into several channels.
    Broadcast(Broadcast),
    /// Ends connections.
    Disconnect(Ejection),
    /// Reads a channel's history.
    History(HistoryQuery),
    /// Asks who is in a channel.
    Presence(Arc<str>),
    /// Asks how many are in a channel.
    PresenceStats(Arc<str>),
    /// Publishes into a channel.
    Publish(Publish),
    /// Speaks to every connection of a user.
    Send(Send),
}

/// `publish`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish {
    /// The channel.
    pub channel: Arc<str>,
    /// The data.
    pub data: Payload,
    /// Keeps it out of the history.
    pub skip_history: bool,
    /// Strings beside the data.
    pub tags: Option<Arc<BTreeMap<String, String>>>,
}

/// `broadcast`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Broadcast {
    /// The channels.
    pub channels: Vec<Arc<str>>,
    /// The data.
    pub data: Payload,
    /// Keeps it out of the histories.
    pub skip_history: bool,
    /// Strings beside the data.
    pub tags: Option<Arc<BTreeMap<String, String>>>,
}

/// `send`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Send {
    /// The user.
    pub user: Arc<str>,
    /// The data.
    pub data: Payload,
}

/// `disconnect`: every connection that matches all that is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Ejection {
    /// Of this user.
    pub user: Option<Arc<str>>,
    /// This connection.
    pub client: Option<ClientId>,
    /// What it is told.
    pub disconnect: Disconnect,
}

/// `history`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryQuery {
    /// The channel.
    pub channel: Arc<str>,
    /// 0: the position only; negative: all; else at most so many.
    pub limit: i32,
    /// Exclusive start.
    pub since: Option<Position>,
    /// From the top downwards.
    pub reverse: bool,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EventKind {
    /// A client connects, or asks to.
    Connect,
    /// A connection ended.
    Disconnect,
    /// A client told the application something.
    Message,
    /// A client calls a method.
    Rpc,
}

impl EventKind {
    /// The word used on the app link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Message => "message",
            Self::Rpc => "rpc",
        }
    }
}

/// What the application may know of a connection; shared by all of its events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The connection.
    pub client: ClientId,
    /// Its user, empty for anonymous.
    pub user: Arc<str>,
    /// JSON the application gave it on connect.
    pub meta: Option<Bytes>,
    /// `websocket`, `tcp`.
    pub transport: &'static str,
    /// `centrifugo-json`, `raw-text`, `raw-json`.
    pub protocol: &'static str,
    /// `IP:PORT`.
    pub remote: String,
    /// Name of the listener or path.
    pub listener: Arc<str>,
}

/// One event, or a call where `deadline` is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// UUID v7; the correlation id of a call.
    pub id: Uuid,
    /// What happened.
    pub kind: EventKind,
    /// To whom.
    pub origin: Origin,
    /// The channel a message came through.
    pub channel: Option<Arc<str>>,
    /// Method of an rpc, name of a raw endpoint's messages.
    pub name: String,
    /// What the client said.
    pub data: Payload,
    /// 1, 2, 3... per connection.
    pub seq: u64,
    /// When the server took it.
    pub time: Millis,
    /// For calls: after this the answer is of no use.
    pub deadline: Option<Millis>,
    /// Connect calls: token, name and version of the client, as the client gave them.
    pub hello: Option<Box<Hello>>,
}

/// What a client says of itself when it connects.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// Its token, unread.
    pub token: String,
    /// Name of the program.
    pub name: String,
    /// Version of the program.
    pub version: String,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The client may come in.
    Connect(ConnectAnswer),
    /// The connection ends.
    Disconnect(Disconnect),
    /// The queue has the message.
    Enqueued,
    /// The command fails.
    Error(ClientError),
    /// What the method returned.
    Rpc(Payload),
}

/// `result` of a connect call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConnectAnswer {
    /// Who it is.
    pub user: Arc<str>,
    /// JSON for presence and publications.
    pub info: Option<Bytes>,
    /// JSON for the client.
    pub data: Option<Bytes>,
    /// JSON kept here and handed to each event.
    pub meta: Option<Bytes>,
    /// Seconds since 1970 after which the connection ends.
    pub expire_at: Option<u64>,
}

//! What the web application says (commands, answers) and hears (events, calls). `spec/app-link.md` is the wire form.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::client::{PresenceStats, Unsubscribed};
use crate::subscription::Granted;
use crate::{ClientError, ClientId, ClientInfo, Disconnect, Grant, Millis, Payload, Position, Uuid};

/// One command of the application.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Keeps a user out until a moment, or for good: its connections end, and new ones are refused.
    BlockUser(Block),
    /// Publishes one payload into several channels.
    Broadcast(Broadcast),
    /// Asks one client, and waits for its answer.
    Call(ClientCall),
    /// Asks which channels there are; a glob pattern, empty for all.
    Channels(String),
    /// Asks which connections there are; all where the target names nothing.
    Connections(Target),
    /// Ends connections.
    Disconnect(Ejection),
    /// Reads a channel's history.
    History(HistoryQuery),
    /// Forgets the publications of a channel; its position stays.
    HistoryRemove(Arc<str>),
    /// Asks how the nodes are.
    Info,
    /// Voids tokens of a user that were issued before a moment.
    InvalidateUserTokens(InvalidTokens),
    /// Empties a map.
    MapClear(Arc<str>),
    /// Gives a key of a map a value.
    MapPublish(Publish),
    /// Reads a page of a map.
    MapReadState(MapQuery),
    /// Reads a map's stream.
    MapReadStream(HistoryQuery),
    /// Takes a key's value away.
    MapRemove(Publish),
    /// Counts a map's keys.
    MapStats(Arc<str>),
    /// Asks who is in a channel.
    Presence(Arc<str>),
    /// Asks how many are in a channel.
    PresenceStats(Arc<str>),
    /// Publishes into a channel.
    Publish(Publish),
    /// Moves the expiry of connections.
    Refresh(Refresh),
    /// Voids one token by its `jti`.
    RevokeToken(Revocation),
    /// Speaks to every connection of a user.
    Send(Send),
    /// Puts connections into a channel.
    Subscribe(Subscribe),
    /// Lets a user in again.
    UnblockUser(Arc<str>),
    /// Takes connections out of a channel.
    Unsubscribe(Unsubscribe),
}

impl Command {
    /// Whether it puts something into channels, or takes a key out of one: the next of its kind need not wait for it.
    #[must_use]
    pub fn publishes(&self) -> bool {
        matches!(self, Self::Broadcast(_) | Self::MapPublish(_) | Self::MapRemove(_) | Self::Publish(_))
    }

    /// The one channel it is about, if it is about one.
    #[must_use]
    pub fn channel(&self) -> Option<&Arc<str>> {
        match self {
            Self::HistoryRemove(channel)
            | Self::MapClear(channel)
            | Self::MapStats(channel)
            | Self::Presence(channel)
            | Self::PresenceStats(channel) => Some(channel),
            Self::History(query) | Self::MapReadStream(query) => Some(&query.channel),
            Self::MapReadState(query) => Some(&query.channel),
            Self::MapPublish(publish) | Self::MapRemove(publish) | Self::Publish(publish) => Some(&publish.channel),
            Self::Subscribe(subscribe) => Some(&subscribe.channel),
            Self::Unsubscribe(unsubscribe) => Some(&unsubscribe.channel),
            Self::BlockUser(_)
            | Self::Broadcast(_)
            | Self::Call(_)
            | Self::Channels(_)
            | Self::Connections(_)
            | Self::Disconnect(_)
            | Self::Info
            | Self::InvalidateUserTokens(_)
            | Self::Refresh(_)
            | Self::RevokeToken(_)
            | Self::Send(_)
            | Self::UnblockUser(_) => None,
        }
    }
}

/// `publish`, `map_publish`, `map_remove`.
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
    /// What few publications have.
    pub more: Option<Box<PublishMore>>,
    /// By what it is known when it comes again, where it comes from a queue.
    pub stamp: Option<Stamp>,
}

/// What few publications have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishMore {
    /// A publication with a key that was taken in the last five minutes is not taken again; its result is repeated.
    pub idempotency_key: String,
    /// Subscribers who asked for deltas get the difference to the publication before.
    pub delta: bool,
    /// The publisher's own count; a publication that is not newer than the last is not taken. 0: it does not count.
    pub version: u64,
    /// The life of that count; another one begins anew.
    pub version_epoch: String,
    /// What the data is the latest value of; empty: of the channel itself.
    pub key: String,
    /// Maps: where the key stands in the order.
    pub score: i64,
    /// Maps: for subscribers, where they get something else than what is kept.
    pub stream_data: Option<Payload>,
    /// Maps: when a value is taken.
    pub key_mode: KeyMode,
}

/// By what a publication of the application is known when it comes again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stamp {
    /// Made of the id of its command; 0: it had none.
    pub id: u128,
    /// The queue has handed its command out before: it may have been published already.
    pub again: bool,
    /// When it was known to be this node's, milliseconds since 1970: after a while another one may have been handed it,
    /// too. 0: nobody else is.
    pub since: Millis,
}

/// When a map takes a value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyMode {
    /// Always.
    #[default]
    Replace,
    /// Only if the key has none.
    IfNew,
    /// Only if the key has one.
    IfExists,
}

/// `broadcast`: one publication into several channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Broadcast {
    /// The channels.
    pub channels: Vec<Arc<str>>,
    /// What goes into each; its own `channel` is not looked at.
    pub publish: Publish,
}

/// `send`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Send {
    /// The user.
    pub user: Arc<str>,
    /// The data.
    pub data: Payload,
}

/// `call`: a question to one client.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ClientCall {
    /// Whom it is for; one connection must match.
    pub target: Target,
    /// What is asked.
    pub method: String,
    /// Its argument.
    pub data: Payload,
    /// How long the client has.
    pub timeout: Millis,
}

/// Which connections a command is about: every one that matches all that is given.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Target {
    /// Of this user.
    pub user: Option<Arc<str>>,
    /// This connection.
    pub client: Option<ClientId>,
    /// The connection with this session secret (emulated and unidirectional transports).
    pub session: Option<Uuid>,
}

/// A connection, as the answer to `connections` tells of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ConnectionLine {
    /// The connection.
    pub client: ClientId,
    /// The user; empty for an anonymous one.
    pub user: Arc<str>,
    /// What carries it.
    pub transport: String,
    /// What is spoken.
    pub protocol: String,
    /// Name of the listener, or path.
    pub listener: Arc<str>,
    /// The address it comes from.
    pub remote: String,
    /// The channels it is in.
    pub channels: Vec<Arc<str>>,
}

/// `disconnect`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ejection {
    /// Whom it hits.
    pub target: Target,
    /// Connections that it spares.
    pub whitelist: Vec<ClientId>,
    /// What it is told.
    pub disconnect: Disconnect,
}

/// `subscribe`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Subscribe {
    /// Who is put into the channel.
    pub target: Target,
    /// The channel.
    pub channel: Arc<str>,
    /// What it is granted.
    pub grant: Grant,
    /// What it missed since then comes along.
    pub recover_since: Option<Position>,
}

/// `unsubscribe`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Unsubscribe {
    /// Who is taken out.
    pub target: Target,
    /// The channel.
    pub channel: Arc<str>,
    /// What it is told.
    pub unsubscribed: Unsubscribed,
}

/// `refresh`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Refresh {
    /// Whose expiry moves.
    pub target: Target,
    /// The connection ends now.
    pub expired: bool,
    /// Seconds since 1970; `None`: never.
    pub expire_at: Option<u64>,
    /// New JSON for presence and publications.
    pub info: Option<Bytes>,
}

/// `block_user`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Block {
    /// The user.
    pub user: Arc<str>,
    /// Seconds since 1970; `None`: until it is unblocked.
    pub expire_at: Option<u64>,
}

/// `revoke_token`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Revocation {
    /// The token's `jti`.
    pub uid: String,
    /// Seconds since 1970 after which nobody needs to remember it, for example the token's own expiry.
    pub expire_at: Option<u64>,
    /// Who came by it may come again with a new one.
    pub renew: bool,
}

/// `invalidate_user_tokens`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct InvalidTokens {
    /// The user.
    pub user: Arc<str>,
    /// Tokens with an `iat` before this, or without one, are void.
    pub issued_before: Millis,
    /// Seconds since 1970 after which nobody needs to remember it.
    pub expire_at: Option<u64>,
    /// Who came by one may come again with a new one.
    pub renew: bool,
}

/// `map_read_state`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapQuery {
    /// The channel.
    pub channel: Arc<str>,
    /// Where the page begins; empty for the first.
    pub cursor: String,
    /// Entries of the page; 0 for the server's own measure.
    pub limit: u32,
    /// Only this key.
    pub key: Option<Arc<str>>,
    /// By rising score.
    pub asc: bool,
    /// The page must belong to this revision of the map; 112 if it has moved on too far.
    pub revision: Option<Position>,
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
    /// Start by time, inclusive; `since` is not looked at then.
    pub from: Option<Millis>,
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
    /// A node went without a word, and its connections with it.
    NodeLost,
    /// The application was not told of things that it should have been told of.
    NoticesLost,
    /// A channel got its first subscriber.
    Occupied,
    /// A client asks to publish into a channel.
    Publish,
    /// A connection's time is up; may it stay?
    Refresh,
    /// A client calls a method.
    Rpc,
    /// A subscription's time is up; may it stay?
    SubRefresh,
    /// A client asks to come into a channel, or is in.
    Subscribe,
    /// A message for a user found nobody.
    Undelivered,
    /// A client left a channel.
    Unsubscribe,
    /// A channel lost its last subscriber.
    Vacated,
}

impl EventKind {
    /// The word used on the app link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Message => "message",
            Self::NodeLost => "node_lost",
            Self::NoticesLost => "notices_lost",
            Self::Occupied => "occupied",
            Self::Publish => "publish",
            Self::Refresh => "refresh",
            Self::Rpc => "rpc",
            Self::SubRefresh => "sub_refresh",
            Self::Subscribe => "subscribe",
            Self::Undelivered => "undelivered",
            Self::Unsubscribe => "unsubscribe",
            Self::Vacated => "vacated",
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
    /// To whom; the nil client where it is about no connection.
    pub origin: Origin,
    /// The channel it is about.
    pub channel: Option<Arc<str>>,
    /// Method of an rpc, name of a raw endpoint's messages.
    pub name: String,
    /// What the client said.
    pub data: Payload,
    /// 1, 2, 3... per connection, given at the door of the queue; per channel where it is about no connection.
    pub seq: u64,
    /// When the server took it.
    pub time: Millis,
    /// For calls: after this the answer is of no use.
    pub deadline: Option<Millis>,
    /// Connect and subscribe calls: what the client gave along, unread.
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
    /// Channels it wants to be in from the start.
    pub channels: Vec<Arc<str>>,
    /// Headers of the request that it came by: those that an endpoint is to be told.
    pub headers: Vec<Header>,
}

/// A header of a client's request: its name as the configuration has it, its value as the client wrote it.
pub type Header = (Arc<str>, String);

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The client may come in.
    Connect(ConnectAnswer),
    /// The connection ends.
    Disconnect(Disconnect),
    /// The queue has the message.
    Enqueued,
    /// Who is in a channel, on all nodes.
    Members(Vec<Arc<ClientInfo>>),
    /// How many are in a channel, on all nodes.
    MemberCounts(PresenceStats),
    /// The command fails.
    Error(ClientError),
    /// The client may publish, perhaps something else than it said.
    Publish(Box<PublishAnswer>),
    /// The order to a journal, or to a broker, came through: it is published.
    Published,
    /// A connection or a subscription may stay, or must go.
    Refresh(RefreshAnswer),
    /// What the method returned.
    Rpc(Payload),
    /// The client may come into the channel.
    Subscribe(Grant),
}

/// `result` of a connect call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectAnswer {
    /// Who it is.
    pub user: Arc<str>,
    /// JSON for presence and publications.
    pub info: Option<Bytes>,
    /// For the client.
    pub data: Option<Payload>,
    /// JSON kept here and handed to each event.
    pub meta: Option<Bytes>,
    /// Seconds since 1970 after which the connection ends.
    pub expire_at: Option<u64>,
    /// Channels it is put into.
    pub subs: Vec<Granted>,
    /// What the client came by, as a token has its `jti`: when it is revoked, the connection ends.
    pub token_id: Option<Arc<str>>,
}

/// `result` of a publish call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishAnswer {
    /// Instead of what the client said.
    pub data: Option<Payload>,
    /// Keeps it out of the history.
    pub skip_history: bool,
    /// Strings beside the data.
    pub tags: Option<Arc<BTreeMap<String, String>>>,
    /// What few publications have.
    pub more: Option<Box<PublishMore>>,
}

/// `result` of a refresh call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RefreshAnswer {
    /// It must go.
    pub expired: bool,
    /// Seconds since 1970; `None`: it may stay for ever.
    pub expire_at: Option<u64>,
    /// New JSON for presence and publications.
    pub info: Option<Bytes>,
}

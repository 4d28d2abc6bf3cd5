//! What clients say (commands) and hear (replies and pushes), whatever dialect carries it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::subscription::AggregateWish;

use crate::{ClientError, ClientId, ClientInfo, Disconnect, FilterNode, Millis, Payload, Position, Publication};

/// One command of a client, borrowed from the bytes it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Command<'a> {
    /// Echoed by the reply; 0 where the client wants none.
    pub id: u32,
    /// What it asks.
    pub request: Request<'a>,
}

/// The kinds of commands.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// Says who it is.
    Connect(Connect<'a>),
    /// Reads a channel's history.
    History(History<'a>),
    /// Asks whether we live.
    Ping,
    /// Answers our ping.
    Pong,
    /// Asks who is in a channel.
    Presence(Cow<'a, str>),
    /// Asks how many are in a channel.
    PresenceStats(Cow<'a, str>),
    /// Publishes into a channel.
    Publish(Publish<'a>),
    /// Brings a new connection token.
    Refresh(Cow<'a, str>),
    /// Calls a method of the application.
    Rpc(Rpc<'a>),
    /// Tells the application something.
    Send(Data<'a>),
    /// Joins a channel.
    Subscribe(Subscribe<'a>),
    /// Brings a new subscription token.
    SubRefresh(SubRefresh<'a>),
    /// Leaves a channel.
    Unsubscribe(Cow<'a, str>),
}

/// Client data still lying in the receive buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Data<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// What they are.
    pub content: crate::Content,
}

impl Data<'_> {
    /// Copies the bytes out of the receive buffer, once, to be shared from there on.
    #[must_use]
    pub fn to_payload(self) -> Payload {
        Payload { bytes: Bytes::copy_from_slice(self.bytes), content: self.content }
    }
}

/// `connect`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect<'a> {
    /// A JWT, or whatever the application's connect handler understands.
    pub token: Cow<'a, str>,
    /// For the application's connect handler.
    pub data: Option<Data<'a>>,
    /// Channels it wants to be in from the start, or comes back to. The channel's name is the key; the one in the
    /// request is empty.
    pub subs: Vec<(Cow<'a, str>, Subscribe<'a>)>,
    /// Name of the client program.
    pub name: Cow<'a, str>,
    /// Its version.
    pub version: Cow<'a, str>,
    /// Bits of what it understands beyond the protocol; the server may ignore each of them.
    pub flag: i64,
}

/// [`Subscribe::flag`]: a position that is gone is an error (112) and no subscription that says `recovered: false`.
pub const ERROR_IF_UNRECOVERED: i64 = 2;

/// `subscribe`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// A subscription token.
    pub token: Cow<'a, str>,
    /// Whether it wants what it missed since `since`.
    pub recover: bool,
    /// The last position it has seen.
    pub since: Position,
    /// Whether it wants to be told positions, so that it can recover later.
    pub recoverable: bool,
    /// Whether it wants the server to watch over its position.
    pub positioned: bool,
    /// Whether it wants to hear who comes and goes.
    pub join_leave: bool,
    /// Kind of subscription: 0 is a stream, 1 a map, 2 and 3 maps of who is there (clients, users); 4, shared poll, is not
    /// built.
    pub kind: u32,
    /// Maps: 2 asks for a page of the state, 1 for a page of the stream since then, 0 goes live.
    pub phase: u32,
    /// Maps: where the page begins; empty for the first.
    pub cursor: Cow<'a, str>,
    /// Maps: entries of a page; 0 for the server's own measure.
    pub limit: u32,
    /// Maps: the order of the state by score is rising.
    pub asc: bool,
    /// A delta format it understands.
    pub delta: Cow<'a, str>,
    /// Which publications it wants, by their tags.
    pub filter: Option<Box<FilterNode>>,
    /// For the application.
    pub data: Option<Data<'a>>,
    /// A gentler delivery than the namespace's (ours: JSON `delivery`, Protobuf 101): `latest`, `drop_oldest`, or
    /// `sampled:N` for N a second and key.
    pub delivery: Cow<'a, str>,
    /// What it wants reckoned (ours: `aggregate` in its data, where the namespace allows it).
    pub aggregate: Option<Box<AggregateWish>>,
    /// Bits of what it understands beyond the protocol, as [`ERROR_IF_UNRECOVERED`].
    pub flag: i64,
}

impl Subscribe<'_> {
    /// The same, to be kept beyond the frame it came in; the client's `data` is left behind.
    #[must_use]
    pub fn to_owned(&self) -> Subscribe<'static> {
        let own = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        Subscribe {
            channel: own(&self.channel),
            token: own(&self.token),
            recover: self.recover,
            since: self.since.clone(),
            recoverable: self.recoverable,
            positioned: self.positioned,
            join_leave: self.join_leave,
            kind: self.kind,
            phase: self.phase,
            cursor: own(&self.cursor),
            limit: self.limit,
            asc: self.asc,
            delta: own(&self.delta),
            filter: self.filter.clone(),
            data: None,
            delivery: own(&self.delivery),
            aggregate: self.aggregate.clone(),
            flag: self.flag,
        }
    }
}

/// `publish`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// The data.
    pub data: Data<'a>,
    /// 0 publishes into a stream, 1 into a map.
    pub kind: u32,
    /// The key that gets the value.
    pub key: Cow<'a, str>,
    /// The key loses its value.
    pub removed: bool,
}

/// `sub_refresh`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubRefresh<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// Its new subscription token.
    pub token: Cow<'a, str>,
    /// 0 renews; 1 and 2 (shared poll) are not built.
    pub kind: u32,
}

/// `rpc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rpc<'a> {
    /// Method of the application.
    pub method: Cow<'a, str>,
    /// Its argument.
    pub data: Data<'a>,
}

/// `history`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History<'a> {
    /// The channel.
    pub channel: Cow<'a, str>,
    /// 0: the position only; negative: all; else at most so many.
    pub limit: i32,
    /// Exclusive start.
    pub since: Option<Position>,
    /// Start by time (ours: `time` in `since`, milliseconds since 1970, inclusive); `since` is not looked at then.
    pub from: Option<Millis>,
    /// From the top downwards.
    pub reverse: bool,
}

/// The reply to one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Id of the command.
    pub id: u32,
    /// What came of it.
    pub outcome: Result<Answer, ClientError>,
}

/// A successful outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Welcome.
    Connect(Box<Connected>),
    /// A stretch of history.
    History(HistoryPage),
    /// We live.
    Ping,
    /// Who is there.
    Presence(Vec<Arc<ClientInfo>>),
    /// How many are there.
    PresenceStats(PresenceStats),
    /// It is published, or the queue has it.
    Publish,
    /// The new token is good.
    Refresh(Refreshed),
    /// What the application returned.
    Rpc(Payload),
    /// The queue has it.
    Send,
    /// It is in.
    Subscribe(Box<Subscribed>),
    /// The new subscription token is good; seconds until it runs out.
    SubRefresh(Option<u64>),
    /// It is out.
    Unsubscribe,
}

/// Result of `connect`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connected {
    /// The connection's id.
    pub client: ClientId,
    /// Version of the server.
    pub version: &'static str,
    /// Seconds until the token runs out.
    pub ttl: Option<u64>,
    /// From the application's connect handler.
    pub data: Option<Payload>,
    /// Channels it is in already.
    pub subs: Vec<(Arc<str>, Subscribed)>,
    /// Seconds between pings; 0 where there are none.
    pub ping_seconds: u32,
    /// Whether pings must be answered.
    pub pong: bool,
    /// Names the connection to the door by which an emulated transport sends; other transports have none.
    pub session: Option<String>,
    /// The node that the session lives on, for emulated transports.
    pub node: Option<Arc<str>>,
    /// The server's time, where the configuration wants clients to know it.
    pub time: Option<Millis>,
}

/// Result of `subscribe`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribed {
    /// The client's own position if it recovered, else the top of the history, where the channel has one.
    pub position: Option<Position>,
    /// The client may recover from a position that it keeps.
    pub recoverable: bool,
    /// Its position is watched over.
    pub positioned: bool,
    /// The client asked to recover.
    pub was_recovering: bool,
    /// Nothing is missing between the client's position, `publications` and what follows.
    pub recovered: bool,
    /// What it missed, oldest first.
    pub publications: Vec<Arc<Publication>>,
    /// From the application.
    pub data: Option<Payload>,
    /// Seconds until the subscription token runs out.
    pub ttl: Option<u64>,
    /// Publications come as deltas; their payloads are JSON strings in JSON.
    pub delta: bool,
    /// Parallel to `publications`, or empty: what stands for a whole payload, where the one before is known.
    pub patches: Vec<Option<Bytes>>,
    /// Maps: the kind, echoed.
    pub kind: u32,
    /// Maps: the phase, echoed.
    pub phase: u32,
    /// Maps: where the next page begins; empty after the last.
    pub cursor: String,
    /// Maps: a page of the state.
    pub state: Vec<Arc<Publication>>,
}

/// Result of `refresh`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refreshed {
    /// The connection's id.
    pub client: ClientId,
    /// Version of the server.
    pub version: &'static str,
    /// Seconds until the token runs out.
    pub ttl: Option<u64>,
}

/// Result of `presence_stats`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PresenceStats {
    /// Connections in the channel.
    pub num_clients: u32,
    /// Different users among them.
    pub num_users: u32,
}

/// Result of `history`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// Oldest first, unless reversed.
    pub publications: Vec<Arc<Publication>>,
    /// Top of the stream.
    pub position: Position,
}

/// What the server says unasked.
#[derive(Clone, Debug, PartialEq)]
pub enum Push {
    /// Welcome, on transports where the client asks nothing.
    Connect(Box<Connected>),
    /// The end, on transports that have no close code of their own.
    Disconnect(Disconnect),
    /// Somebody came into a channel.
    Join(Arc<str>, Arc<ClientInfo>),
    /// Somebody left it.
    Leave(Arc<str>, Arc<ClientInfo>),
    /// A publication in a channel, for who asked for deltas.
    Delta(Arc<str>, Arc<Publication>, Form),
    /// The connection's expiry has moved: seconds until it comes, `None` where it never comes.
    Refresh(Option<u64>),
    /// The server put the client into a channel.
    Subscribe(Arc<str>, Box<Subscribed>),
    /// The server took the client out of a channel.
    Unsubscribe(Arc<str>, Unsubscribed),
    /// A message to this client outside of any channel.
    Message(Payload),
    /// A publication in a channel.
    Publication(Arc<str>, Arc<Publication>),
}

/// How a payload comes to who asked for deltas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Form {
    /// As it is; a JSON string in JSON.
    Whole,
    /// The difference to the payload before, in the Fossil delta format.
    Patch(Bytes),
}

/// Why a client is out of a channel: below 2500 for good, from there on it should come again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unsubscribed {
    /// The code.
    pub code: u32,
    /// For people.
    pub reason: Cow<'static, str>,
}

impl Unsubscribed {
    /// The server said so.
    pub const SERVER: Self = Self { code: 2000, reason: Cow::Borrowed("server unsubscribe") };
    /// Something is missing between the client's position and the channel's: it should recover.
    pub const INSUFFICIENT_STATE: Self = Self { code: 2500, reason: Cow::Borrowed("insufficient state") };
    /// Its subscription token ran out.
    pub const EXPIRED: Self = Self { code: 2501, reason: Cow::Borrowed("subscription expired") };
    /// All that it knows of the channel is void: token, position, state.
    pub const STATE_INVALIDATED: Self = Self { code: 2502, reason: Cow::Borrowed("state invalidated") };
}

//! Commands about channels and maps: who is there, what was said, what there is.

use jackfield_model::app::{Command, HistoryQuery, MapQuery};

use super::field::{Field, Kind, Shape, Table, Told};
use super::method::{Method, channel, position};
use super::read::Fields;

const CHANNEL: &[Field] = &[Field::needed("channel", Kind::Text, "The channel.")];
const OF_A_CHANNEL: Table = &[CHANNEL];

const PLACE: &[Field] = &[
    Field::new("offset", Kind::Count, "The last publication that is known already; 0 for none."),
    Field::new("epoch", Kind::Text, "The life of the history that the offset belongs to."),
];
const TIME: &[Field] = &[Field::new(
    "time",
    Kind::Count,
    "Instead of both: milliseconds since 1970, and what was published then or later.",
)];
const HISTORY_FIELDS: &[Field] = &[
    Field::new(
        "limit",
        Kind::Integer,
        "How many publications at most; 0 for the position only, -1 for as many as history_max_publication_limit (300) allows.",
    ),
    Field::new("since", Kind::Object(&[PLACE, TIME]), "Where to begin: after a position, or at a time."),
    Field::new("reverse", Kind::Bool, "From the newest downwards."),
];
const STATE_FIELDS: &[Field] = &[
    Field::new("cursor", Kind::Text, "Where the page begins, from the page before; empty for the first."),
    Field::new("limit", Kind::Count, "Entries of the page; 0 for the server's own measure."),
    Field::new("key", Kind::Text, "Only this key."),
    Field::new("asc", Kind::Bool, "By rising score."),
    Field::new(
        "revision",
        Kind::Object(&[PLACE]),
        "The position of the first page; error 112 if the map has moved on too far since.",
    ),
];
const PATTERN: &[Field] = &[Field::new("pattern", Kind::Text, "A glob such as `chat:*`; empty for all channels.")];

const CLIENT: &[Told] = &[
    Told::always("user", Shape::Plain(Kind::Text), "The user; empty for an anonymous client."),
    Told::always("client", Shape::Plain(Kind::Uuid), "The connection."),
    Told::maybe("conn_info", Shape::Plain(Kind::Any), "What is known of the connection."),
    Told::maybe("chan_info", Shape::Plain(Kind::Any), "What is known of it in this channel."),
];
const MEMBERS: &[Told] = &[Told::always("presence", Shape::Named(CLIENT), "By the id of the connection.")];
const STATS: &[Told] = &[
    Told::always("num_clients", Shape::Plain(Kind::Count), "Connections."),
    Told::always("num_users", Shape::Plain(Kind::Count), "Different users among them."),
];
const PUBLICATION: &[Told] = &[
    Told::always("offset", Shape::Plain(Kind::Count), "Its number in the history."),
    Told::maybe("key", Shape::Plain(Kind::Text), "What it is the latest value of."),
    Told::maybe("data", Shape::Plain(Kind::Any), "What was published; a text as a JSON string."),
    Told::maybe("b64data", Shape::Plain(Kind::Base64), "Instead of `data`, where it is bytes."),
    Told::maybe("info", Shape::Object(CLIENT), "Who published it, if a client did."),
    Told::maybe("tags", Shape::Plain(Kind::Tags), "Its tags."),
    Told::maybe("removed", Shape::Plain(Kind::Bool), "The key has no value any more."),
    Told::maybe("score", Shape::Plain(Kind::Integer), "Where the key stands in the order of the map."),
    Told::maybe("version", Shape::Plain(Kind::Count), "The publisher's own count."),
    Told::maybe("time", Shape::Plain(Kind::Count), "When it was taken, in milliseconds since 1970."),
];
const TOP: [Told; 2] = [
    Told::always("epoch", Shape::Plain(Kind::Text), "The life of the history."),
    Told::always("offset", Shape::Plain(Kind::Count), "Its newest publication."),
];
const PAGE: &[Told] =
    &[Told::always("publications", Shape::List(PUBLICATION), "Oldest first, unless reversed."), TOP[0], TOP[1]];
const STREAM_PAGE: &[Told] =
    &[Told::always("entries", Shape::List(PUBLICATION), "Oldest first, unless reversed."), TOP[0], TOP[1]];
const STATE_PAGE: &[Told] = &[
    Told::always("entries", Shape::List(PUBLICATION), "The keys with their values."),
    Told::maybe("cursor", Shape::Plain(Kind::Text), "Where the next page begins, if there is one."),
    TOP[0],
    TOP[1],
];
const OF_ONE: &[Told] = &[Told::always("num_clients", Shape::Plain(Kind::Count), "Connections in it.")];
const COUNTED: &[Told] = &[Told::always("channels", Shape::Named(OF_ONE), "By name.")];
const NODE: &[Told] = &[
    Told::always("uid", Shape::Plain(Kind::Text), "What tells this life of the node from any other."),
    Told::always("name", Shape::Plain(Kind::Text), "Its name."),
    Told::always("version", Shape::Plain(Kind::Text), "Version of the server."),
    STATS[0],
    STATS[1],
    Told::always("num_subs", Shape::Plain(Kind::Count), "Subscriptions."),
    Told::always("num_channels", Shape::Plain(Kind::Count), "Channels that somebody cares for."),
    Told::always("uptime", Shape::Plain(Kind::Count), "Its age in seconds."),
];
const NODES: &[Told] = &[Told::always("nodes", Shape::List(NODE), "The nodes.")];
const KEYS: &[Told] = &[Told::always("num_keys", Shape::Plain(Kind::Count), "Keys that have a value.")];

pub(super) const PRESENCE: Method = Method {
    name: "presence",
    about: "Tells who is in a channel.",
    takes: OF_A_CHANNEL,
    tells: MEMBERS,
    errors: &[102, 107, 108],
    read: |fields| channel(fields).map(Command::Presence),
};

pub(super) const PRESENCE_STATS: Method = Method {
    name: "presence_stats",
    about: "Tells how many are in a channel.",
    takes: OF_A_CHANNEL,
    tells: STATS,
    errors: &[102, 107, 108],
    read: |fields| channel(fields).map(Command::PresenceStats),
};

pub(super) const HISTORY: Method = Method {
    name: "history",
    about: "Reads a channel's history.",
    takes: &[CHANNEL, HISTORY_FIELDS],
    tells: PAGE,
    errors: &[102, 107, 108, 112],
    read: |fields| history(fields).map(Command::History),
};

pub(super) const HISTORY_REMOVE: Method = Method {
    name: "history_remove",
    about: "Forgets the publications of a channel; its position stays. For streams: `map_clear` empties a map.",
    takes: OF_A_CHANNEL,
    tells: &[],
    errors: &[102, 107, 108],
    read: |fields| channel(fields).map(Command::HistoryRemove),
};

pub(super) const CHANNELS: Method = Method {
    name: "channels",
    about: "Tells which channels there are.",
    takes: &[PATTERN],
    tells: COUNTED,
    errors: &[107],
    read: |fields| Ok(Command::Channels(fields.text("pattern"))),
};

pub(super) const INFO: Method = Method {
    name: "info",
    about: "Tells how the nodes are.",
    takes: &[],
    tells: NODES,
    errors: &[107],
    read: |_| Ok(Command::Info),
};

pub(super) const MAP_READ_STATE: Method = Method {
    name: "map_read_state",
    about: "Reads a page of a map.",
    takes: &[CHANNEL, STATE_FIELDS],
    tells: STATE_PAGE,
    errors: &[102, 107, 108, 112],
    read: map_read_state,
};

pub(super) const MAP_READ_STREAM: Method = Method {
    name: "map_read_stream",
    about: "Reads what happened to a map.",
    takes: &[CHANNEL, HISTORY_FIELDS],
    tells: STREAM_PAGE,
    errors: &[102, 107, 108, 112],
    read: |fields| history(fields).map(Command::MapReadStream),
};

pub(super) const MAP_STATS: Method = Method {
    name: "map_stats",
    about: "Counts the keys of a map.",
    takes: OF_A_CHANNEL,
    tells: KEYS,
    errors: &[102, 107, 108],
    read: |fields| channel(fields).map(Command::MapStats),
};

pub(super) const MAP_CLEAR: Method = Method {
    name: "map_clear",
    about: "Empties a map.",
    takes: OF_A_CHANNEL,
    tells: &[],
    errors: &[102, 107, 108],
    read: |fields| channel(fields).map(Command::MapClear),
};

fn history(fields: &mut Fields<'_>) -> Result<HistoryQuery, String> {
    let limit = fields.integer("limit");
    if limit < -1 {
        return Err(format!("`limit` is {limit}; use -1 for all, 0 for the position only, or how many"));
    }
    let (mut since, mut from) = (None, None);
    if let Some(mut place) = fields.object("since") {
        from = place.count("time");
        since = position(&mut place).map_err(|reason| format!("`since`: {reason}"))?;
        if from.is_some() == since.is_some() {
            return Err("`since` needs `offset` and `epoch`, or `time` and nothing else".to_owned());
        }
    }
    Ok(HistoryQuery {
        channel: channel(fields)?,
        // Nobody keeps more than that.
        limit: i32::try_from(limit).unwrap_or(i32::MAX),
        since,
        from,
        reverse: fields.flag("reverse").unwrap_or_default(),
    })
}

fn map_read_state(fields: &mut Fields<'_>) -> Result<Command, String> {
    let revision = match fields.object("revision") {
        Some(mut place) => position(&mut place).map_err(|reason| format!("`revision`: {reason}"))?,
        None => None,
    };
    Ok(Command::MapReadState(MapQuery {
        channel: channel(fields)?,
        cursor: fields.text("cursor"),
        limit: fields.count("limit").map_or(0, |limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        key: fields.given("key").filter(|key| !key.is_empty()).map(Into::into),
        asc: fields.flag("asc").unwrap_or_default(),
        revision,
    }))
}

//! Commands that publish: into channels, to users, into maps.

use std::sync::Arc;

use jackfield_model::Payload;
use jackfield_model::app::{Broadcast, Command, KeyMode, Publish, PublishMore, Send};

use super::field::{Field, Kind, Shape, Table, Told};
use super::method::{Method, POSITION, channel, user};
use super::read::Fields;

/// Longest idempotency key and longest key of a value: both are kept.
const MAX_KEY_BYTES: usize = 1024;
const KEY_MODES: &[&str] = &["replace", "if_new", "if_exists"];

const CHANNEL: &[Field] = &[Field::needed("channel", Kind::Text, "The channel.")];
const CHANNELS: &[Field] = &[Field::needed("channels", Kind::Texts, "The channels; at least one.")];
pub(super) const CONTENT: &[Field] = &[
    Field::new("data", Kind::Any, "Any JSON value. One of `data`, `b64data` and `text` is needed."),
    Field::new("b64data", Kind::Base64, "Bytes instead of `data`; clients of JSON get them as base64."),
    Field::new("text", Kind::Text, "A text instead of `data`; clients of JSON get it as a JSON string."),
];
const SKIP_HISTORY: &[Field] = &[Field::new("skip_history", Kind::Bool, "Keeps it out of the history.")];
const TAGS: &[Field] = &[Field::new("tags", Kind::Tags, "Texts beside the data; subscribers may filter by them.")];
const IDEMPOTENCY: &[Field] = &[Field::new(
    "idempotency_key",
    Kind::Text,
    "A publication with a key that the channel took in the last five minutes is not taken again; its result is repeated.",
)];
const VERSIONS: &[Field] = &[
    Field::new("delta", Kind::Bool, "Subscribers who asked for deltas get the difference to the publication before."),
    Field::new(
        "version",
        Kind::Count,
        "The publisher's own count; a publication that is not newer than the last is not taken. 0: it does not count.",
    ),
    Field::new("version_epoch", Kind::Text, "The life of that count; another one begins anew."),
];
const KEY: &[Field] = &[Field::new(
    "key",
    Kind::Text,
    "What the data is the latest value of, where a channel carries several side by side.",
)];
const USER: &[Field] = &[Field::needed("user", Kind::Text, "The user.")];
const MAP_KEY: &[Field] = &[Field::needed("key", Kind::Text, "The key.")];
const MAP: &[Field] = &[
    Field::new("stream_data", Kind::Any, "For subscribers, where they get something else than what is kept."),
    Field::new("score", Kind::Integer, "Where the key stands in the order of the map."),
    Field::new(
        "key_mode",
        Kind::Choice(KEY_MODES),
        "When the value is taken: always (`replace`), only if the key has none, only if it has one.",
    ),
];

const PUBLISHED: &[Told] = &[
    POSITION[0],
    POSITION[1],
    Told::maybe("suppressed", Shape::Plain(Kind::Bool), "It was not taken, which is no error."),
    Told::maybe(
        "suppress_reason",
        Shape::Plain(Kind::Choice(&["idempotency", "key_exists", "key_not_found", "version"])),
        "Why it was not taken.",
    ),
];
const RESPONSE: &[Told] = &[
    Told::maybe("result", Shape::Object(PUBLISHED), "Where it stands in this channel."),
    Told::maybe("error", Shape::Object(ERROR), "Why this channel did not take it."),
];
const RESPONSES: &[Told] = &[Told::always("responses", Shape::List(RESPONSE), "One per channel, in their order.")];
const ERROR: &[Told] = &[
    Told::always("code", Shape::Plain(Kind::Count), "The code."),
    Told::always("message", Shape::Plain(Kind::Text), "What was wrong."),
];
const CONNECTIONS: &[Told] =
    &[Told::always("connections", Shape::Plain(Kind::Count), "How many connections were reached.")];

const TAKES: Table = &[CHANNEL, CONTENT, SKIP_HISTORY, TAGS, IDEMPOTENCY, VERSIONS, KEY];

pub(super) const PUBLISH: Method = Method {
    name: "publish",
    about: "Publishes into a channel.",
    takes: TAKES,
    tells: PUBLISHED,
    errors: &[102, 107, 111],
    read: publish,
};

pub(super) const BROADCAST: Method = Method {
    name: "broadcast",
    about: "Publishes the same into several channels.",
    takes: &[CHANNELS, CONTENT, SKIP_HISTORY, TAGS, IDEMPOTENCY, VERSIONS, KEY],
    tells: RESPONSES,
    errors: &[107, 111],
    read: broadcast,
};

pub(super) const SEND: Method = Method {
    name: "send",
    about: "Speaks to every connection of a user, outside of any channel.",
    takes: &[USER, CONTENT],
    tells: CONNECTIONS,
    errors: &[107],
    read: send,
};

pub(super) const MAP_PUBLISH: Method = Method {
    name: "map_publish",
    about: "Gives a key of a map a value.",
    takes: &[CHANNEL, MAP_KEY, CONTENT, MAP, TAGS, IDEMPOTENCY, VERSIONS],
    tells: PUBLISHED,
    errors: &[102, 107, 108, 111],
    read: map_publish,
};

pub(super) const MAP_REMOVE: Method = Method {
    name: "map_remove",
    about: "Takes the value of a key of a map away.",
    takes: &[CHANNEL, MAP_KEY, TAGS, IDEMPOTENCY],
    tells: PUBLISHED,
    errors: &[102, 107, 108, 111],
    read: map_remove,
};

fn publish(fields: &mut Fields<'_>) -> Result<Command, String> {
    Ok(Command::Publish(Publish { channel: channel(fields)?, ..publication(fields)? }))
}

fn broadcast(fields: &mut Fields<'_>) -> Result<Command, String> {
    let channels = fields.texts("channels");
    if channels.is_empty() {
        return Err("`channels` is empty; name at least one channel".to_owned());
    }
    let channels = channels.into_iter().map(super::method::named).collect::<Result<_, _>>()?;
    Ok(Command::Broadcast(Broadcast { channels, publish: publication(fields)? }))
}

fn send(fields: &mut Fields<'_>) -> Result<Command, String> {
    Ok(Command::Send(Send { user: user(fields)?, data: content(fields)? }))
}

fn map_publish(fields: &mut Fields<'_>) -> Result<Command, String> {
    let key_mode = match fields.text("key_mode").as_str() {
        "if_new" => KeyMode::IfNew,
        "if_exists" => KeyMode::IfExists,
        _ => KeyMode::Replace,
    };
    let more = PublishMore {
        key: map_key(fields)?,
        score: fields.integer("score"),
        stream_data: fields.json("stream_data").map(json),
        key_mode,
        ..more(fields)?
    };
    Ok(Command::MapPublish(Publish {
        channel: channel(fields)?,
        data: content(fields)?,
        skip_history: false,
        tags: fields.tags("tags"),
        more: Some(Box::new(more)),
        stamp: None,
    }))
}

fn map_remove(fields: &mut Fields<'_>) -> Result<Command, String> {
    let idempotency_key = limited(fields, "idempotency_key")?;
    let more = PublishMore { key: map_key(fields)?, idempotency_key, ..PublishMore::default() };
    Ok(Command::MapRemove(Publish {
        channel: channel(fields)?,
        tags: fields.tags("tags"),
        more: Some(Box::new(more)),
        ..Publish::default()
    }))
}

/// All but the channel.
fn publication(fields: &mut Fields<'_>) -> Result<Publish, String> {
    let more = PublishMore { key: limited(fields, "key")?, ..more(fields)? };
    Ok(Publish {
        channel: Arc::default(),
        data: content(fields)?,
        skip_history: fields.flag("skip_history").unwrap_or_default(),
        tags: fields.tags("tags"),
        more: (more != PublishMore::default()).then(|| Box::new(more)),
        stamp: None,
    })
}

fn more(fields: &mut Fields<'_>) -> Result<PublishMore, String> {
    Ok(PublishMore {
        idempotency_key: limited(fields, "idempotency_key")?,
        delta: fields.flag("delta").unwrap_or_default(),
        version: fields.count("version").unwrap_or_default(),
        version_epoch: limited(fields, "version_epoch")?,
        ..PublishMore::default()
    })
}

fn map_key(fields: &mut Fields<'_>) -> Result<String, String> {
    match limited(fields, "key")? {
        key if key.is_empty() => Err("`key` is empty; name the key of the map".to_owned()),
        key => Ok(key),
    }
}

fn limited(fields: &mut Fields<'_>, name: &str) -> Result<String, String> {
    let text = fields.text(name);
    if text.len() > MAX_KEY_BYTES {
        return Err(format!("`{name}` has {} bytes; it may have {MAX_KEY_BYTES}", text.len()));
    }
    Ok(text)
}

/// The one of three forms that was given. A client that always writes all of them leaves two `null` or empty.
pub(super) fn content(fields: &mut Fields<'_>) -> Result<Payload, String> {
    let (data, b64data, text) = (fields.json("data"), fields.bytes("b64data"), fields.given("text"));
    let is_null = data.is_none_or(|json| json.get() == "null");
    match (data, b64data, text) {
        (None, None, None) => Err("one of `data`, `b64data` and `text` is needed".to_owned()),
        (None, Some(bytes), None) => Ok(Payload::binary(bytes)),
        (None, None, Some(text)) => Ok(Payload::text(text)),
        (Some(data), bytes, text) if is_bare(bytes.as_deref()) && is_bare(text.as_deref().map(str::as_bytes)) => {
            Ok(json(data))
        }
        (_, Some(bytes), text) if is_null && is_bare(text.as_deref().map(str::as_bytes)) => Ok(Payload::binary(bytes)),
        (_, bytes, Some(text)) if is_null && is_bare(bytes.as_deref()) => Ok(Payload::text(text)),
        _ => Err("only one of `data`, `b64data` and `text` may be given".to_owned()),
    }
}

fn is_bare(bytes: Option<&[u8]>) -> bool {
    bytes.is_none_or(<[u8]>::is_empty)
}

pub(super) fn json(raw: &serde_json::value::RawValue) -> Payload {
    Payload::json(raw.get().as_bytes().to_vec())
}

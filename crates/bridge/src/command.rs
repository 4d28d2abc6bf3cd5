//! Reads a command of the application: a method and the JSON of `spec/app-link.md`, strictly.
//!
//! Whoever writes commands by hand makes mistakes that a lenient reader would hide: a misspelt `chanel` would publish
//! nowhere. So unknown keys are refused, and every refusal says what would be right.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jackfield_model::app::{Broadcast, Command, Ejection, HistoryQuery, Publish, Send, Target};
use jackfield_model::{ClientId, Disconnect, Payload, Position};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What the server can do, in the order of the specification.
pub const METHODS: [&str; 7] = ["publish", "broadcast", "send", "disconnect", "presence", "presence_stats", "history"];

/// Why a command makes no sense; the texts are for the developer who sent it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// No method was named.
    #[error("the method is missing; it is one of {}", METHODS.join(", "))]
    NoMethod,
    /// The payload is not what the method takes.
    #[error("the payload of `{method}` is refused: {reason}")]
    Payload {
        /// The method.
        method: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No such method.
    #[error("the method {0:?} is unknown; it is one of {methods}", methods = METHODS.join(", "))]
    UnknownMethod(String),
}

/// Reads one command.
pub fn parse(method: &str, payload: &[u8]) -> Result<Command, CommandError> {
    let Some(method) = METHODS.into_iter().find(|known| *known == method) else {
        return Err(match method {
            "" => CommandError::NoMethod,
            unknown => CommandError::UnknownMethod(unknown.chars().take(64).collect()),
        });
    };
    read(method, payload).map_err(|reason| CommandError::Payload { method, reason })
}

fn read(method: &str, payload: &[u8]) -> Result<Command, String> {
    match method {
        "publish" => object::<PublishFields<'_>>(payload)?.command(),
        "broadcast" => object::<BroadcastFields<'_>>(payload)?.command(),
        "send" => object::<SendFields<'_>>(payload)?.command(),
        "disconnect" => object::<DisconnectFields>(payload)?.command(),
        "history" => object::<HistoryFields<'_>>(payload)?.command(),
        "presence" => Ok(Command::Presence(object::<ChannelField>(payload)?.channel()?)),
        _ => Ok(Command::PresenceStats(object::<ChannelField>(payload)?.channel()?)),
    }
}

/// Why: serde would take a list for a struct, field by field.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice(json).map_err(|error| error.to_string()),
        Some(_) => Err("a JSON object is needed".to_owned()),
        None => Err("it is empty; a JSON object is needed".to_owned()),
    }
}

/// Tells `null` from an absent key: a key that is there must have a value of its type.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelField {
    channel: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishFields<'a> {
    channel: String,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    b64data: Option<String>,
    #[serde(default, deserialize_with = "present")]
    text: Option<String>,
    #[serde(default)]
    skip_history: bool,
    #[serde(default, deserialize_with = "present")]
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BroadcastFields<'a> {
    channels: Vec<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    b64data: Option<String>,
    #[serde(default, deserialize_with = "present")]
    text: Option<String>,
    #[serde(default)]
    skip_history: bool,
    #[serde(default, deserialize_with = "present")]
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendFields<'a> {
    user: String,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    b64data: Option<String>,
    #[serde(default, deserialize_with = "present")]
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisconnectFields {
    #[serde(default, deserialize_with = "present")]
    user: Option<String>,
    #[serde(default, deserialize_with = "present")]
    client: Option<String>,
    #[serde(default, deserialize_with = "present")]
    code: Option<u16>,
    #[serde(default, deserialize_with = "present")]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryFields<'a> {
    channel: String,
    #[serde(default)]
    limit: i32,
    #[serde(default, borrow, deserialize_with = "present")]
    since: Option<&'a RawValue>,
    #[serde(default)]
    reverse: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinceFields {
    offset: u64,
    epoch: String,
}

impl ChannelField {
    fn channel(self) -> Result<Arc<str>, String> {
        channel(self.channel)
    }
}

impl PublishFields<'_> {
    fn command(self) -> Result<Command, String> {
        Ok(Command::Publish(Publish {
            channel: channel(self.channel)?,
            data: content(self.data, self.b64data, self.text)?,
            skip_history: self.skip_history,
            tags: self.tags.map(Arc::new),
            more: None,
        }))
    }
}

impl BroadcastFields<'_> {
    fn command(self) -> Result<Command, String> {
        if self.channels.is_empty() {
            return Err("`channels` is empty; name at least one channel".to_owned());
        }
        Ok(Command::Broadcast(Broadcast {
            channels: self.channels.into_iter().map(channel).collect::<Result<_, _>>()?,
            publish: Publish {
                data: content(self.data, self.b64data, self.text)?,
                skip_history: self.skip_history,
                tags: self.tags.map(Arc::new),
                ..Publish::default()
            },
        }))
    }
}

impl SendFields<'_> {
    fn command(self) -> Result<Command, String> {
        let data = content(self.data, self.b64data, self.text)?;
        Ok(Command::Send(Send { user: user(self.user)?, data }))
    }
}

impl DisconnectFields {
    fn command(self) -> Result<Command, String> {
        if self.user.is_none() && self.client.is_none() {
            return Err("`user` or `client` is needed".to_owned());
        }
        let client = match self.client {
            Some(id) => Some(
                ClientId::parse_str(&id)
                    .map_err(|_| format!("`client` is {id:?}; the UUID of a connection is needed"))?,
            ),
            None => None,
        };
        let disconnect = match (self.code, self.reason) {
            (None, None) => Disconnect::FORCE,
            (code, reason) => Disconnect {
                code: close_code(code.unwrap_or(Disconnect::FORCE.code))?,
                reason: reason.unwrap_or_default().into(),
            },
        };
        Ok({
            let target = Target { user: self.user.map(user).transpose()?, client, session: None };
            Command::Disconnect(Ejection { target, whitelist: Vec::new(), disconnect })
        })
    }
}

impl HistoryFields<'_> {
    fn command(self) -> Result<Command, String> {
        if self.limit < -1 {
            return Err(format!("`limit` is {}; use -1 for all, 0 for the position only, or how many", self.limit));
        }
        let since = match self.since {
            Some(json) => {
                let since: SinceFields = object(json.get().as_bytes()).map_err(|error| format!("`since`: {error}"))?;
                Some(Position { offset: since.offset, epoch: since.epoch.into() })
            }
            None => None,
        };
        Ok(Command::History(HistoryQuery {
            channel: channel(self.channel)?,
            limit: self.limit,
            since,
            from: None,
            reverse: self.reverse,
        }))
    }
}

fn channel(name: String) -> Result<Arc<str>, String> {
    if name.is_empty() {
        return Err("a channel is empty; name one".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the channel {name:?} has a control character, which no client may use"));
    }
    Ok(name.into())
}

fn user(id: String) -> Result<Arc<str>, String> {
    if id.is_empty() { Err("`user` is empty; name one".to_owned()) } else { Ok(id.into()) }
}

/// Close codes that an application may use.
pub(crate) fn close_code(code: u16) -> Result<u16, String> {
    if (3000..=4999).contains(&code) {
        Ok(code)
    } else {
        Err(format!("`code` is {code}; it must be from 3000 to 4999"))
    }
}

/// The one of three forms that was given.
fn content(data: Option<&RawValue>, b64data: Option<String>, text: Option<String>) -> Result<Payload, String> {
    match (data, b64data, text) {
        (Some(json), None, None) => Ok(Payload::json(json.get().as_bytes().to_vec())),
        (None, Some(base64), None) => STANDARD
            .decode(base64)
            .map(Payload::binary)
            .map_err(|error| format!("`b64data` is no standard base64: {error}")),
        (None, None, Some(text)) => Ok(Payload::text(text)),
        (None, None, None) => Err("one of `data`, `b64data` and `text` is needed".to_owned()),
        _ => Err("only one of `data`, `b64data` and `text` may be given".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use jackfield_model::Content;

    use super::*;

    #[derive(Deserialize)]
    struct Example {
        name: String,
        method: String,
        payload: serde_json::Value,
        partition_key: String,
        partition: u32,
        ok: bool,
    }

    #[test]
    fn examples() {
        let examples: Vec<Example> =
            serde_json::from_str(include_str!("../../../spec/examples/commands.json")).unwrap();
        for example in examples {
            let read = parse(&example.method, example.payload.to_string().as_bytes());
            assert_eq!(read.is_ok(), example.ok, "{}: {read:?}", example.name);
            let partition = crc32fast::hash(example.partition_key.as_bytes()) % 8;
            assert_eq!(partition, example.partition, "{}", example.name);
        }
    }

    fn reason(method: &str, payload: &str) -> String {
        parse(method, payload.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn refusals_name_the_remedy() {
        assert!(reason("publsh", "{}").contains("\"publsh\" is unknown; it is one of publish, broadcast"));
        assert!(reason("publish", r#"{"chanel":"a","data":1}"#).contains("unknown field `chanel`, expected one of"));
        assert!(reason("publish", r#"["a",1]"#).contains("a JSON object is needed"));
        assert!(reason("publish", "").contains("it is empty"));
        assert!(reason("publish", r#"{"channel":"a\nb","data":1}"#).contains("control character"));
        assert!(reason("publish", r#"{"channel":"a","text":null}"#).contains("expected a string"));
        assert!(reason("publish", r#"{"channel":"a","channel":"b","data":1}"#).contains("duplicate field"));
        assert!(reason("publish", r#"{"channel":"a","data":1} x"#).contains("trailing characters"));
        assert!(reason("broadcast", r#"{"channels":[],"data":1}"#).contains("at least one channel"));
        assert!(reason("disconnect", r#"{"client":"me"}"#).contains("UUID"));
        assert!(reason("disconnect", r#"{"user":"1","code":5000}"#).contains("from 3000 to 4999"));
        assert!(reason("history", r#"{"channel":"a","since":[1,"e"]}"#).contains("`since`: a JSON object"));
        assert!(reason("history", r#"{"channel":"a","limit":-2}"#).contains("-1 for all"));
    }

    #[test]
    fn data_stays_as_it_was_written() {
        let Ok(Command::Publish(publish)) = parse("publish", br#"{"channel":"a","data": {"b": 1.0,  "a":2} }"#) else {
            panic!("refused");
        };
        assert_eq!(publish.data, Payload::json(r#"{"b": 1.0,  "a":2}"#));
        let Ok(Command::Publish(publish)) = parse("publish", br#"{"channel":"a","b64data":"AAEC"}"#) else {
            panic!("refused");
        };
        assert_eq!((publish.data.content, &publish.data.bytes[..]), (Content::Binary, &[0, 1, 2][..]));
    }

    #[test]
    fn a_disconnect_says_force_unless_told_otherwise() {
        let Ok(Command::Disconnect(ejection)) = parse("disconnect", br#"{"user":"1"}"#) else { panic!("refused") };
        assert_eq!(ejection.disconnect, Disconnect::FORCE);
    }
}

//! The fields of the commands as they stand in JSON.
//!
//! Keys that are not named here are skipped: newer SDKs say more. `null` is as good as absent, but
//! for the data of publish, rpc and send, where it is the JSON value. Only a removal has no data at all.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use jackfield_model::client::{Connect, Data, History, Publish, Request, Rpc, SubRefresh, Subscribe};
use jackfield_model::subscription::FilterNode;
use jackfield_model::{Content, Millis, Position};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::filter;
use crate::centrifugo::emulation::EmulationRequest;
use crate::json::{MAX_DEPTH, is_too_deep};

/// One command: an id and at most one request.
pub(super) struct Envelope<'a> {
    pub(super) id: u32,
    pub(super) request: Option<Request<'a>>,
}

/// Keys of the envelope; the requests stand in the order of their field numbers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Ping,
    Send,
    Rpc,
    Refresh,
    SubRefresh,
    #[serde(other)]
    Unknown,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor(PhantomData))
    }
}

struct EnvelopeVisitor<'a>(PhantomData<Envelope<'a>>);

impl<'de: 'a, 'a> Visitor<'de> for EnvelopeVisitor<'a> {
    type Value = Envelope<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a command object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut id = None;
        let mut seen = 0_u16;
        let mut first: Option<(Key, Request<'a>)> = None;
        while let Some(key) = map.next_key::<Key>()? {
            if key == Key::Unknown {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let bit = 1 << key as u16;
            if seen & bit != 0 {
                return Err(M::Error::custom(format_args!("the key of {key:?} stands there twice; once is enough")));
            }
            seen |= bit;
            if key == Key::Id {
                id = map.next_value::<Option<u32>>()?;
            } else if let Some(request) = request(key, &mut map)?
                && first.as_ref().is_none_or(|(other, _)| key < *other)
            {
                first = Some((key, request));
            }
        }
        Ok(Envelope { id: id.unwrap_or(0), request: first.map(|(_, request)| request) })
    }
}

/// Reads the value of a key as the request it names.
fn request<'de, M: MapAccess<'de>>(key: Key, map: &mut M) -> Result<Option<Request<'de>>, M::Error> {
    Ok(match key {
        Key::Id | Key::Unknown => None,
        Key::Connect => object::<_, ConnectFields<'_>>(map)?.map(Request::from),
        Key::Subscribe => object::<_, SubscribeFields<'_>>(map)?.map(Request::from),
        Key::Unsubscribe => object::<_, ChannelFields<'_>>(map)?.map(|fields| Request::Unsubscribe(fields.channel.0)),
        Key::Publish => match object::<_, PublishFields<'_>>(map)? {
            Some(PublishFields { data: None, removed: None | Some(false), .. }) => {
                return Err(M::Error::custom("publish has no data; any JSON value is right"));
            }
            fields => fields.map(Request::from),
        },
        Key::Presence => object::<_, ChannelFields<'_>>(map)?.map(|fields| Request::Presence(fields.channel.0)),
        Key::PresenceStats => {
            object::<_, ChannelFields<'_>>(map)?.map(|fields| Request::PresenceStats(fields.channel.0))
        }
        Key::History => object::<_, HistoryFields<'_>>(map)?.map(Request::from),
        Key::Ping => map.next_value::<Option<IgnoredAny>>()?.map(|_| Request::Ping),
        Key::Send => object::<_, SendFields<'_>>(map)?.map(|fields| Request::Send(data_or_null(fields.data))),
        Key::Rpc => object::<_, RpcFields<'_>>(map)?.map(Request::from),
        Key::Refresh => object::<_, TokenFields<'_>>(map)?.map(|fields| Request::Refresh(fields.token.0)),
        Key::SubRefresh => object::<_, SubRefreshFields<'_>>(map)?.map(Request::from),
    })
}

/// Reads what stands under `connect` in a command.
pub(super) fn connect_request(bytes: &[u8]) -> serde_json::Result<Connect<'_>> {
    serde_json::from_slice::<Strict<ConnectFields<'_>>>(bytes).map(|Strict(fields)| fields.into())
}

/// Reads the body that an emulated transport posts.
pub(in crate::centrifugo) fn emulation_request(body: &[u8]) -> serde_json::Result<EmulationRequest<'_>> {
    let Strict(EmulationFields { session, node, data }) = serde_json::from_slice(body)?;
    let data = match data.0 {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    Ok(EmulationRequest { session: session.0, node: node.0, data })
}

/// Reads an object, or `null`, and nothing else.
fn object<'de, M: MapAccess<'de>, T: Deserialize<'de>>(map: &mut M) -> Result<Option<T>, M::Error> {
    Ok(map.next_value::<Option<Strict<T>>>()?.map(|Strict(fields)| fields))
}

/// An object for sure. Why: what serde derives for a struct reads a list of the values as well.
pub(super) struct Strict<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StrictVisitor(PhantomData))
    }
}

struct StrictVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for StrictVisitor<T> {
    type Value = Strict<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Strict)
    }
}

/// A string, borrowed unless it has escapes; `null` is the empty one.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

struct TextVisitor<'a>(PhantomData<&'a str>);

impl<'de: 'a, 'a> Visitor<'de> for TextVisitor<'a> {
    type Value = Text<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.visit_string(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ChannelFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct TokenFields<'a> {
    #[serde(borrow)]
    token: Text<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct SendFields<'a> {
    #[serde(borrow, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct EmulationFields<'a> {
    #[serde(borrow)]
    session: Text<'a>,
    #[serde(borrow)]
    node: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ConnectFields<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "not_null")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    subs: Subs<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    flag: Option<i64>,
}

impl<'a> From<ConnectFields<'a>> for Connect<'a> {
    fn from(fields: ConnectFields<'a>) -> Self {
        let ConnectFields { token, data, subs, name, version, flag } = fields;
        Self {
            token: token.0,
            data: data.map(json),
            subs: subs.0,
            name: name.0,
            version: version.0,
            flag: flag.unwrap_or(0),
        }
    }
}

impl<'a> From<ConnectFields<'a>> for Request<'a> {
    fn from(fields: ConnectFields<'a>) -> Self {
        Self::Connect(fields.into())
    }
}

/// Channels with the subscriptions that a client wants from the start; `null` is none.
#[derive(Default)]
struct Subs<'a>(Vec<(Cow<'a, str>, Subscribe<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Subs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<NamedSubs<'a>>::deserialize(deserializer)?.map(|NamedSubs(subs)| Subs(subs)).unwrap_or_default())
    }
}

struct NamedSubs<'a>(Vec<(Cow<'a, str>, Subscribe<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for NamedSubs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SubsVisitor(PhantomData))
    }
}

struct SubsVisitor<'a>(PhantomData<&'a str>);

impl<'de: 'a, 'a> Visitor<'de> for SubsVisitor<'a> {
    type Value = NamedSubs<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of channels")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut subs = Vec::new();
        while let Some(channel) = map.next_key::<Text<'a>>()? {
            let fields = object::<_, SubscribeFields<'a>>(&mut map)?.unwrap_or_default();
            subs.push((channel.0, Subscribe::from(fields)));
        }
        Ok(NamedSubs(subs))
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct SubscribeFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    recover: Option<bool>,
    #[serde(borrow)]
    epoch: Text<'a>,
    offset: Option<u64>,
    positioned: Option<bool>,
    recoverable: Option<bool>,
    join_leave: Option<bool>,
    #[serde(borrow)]
    delta: Text<'a>,
    #[serde(rename = "tf", deserialize_with = "filter::read")]
    filter: Option<Box<FilterNode>>,
    #[serde(borrow, deserialize_with = "not_null")]
    data: Option<&'a RawValue>,
    flag: Option<i64>,
    #[serde(rename = "type")]
    kind: Option<i32>,
    phase: Option<i32>,
    #[serde(borrow)]
    cursor: Text<'a>,
    limit: Option<i32>,
    asc: Option<bool>,
    #[serde(borrow)]
    delivery: Text<'a>,
}

impl<'a> From<SubscribeFields<'a>> for Subscribe<'a> {
    fn from(fields: SubscribeFields<'a>) -> Self {
        Self {
            channel: fields.channel.0,
            token: fields.token.0,
            recover: fields.recover.unwrap_or(false),
            since: position(fields.offset, &fields.epoch),
            recoverable: fields.recoverable.unwrap_or(false),
            positioned: fields.positioned.unwrap_or(false),
            join_leave: fields.join_leave.unwrap_or(false),
            kind: number(fields.kind),
            phase: number(fields.phase),
            cursor: fields.cursor.0,
            limit: fields.limit.map_or(0, |limit| limit.max(0).unsigned_abs()),
            asc: fields.asc.unwrap_or(false),
            delta: fields.delta.0,
            filter: fields.filter,
            data: fields.data.map(json),
            delivery: fields.delivery.0,
            aggregate: None,
            flag: fields.flag.unwrap_or(0),
        }
    }
}

impl<'a> From<SubscribeFields<'a>> for Request<'a> {
    fn from(fields: SubscribeFields<'a>) -> Self {
        Self::Subscribe(fields.into())
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct SubRefreshFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(rename = "type")]
    kind: Option<i32>,
}

impl<'a> From<SubRefreshFields<'a>> for Request<'a> {
    fn from(fields: SubRefreshFields<'a>) -> Self {
        let SubRefreshFields { channel, token, kind } = fields;
        Self::SubRefresh(SubRefresh { channel: channel.0, token: token.0, kind: number(kind) })
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct PublishFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
    #[serde(rename = "type")]
    kind: Option<i32>,
    #[serde(borrow)]
    key: Text<'a>,
    removed: Option<bool>,
}

impl<'a> From<PublishFields<'a>> for Request<'a> {
    fn from(fields: PublishFields<'a>) -> Self {
        let PublishFields { channel, data, kind, key, removed } = fields;
        Self::Publish(Publish {
            channel: channel.0,
            data: data.map(json).unwrap_or_default(),
            kind: number(kind),
            key: key.0,
            removed: removed.unwrap_or(false),
        })
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RpcFields<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
}

impl<'a> From<RpcFields<'a>> for Request<'a> {
    fn from(fields: RpcFields<'a>) -> Self {
        Self::Rpc(Rpc { method: fields.method.0, data: data_or_null(fields.data) })
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct HistoryFields<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    limit: Option<i32>,
    #[serde(borrow)]
    since: Option<Strict<SinceFields<'a>>>,
    reverse: Option<bool>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct SinceFields<'a> {
    offset: Option<u64>,
    #[serde(borrow)]
    epoch: Text<'a>,
    time: Option<Millis>,
}

impl<'a> From<HistoryFields<'a>> for Request<'a> {
    fn from(fields: HistoryFields<'a>) -> Self {
        Self::History(History {
            channel: fields.channel.0,
            limit: fields.limit.unwrap_or(0),
            from: fields.since.as_ref().and_then(|Strict(since)| since.time),
            since: fields.since.map(|Strict(since)| position(since.offset, &since.epoch)),
            reverse: fields.reverse.unwrap_or(false),
        })
    }
}

/// Takes `null` as the value it is.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    shallow(<&RawValue>::deserialize(deserializer)?).map(Some)
}

/// Takes `null` as absent.
fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Option::<&RawValue>::deserialize(deserializer)?.map(shallow).transpose()
}

fn shallow<E: Error>(raw: &RawValue) -> Result<&RawValue, E> {
    if is_too_deep(raw.get().as_bytes()) {
        return Err(E::custom(format_args!("data may nest {MAX_DEPTH} levels deep, not deeper")));
    }
    Ok(raw)
}

fn json(raw: &RawValue) -> Data<'_> {
    Data { bytes: raw.get().as_bytes(), content: Content::Json }
}

/// Absent data is `null`, because data that calls itself JSON must be JSON.
fn data_or_null(raw: Option<&RawValue>) -> Data<'_> {
    raw.map_or(Data { bytes: b"null", content: Content::Json }, json)
}

/// The protocol's numbers have a sign, but mean nothing below zero; what has one becomes a number that nobody knows.
fn number(number: Option<i32>) -> u32 {
    number.unwrap_or(0) as u32
}

fn position(offset: Option<u64>, epoch: &Text<'_>) -> Position {
    let epoch = if epoch.0.is_empty() { Arc::default() } else { Arc::from(&*epoch.0) };
    Position { offset: offset.unwrap_or(0), epoch }
}

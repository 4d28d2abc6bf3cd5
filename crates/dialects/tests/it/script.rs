//! Reads and writes the model's words as they stand in the transcripts.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::centrifugo::emulation::EmulationRequest;
use jackfield_model::client::{
    Answer, Command, Connect, Connected, Data, Form, History, HistoryPage, PresenceStats, Publish, Push, Refreshed,
    Reply, Request, SubRefresh, Subscribe, Subscribed, Unsubscribed,
};
use jackfield_model::publication::Rare;
use jackfield_model::subscription::FilterNode;
use jackfield_model::{ClientError, ClientId, ClientInfo, Content, Disconnect, Payload, Position, Publication};
use serde_json::{Map, Value, json};

const VERSION: &str = "jackfield";

/// A command as a transcript tells it.
pub(crate) fn told(command: &Command<'_>) -> Value {
    let (name, value) = match &command.request {
        Request::Connect(connect) => ("connect", told_connect(connect)),
        Request::History(history) => ("history", told_history(history)),
        Request::Ping => ("ping", json!({})),
        Request::Pong => ("pong", json!({})),
        Request::Presence(channel) => ("presence", json!(channel)),
        Request::PresenceStats(channel) => ("presence_stats", json!(channel)),
        Request::Publish(publish) => ("publish", told_publish(publish)),
        Request::Refresh(token) => ("refresh", json!(token)),
        Request::Rpc(rpc) => ("rpc", full([("method", json!(rpc.method)), ("data", text(rpc.data))])),
        Request::Send(data) => ("send", text(*data)),
        Request::Subscribe(subscribe) => ("subscribe", told_subscribe(subscribe)),
        Request::SubRefresh(refresh) => ("sub_refresh", told_sub_refresh(refresh)),
        Request::Unsubscribe(channel) => ("unsubscribe", json!(channel)),
    };
    let mut told = full([("id", json!(command.id))]);
    told[name] = value;
    told
}

pub(crate) fn told_connect(connect: &Connect<'_>) -> Value {
    let subs: Map<String, Value> =
        connect.subs.iter().map(|(channel, sub)| (channel.clone().into_owned(), told_subscribe(sub))).collect();
    full([
        ("token", json!(connect.token)),
        ("data", connect.data.map_or(Value::Null, text)),
        ("subs", if subs.is_empty() { Value::Null } else { Value::Object(subs) }),
        ("name", json!(connect.name)),
        ("version", json!(connect.version)),
        ("flag", json!(connect.flag)),
    ])
}

/// An emulation request as a transcript tells it.
pub(crate) fn told_emulation(request: &EmulationRequest<'_>) -> Value {
    full([
        ("session", json!(request.session)),
        ("node", json!(request.node)),
        ("data", json!(std::str::from_utf8(&request.data).unwrap())),
    ])
}

fn told_history(history: &History<'_>) -> Value {
    let since =
        history.since.as_ref().map(|since| full([("offset", json!(since.offset)), ("epoch", json!(&*since.epoch))]));
    full([
        ("channel", json!(history.channel)),
        ("limit", json!(history.limit)),
        ("since", json!(since)),
        ("from", json!(history.from)),
        ("reverse", json!(history.reverse)),
    ])
}

fn told_publish(publish: &Publish<'_>) -> Value {
    full([
        ("channel", json!(publish.channel)),
        ("data", text(publish.data)),
        ("kind", json!(publish.kind)),
        ("key", json!(publish.key)),
        ("removed", json!(publish.removed)),
    ])
}

fn told_sub_refresh(refresh: &SubRefresh<'_>) -> Value {
    full([("channel", json!(refresh.channel)), ("token", json!(refresh.token)), ("kind", json!(refresh.kind))])
}

fn told_subscribe(subscribe: &Subscribe<'_>) -> Value {
    full([
        ("channel", json!(subscribe.channel)),
        ("token", json!(subscribe.token)),
        ("recover", json!(subscribe.recover)),
        ("epoch", json!(&*subscribe.since.epoch)),
        ("offset", json!(subscribe.since.offset)),
        ("positioned", json!(subscribe.positioned)),
        ("recoverable", json!(subscribe.recoverable)),
        ("join_leave", json!(subscribe.join_leave)),
        ("delta", json!(subscribe.delta)),
        ("filter", subscribe.filter.as_deref().map_or(Value::Null, told_filter)),
        ("data", subscribe.data.map_or(Value::Null, text)),
        ("kind", json!(subscribe.kind)),
        ("phase", json!(subscribe.phase)),
        ("cursor", json!(subscribe.cursor)),
        ("limit", json!(subscribe.limit)),
        ("asc", json!(subscribe.asc)),
        ("delivery", json!(subscribe.delivery)),
        ("flag", json!(subscribe.flag)),
    ])
}

fn told_filter(node: &FilterNode) -> Value {
    full([
        ("op", json!(node.op)),
        ("key", json!(node.key)),
        ("cmp", json!(node.cmp)),
        ("val", json!(node.val)),
        ("vals", json!(node.vals)),
        ("nodes", node.nodes.iter().map(told_filter).collect()),
    ])
}

/// An object without the values that are zero.
fn full<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let zeros = [json!(""), json!(0), json!(false), json!([]), Value::Null];
    let pairs = pairs.into_iter().filter(|(_, value)| !zeros.contains(value));
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(data: Data<'_>) -> Value {
    match data.content {
        Content::Binary => json!({"binary": data.bytes}),
        Content::Json | Content::Text => json!(std::str::from_utf8(data.bytes).unwrap()),
    }
}

/// The reply a transcript tells of.
pub(crate) fn reply(value: &Value) -> Reply {
    let map = value.as_object().unwrap();
    let (name, body) = map.iter().find(|(name, _)| *name != "id").unwrap();
    let id = u32::try_from(number(value, "id")).unwrap();
    if name == "error" {
        let error = ClientError {
            code: u32::try_from(number(body, "code")).unwrap(),
            message: Cow::Owned(string(body, "message").to_owned()),
            temporary: flag(body, "temporary"),
        };
        return Reply { id, outcome: Err(error) };
    }
    let answer = match name.as_str() {
        "connect" => Answer::Connect(Box::new(connected(body))),
        "history" => Answer::History(HistoryPage {
            publications: list(body, "publications").iter().map(|one| Arc::new(publication(one))).collect(),
            position: place(body),
        }),
        "ping" => Answer::Ping,
        "presence" => Answer::Presence(body.as_array().unwrap().iter().map(|one| Arc::new(info(one))).collect()),
        "presence_stats" => Answer::PresenceStats(PresenceStats {
            num_clients: u32::try_from(number(body, "num_clients")).unwrap(),
            num_users: u32::try_from(number(body, "num_users")).unwrap(),
        }),
        "publish" => Answer::Publish,
        "refresh" => Answer::Refresh(Refreshed { client: client(body), version: VERSION, ttl: body["ttl"].as_u64() }),
        "rpc" => Answer::Rpc(payload(body)),
        "send" => Answer::Send,
        "subscribe" => Answer::Subscribe(Box::new(subscribed(body))),
        "sub_refresh" => Answer::SubRefresh(body["ttl"].as_u64()),
        "unsubscribe" => Answer::Unsubscribe,
        other => panic!("no reply is called {other}"),
    };
    Reply { id, outcome: Ok(answer) }
}

fn connected(body: &Value) -> Connected {
    let subs = body["subs"].as_object().into_iter().flatten();
    Connected {
        client: client(body),
        version: VERSION,
        ttl: body["ttl"].as_u64(),
        data: body.get("data").map(payload),
        subs: subs.map(|(channel, sub)| (Arc::from(channel.as_str()), subscribed(sub))).collect(),
        ping_seconds: u32::try_from(number(body, "ping_seconds")).unwrap(),
        pong: flag(body, "pong"),
        session: body["session"].as_str().map(str::to_owned),
        node: body["node"].as_str().map(Arc::from),
        time: body["time"].as_u64(),
    }
}

fn subscribed(body: &Value) -> Subscribed {
    Subscribed {
        position: body.get("epoch").map(|_| place(body)),
        recoverable: flag(body, "recoverable"),
        positioned: flag(body, "positioned"),
        was_recovering: flag(body, "was_recovering"),
        recovered: flag(body, "recovered"),
        publications: list(body, "publications").iter().map(|one| Arc::new(publication(one))).collect(),
        data: body.get("data").map(payload),
        ttl: body["ttl"].as_u64(),
        delta: flag(body, "delta"),
        patches: list(body, "patches").iter().map(|patch| patch.as_str().map(bytes)).collect(),
        kind: u32::try_from(number(body, "kind")).unwrap(),
        phase: u32::try_from(number(body, "phase")).unwrap(),
        cursor: string(body, "cursor").to_owned(),
        state: list(body, "state").iter().map(|one| Arc::new(publication(one))).collect(),
    }
}

/// The push a transcript tells of.
pub(crate) fn push(value: &Value) -> Push {
    let channel = Arc::from(string(value, "channel"));
    if let Some(body) = value.get("connect") {
        return Push::Connect(Box::new(connected(body)));
    }
    if let Some(body) = value.get("disconnect") {
        return Push::Disconnect(Disconnect {
            code: u16::try_from(number(body, "code")).unwrap(),
            reason: Cow::Owned(string(body, "reason").to_owned()),
        });
    }
    if let Some(body) = value.get("delta") {
        let form = body["patch"].as_str().map_or(Form::Whole, |patch| Form::Patch(bytes(patch)));
        Push::Delta(channel, Arc::new(publication(body)), form)
    } else if let Some(body) = value.get("refresh") {
        Push::Refresh(body["ttl"].as_u64())
    } else if let Some(body) = value.get("subscribe") {
        Push::Subscribe(channel, Box::new(subscribed(body)))
    } else if let Some(body) = value.get("unsubscribe") {
        let code = u32::try_from(number(body, "code")).unwrap();
        Push::Unsubscribe(channel, Unsubscribed { code, reason: string(body, "reason").to_owned().into() })
    } else if let Some(body) = value.get("join") {
        Push::Join(channel, Arc::new(info(body)))
    } else if let Some(body) = value.get("leave") {
        Push::Leave(channel, Arc::new(info(body)))
    } else if let Some(body) = value.get("message") {
        Push::Message(payload(body))
    } else {
        Push::Publication(channel, Arc::new(publication(&value["publication"])))
    }
}

fn publication(value: &Value) -> Publication {
    let tags = |map: &Map<String, Value>| {
        let pairs = map.iter().map(|(key, tag)| (key.clone(), tag.as_str().unwrap().to_owned()));
        Arc::new(pairs.collect())
    };
    Publication {
        offset: number(value, "offset"),
        data: payload(&value["data"]),
        info: value.get("info").map(|one| Arc::new(info(one))),
        tags: value["tags"].as_object().map(tags),
        time: number(value, "time"),
        rare: rare(value).map(Box::new),
    }
}

/// What few publications have; `None` where it has nothing of it.
fn rare(value: &Value) -> Option<Rare> {
    ["key", "removed", "score", "epoch", "version"].iter().any(|name| value.get(name).is_some()).then(|| Rare {
        key: value["key"].as_str().map(Arc::from),
        removed: flag(value, "removed"),
        score: value["score"].as_i64().unwrap_or(0),
        epoch: value["epoch"].as_str().map(Arc::from),
        version: number(value, "version"),
    })
}

fn info(value: &Value) -> ClientInfo {
    let bytes = |name| value.get(name).map(|_| bytes(string(value, name)));
    ClientInfo {
        user: Arc::from(string(value, "user")),
        client: client(value),
        conn_info: bytes("conn_info"),
        chan_info: bytes("chan_info"),
    }
}

fn payload(value: &Value) -> Payload {
    if let Some(json) = value["json"].as_str() {
        Payload::json(json.to_owned())
    } else if let Some(text) = value["text"].as_str() {
        Payload::text(text.to_owned())
    } else {
        let bytes = list(value, "binary").iter().map(|byte| u8::try_from(byte.as_u64().unwrap()));
        Payload::binary(bytes.collect::<Result<Vec<u8>, _>>().unwrap())
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn place(value: &Value) -> Position {
    Position { offset: number(value, "offset"), epoch: Arc::from(string(value, "epoch")) }
}

fn client(value: &Value) -> ClientId {
    string(value, "client").parse().unwrap()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn string<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or("")
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn flag(value: &Value, name: &str) -> bool {
    value[name].as_bool().unwrap_or(false)
}

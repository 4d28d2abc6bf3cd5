//! The application of a transcript: what it does, what it answers, and what it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::app::{
    Answer, Block, Command, ConnectAnswer, Ejection, Event, EventKind, InvalidTokens, Publish, PublishAnswer,
    PublishMore, Refresh, RefreshAnswer, Revocation, Send, Subscribe, Target, Unsubscribe,
};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientError, Disconnect, Grant, Overrides, Payload, Position};
use serde_json::{Value, json};

use super::bag::Bag;

/// Reads `{"method": {...}}` of the server's API.
pub(super) fn command(value: &Value) -> Command {
    let (method, payload) = value.as_object().and_then(|map| map.iter().next()).unwrap();
    let mut bag = Bag::new(method, payload);
    let command = match method.as_str() {
        "block_user" => Command::BlockUser(Block { user: user(&mut bag), expire_at: bag.number("expire_at") }),
        "disconnect" => Command::Disconnect(Ejection {
            target: target(&mut bag),
            whitelist: Vec::new(),
            disconnect: disconnect(bag.value("disconnect").as_ref()),
        }),
        "history_remove" => Command::HistoryRemove(channel(&mut bag)),
        "invalidate_user_tokens" => Command::InvalidateUserTokens(InvalidTokens {
            user: user(&mut bag),
            issued_before: bag.number("issued_before").unwrap() * 1000,
            expire_at: None,
            renew: bag.flag("renew"),
        }),
        "map_clear" => Command::MapClear(channel(&mut bag)),
        "map_publish" => Command::MapPublish(publish(&mut bag)),
        "map_remove" => Command::MapRemove(publish(&mut bag)),
        "publish" => Command::Publish(publish(&mut bag)),
        "refresh" => Command::Refresh(Refresh {
            target: target(&mut bag),
            expired: bag.flag("expired"),
            expire_at: bag.number("expire_at"),
            info: bag.value("info").map(bytes),
        }),
        "revoke_token" => Command::RevokeToken(Revocation {
            uid: bag.text("uid").unwrap(),
            expire_at: None,
            renew: bag.flag("renew"),
        }),
        "send" => Command::Send(Send { user: user(&mut bag), data: data(&mut bag).unwrap() }),
        "subscribe" => Command::Subscribe(Subscribe {
            target: target(&mut bag),
            channel: channel(&mut bag),
            recover_since: position(bag.bag("recover_since")),
            grant: grant(&mut bag),
        }),
        "unsubscribe" => Command::Unsubscribe(Unsubscribe {
            target: target(&mut bag),
            channel: channel(&mut bag),
            unsubscribed: Unsubscribed::SERVER,
        }),
        other => panic!("no method is called {other:?} here"),
    };
    bag.end();
    command
}

fn user(bag: &mut Bag) -> Arc<str> {
    bag.text("user").unwrap().into()
}

fn channel(bag: &mut Bag) -> Arc<str> {
    bag.text("channel").unwrap().into()
}

fn target(bag: &mut Bag) -> Target {
    let id = |text: Option<String>| text.map(|text| text.parse().unwrap());
    Target { user: bag.text("user").map(Arc::from), client: id(bag.text("client")), session: id(bag.text("session")) }
}

fn bytes(value: Value) -> Bytes {
    value.to_string().into()
}

fn data(bag: &mut Bag) -> Option<Payload> {
    bag.value("data").map(|value| Payload::json(value.to_string()))
}

fn tags(bag: &mut Bag) -> Option<Arc<BTreeMap<String, String>>> {
    let text = |value: Value| value.as_str().unwrap().to_owned();
    let tags: BTreeMap<String, String> = bag.pairs("tags").into_iter().map(|(key, tag)| (key, text(tag))).collect();
    (!tags.is_empty()).then(|| Arc::new(tags))
}

fn position(mut bag: Bag) -> Option<Position> {
    let position = Position { offset: bag.number("offset")?, epoch: bag.text("epoch").unwrap_or_default().into() };
    bag.end();
    Some(position)
}

fn publish(bag: &mut Bag) -> Publish {
    let more = PublishMore {
        delta: bag.flag("delta"),
        key: bag.text("key").unwrap_or_default(),
        score: bag.number("score").map_or(0, |score| i64::try_from(score).unwrap()),
        ..PublishMore::default()
    };
    Publish {
        channel: channel(bag),
        data: data(bag).unwrap_or_default(),
        tags: tags(bag),
        more: (more != PublishMore::default()).then(|| Box::new(more)),
        ..Publish::default()
    }
}

fn grant(bag: &mut Bag) -> Grant {
    let mut overrides = bag.bag("override");
    let mut says = |key: &str| {
        let mut one = overrides.bag(key);
        let value = one.choice("value");
        one.end();
        value
    };
    let granted = Overrides {
        presence: says("presence"),
        join_leave: says("join_leave"),
        force_recovery: says("force_recovery"),
        force_positioning: says("force_positioning"),
        force_push_join_leave: says("force_push_join_leave"),
        publish: says("publish"),
    };
    overrides.end();
    Grant {
        info: bag.value("info").map(bytes),
        data: data(bag),
        expire_at: bag.number("expire_at"),
        overrides: granted,
    }
}

fn disconnect(value: Option<&Value>) -> Disconnect {
    let Some(value) = value else { return Disconnect::FORCE };
    let mut bag = Bag::new("disconnect", value);
    let code = u16::try_from(bag.number("code").unwrap()).unwrap();
    let disconnect = Disconnect { code, reason: bag.text("reason").unwrap().into() };
    bag.end();
    disconnect
}

/// Reads the answer to a question of some kind.
pub(super) fn answer(kind: EventKind, value: &Value) -> Answer {
    let mut bag = Bag::new("an answer", value);
    let answer = if let Some(mut error) = bag.value("error").map(|error| Bag::new("error", &error)) {
        let code = u32::try_from(error.number("code").unwrap()).unwrap();
        let message = error.text("message").unwrap().into();
        let temporary = error.flag("temporary");
        error.end();
        Answer::Error(ClientError { code, message, temporary })
    } else if let Some(value) = bag.value("disconnect") {
        Answer::Disconnect(disconnect(Some(&value)))
    } else if bag.flag("enqueued") {
        Answer::Enqueued
    } else if bag.flag("silence") {
        // What the bridge says at the deadline.
        Answer::Error(ClientError::INTERNAL)
    } else if bag.flag("no_queue") {
        // What the bridge says while the queue is down.
        Answer::Error(ClientError::temporary(111, "the queue to the application is not available"))
    } else {
        result(kind, bag.bag("result"))
    };
    bag.end();
    answer
}

fn result(kind: EventKind, mut bag: Bag) -> Answer {
    let answer = match kind {
        EventKind::Connect => Answer::Connect(ConnectAnswer {
            user: bag.text("user").unwrap_or_default().into(),
            info: bag.value("info").map(bytes),
            data: data(&mut bag),
            meta: None,
            expire_at: bag.number("expire_at"),
            token_id: None,
            subs: bag
                .pairs("subs")
                .into_iter()
                .map(|(channel, value)| {
                    let mut bag = Bag::new(&channel, &value);
                    let granted = (Arc::from(channel.as_str()), grant(&mut bag));
                    bag.end();
                    granted
                })
                .collect(),
        }),
        EventKind::Publish => {
            let answer = PublishAnswer { data: data(&mut bag), tags: tags(&mut bag), ..PublishAnswer::default() };
            Answer::Publish(Box::new(answer))
        }
        EventKind::Refresh | EventKind::SubRefresh => Answer::Refresh(RefreshAnswer {
            expired: bag.flag("expired"),
            expire_at: bag.number("expire_at"),
            info: bag.value("info").map(bytes),
        }),
        EventKind::Rpc => Answer::Rpc(data(&mut bag).unwrap()),
        EventKind::Subscribe => Answer::Subscribe(grant(&mut bag)),
        EventKind::Disconnect
        | EventKind::Message
        | EventKind::NodeLost
        | EventKind::NoticesLost
        | EventKind::Occupied
        | EventKind::Undelivered
        | EventKind::Unsubscribe
        | EventKind::Vacated => panic!("{} has no result", kind.name()),
    };
    bag.end();
    answer
}

/// What the application is shown of an event: `{"kind": {...}}`.
pub(super) fn shown(event: &Event) -> Value {
    let mut body = json!({});
    if let Some(channel) = &event.channel {
        body["channel"] = json!(&**channel);
    }
    match event.kind {
        EventKind::Rpc => body["method"] = json!(event.name),
        EventKind::Publish if !event.name.is_empty() => body["key"] = json!(event.name),
        _ => {}
    }
    if !matches!(event.kind, EventKind::Refresh | EventKind::SubRefresh) {
        body["data"] = serde_json::from_slice(&event.data.bytes).unwrap();
    }
    json!({ event.kind.name(): body })
}

//! Commands, events and errors in the words of AMQP.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use jackfield_bridge::{Delivery, QueueError, Receipt};
use jackfield_model::app::Event;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, ErrorKind};

use crate::event_fields::{self, Sender};

/// Survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;
/// Where answers come without a queue of their own.
pub(super) const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// Whether an ask may have its reply there. Why: anything else would let a command write into any queue.
pub(super) fn takes_reply(address: &str) -> bool {
    address
        .strip_prefix(DIRECT_REPLY)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|rest| !rest.is_empty() && address.len() <= 255)
}

/// The properties of an event; all fields that have no property of their own are headers.
pub(super) fn event_properties(event: &Event, node: &str) -> BasicProperties {
    let id = ShortString::from(event.id.to_string());
    let mut properties = BasicProperties::default()
        .with_message_id(id.clone())
        .with_type(event.kind.name().into())
        .with_delivery_mode(PERSISTENT);
    if event.deadline.is_some() {
        properties = properties.with_reply_to(DIRECT_REPLY.into()).with_correlation_id(id);
    }
    let mut headers = FieldTable::default();
    for (name, value) in event_fields::of(event, Sender { node, answers: DIRECT_REPLY }) {
        if !matches!(name, "id" | "type" | "data" | "reply_to") {
            headers.insert(name.into(), text(value));
        }
    }
    properties.with_headers(headers)
}

/// The properties of a dead letter.
pub(super) fn dead_properties(delivery: &Delivery, reason: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("reason".into(), text(Cow::Borrowed(reason.as_bytes())));
    BasicProperties::default()
        .with_message_id(short(&delivery.id))
        .with_type(short(&delivery.method))
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(seconds())
        .with_headers(headers)
}

/// When a letter is written: whoever puts it back must know how long the server remembers its id.
fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The properties of a reply; the asker knows it by the id of its command.
pub(super) fn reply_properties(delivery: &Delivery) -> BasicProperties {
    BasicProperties::default().with_correlation_id(short(&delivery.id))
}

/// A command as it came.
pub(super) fn delivery(partition: u32, generation: u32, came: lapin::message::Delivery) -> Delivery {
    let text = |property: &Option<ShortString>| property.as_ref().map_or_else(String::new, ToString::to_string);
    let properties = &came.properties;
    Delivery {
        receipt: Receipt { partition, generation, number: (came.delivery_tag, 0) },
        id: text(properties.message_id()),
        method: text(properties.kind()),
        reply_to: text(properties.reply_to()),
        again: came.redelivered,
        payload: Bytes::from(came.data),
    }
}

/// What an error means to the caller. The texts come from the client or the broker and hold no password.
pub(crate) fn classify(error: &lapin::Error) -> QueueError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(
                AMQPSoftError::ACCESSREFUSED | AMQPSoftError::NOTFOUND | AMQPSoftError::PRECONDITIONFAILED,
            ) => QueueError::Refused(text),
            // What closes a connection comes with a restart, as what says that a queue has no leader.
            AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => QueueError::Unreachable(text),
        },
        ErrorKind::AuthProviderError(_) | ErrorKind::InvalidProtocolVersion(_) => QueueError::Refused(text),
        _ => QueueError::Unreachable(text),
    }
}

fn text(value: Cow<'_, [u8]>) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value.into_owned()))
}

/// What came as a property goes back as one; it is never longer than a property may be.
fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::from(&text[..end])
}

#[cfg(test)]
mod tests {
    use jackfield_model::app::{EventKind, Origin};
    use jackfield_model::{Payload, Uuid};

    use super::*;

    #[test]
    fn replies_go_to_direct_addresses_only() {
        assert!(takes_reply("amq.rabbitmq.reply-to.g2dkABBy.x=="));
        for refused in ["", "secrets", "amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to."] {
            assert!(!takes_reply(refused), "{refused}");
        }
        assert!(!takes_reply(&format!("amq.rabbitmq.reply-to.{}", "x".repeat(255))));
    }

    #[test]
    fn an_event_is_properties_headers_and_a_body() {
        let event = Event {
            id: Uuid::nil(),
            kind: EventKind::Rpc,
            origin: Origin { client: Uuid::from_u128(1), ..Origin::default() },
            channel: None,
            name: "rename".to_owned(),
            data: Payload::json("{}"),
            seq: 3,
            time: 7,
            deadline: Some(9),
            hello: None,
        };
        let properties = event_properties(&event, "n1");
        let id = Uuid::nil().to_string();
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
        assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), id);
        assert_eq!(properties.kind().as_ref().unwrap().as_str(), "rpc");
        assert_eq!(properties.reply_to().as_ref().unwrap().as_str(), DIRECT_REPLY);
        assert_eq!(properties.delivery_mode(), &Some(PERSISTENT));
        let headers = properties.headers().as_ref().unwrap().inner();
        let names: Vec<&str> = headers.keys().map(ShortString::as_str).collect();
        let wanted = ["call", "client", "content", "deadline", "event", "node", "seq", "time", "v"];
        assert_eq!(names, wanted);
        assert_eq!(headers["seq"], AMQPValue::LongString("3".into()));
        assert_eq!(short(&"é".repeat(200)).as_str().len(), 254);
    }
}

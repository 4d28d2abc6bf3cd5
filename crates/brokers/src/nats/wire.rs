//! Commands, events and errors in the words of NATS: subjects, headers, bodies.

use std::error::Error;
use std::fmt::Write as _;

use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, HeaderValue};
use jackfield_bridge::{Delivery, QueueError, Receipt};
use jackfield_model::app::Event;

use crate::event_fields::{self, Sender};

/// By this header JetStream knows a message again.
pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The names of streams and subjects.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A subject: what follows the prefix.
    pub(super) fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    /// The commands of a partition.
    pub(super) fn commands(&self, partition: u32) -> String {
        self.subject(&format!("commands.{partition}"))
    }

    /// The events of a partition.
    pub(super) fn events(&self, partition: u32) -> String {
        self.subject(&format!("events.{partition}"))
    }

    /// Where a node hears answers.
    pub(super) fn answers(&self, node: &str) -> String {
        self.subject(&format!("answers.{node}"))
    }

    /// The name of a stream or bucket, which may hold no dot.
    pub(super) fn stream(&self, what: &str) -> String {
        format!("{}_{what}", self.prefix.replace('.', "_"))
    }

    /// Whether an ask may have its reply there. Why: anything else would let a command write into any stream.
    pub(super) fn takes_reply(&self, subject: &str) -> bool {
        let own = self.subject("replies.");
        let rest = subject.strip_prefix("_INBOX.").or_else(|| subject.strip_prefix(&own));
        let is_token = |token: &str| {
            !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>'))
        };
        rest.is_some_and(|rest| rest.len() <= 255 && rest.split('.').all(is_token))
    }
}

/// An event: all fields but its data are headers.
pub(super) fn event_headers(event: &Event, sender: Sender<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, event.id.to_string());
    for (name, value) in event_fields::of(event, sender) {
        if name != "data" {
            headers.insert(name, encoded(&value));
        }
    }
    headers
}

/// A dead letter: its body is the payload.
pub(super) fn dead_headers(delivery: &Delivery, reason: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [("reason", reason), ("id", &delivery.id), ("method", &delivery.method)] {
        headers.insert(name, encoded(value.as_bytes()));
    }
    headers
}

/// A command as it came.
pub(super) fn delivery(receipt: Receipt, message: async_nats::Message) -> Delivery {
    let text = |name: &str| {
        let value = message.headers.as_ref().and_then(|headers| headers.get(name));
        value.map_or_else(String::new, |value| decoded(value.as_str()))
    };
    Delivery {
        receipt,
        id: text("id"),
        method: text("method"),
        reply_to: text("reply_to"),
        again: false,
        payload: message.payload.clone(),
    }
}

/// A header's value: percent-encoded, because a line may end in none of them and clients differ about what is no ASCII.
pub(super) fn encoded(value: &[u8]) -> HeaderValue {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        match byte {
            b'%' => text.push_str("%25"),
            0x21..=0x7e => text.push(char::from(*byte)),
            // Writing into a text never fails.
            _ => _ = write!(text, "%{byte:02X}"),
        }
    }
    HeaderValue::from(text)
}

/// What is no encoding stays as it is.
pub(super) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// What became of an event that JetStream was to keep.
pub(super) fn kept(result: Result<PublishAck, PublishError>) -> Result<(), QueueError> {
    let Err(error) = result else { return Ok(()) };
    let text = chain(&error);
    if text.contains("maximum messages") || text.contains("maximum bytes") || text.contains("resource limits") {
        return Err(QueueError::Full(text));
    }
    if text.contains("max_payload") || text.contains("maximum payload") || text.contains("exceeds") {
        return Err(QueueError::Refused(text));
    }
    Err(QueueError::Unreachable(text))
}

/// An error of declaring: what JetStream said is meant, all else is a server that is not there.
pub(super) fn refused(error: &(dyn Error + 'static)) -> QueueError {
    let text = chain(error);
    if text.contains("not enabled") {
        return QueueError::Refused(format!("{text}; switch JetStream on in the server's settings: jetstream {{}}"));
    }
    if text.contains("different configuration") || text.contains("subjects overlap") {
        return QueueError::Refused(format!(
            "{text}; app_link.prefix and app_link.max_backlog are the same on all sides"
        ));
    }
    QueueError::Unreachable(text)
}

/// An error with what is behind it.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_header() {
        for text in ["plain", "a\r\nQUIT\r\n", "\0", " é \u{1F600}%2f%", "%zz"] {
            let value = encoded(text.as_bytes());
            assert!(value.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
            assert_eq!(decoded(value.as_str()), text);
        }
        assert_eq!((decoded("100%"), decoded("%é")), ("100%".to_owned(), "%é".to_owned()));
    }

    #[test]
    fn replies_go_to_inboxes_only() {
        let names = Names::new("jackfield");
        for taken in ["_INBOX.a.b", "jackfield.replies.1"] {
            assert!(names.takes_reply(taken), "{taken}");
        }
        for refused in ["", "_INBOX.", "_INBOX.>", "_INBOX.a b", "_INBOX.a..b", "jackfield.events.0", "$JS.API.INFO"] {
            assert!(!names.takes_reply(refused), "{refused}");
        }
        assert_eq!(Names::new("a.b").stream("events"), "a_b_events");
    }
}

//! An event as the flat fields of the app link; Redis writes them into a stream entry, RabbitMQ into properties and headers.

use std::borrow::Cow;

use jackfield_model::app::{Event, EventKind, Hello};

/// What a raw endpoint's message is called when the endpoint gives it no name.
const DEFAULT_MESSAGE: &str = "message";

/// One field of an event: a name of `spec/app-link.md` and bytes that are never empty.
pub(crate) type Field<'a> = (&'static str, Cow<'a, [u8]>);

/// Who sends: what an event itself does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    /// The id of the node.
    pub(crate) node: &'a str,
    /// Where answers to calls go.
    pub(crate) answers: &'a str,
}

/// The fields in the order of the specification. Absent means empty, so empty ones are left out.
pub(crate) fn of<'a>(event: &'a Event, sender: Sender<'a>) -> Vec<Field<'a>> {
    let origin = &event.origin;
    let hello = event.hello.as_deref();
    let mut fields: Vec<Field<'a>> = Vec::with_capacity(23);
    let mut put = |name: &'static str, value: Cow<'a, [u8]>| {
        if !value.is_empty() {
            fields.push((name, value));
        }
    };
    put("v", text("1"));
    put("id", owned(event.id));
    put("type", text(event.kind.name()));
    if event.deadline.is_some() {
        put("call", text("1"));
    }
    // Of a lost node another one tells.
    let is_loss = event.kind == EventKind::NodeLost;
    put("node", text(if is_loss { &event.name } else { sender.node }));
    if !origin.client.is_nil() {
        put("client", owned(origin.client));
    }
    put("user", text(&origin.user));
    put("channel", text(event.channel.as_deref().unwrap_or_default()));
    put("event", text(name(event)));
    put("content", text(event.data.content.name()));
    put("data", Cow::Borrowed(&event.data.bytes));
    if event.seq != 0 {
        put("seq", owned(event.seq));
    }
    put("time", owned(event.time));
    if let Some(deadline) = event.deadline {
        put("deadline", owned(deadline));
        put("reply_to", text(sender.answers));
    }
    put("meta", Cow::Borrowed(origin.meta.as_deref().unwrap_or_default()));
    put("token", text(hello.map_or("", |hello| &hello.token)));
    put("name", text(hello.map_or("", |hello| &hello.name)));
    put("version", text(hello.map_or("", |hello| &hello.version)));
    put("channels", channels(hello));
    put("transport", text(origin.transport));
    put("protocol", text(origin.protocol));
    put("remote", text(&origin.remote));
    put("listener", text(&origin.listener));
    fields
}

/// The partition of an event: all that comes from one connection shares it and so stays in order; what is about a channel
/// and no connection goes with its channel.
pub(crate) fn partition(event: &Event, partitions: u32) -> u32 {
    if event.origin.client.is_nil() {
        let key = event.channel.as_deref().unwrap_or(&event.origin.user);
        return crc32fast::hash(key.as_bytes()) % partitions.max(1);
    }
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    let client = event.origin.client.hyphenated().encode_lower(&mut buffer);
    crc32fast::hash(client.as_bytes()) % partitions.max(1)
}

fn name(event: &Event) -> &str {
    match event.kind {
        EventKind::Message if event.name.is_empty() => DEFAULT_MESSAGE,
        EventKind::NodeLost => "",
        _ => &event.name,
    }
}

/// A JSON list, because a channel's name may hold any character that a list could be parted with.
fn channels(hello: Option<&Hello>) -> Cow<'static, [u8]> {
    match hello {
        Some(hello) if !hello.channels.is_empty() => {
            let names: Vec<&str> = hello.channels.iter().map(|channel| &**channel).collect();
            // Invariant: a list of texts always is JSON.
            Cow::Owned(serde_json::to_vec(&names).unwrap_or_default())
        }
        _ => Cow::Borrowed(&[]),
    }
}

fn text(value: &str) -> Cow<'_, [u8]> {
    Cow::Borrowed(value.as_bytes())
}

fn owned(value: impl ToString) -> Cow<'static, [u8]> {
    Cow::Owned(value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bytes::Bytes;
    use jackfield_model::app::{Hello, Origin};
    use jackfield_model::{Content, Payload, Uuid};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Example {
        name: String,
        fields: BTreeMap<String, String>,
    }

    const KINDS: [EventKind; 14] = [
        EventKind::Connect,
        EventKind::Disconnect,
        EventKind::Message,
        EventKind::NodeLost,
        EventKind::NoticesLost,
        EventKind::Occupied,
        EventKind::Publish,
        EventKind::Refresh,
        EventKind::Rpc,
        EventKind::SubRefresh,
        EventKind::Subscribe,
        EventKind::Undelivered,
        EventKind::Unsubscribe,
        EventKind::Vacated,
    ];

    /// The event behind an example; what is absent there is empty here.
    fn event(fields: &BTreeMap<String, String>) -> Event {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let fixed = |name: &str| -> &'static str { field(name).leak() };
        let contents = [Content::Binary, Content::Json, Content::Text];
        let kind = KINDS.into_iter().find(|kind| kind.name() == field("type")).unwrap();
        Event {
            id: field("id").parse().unwrap(),
            kind,
            origin: Origin {
                client: fields.get("client").map(|client| client.parse().unwrap()).unwrap_or_default(),
                user: field("user").into(),
                meta: fields.get("meta").map(|meta| Bytes::from(meta.clone())),
                transport: fixed("transport"),
                protocol: fixed("protocol"),
                remote: field("remote"),
                listener: field("listener").into(),
            },
            channel: fields.get("channel").map(|channel| Arc::from(channel.as_str())),
            name: match (kind, field("event")) {
                (EventKind::NodeLost, _) => field("node"),
                (_, name) if name == DEFAULT_MESSAGE => String::new(),
                (_, name) => name,
            },
            data: Payload {
                bytes: field("data").into(),
                content: contents.into_iter().find(|c| c.name() == field("content")).unwrap(),
            },
            seq: fields.get("seq").map_or(0, |seq| seq.parse().unwrap()),
            time: field("time").parse().unwrap(),
            deadline: fields.get("deadline").map(|deadline| deadline.parse().unwrap()),
            hello: matches!(kind, EventKind::Connect | EventKind::Subscribe).then(|| {
                let channels: Vec<Arc<str>> =
                    fields.get("channels").map(|list| serde_json::from_str(list).unwrap()).unwrap_or_default();
                let (token, name, version) = (field("token"), field("name"), field("version"));
                Box::new(Hello { token, name, version, channels, headers: Vec::new() })
            }),
        }
    }

    #[test]
    fn the_examples_of_the_specification_come_out_field_by_field() {
        let text = include_str!("../../../spec/examples/events.json");
        let examples: Vec<Example> = serde_json::from_str(text).unwrap();
        for kind in KINDS {
            assert!(examples.iter().any(|example| example.fields["type"] == kind.name()), "{}", kind.name());
        }
        for example in examples {
            let event = event(&example.fields);
            let sender = Sender { node: "n1", answers: "{jackfield}:answers:n1" };
            let fields: BTreeMap<String, String> = of(&event, sender)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), String::from_utf8(value.into_owned()).unwrap()))
                .collect();
            assert_eq!(fields, example.fields, "{}", example.name);
        }
    }

    #[test]
    fn a_connection_has_one_partition() {
        let client: Uuid = "6b7f3a52-64c3-4f1e-9a51-7f6c8f6c3b51".parse().unwrap();
        let event = Event {
            id: Uuid::nil(),
            kind: EventKind::Rpc,
            origin: Origin { client, ..Origin::default() },
            channel: None,
            name: String::new(),
            data: Payload::default(),
            seq: 1,
            time: 0,
            deadline: None,
            hello: None,
        };
        // The same number stands in spec/examples/commands.json for this client.
        assert_eq!(partition(&event, 8), 2);
        assert_eq!(partition(&event, 0), 0);
    }
}

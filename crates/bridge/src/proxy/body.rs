//! The body of a request: what the application may know of a call, as JSON.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_model::app::{Event, EventKind};
use jackfield_model::{ClientId, Content, Payload};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::ProxyOptions;

/// Absent means empty.
#[derive(Serialize)]
struct Fields<'a> {
    client: ClientId,
    transport: &'a str,
    protocol: &'a str,
    encoding: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
}

/// The body of the request about an event.
pub(super) fn of(event: &Event, options: &ProxyOptions) -> Bytes {
    let origin = &event.origin;
    let hello = event.hello.as_deref();
    let (data, b64data) = data(&event.data, options.binary_encoding);
    let meta = origin.meta.as_deref().filter(|_| options.include_meta);
    let fields = Fields {
        client: origin.client,
        transport: origin.transport,
        protocol: protocol(origin.protocol),
        encoding: if options.binary_encoding || b64data.is_some() { "binary" } else { "json" },
        // Who asks to connect is nobody yet.
        user: (event.kind != EventKind::Connect).then_some(&*origin.user),
        meta: meta.and_then(|meta| serde_json::from_slice(meta).ok()),
        method: (event.kind == EventKind::Rpc).then_some(event.name.as_str()),
        channel: event.channel.as_deref(),
        token: hello.map_or("", |hello| &hello.token),
        name: hello.map_or("", |hello| &hello.name),
        version: hello.map_or("", |hello| &hello.version),
        channels: hello.map_or(&[], |hello| &hello.channels),
        data,
        b64data,
    };
    // Invariant: texts and checked JSON always are JSON.
    serde_json::to_vec(&fields).unwrap_or_default().into()
}

/// JSON as it is and text as a JSON string; bytes, and with `binary` all of it, in base64.
fn data(payload: &Payload, binary: bool) -> (Option<Box<RawValue>>, Option<String>) {
    if payload.bytes.is_empty() {
        return (None, None);
    }
    let json = match payload.content {
        _ if binary => None,
        Content::Binary => None,
        Content::Json => serde_json::from_slice(&payload.bytes).ok(),
        Content::Text => std::str::from_utf8(&payload.bytes).ok().and_then(|text| to_raw_value(text).ok()),
    };
    match json {
        Some(json) => (Some(json), None),
        None => (None, Some(STANDARD.encode(&payload.bytes))),
    }
}

/// What is spoken, without the name of the dialect: `json` or `protobuf`.
fn protocol(name: &str) -> &str {
    name.strip_prefix("centrifugo-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use jackfield_fetch::{HeaderMap, Url};
    use jackfield_model::Uuid;
    use jackfield_model::app::{Hello, Origin};
    use serde_json::{Value, json};

    use super::*;

    fn options() -> ProxyOptions {
        ProxyOptions {
            name: "test".to_owned(),
            url: Url::parse("http://localhost").unwrap(),
            headers: HeaderMap::new(),
            address_headers: Vec::new(),
            binary_encoding: false,
            include_meta: false,
            transforms: Vec::new(),
            secret: None,
            in_flight: 1,
            ca_file: None,
        }
    }

    fn event(kind: EventKind) -> Event {
        let origin = Origin {
            client: Uuid::nil(),
            user: "42".into(),
            meta: Some(Bytes::from_static(b"{\"plan\":\"pro\"}")),
            transport: "websocket",
            protocol: "centrifugo-json",
            ..Origin::default()
        };
        Event {
            id: Uuid::nil(),
            kind,
            origin,
            channel: None,
            name: String::new(),
            data: Payload::default(),
            seq: 1,
            time: 0,
            deadline: Some(1),
            hello: None,
        }
    }

    fn body(event: &Event, options: &ProxyOptions) -> Value {
        let mut value: Value = serde_json::from_slice(&of(event, options)).unwrap();
        let head = value.as_object_mut().unwrap();
        assert_eq!(head.remove("client"), Some(json!("00000000-0000-0000-0000-000000000000")));
        assert_eq!(head.remove("transport"), Some(json!("websocket")));
        assert_eq!(head.remove("protocol"), Some(json!("json")));
        value
    }

    #[test]
    fn each_kind_has_its_fields() {
        let hello = Hello {
            token: "t".to_owned(),
            name: "js".to_owned(),
            version: "1".to_owned(),
            channels: vec!["a".into()],
            ..Hello::default()
        };
        let data = Payload::json(r#"{"b": 1,  "a":2}"#);
        let connect = Event { hello: Some(Box::new(hello)), data: data.clone(), ..event(EventKind::Connect) };
        let expected = json!({"encoding": "json", "token": "t", "name": "js", "version": "1", "channels": ["a"],
            "data": {"b": 1, "a": 2}});
        assert_eq!(body(&connect, &options()), expected);
        let text = String::from_utf8(of(&connect, &options()).to_vec()).unwrap();
        assert!(text.contains(r#""data":{"b": 1,  "a":2}"#), "as it was written: {text}");

        let rpc = Event { name: "rooms.rename".to_owned(), data, ..event(EventKind::Rpc) };
        let expected = json!({"encoding": "json", "user": "42", "method": "rooms.rename", "data": {"b": 1, "a": 2}});
        assert_eq!(body(&rpc, &options()), expected);

        let subscribe = Event { channel: Some("room:1".into()), ..event(EventKind::Subscribe) };
        assert_eq!(body(&subscribe, &options()), json!({"encoding": "json", "user": "42", "channel": "room:1"}));
        assert_eq!(body(&event(EventKind::Refresh), &options()), json!({"encoding": "json", "user": "42"}));
        let with_meta = ProxyOptions { include_meta: true, ..options() };
        let expected = json!({"encoding": "json", "user": "42", "meta": {"plan": "pro"}});
        assert_eq!(body(&event(EventKind::Refresh), &with_meta), expected);
    }

    #[test]
    fn data_travels_as_what_it_is() {
        let publish = |data| Event { channel: Some("c".into()), data, ..event(EventKind::Publish) };
        let said = |data, options: &ProxyOptions| {
            let body = body(&publish(data), options);
            (body["encoding"].clone(), body["data"].clone(), body["b64data"].clone())
        };
        let binary = ProxyOptions { binary_encoding: true, ..options() };
        let null = Value::Null;
        assert_eq!(said(Payload::json("[1]"), &options()), (json!("json"), json!([1]), null.clone()));
        assert_eq!(said(Payload::json("[1]"), &binary), (json!("binary"), null.clone(), json!("WzFd")));
        assert_eq!(said(Payload::text("a\"b"), &options()), (json!("json"), json!("a\"b"), null.clone()));
        assert_eq!(said(Payload::binary(vec![0, 255]), &options()), (json!("binary"), null.clone(), json!("AP8=")));
        assert_eq!(said(Payload::default(), &options()), (json!("json"), null.clone(), null));
    }
}

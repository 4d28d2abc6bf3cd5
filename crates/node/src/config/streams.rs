//! The ways in for clients that cannot or need not speak WebSocket both ways: SSE, HTTP streaming, one-way forms.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};

/// What a request or a message may weigh unless said otherwise, in bytes.
const BODY: usize = 65_536;

/// Server-sent events with the client protocol; what clients say comes through `emulation`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sse {
    /// Offer it.
    pub(crate) enabled: bool,
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest body of a request, in bytes.
    pub(crate) max_request_body_size: usize,
}

impl Default for Sse {
    fn default() -> Self {
        Self { enabled: false, handler_prefix: "/connection/sse".to_owned(), max_request_body_size: BODY }
    }
}

/// A streamed HTTP response with the client protocol; what clients say comes through `emulation`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpStream {
    /// Offer it.
    pub(crate) enabled: bool,
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest body of a request, in bytes.
    pub(crate) max_request_body_size: usize,
}

impl Default for HttpStream {
    fn default() -> Self {
        Self { enabled: false, handler_prefix: "/connection/http_stream".to_owned(), max_request_body_size: BODY }
    }
}

/// What clients of `sse` and `http_stream` say; offered with either.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Emulation {
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest body of a request, in bytes.
    pub(crate) max_request_body_size: usize,
}

impl Default for Emulation {
    fn default() -> Self {
        Self { handler_prefix: "/emulation".to_owned(), max_request_body_size: BODY }
    }
}

/// WebSocket for clients that only listen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UniWebSocket {
    /// Offer it.
    pub(crate) enabled: bool,
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest message a client may send, in bytes.
    pub(crate) message_size_limit: usize,
    /// Close without a last push that tells the reason; the close frame tells it anyway.
    pub(crate) disable_disconnect_push: bool,
}

impl Default for UniWebSocket {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/uni_websocket".to_owned(),
            message_size_limit: BODY,
            disable_disconnect_push: false,
        }
    }
}

/// Server-sent events for clients that only listen; the `EventSource` of a browser needs no library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UniSse {
    /// Offer it.
    pub(crate) enabled: bool,
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest body of a request, in bytes.
    pub(crate) max_request_body_size: usize,
}

impl Default for UniSse {
    fn default() -> Self {
        Self { enabled: false, handler_prefix: "/connection/uni_sse".to_owned(), max_request_body_size: BODY }
    }
}

/// A streamed HTTP response for clients that only listen: one push per line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UniHttpStream {
    /// Offer it.
    pub(crate) enabled: bool,
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest body of a request, in bytes.
    pub(crate) max_request_body_size: usize,
}

impl Default for UniHttpStream {
    fn default() -> Self {
        Self { enabled: false, handler_prefix: "/connection/uni_http_stream".to_owned(), max_request_body_size: BODY }
    }
}

/// Documents that people edit together, for clients of y-websocket (docs/documents.md).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Yjs {
    /// Offer it.
    pub(crate) enabled: bool,
    /// Path of the endpoint; the channel stands behind it and a slash.
    pub(crate) handler_prefix: String,
    /// Largest message a client may send, in bytes. Who comes back after a server was killed may have to send all it has.
    pub(crate) message_size_limit: usize,
    /// Time between the first edit that is not saved and the call that saves it.
    #[serde(with = "duration")]
    pub(crate) save_interval: Duration,
    /// A document is saved anew as one update when it was stored in more than so many.
    pub(crate) compact_after: usize,
}

impl Default for Yjs {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/yjs".to_owned(),
            message_size_limit: 16 << 20,
            save_interval: Duration::from_secs(2),
            compact_after: 100,
        }
    }
}

/// The keys of `yjs`.
pub(super) const YJS: &[Key] = &[
    Key::new("enabled", Kind::Bool),
    Key::new("handler_prefix", Kind::Text),
    Key::new("message_size_limit", Kind::Integer),
    Key::new("save_interval", Kind::Duration),
    Key::new("compact_after", Kind::Integer),
];

/// The keys of `sse`, `http_stream`, `uni_sse` and `uni_http_stream`.
pub(super) const STREAM: &[Key] = &[
    Key::new("enabled", Kind::Bool),
    Key::new("handler_prefix", Kind::Text),
    Key::new("max_request_body_size", Kind::Integer),
];

/// The keys of `emulation`.
pub(super) const EMULATION: &[Key] =
    &[Key::new("handler_prefix", Kind::Text), Key::new("max_request_body_size", Kind::Integer)];

/// The keys of `uni_websocket`.
pub(super) const UNI_WEBSOCKET: &[Key] = &[
    Key::new("enabled", Kind::Bool),
    Key::new("handler_prefix", Kind::Text),
    Key::new("message_size_limit", Kind::Integer),
    Key::new("disable_disconnect_push", Kind::Bool),
];

//! The ways in for clients that cannot or need not speak WebSocket both ways: SSE, HTTP streaming, one-way forms.

use serde::{Deserialize, Serialize};

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

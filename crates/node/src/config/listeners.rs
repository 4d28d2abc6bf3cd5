//! The doors: the HTTP ports, WebSocket, raw WebSocket endpoints, TCP listeners, and what the internal port offers.

use serde::{Deserialize, Serialize};

use super::channel::{PUBLISH_TO, PublishTo};
use super::schema::{Key, Kind};
use super::secret::Secret;

/// The two HTTP ports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpServer {
    /// Address clients connect to; empty for all interfaces.
    pub(crate) address: String,
    /// Port clients connect to; 0 for any free one.
    pub(crate) port: u16,
    /// Address of the server API, health and metrics; empty for all interfaces.
    pub(crate) internal_address: String,
    /// Port of the server API, health and metrics; 0 for any free one.
    pub(crate) internal_port: u16,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self { address: String::new(), port: 8400, internal_address: "127.0.0.1".to_owned(), internal_port: 8401 }
    }
}

/// The WebSocket endpoint of the client protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebSocket {
    /// Do not offer it.
    pub(crate) disabled: bool,
    /// Path of the endpoint.
    pub(crate) handler_prefix: String,
    /// Largest message a client may send, in bytes.
    pub(crate) message_size_limit: usize,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self { disabled: false, handler_prefix: "/connection/websocket".to_owned(), message_size_limit: 65_536 }
    }
}

/// A WebSocket endpoint without a protocol: what is sent is the message.
///
/// Why flatten: users write the keys of [`Feed`] beside the path. Unknown keys are found by `check`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RawEndpoint {
    /// Path of the endpoint.
    pub(crate) path: String,
    /// What becomes of the messages.
    #[serde(flatten)]
    pub(crate) feed: Feed,
    /// Largest message a client may send, in bytes.
    pub(crate) message_size_limit: usize,
}

impl Default for RawEndpoint {
    fn default() -> Self {
        Self { path: "/ws".to_owned(), feed: Feed::default(), message_size_limit: 65_536 }
    }
}

/// What becomes of the messages of a client without a protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Feed {
    /// Channel the client is in; may hold `{client}`, `{remote}`, `{listener}` and, on WebSocket, `{query.NAME}`.
    pub(crate) channel: String,
    /// Name of the event under which messages reach the application.
    pub(crate) event: String,
    /// Where messages go: `app` to the application, `channel` to everyone in the channel.
    pub(crate) publish_to: PublishTo,
    /// What messages hold: `text` as it comes, or `json`, where anything else is refused.
    pub(crate) data: DataForm,
}

impl Default for Feed {
    fn default() -> Self {
        Self { channel: String::new(), event: "message".to_owned(), publish_to: PublishTo::App, data: DataForm::Text }
    }
}

/// What the messages of a client without a protocol hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DataForm {
    /// JSON; anything else is refused.
    Json,
    /// Text as it comes.
    #[default]
    Text,
}

/// A plain TCP port.
///
/// Why flatten: users write the keys of [`Feed`] beside the port. Unknown keys are found by `check`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct TcpListener {
    /// Name of the listener: letters a-z, digits, `_` and `-`.
    pub(crate) name: String,
    /// Address it listens on; empty for all interfaces.
    pub(crate) address: String,
    /// Port it listens on; 0 for any free one.
    pub(crate) port: u16,
    /// How messages are told apart: `lines` end with a newline.
    pub(crate) framing: TcpFraming,
    /// What is spoken: `centrifugo-json` the client protocol, `raw` none, the line is the message.
    pub(crate) dialect: TcpDialect,
    /// What becomes of the messages; for the dialect `raw`.
    #[serde(flatten)]
    pub(crate) feed: Feed,
    /// Largest message a client may send, in bytes.
    pub(crate) message_size_limit: usize,
}

impl Default for TcpListener {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: "127.0.0.1".to_owned(),
            port: 0,
            framing: TcpFraming::Lines,
            dialect: TcpDialect::CentrifugoJson,
            feed: Feed::default(),
            message_size_limit: 65_536,
        }
    }
}

/// How a TCP stream is cut into messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TcpFraming {
    /// A message ends with a newline.
    #[default]
    Lines,
}

/// What is spoken on a TCP port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TcpDialect {
    /// The client protocol in JSON.
    #[default]
    CentrifugoJson,
    /// No protocol: what is sent is the message.
    Raw,
}

/// The server API on the internal port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpApi {
    /// Do not offer it.
    pub(crate) disabled: bool,
    /// Key that requests must carry; without one the API is offered on loopback only.
    pub(crate) key: Secret,
    /// Ask for no key wherever the API is offered. For development.
    pub(crate) insecure: bool,
}

/// The health endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Health {
    /// Answer on `/health`.
    pub(crate) enabled: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The keys of `http_server`.
pub(super) const HTTP_SERVER: &[Key] = &[
    Key::new("address", Kind::Text),
    Key::new("port", Kind::Port),
    Key::new("internal_address", Kind::Text),
    Key::new("internal_port", Kind::Port),
];

/// The keys of `websocket`.
pub(super) const WEBSOCKET: &[Key] = &[
    Key::new("disabled", Kind::Bool),
    Key::new("handler_prefix", Kind::Text),
    Key::new("message_size_limit", Kind::Integer),
];

/// The keys of a `[[raw]]`.
pub(super) const RAW: &[Key] = &[
    Key::new("path", Kind::Text),
    Key::new("channel", Kind::Text),
    Key::new("event", Kind::Text),
    Key::new("publish_to", PUBLISH_TO),
    Key::new("data", DATA),
    Key::new("message_size_limit", Kind::Integer),
];

/// The keys of a `[[tcp]]`.
pub(super) const TCP: &[Key] = &[
    Key::required("name", Kind::Text),
    Key::new("address", Kind::Text),
    Key::required("port", Kind::Port),
    Key::new("framing", Kind::Choice(&["lines"])),
    Key::new("dialect", Kind::Choice(&["centrifugo-json", "raw"])),
    Key::new("channel", Kind::Text),
    Key::new("event", Kind::Text),
    Key::new("publish_to", PUBLISH_TO),
    Key::new("data", DATA),
    Key::new("message_size_limit", Kind::Integer),
];

const DATA: Kind = Kind::Choice(&["json", "text"]);

/// The keys of `http_api`.
pub(super) const HTTP_API: &[Key] =
    &[Key::new("disabled", Kind::Bool), Key::new("key", Kind::Secret), Key::new("insecure", Kind::Bool)];

/// The keys of `health`.
pub(super) const HEALTH: &[Key] = &[Key::new("enabled", Kind::Bool)];

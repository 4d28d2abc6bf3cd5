//! The doors for clients of few words: raw WebSocket endpoints and TCP listeners.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::layout::{MESSAGE, TcpMessage};
use super::namespace::{PUBLISH_TO, PublishTo};
use super::schema::{Key, Kind};
use super::tls::{TLS, Tls};

/// A WebSocket endpoint without a protocol: what is sent is the message.
///
/// Why flatten: users write the keys of [`Feed`] beside the path. Unknown keys are found by `check`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RawEndpoint {
    /// Path of the endpoint.
    pub(crate) path: String,
    /// What is spoken: `raw` no protocol, the frame is the message; `echo` a frame comes back as it came.
    pub(crate) dialect: RawDialect,
    /// What becomes of the messages; for the dialect `raw`.
    #[serde(flatten)]
    pub(crate) feed: Feed,
    /// Largest message a client may send, in bytes.
    pub(crate) message_size_limit: usize,
}

impl Default for RawEndpoint {
    fn default() -> Self {
        Self { path: "/ws".to_owned(), dialect: RawDialect::Raw, feed: Feed::default(), message_size_limit: 65_536 }
    }
}

/// What is spoken on a raw WebSocket endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawDialect {
    /// A frame comes back as it came.
    Echo,
    /// No protocol: what is sent is the message.
    #[default]
    Raw,
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

/// A TCP port.
///
/// Why flatten: users write the keys of [`Feed`] beside the port. Unknown keys are found by `check`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct TcpListener {
    /// Name of the listener: letters a-z, digits, `_` and `-`.
    pub(crate) name: String,
    /// Address it listens on; empty for all interfaces.
    pub(crate) address: String,
    /// Port it listens on, 0 for any free one; must be given unless `on_public_port` is.
    pub(crate) port: Option<u16>,
    /// No port of its own: spoken on the public port by everyone whose first bytes are neither TLS nor HTTP. One
    /// listener at most.
    pub(crate) on_public_port: bool,
    /// How messages are told apart: `lines` end with a newline, before each of `varint` stands its length; for the dialects
    /// `raw`, `fields` and `echo` also `fixed:N`, where each has N bytes, and `u8`, `u16be`, `u16le`, `u32be`, `u32le`, where its
    /// length stands before it in such an integer.
    pub(crate) framing: String,
    /// What is spoken: `centrifugo-json` (on lines) or `centrifugo-protobuf` (on varint) the client protocol, `raw`
    /// none, the message is the message, `fields` one of the declared `messages`, `echo` what comes goes back.
    pub(crate) dialect: TcpDialect,
    /// The messages of the dialect `fields`, in the order in which they are tried.
    pub(crate) messages: Vec<TcpMessage>,
    /// What becomes of the messages; for the dialects `raw` and `fields`.
    #[serde(flatten)]
    pub(crate) feed: Feed,
    /// Largest message a client may send, in bytes.
    pub(crate) message_size_limit: usize,
    /// Time after which a client that says nothing is closed; 0 for no end.
    #[serde(with = "duration")]
    pub(crate) idle_timeout: Duration,
    /// TLS on this port.
    pub(crate) tls: Tls,
    /// Take the client's address from a PROXY header (version 1 or 2), which `client.trusted_proxies` send first.
    pub(crate) proxy_protocol: bool,
    /// The name in a client's certificate is its user.
    pub(crate) user_from_certificate: bool,
}

impl Default for TcpListener {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: "127.0.0.1".to_owned(),
            port: None,
            on_public_port: false,
            framing: "lines".to_owned(),
            dialect: TcpDialect::CentrifugoJson,
            messages: Vec::new(),
            feed: Feed::default(),
            message_size_limit: 65_536,
            idle_timeout: Duration::ZERO,
            tls: Tls::default(),
            proxy_protocol: false,
            user_from_certificate: false,
        }
    }
}

/// What is spoken on a TCP port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TcpDialect {
    /// The client protocol in JSON.
    #[default]
    CentrifugoJson,
    /// The client protocol in Protobuf.
    CentrifugoProtobuf,
    /// A frame comes back as it came.
    Echo,
    /// Binary messages whose fields are declared.
    Fields,
    /// No protocol: what is sent is the message.
    Raw,
}

/// The keys of a `[[raw]]`.
pub(super) const RAW: &[Key] = &[
    Key::new("path", Kind::Text),
    Key::new("dialect", Kind::Choice(&["raw", "echo"])),
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
    Key::new("port", Kind::Port),
    Key::new("on_public_port", Kind::Bool),
    Key::new("framing", Kind::Text),
    Key::new("dialect", Kind::Choice(&["centrifugo-json", "centrifugo-protobuf", "raw", "fields", "echo"])),
    Key::new("messages", Kind::Sections("TcpMessage", MESSAGE)),
    Key::new("channel", Kind::Text),
    Key::new("event", Kind::Text),
    Key::new("publish_to", PUBLISH_TO),
    Key::new("data", DATA),
    Key::new("message_size_limit", Kind::Integer),
    Key::new("idle_timeout", Kind::Duration),
    Key::new("tls", TLS),
    Key::new("proxy_protocol", Kind::Bool),
    Key::new("user_from_certificate", Kind::Bool),
];

const DATA: Kind = Kind::Choice(&["json", "text"]);

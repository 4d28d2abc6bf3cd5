//! The HTTP ports, WebSocket on the public one, and what the internal one offers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};
use super::secret::Secret;
use super::tls::{AUTOCERT, Autocert, TLS, Tls};

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
    /// TLS on the public port.
    pub(crate) tls: Tls,
    /// TLS on the internal port.
    pub(crate) internal_tls: Tls,
    /// Certificates of the public port from an authority (ACME).
    pub(crate) tls_autocert: Autocert,
    /// Take the client's address from a PROXY header (version 1 or 2), which `client.trusted_proxies` send first.
    pub(crate) proxy_protocol: bool,
    /// Header in which `client.trusted_proxies` tell a client's address: `x-forwarded-for`, `forwarded`, or `off` for
    /// neither.
    pub(crate) forwarded: Forwarded,
    /// Time a client of the public port has for PROXY header, TLS handshake and the head of its request.
    #[serde(with = "duration")]
    pub(crate) handshake_timeout: Duration,
    /// Answer the server API, health and metrics on the public port too; API and metrics then ask for `http_api.key`.
    pub(crate) api_on_public_port: bool,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: 8400,
            internal_address: "127.0.0.1".to_owned(),
            internal_port: 8401,
            tls: Tls::default(),
            internal_tls: Tls::default(),
            tls_autocert: Autocert::default(),
            proxy_protocol: false,
            forwarded: Forwarded::Off,
            handshake_timeout: Duration::from_secs(10),
            api_on_public_port: false,
        }
    }
}

impl HttpServer {
    /// Whether the public port speaks TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.tls.enabled || self.tls_autocert.enabled
    }
}

/// The header in which proxies tell a client's address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::enum_variant_names, reason = "one header has the name of what it does")]
pub(crate) enum Forwarded {
    /// `Forwarded`, RFC 7239.
    Forwarded,
    /// None is read.
    #[default]
    Off,
    /// `X-Forwarded-For`.
    XForwardedFor,
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
    /// Compress messages for clients that can read them so (permessage-deflate, without context takeover).
    pub(crate) compression: bool,
    /// Smallest message that is compressed, in bytes.
    pub(crate) compression_min_size: usize,
    /// From 1, fast, to 9, small.
    pub(crate) compression_level: usize,
    /// Largest message a client may send once it is decompressed, in bytes.
    pub(crate) decompressed_message_size_limit: usize,
    /// How many times larger a client's message may become by being decompressed.
    pub(crate) compression_ratio_limit: usize,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            disabled: false,
            handler_prefix: "/connection/websocket".to_owned(),
            message_size_limit: 65_536,
            compression: false,
            compression_min_size: 128,
            compression_level: 1,
            decompressed_message_size_limit: 655_360,
            compression_ratio_limit: 100,
        }
    }
}

/// The server API on the internal port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpApi {
    /// Do not offer it.
    pub(crate) disabled: bool,
    /// Key that requests must carry; without one every request is refused, unless `insecure` is on.
    pub(crate) key: Secret,
    /// Ask for no key wherever the API is offered. For development.
    pub(crate) insecure: bool,
    /// How errors of commands are told: `body`, with status 200 and `error` in the body, or `transport`, with a status of
    /// their own. A request may ask for the latter by `X-Centrifugo-Error-Mode: transport`.
    pub(crate) error_mode: ErrorMode,
}

/// How errors of commands are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ErrorMode {
    /// With status 200, in the body.
    #[default]
    Body,
    /// With a status of their own.
    Transport,
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

/// Metrics for Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prometheus {
    /// Answer with metrics on the internal port.
    pub(crate) enabled: bool,
    /// Path of the metrics.
    pub(crate) handler_prefix: String,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { enabled: true, handler_prefix: "/metrics".to_owned() }
    }
}

/// The keys of `http_server`.
pub(super) const HTTP_SERVER: &[Key] = &[
    Key::new("address", Kind::Text),
    Key::new("port", Kind::Port),
    Key::new("internal_address", Kind::Text),
    Key::new("internal_port", Kind::Port),
    Key::new("tls", TLS),
    Key::new("internal_tls", TLS),
    Key::new("tls_autocert", AUTOCERT),
    Key::new("proxy_protocol", Kind::Bool),
    Key::new("forwarded", Kind::Choice(&["off", "x-forwarded-for", "forwarded"])),
    Key::new("handshake_timeout", Kind::Duration),
    Key::new("api_on_public_port", Kind::Bool),
];

/// The keys of `websocket`.
pub(super) const WEBSOCKET: &[Key] = &[
    Key::new("disabled", Kind::Bool),
    Key::new("handler_prefix", Kind::Text),
    Key::new("message_size_limit", Kind::Integer),
    Key::new("compression", Kind::Bool),
    Key::new("compression_min_size", Kind::Integer),
    Key::new("compression_level", Kind::Integer),
    Key::new("decompressed_message_size_limit", Kind::Integer),
    Key::new("compression_ratio_limit", Kind::Integer),
];

/// The keys of `http_api`.
pub(super) const HTTP_API: &[Key] = &[
    Key::new("disabled", Kind::Bool),
    Key::new("key", Kind::Secret),
    Key::new("insecure", Kind::Bool),
    Key::new("error_mode", Kind::Choice(&["body", "transport"])),
];

/// The keys of `health`.
pub(super) const HEALTH: &[Key] = &[Key::new("enabled", Kind::Bool)];

/// The keys of `prometheus`.
pub(super) const PROMETHEUS: &[Key] = &[Key::new("enabled", Kind::Bool), Key::new("handler_prefix", Kind::Text)];

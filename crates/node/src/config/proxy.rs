//! Who answers the application's calls: HTTP endpoints, or whoever reads the app link.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};
use super::secret::Secret;

/// An endpoint of the application that answers calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Proxy {
    /// Address that calls are posted to, `http://` or `https://`; empty, they go over the app link.
    pub(crate) endpoint: String,
    /// Time the application has to answer.
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    /// Signs each request as Standard Webhooks does: `whsec_` and base64 of 24 bytes or more; empty, none is signed.
    pub(crate) secret: Secret,
    /// Headers sent along about the client: `X-Real-IP`, `X-Forwarded-For`; with `client.proxy.connect` also those of its
    /// request, such as `Cookie`.
    pub(crate) http_headers: Vec<String>,
    /// Data travels in base64, as `b64data`.
    pub(crate) binary_encoding: bool,
    /// What the application gave as `meta` when the client connected is sent along.
    pub(crate) include_connection_meta: bool,
    /// Requests at a time; sixteen times as many may wait for them.
    pub(crate) max_in_flight: usize,
    /// What is particular to HTTP.
    pub(crate) http: ProxyHttp,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            timeout: Duration::from_secs(1),
            secret: Secret::default(),
            http_headers: Vec::new(),
            binary_encoding: false,
            include_connection_meta: false,
            max_in_flight: 64,
            http: ProxyHttp::default(),
        }
    }
}

/// What is particular to HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProxyHttp {
    /// Headers sent with each request, such as `Authorization`.
    pub(crate) static_headers: BTreeMap<String, Secret>,
    /// What statuses other than 200 mean; without one they are error 100.
    pub(crate) status_to_code_transforms: Vec<StatusTransform>,
    /// TLS of an `https://` endpoint.
    pub(crate) tls: ProxyTls,
}

/// TLS of an `https://` endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProxyTls {
    /// File with authorities that are trusted beside the system's, in PEM.
    pub(crate) server_ca_pem_file: String,
}

/// What a status means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StatusTransform {
    /// The status, such as 404.
    pub(crate) status_code: usize,
    /// The error that the client gets.
    pub(crate) to_error: ToError,
    /// The end of the client's connection.
    pub(crate) to_disconnect: ToDisconnect,
}

/// The error that the client gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ToError {
    /// Its code, 400 to 1999 where it is the application's own.
    pub(crate) code: usize,
    /// For people.
    pub(crate) message: String,
    /// Trying again later may help.
    pub(crate) temporary: bool,
}

/// The end of the client's connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ToDisconnect {
    /// Its code, 4000 to 4999 where it is the application's own.
    pub(crate) code: usize,
    /// For people.
    pub(crate) reason: String,
}

/// A proxy with a name, for namespaces.
///
/// Why flatten: users write the keys of [`Proxy`] beside the name. Unknown keys are found by `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct NamedProxy {
    /// Name of the proxy: letters a-z, digits, `_` and `-`.
    pub(crate) name: String,
    /// How it is asked.
    #[serde(flatten)]
    pub(crate) proxy: Proxy,
}

/// A proxy that is used or not.
///
/// Why flatten: users write the keys of [`Proxy`] beside the switch. Unknown keys are found by `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct SwitchedProxy {
    /// Ask the application.
    pub(crate) enabled: bool,
    /// How it is asked.
    #[serde(flatten)]
    pub(crate) proxy: Proxy,
}

impl SwitchedProxy {
    /// The headers of a client's request that its endpoint is told.
    pub(crate) fn told(&self) -> Arc<[Arc<str>]> {
        let names = self.proxy.http_headers.iter().filter(|_| self.enabled && !self.proxy.endpoint.is_empty());
        names.filter(|name| !is_address_header(name)).map(|name| Arc::from(name.as_str())).collect()
    }
}

/// Whether a header tells the address of the client, which is known without its request.
pub(crate) fn is_address_header(name: &str) -> bool {
    ["x-real-ip", "x-forwarded-for"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What the application is asked about clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClientProxy {
    /// Whether the application decides about clients that bring no token.
    pub(crate) connect: SwitchedProxy,
    /// Whether the application decides if a client may stay when its time is up; else it has to bring a new token.
    pub(crate) refresh: SwitchedProxy,
}

/// The proxies named `default` in namespaces of channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChannelProxy {
    /// Who may come into a channel.
    pub(crate) subscribe: Proxy,
    /// What may be published.
    pub(crate) publish: Proxy,
    /// Who may stay in a channel when the time of its subscription is up.
    pub(crate) sub_refresh: Proxy,
}

/// The keys of `client.proxy`.
pub(super) const CLIENT: &[Key] = &[
    Key::new("connect", Kind::Section("SwitchedProxy", SWITCHED.as_slice())),
    Key::new("refresh", Kind::Section("SwitchedProxy", SWITCHED.as_slice())),
];

/// The keys of `channel.proxy`.
pub(super) const CHANNEL: &[Key] =
    &[Key::new("subscribe", PROXY), Key::new("publish", PROXY), Key::new("sub_refresh", PROXY)];

/// A proxy without name and switch.
pub(super) const PROXY: Kind = Kind::Section("Proxy", KEYS.as_slice());

/// The keys of `[[proxies]]`.
pub(super) const NAMED: [Key; KEYS.len() + 1] = with(Key::required("name", Kind::Text));

const SWITCHED: [Key; KEYS.len() + 1] = with(Key::new("enabled", Kind::Bool));

const KEYS: [Key; 8] = [
    Key::new("endpoint", Kind::Text),
    Key::new("timeout", Kind::Duration),
    Key::new("secret", Kind::Secret),
    Key::new("http_headers", Kind::Texts),
    Key::new("binary_encoding", Kind::Bool),
    Key::new("include_connection_meta", Kind::Bool),
    Key::new("max_in_flight", Kind::Integer),
    Key::new("http", Kind::Section("ProxyHttp", HTTP)),
];

const HTTP: &[Key] = &[
    Key::new("static_headers", Kind::Pairs),
    Key::new("status_to_code_transforms", Kind::Sections("StatusTransform", TRANSFORM)),
    Key::new("tls", Kind::Section("ProxyTls", TLS)),
];

const TLS: &[Key] = &[Key::new("server_ca_pem_file", Kind::Text)];

const TRANSFORM: &[Key] = &[
    Key::required("status_code", Kind::Integer),
    Key::new("to_error", Kind::Section("ToError", TO_ERROR)),
    Key::new("to_disconnect", Kind::Section("ToDisconnect", TO_DISCONNECT)),
];

const TO_ERROR: &[Key] =
    &[Key::new("code", Kind::Integer), Key::new("message", Kind::Text), Key::new("temporary", Kind::Bool)];

const TO_DISCONNECT: &[Key] = &[Key::new("code", Kind::Integer), Key::new("reason", Kind::Text)];

/// One key, then those of a proxy.
const fn with(first: Key) -> [Key; KEYS.len() + 1] {
    let mut keys = [first; KEYS.len() + 1];
    let mut index = 0;
    while index < KEYS.len() {
        keys[index + 1] = KEYS[index];
        index += 1;
    }
    keys
}

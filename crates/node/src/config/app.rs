//! The sections about the application: the queue to it, the embedded queue, and calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::proxy::{PROXY, Proxy};
use super::schema::{Key, Kind};
use super::secret::Secret;

/// The queue between the server and the application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AppLink {
    /// Which queue: `none`, `embedded` (this server is the queue), `redis`, `rabbitmq` or `nats`.
    pub(crate) driver: Driver,
    /// Where it is. Redis: `redis://user:password@host:6379/0`, `redis+sentinel://host:26379,host:26379/master/0`,
    /// `redis+cluster://host:6379,host:6379`, with TLS `rediss` instead of `redis`. RabbitMQ:
    /// `amqp://user:password@host:5672/vhost`. NATS: `nats://user:password@host:4222,host:4222`, with TLS `tls://`.
    pub(crate) url: Secret,
    /// File of the authority that signed the certificate of a `rediss` or `tls` server, where the system does not know it.
    pub(crate) ca_pem_file: String,
    /// What the names of streams, exchanges and queues begin with; the application has the same.
    pub(crate) prefix: String,
    /// Lanes; messages keep their order within one. The application has the same number.
    pub(crate) partitions: usize,
    /// Events that may wait in the queue before clients are refused.
    pub(crate) max_backlog: usize,
    /// Largest command or event, in bytes.
    pub(crate) max_payload_bytes: usize,
    /// What the application is told about; what is not listed costs nothing.
    pub(crate) events: Vec<EventType>,
    /// Time a channel must be without subscribers before `vacated` is told, so that a page that is loaded anew tells nothing.
    #[serde(with = "duration")]
    pub(crate) vacated_delay: Duration,
    /// Time the application has to answer a call that has no timeout of its own.
    #[serde(with = "duration")]
    pub(crate) call_timeout: Duration,
}

impl Default for AppLink {
    fn default() -> Self {
        Self {
            driver: Driver::None,
            url: Secret::default(),
            ca_pem_file: String::new(),
            prefix: "jackfield".to_owned(),
            partitions: 8,
            max_backlog: 100_000,
            max_payload_bytes: 1_048_576,
            events: vec![EventType::Connect, EventType::Disconnect, EventType::Message],
            vacated_delay: Duration::from_secs(1),
            call_timeout: Duration::from_secs(5),
        }
    }
}

/// The queue to the application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// This server is the queue.
    Embedded,
    /// NATS with JetStream.
    Nats,
    /// No application.
    #[default]
    None,
    /// RabbitMQ.
    Rabbitmq,
    /// Redis or Valkey.
    Redis,
}

/// What the application can be told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventType {
    /// A client has connected.
    Connect,
    /// A client is gone.
    Disconnect,
    /// A client has sent a message.
    Message,
    /// A channel has its first subscriber.
    Occupied,
    /// A client is in a channel.
    Subscribe,
    /// A `send`, or a publication into a personal channel, found the user offline.
    Undelivered,
    /// A client has left a channel.
    Unsubscribe,
    /// A channel has lost its last subscriber.
    Vacated,
}

/// The queue inside the server, for the driver `embedded`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Embedded {
    /// Address a Redis client of the application connects to; loopback, as it asks for no password.
    pub(crate) address: String,
    /// Port a Redis client of the application connects to; 0 for any free one.
    pub(crate) port: u16,
    /// Bytes the queue may hold.
    pub(crate) memory_limit: usize,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { address: "127.0.0.1".to_owned(), port: 8402, memory_limit: 268_435_456 }
    }
}

/// Calls of clients that the application answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rpc {
    /// The proxy named `default` in namespaces of methods; without an `endpoint` calls go over the app link.
    pub(crate) proxy: Proxy,
    /// Methods that name no namespace.
    pub(crate) without_namespace: RpcOptions,
    /// Namespaces: `rooms:rename` is a method of the namespace `rooms`. Each has a `name` and its own options.
    pub(crate) namespaces: Vec<RpcNamespace>,
    /// What parts a namespace from the rest of a method's name.
    pub(crate) namespace_boundary: String,
    /// Time the application has to answer where `proxy` has no `endpoint`.
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            proxy: Proxy::default(),
            without_namespace: RpcOptions::default(),
            namespaces: Vec::new(),
            namespace_boundary: ":".to_owned(),
            timeout: Duration::from_secs(5),
        }
    }
}

/// One namespace of methods: a name and its options.
///
/// Why flatten: users write both side by side. Unknown keys are found by `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RpcNamespace {
    /// Name of the namespace: letters a-z, digits, `_` and `-`.
    pub(crate) name: String,
    /// What becomes of its methods.
    #[serde(flatten)]
    pub(crate) options: RpcOptions,
}

/// What becomes of a client's call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RpcOptions {
    /// Hand calls to the application; without it they are refused.
    pub(crate) proxy_enabled: bool,
    /// Who answers: the name of one of `proxies`, `default` for `rpc.proxy`, `app` for the app link.
    pub(crate) proxy_name: String,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self { proxy_enabled: false, proxy_name: "default".to_owned() }
    }
}

const EVENTS: Kind = Kind::Choices(&[
    "connect",
    "disconnect",
    "message",
    "occupied",
    "subscribe",
    "undelivered",
    "unsubscribe",
    "vacated",
]);

/// The keys of `app_link`.
pub(super) const APP_LINK: &[Key] = &[
    Key::new("driver", Kind::Choice(&["none", "embedded", "redis", "rabbitmq", "nats"])),
    Key::new("url", Kind::Secret),
    Key::new("ca_pem_file", Kind::Text),
    Key::new("prefix", Kind::Text),
    Key::new("partitions", Kind::Integer),
    Key::new("max_backlog", Kind::Integer),
    Key::new("max_payload_bytes", Kind::Integer),
    Key::new("events", EVENTS),
    Key::new("vacated_delay", Kind::Duration),
    Key::new("call_timeout", Kind::Duration),
];

/// The keys of `embedded`.
pub(super) const EMBEDDED: &[Key] =
    &[Key::new("address", Kind::Text), Key::new("port", Kind::Port), Key::new("memory_limit", Kind::Integer)];

/// The keys of `rpc`.
pub(super) const RPC: &[Key] = &[
    Key::new("proxy", PROXY),
    Key::new("without_namespace", Kind::Section("RpcOptions", RPC_OPTIONS)),
    Key::new("namespaces", Kind::Sections("RpcNamespace", RPC_NAMESPACE)),
    Key::new("namespace_boundary", Kind::Text),
    Key::new("timeout", Kind::Duration),
];

const RPC_OPTIONS: &[Key] = &[Key::new("proxy_enabled", Kind::Bool), Key::new("proxy_name", Kind::Text)];

const RPC_NAMESPACE: &[Key] =
    &[Key::required("name", Kind::Text), Key::new("proxy_enabled", Kind::Bool), Key::new("proxy_name", Kind::Text)];

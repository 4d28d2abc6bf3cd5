//! The section about the broker between nodes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};
use super::secret::Secret;

/// What carries channels between nodes (docs/nodes.md).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Broker {
    /// Which broker: `memory` (this node is alone), `redis`, `rabbitmq` or `nats`.
    pub(crate) driver: BrokerDriver,
    /// Where it is: `redis://host:6379/0`, `redis+sentinel://host:26379,host:26379/master` or `redis+cluster://host:6379,host:6379`;
    /// `rediss` instead of `redis` for TLS; `amqp://user:password@host:5672/vhost`; `nats://user:password@host:4222,host:4222`, with TLS `tls://`.
    pub(crate) url: Secret,
    /// What the names of keys and topics begin with; all nodes of one cluster have the same.
    pub(crate) prefix: String,
    /// A file with certificates (PEM) of the authority that the broker is trusted by, instead of the system's.
    pub(crate) ca_pem_file: String,
    /// RabbitMQ and NATS: how long the streams keep publications; above every `history_ttl`. An argument of the streams: all nodes have the same,
    /// and it cannot be changed while they are there.
    #[serde(with = "duration")]
    pub(crate) stream_max_age: Duration,
    /// RabbitMQ and NATS: bytes that all streams together may hold. Every node reads them when it starts.
    pub(crate) stream_max_bytes: usize,
    /// NATS: on how many servers of its cluster each publication of a stream is, 1 to 5.
    pub(crate) stream_replicas: usize,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            driver: BrokerDriver::default(),
            url: Secret::default(),
            prefix: "jackfield".to_owned(),
            ca_pem_file: String::new(),
            stream_max_age: Duration::from_secs(86_400),
            stream_max_bytes: 512 << 20,
            stream_replicas: 1,
        }
    }
}

/// What carries channels between nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BrokerDriver {
    /// Nothing: there is one node.
    #[default]
    Memory,
    /// NATS with JetStream.
    Nats,
    /// RabbitMQ.
    Rabbitmq,
    /// Redis or Valkey.
    Redis,
}

/// The keys of `broker`.
pub(super) const KEYS: &[Key] = &[
    Key::new("driver", Kind::Choice(&["memory", "redis", "rabbitmq", "nats"])),
    Key::new("url", Kind::Secret),
    Key::new("prefix", Kind::Text),
    Key::new("ca_pem_file", Kind::Text),
    Key::new("stream_max_age", Kind::Duration),
    Key::new("stream_max_bytes", Kind::Integer),
    Key::new("stream_replicas", Kind::Integer),
];

//! The section about the broker between nodes.

use serde::{Deserialize, Serialize};

use super::schema::{Key, Kind};
use super::secret::Secret;

/// What carries channels between nodes (docs/nodes.md).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Broker {
    /// Which broker: `memory` (this node is alone) or `redis`.
    pub(crate) driver: BrokerDriver,
    /// Where it is: `redis://host:6379/0`, `redis+sentinel://host:26379,host:26379/master` or `redis+cluster://host:6379,host:6379`;
    /// `rediss` instead of `redis` for TLS.
    pub(crate) url: Secret,
    /// What the names of keys and topics begin with; all nodes of one cluster have the same.
    pub(crate) prefix: String,
    /// A file with certificates (PEM) of the authority that the broker is trusted by, instead of the system's.
    pub(crate) ca_pem_file: String,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            driver: BrokerDriver::default(),
            url: Secret::default(),
            prefix: "jackfield".to_owned(),
            ca_pem_file: String::new(),
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
    /// Redis or Valkey.
    Redis,
}

/// The keys of `broker`.
pub(super) const KEYS: &[Key] = &[
    Key::new("driver", Kind::Choice(&["memory", "redis"])),
    Key::new("url", Kind::Secret),
    Key::new("prefix", Kind::Text),
    Key::new("ca_pem_file", Kind::Text),
];

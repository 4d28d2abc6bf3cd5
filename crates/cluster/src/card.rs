//! What nodes know of each other.

use std::sync::Arc;

use jackfield_hub::control::NodeInfo;
use serde::{Deserialize, Serialize};

/// What a node says of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Card {
    /// Differs with every start.
    pub uid: Arc<str>,
    /// For people.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Seconds since its start.
    pub uptime: u64,
    /// Connections.
    pub clients: u64,
    /// Different users among them.
    pub users: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Channels.
    pub channels: u64,
}

impl Card {
    pub(crate) fn with(mut self, info: NodeInfo) -> Self {
        self.clients = info.clients;
        self.users = info.users;
        self.subscriptions = info.subscriptions;
        self.channels = info.channels;
        self
    }
}

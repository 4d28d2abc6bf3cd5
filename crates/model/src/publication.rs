//! A publication is what a channel carries; its position tells where in the channel's history it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{ClientId, Millis, Payload};

/// Who a client is to the others in a channel.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ClientInfo {
    /// User id; empty for an anonymous client.
    pub user: Arc<str>,
    /// Connection id.
    pub client: ClientId,
    /// JSON from the connection token or the app's connect answer.
    pub conn_info: Option<Bytes>,
    /// JSON from the subscription token or the app's subscribe answer.
    pub chan_info: Option<Bytes>,
}

/// A place in the history of a channel: the offset counts from 1, the epoch names the life of the stream.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Position {
    /// Number of the publication; 0 before the first.
    pub offset: u64,
    /// A short random string; another one means that offsets of the past mean nothing.
    pub epoch: Arc<str>,
}

/// One message in a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publication {
    /// Number in the channel's history; 0 where the channel keeps none.
    pub offset: u64,
    /// What was published.
    pub data: Payload,
    /// The publisher, for publications of clients.
    pub info: Option<Arc<ClientInfo>>,
    /// Strings the app put beside the data.
    pub tags: Option<Arc<BTreeMap<String, String>>>,
    /// When the server took it.
    pub time: Millis,
    /// What few publications have.
    pub rare: Option<Box<Rare>>,
}

/// What few publications have, kept out of the many that do not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rare {
    /// What it is the latest value of, among the values that the channel carries side by side.
    pub key: Option<Arc<str>>,
    /// The key has no value any more.
    pub removed: bool,
    /// Where the key stands in an ordered map.
    pub score: i64,
    /// The epoch, told with the first publication of a stream, so that who subscribed before it learns the epoch.
    pub epoch: Option<Arc<str>>,
    /// The publisher's own count of what it published.
    pub version: u64,
}

impl Publication {
    /// What it is the latest value of, where the channel carries several side by side.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<str>> {
        self.rare.as_ref().and_then(|rare| rare.key.as_ref())
    }

    /// Whether it says that its key has no value any more.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.removed)
    }

    /// Its tags; none are an empty map.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.tags.as_deref().unwrap_or(&NONE)
    }
}

//! A publication is what a channel carries; its position tells where in the channel's history it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ClientId, Millis, Payload};

/// Who a client is to the others in a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
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
#[derive(Clone, Debug, Default, Eq, PartialEq)]
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
}

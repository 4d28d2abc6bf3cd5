//! What a subscription may be told beside the options of its namespace, whoever grants it: a token, the application, or
//! the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Payload;

/// What differs from the namespace's options for one subscription.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Overrides {
    /// Counted among the members.
    pub presence: Option<bool>,
    /// The others hear it come and go.
    pub join_leave: Option<bool>,
    /// It may recover, asked for or not.
    pub force_recovery: Option<bool>,
    /// It is told positions, asked for or not.
    pub force_positioning: Option<bool>,
    /// It hears who comes and goes, asked for or not.
    pub force_push_join_leave: Option<bool>,
    /// It may publish, whatever the namespace lets others do; or it may not.
    pub publish: Option<bool>,
}

/// A subscription that somebody grants.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Grant {
    /// JSON for presence and publications of this client in this channel.
    pub info: Option<Bytes>,
    /// For the client.
    pub data: Option<Payload>,
    /// Seconds since 1970 after which it ends unless it is renewed.
    pub expire_at: Option<u64>,
    /// What differs from the namespace's options.
    pub overrides: Overrides,
}

/// What a subscriber wants reckoned instead of hearing publications, unread.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AggregateWish {
    /// The length of a window in milliseconds.
    pub every: u64,
    /// Figures by name: `count`, or `sum`, `avg`, `min`, `max`, `last`, `pN` with `:` and a path.
    pub figures: BTreeMap<String, String>,
    /// The path of what groups; empty: nothing does.
    pub by: String,
    /// Paths, and what a publication must have there to count.
    pub only: BTreeMap<String, String>,
}

/// Which publications a subscriber wants to hear, by their tags. `op` empty: a leaf that compares one tag.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct FilterNode {
    /// `and`, `or`, `not`, or empty.
    pub op: String,
    /// The tag.
    pub key: String,
    /// `eq`, `neq`, `in`, `nin`, `ex`, `nex`, `sw`, `ew`, `ct`, `lt`, `lte`, `gt`, `gte`.
    pub cmp: String,
    /// What it is compared with.
    pub val: String,
    /// What it is compared with, for `in` and `nin`.
    pub vals: Vec<String>,
    /// What `op` combines.
    pub nodes: Vec<Self>,
}

/// A server-side subscription of a connection: the channel, and what it is granted.
pub type Granted = (Arc<str>, Grant);

//! The section `channel`: how channel names are read, and what may be done in which namespace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};

/// How channel names are read, and what may be done in which namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Channel {
    /// Options of channels that name no namespace.
    pub(crate) without_namespace: NamespaceOptions,
    /// Namespaces: `chat:42` is a channel of the namespace `chat`. Each has a `name` and its own options.
    pub(crate) namespaces: Vec<Namespace>,
    /// Longest channel name, in bytes.
    pub(crate) max_length: usize,
    /// What a channel that needs a subscription token of its own begins with.
    pub(crate) private_prefix: String,
    /// What parts a namespace from the rest of a channel's name.
    pub(crate) namespace_boundary: String,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            without_namespace: NamespaceOptions::default(),
            namespaces: Vec::new(),
            max_length: 255,
            private_prefix: "$".to_owned(),
            namespace_boundary: ":".to_owned(),
        }
    }
}

/// One namespace: a name and its options.
///
/// Why flatten: users write both side by side. Unknown keys are found by `check` before serde sees the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Namespace {
    /// Name of the namespace: letters a-z, digits, `_` and `-`.
    pub(crate) name: String,
    /// What may be done in its channels.
    #[serde(flatten)]
    pub(crate) options: NamespaceOptions,
}

/// What may be done in the channels of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NamespaceOptions {
    /// Keep a list of who is in the channel.
    pub(crate) presence: bool,
    /// Tell subscribers who joins and leaves.
    pub(crate) join_leave: bool,
    /// Tell every subscriber, even one that did not ask.
    pub(crate) force_push_join_leave: bool,
    /// Publications kept per channel; 0 for no history.
    pub(crate) history_size: usize,
    /// Time a publication is kept.
    #[serde(with = "duration")]
    pub(crate) history_ttl: Duration,
    /// Subscribers may ask for what they missed; needs history.
    pub(crate) allow_recovery: bool,
    /// Every subscriber is sent what it missed, even one that did not ask; needs history.
    pub(crate) force_recovery: bool,
    /// Subscribers may ask to be told when they have missed something.
    pub(crate) allow_positioning: bool,
    /// Every subscriber is told when it has missed something, even one that did not ask.
    pub(crate) force_positioning: bool,
    /// Users may subscribe without a subscription token.
    pub(crate) allow_subscribe_for_client: bool,
    /// Anonymous users may, too.
    pub(crate) allow_subscribe_for_anonymous: bool,
    /// Users may publish.
    pub(crate) allow_publish_for_client: bool,
    /// Users may publish to channels that they are in.
    pub(crate) allow_publish_for_subscriber: bool,
    /// Anonymous users may publish, too.
    pub(crate) allow_publish_for_anonymous: bool,
    /// Users may ask who is in the channel.
    pub(crate) allow_presence_for_client: bool,
    /// Users may ask who is in a channel that they are in.
    pub(crate) allow_presence_for_subscriber: bool,
    /// Anonymous users may ask who is in the channel, too.
    pub(crate) allow_presence_for_anonymous: bool,
    /// Users may read the history.
    pub(crate) allow_history_for_client: bool,
    /// Users may read the history of channels that they are in.
    pub(crate) allow_history_for_subscriber: bool,
    /// Anonymous users may read the history, too.
    pub(crate) allow_history_for_anonymous: bool,
    /// Where goes what clients publish: `channel` to the subscribers, `app` to the application as an event `message`.
    pub(crate) publish_to: PublishTo,
}

/// Where a client's message goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PublishTo {
    /// To the application, as an event.
    App,
    /// To the subscribers of the channel.
    #[default]
    Channel,
}

/// The values of a `publish_to`.
pub(super) const PUBLISH_TO: Kind = Kind::Choice(&["app", "channel"]);

/// The keys of the section.
pub(super) const KEYS: &[Key] = &[
    Key::new("without_namespace", Kind::Section("NamespaceOptions", OPTIONS.as_slice())),
    Key::new("namespaces", Kind::Sections("Namespace", NAMESPACE.as_slice())),
    Key::new("max_length", Kind::Integer),
    Key::new("private_prefix", Kind::Text),
    Key::new("namespace_boundary", Kind::Text),
];

const OPTIONS: [Key; 21] = [
    Key::new("presence", Kind::Bool),
    Key::new("join_leave", Kind::Bool),
    Key::new("force_push_join_leave", Kind::Bool),
    Key::new("history_size", Kind::Integer),
    Key::new("history_ttl", Kind::Duration),
    Key::new("allow_recovery", Kind::Bool),
    Key::new("force_recovery", Kind::Bool),
    Key::new("allow_positioning", Kind::Bool),
    Key::new("force_positioning", Kind::Bool),
    Key::new("allow_subscribe_for_client", Kind::Bool),
    Key::new("allow_subscribe_for_anonymous", Kind::Bool),
    Key::new("allow_publish_for_client", Kind::Bool),
    Key::new("allow_publish_for_subscriber", Kind::Bool),
    Key::new("allow_publish_for_anonymous", Kind::Bool),
    Key::new("allow_presence_for_client", Kind::Bool),
    Key::new("allow_presence_for_subscriber", Kind::Bool),
    Key::new("allow_presence_for_anonymous", Kind::Bool),
    Key::new("allow_history_for_client", Kind::Bool),
    Key::new("allow_history_for_subscriber", Kind::Bool),
    Key::new("allow_history_for_anonymous", Kind::Bool),
    Key::new("publish_to", PUBLISH_TO),
];

/// A namespace's name, then its options.
const NAMESPACE: [Key; 22] = {
    let mut keys = [Key::required("name", Kind::Text); 22];
    let mut index = 0;
    while index < OPTIONS.len() {
        keys[index + 1] = OPTIONS[index];
        index += 1;
    }
    keys
};

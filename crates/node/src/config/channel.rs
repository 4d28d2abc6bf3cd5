//! The section `channel`: how channel names are read, and what may be done in which namespace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::namespace::{NamespaceOptions, OPTIONS};
use super::proxy::{CHANNEL, ChannelProxy};
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
    /// Time that a channel's position outlives its last publication, so that who comes back late is told the truth.
    #[serde(with = "duration")]
    pub(crate) history_meta_ttl: Duration,
    /// What a channel that needs a subscription token of its own begins with.
    pub(crate) private_prefix: String,
    /// What parts a namespace from the rest of a channel's name.
    pub(crate) namespace_boundary: String,
    /// What parts the users from the rest of a name, where only they may subscribe: `talk#42,43`.
    pub(crate) user_boundary: String,
    /// What parts one such user from the next.
    pub(crate) user_separator: String,
    /// The proxies named `default` in namespaces.
    pub(crate) proxy: ChannelProxy,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            without_namespace: NamespaceOptions::default(),
            namespaces: Vec::new(),
            max_length: 255,
            history_meta_ttl: Duration::from_secs(720 * 3600),
            private_prefix: "$".to_owned(),
            namespace_boundary: ":".to_owned(),
            user_boundary: "#".to_owned(),
            user_separator: ",".to_owned(),
            proxy: ChannelProxy::default(),
        }
    }
}

/// One namespace: a name and its options.
///
/// Why flatten: users write both side by side. Unknown keys are found by `check` before serde sees the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Namespace {
    /// Name of the namespace: letters a-z, digits, `_` and `-`. Or a pattern of whole names, such as
    /// `/users/:user/inbox`, where each `:part` stands for any one part; the first pattern that fits counts.
    pub(crate) name: String,
    /// What may be done in its channels.
    #[serde(flatten)]
    pub(crate) options: NamespaceOptions,
}

/// The keys of the section.
pub(super) const KEYS: &[Key] = &[
    Key::new("without_namespace", Kind::Section("NamespaceOptions", OPTIONS.as_slice())),
    Key::new("namespaces", Kind::Sections("Namespace", NAMESPACE.as_slice())),
    Key::new("max_length", Kind::Integer),
    Key::new("history_meta_ttl", Kind::Duration),
    Key::new("private_prefix", Kind::Text),
    Key::new("namespace_boundary", Kind::Text),
    Key::new("user_boundary", Kind::Text),
    Key::new("user_separator", Kind::Text),
    Key::new("proxy", Kind::Section("ChannelProxy", CHANNEL)),
];

/// A namespace's name, then its options.
const NAMESPACE: [Key; OPTIONS.len() + 1] = {
    let mut keys = [Key::required("name", Kind::Text); OPTIONS.len() + 1];
    let mut index = 0;
    while index < OPTIONS.len() {
        keys[index + 1] = OPTIONS[index];
        index += 1;
    }
    keys
};

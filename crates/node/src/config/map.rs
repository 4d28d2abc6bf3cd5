//! Options of maps: channels of keys with values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};

/// Options of maps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MapOptions {
    /// What is promised: the state (`ephemeral`), or state and stream, so that who comes back gets what it missed
    /// (`recoverable`), where values may also stay for ever (`persistent`).
    pub(crate) mode: MapMode,
    /// Time a value lives unless it is set anew; `0s` for ever.
    #[serde(with = "duration")]
    pub(crate) key_ttl: Duration,
    /// Publications that the stream keeps; not for `ephemeral`.
    pub(crate) stream_size: usize,
    /// Time that the stream keeps them.
    #[serde(with = "duration")]
    pub(crate) stream_ttl: Duration,
    /// Values that a client set go when it leaves the channel.
    pub(crate) remove_client_on_unsubscribe: bool,
    /// Which key a client may set: the one that it names (`any`), its connection's id (`client_id`) or its user's (`user_id`).
    pub(crate) client_key: ClientKey,
    /// Users may set values.
    pub(crate) allow_publish_for_client: bool,
    /// Users may set values in channels that they are in.
    pub(crate) allow_publish_for_subscriber: bool,
    /// Anonymous users may set values, too.
    pub(crate) allow_publish_for_anonymous: bool,
    /// Users may take values away.
    pub(crate) allow_remove_for_client: bool,
    /// Users may take values away in channels that they are in.
    pub(crate) allow_remove_for_subscriber: bool,
    /// Anonymous users may take values away, too.
    pub(crate) allow_remove_for_anonymous: bool,
    /// Entries of a page for a client that asks for no number.
    pub(crate) default_page_size: usize,
    /// The smallest page; a client that asks for less gets this.
    pub(crate) min_page_size: usize,
    /// The largest page, and the most publications a client may be behind when it goes live.
    pub(crate) max_page_size: usize,
    /// Time a client may take from the first page to the last.
    #[serde(with = "duration")]
    pub(crate) subscribe_catch_up_timeout: Duration,
    /// Keys of one map; setting another one fails.
    pub(crate) max_keys: usize,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            mode: MapMode::default(),
            key_ttl: Duration::ZERO,
            stream_size: 0,
            stream_ttl: Duration::ZERO,
            remove_client_on_unsubscribe: false,
            client_key: ClientKey::default(),
            allow_publish_for_client: false,
            allow_publish_for_subscriber: false,
            allow_publish_for_anonymous: false,
            allow_remove_for_client: false,
            allow_remove_for_subscriber: false,
            allow_remove_for_anonymous: false,
            default_page_size: 100,
            min_page_size: 100,
            max_page_size: 1_000,
            subscribe_catch_up_timeout: Duration::from_secs(5),
            max_keys: 100_000,
        }
    }
}

/// What a map promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MapMode {
    /// The state.
    #[default]
    Ephemeral,
    /// State and stream.
    Recoverable,
    /// The same, for ever.
    Persistent,
}

/// Which key a client may set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientKey {
    /// The one that it names.
    #[default]
    Any,
    /// Its connection's id.
    ClientId,
    /// Its user's id.
    UserId,
}

const MAP_MODE: Kind = Kind::Choice(&["ephemeral", "recoverable", "persistent"]);
const CLIENT_KEY: Kind = Kind::Choice(&["any", "client_id", "user_id"]);

/// The keys of the section.
pub(super) const MAP_OPTIONS: &[Key] = &[
    Key::new("mode", MAP_MODE),
    Key::new("key_ttl", Kind::Duration),
    Key::new("stream_size", Kind::Integer),
    Key::new("stream_ttl", Kind::Duration),
    Key::new("remove_client_on_unsubscribe", Kind::Bool),
    Key::new("client_key", CLIENT_KEY),
    Key::new("allow_publish_for_client", Kind::Bool),
    Key::new("allow_publish_for_subscriber", Kind::Bool),
    Key::new("allow_publish_for_anonymous", Kind::Bool),
    Key::new("allow_remove_for_client", Kind::Bool),
    Key::new("allow_remove_for_subscriber", Kind::Bool),
    Key::new("allow_remove_for_anonymous", Kind::Bool),
    Key::new("default_page_size", Kind::Integer),
    Key::new("min_page_size", Kind::Integer),
    Key::new("max_page_size", Kind::Integer),
    Key::new("subscribe_catch_up_timeout", Kind::Duration),
    Key::new("max_keys", Kind::Integer),
];

//! What may be done in the channels of a namespace, and what they keep.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::map::{MAP_OPTIONS, MapOptions};
use super::schema::{Key, Kind};

/// What may be done in the channels of a namespace, and what they keep.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NamespaceOptions {
    /// What a subscription is: a `stream` of publications, a `map` of keys with values, or a map that the server keeps of who
    /// is in other channels (`map_clients`, `map_users`).
    pub(crate) subscription_type: SubscriptionType,
    /// Keep a list of who is in the channel.
    pub(crate) presence: bool,
    /// Tell subscribers who joins and leaves.
    pub(crate) join_leave: bool,
    /// Tell every subscriber, even one that did not ask.
    pub(crate) force_push_join_leave: bool,
    /// Nobody is told in a channel with more subscribers than this; 0 for no limit. Presence goes on.
    pub(crate) join_leave_limit: usize,
    /// Tell the application who comes into a channel and leaves it, where `app_link.events` names `subscribe` or `unsubscribe`.
    pub(crate) subscribe_events: bool,
    /// Tell the application which channels come into use and go out of it, where `app_link.events` names `occupied` or
    /// `vacated`.
    pub(crate) occupancy_events: bool,
    /// Publications kept per channel; 0 for no history.
    pub(crate) history_size: usize,
    /// Time a publication is kept.
    #[serde(with = "duration")]
    pub(crate) history_ttl: Duration,
    /// Keep the history in the log of `history.path`: nobody sees a publication before it is written, and a restart of
    /// the server takes nothing; needs history.
    pub(crate) durable: bool,
    /// Time the position outlives the last publication; `0s` for `channel.history_meta_ttl`.
    #[serde(with = "duration")]
    pub(crate) history_meta_ttl: Duration,
    /// Subscribers may ask for what they missed; needs history.
    pub(crate) allow_recovery: bool,
    /// Every subscriber is sent what it missed, even one that did not ask; needs history.
    pub(crate) force_recovery: bool,
    /// What who comes back is sent: all that it missed (`stream`), or the latest value (`cache`).
    pub(crate) force_recovery_mode: RecoveryMode,
    /// In the mode `cache` a first subscription is sent the latest value too.
    pub(crate) auto_cache_recover: bool,
    /// Subscribers may ask to be told when they have missed something.
    pub(crate) allow_positioning: bool,
    /// Every subscriber is told when it has missed something, even one that did not ask.
    pub(crate) force_positioning: bool,
    /// Keep the latest value of every `key` (and of publications without one), and begin every subscription with them.
    pub(crate) snapshot: bool,
    /// Keys of a snapshot; values of further keys are delivered, but not kept.
    pub(crate) snapshot_keys: usize,
    /// Subscribers may ask for differences between publications in these formats; `fossil` is the one there is.
    pub(crate) allowed_delta_types: Vec<String>,
    /// Every publication is one that differences are made of, not only those whose publisher says so.
    pub(crate) delta_publish: bool,
    /// Subscribers may choose publications by their tags.
    pub(crate) allow_tags_filter: bool,
    /// Subscribers may have figures reckoned of the publications of each window of time, instead of hearing them.
    pub(crate) allow_aggregates: bool,
    /// Subscribers hear only what they say they want just now, by the rpc `jackfield.interest`: publications whose key (`key`) or
    /// whose tag (`tag:NAME`) is among their interest keys, and those that have none. Empty: they hear all.
    pub(crate) interest: String,
    /// Each channel is a document that clients of y-websocket edit: `yjs` (docs/documents.md). Empty: it is none.
    pub(crate) document: String,
    /// Bytes that a document may have; beyond that edits are refused.
    pub(crate) document_max_size: usize,
    /// What a reader that cannot keep up gets: `all` (up to `client.queue_max_size`, then it is disconnected and may recover),
    /// `latest` (the newest of every key), `drop_oldest`, or `sampled:N` (at most N a second of every key). Subscribers may ask
    /// for a gentler one.
    pub(crate) delivery: String,
    /// What publications must be: `json`, `binary`, or empty for anything.
    pub(crate) publication_data_format: String,
    /// A channel whose name ends in `#` and users is theirs alone: they may subscribe, and nobody else.
    pub(crate) allow_user_limited_channels: bool,
    /// What the part of the name behind the namespace must match; empty for anything.
    pub(crate) channel_regex: String,
    /// Publications of one connection per second; 0 for no limit but `client.message_rate_limit`.
    pub(crate) publish_rate: usize,
    /// Subscriptions of one connection per second; 0 for no limit but `client.message_rate_limit`.
    pub(crate) subscribe_rate: usize,
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
    /// The application decides who may subscribe, where no token and no other option says that a client may.
    pub(crate) subscribe_proxy_enabled: bool,
    /// Who is asked: the name of one of `proxies`, `default` (or empty) for `channel.proxy.subscribe`, `app` for the app link.
    pub(crate) subscribe_proxy_name: String,
    /// The application decides what clients may publish.
    pub(crate) publish_proxy_enabled: bool,
    /// Who is asked, as for `subscribe_proxy_name`; `default` is `channel.proxy.publish`.
    pub(crate) publish_proxy_name: String,
    /// The application decides who may stay when a subscription's time is up; else a client has to bring a new token.
    pub(crate) sub_refresh_proxy_enabled: bool,
    /// Who is asked, as for `subscribe_proxy_name`; `default` is `channel.proxy.sub_refresh`.
    pub(crate) sub_refresh_proxy_name: String,
    /// Keep a map of the connections in each channel, in the channel with this prefix before the name; its namespace must be
    /// a `map_clients`. Empty for none.
    pub(crate) map_clients_presence_channel_prefix: String,
    /// The same for users; its namespace must be a `map_users`.
    pub(crate) map_users_presence_channel_prefix: String,
    /// Options of maps.
    pub(crate) map: MapOptions,
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self {
            subscription_type: SubscriptionType::default(),
            presence: false,
            join_leave: false,
            force_push_join_leave: false,
            join_leave_limit: 2_000,
            subscribe_events: true,
            occupancy_events: true,
            history_size: 0,
            history_ttl: Duration::ZERO,
            durable: false,
            history_meta_ttl: Duration::ZERO,
            allow_recovery: false,
            force_recovery: false,
            force_recovery_mode: RecoveryMode::default(),
            auto_cache_recover: false,
            allow_positioning: false,
            force_positioning: false,
            snapshot: false,
            snapshot_keys: 10_000,
            allowed_delta_types: Vec::new(),
            delta_publish: false,
            allow_tags_filter: false,
            allow_aggregates: false,
            interest: String::new(),
            document: String::new(),
            document_max_size: 16 << 20,
            delivery: "all".to_owned(),
            publication_data_format: String::new(),
            allow_user_limited_channels: false,
            channel_regex: String::new(),
            publish_rate: 0,
            subscribe_rate: 0,
            allow_subscribe_for_client: false,
            allow_subscribe_for_anonymous: false,
            allow_publish_for_client: false,
            allow_publish_for_subscriber: false,
            allow_publish_for_anonymous: false,
            allow_presence_for_client: false,
            allow_presence_for_subscriber: false,
            allow_presence_for_anonymous: false,
            allow_history_for_client: false,
            allow_history_for_subscriber: false,
            allow_history_for_anonymous: false,
            publish_to: PublishTo::default(),
            subscribe_proxy_enabled: false,
            subscribe_proxy_name: String::new(),
            publish_proxy_enabled: false,
            publish_proxy_name: String::new(),
            sub_refresh_proxy_enabled: false,
            sub_refresh_proxy_name: String::new(),
            map_clients_presence_channel_prefix: String::new(),
            map_users_presence_channel_prefix: String::new(),
            map: MapOptions::default(),
        }
    }
}

/// What a subscription is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SubscriptionType {
    /// Publications.
    #[default]
    Stream,
    /// Keys with values.
    Map,
    /// The connections in another channel.
    MapClients,
    /// The users in another channel.
    MapUsers,
}

/// What who comes back is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecoveryMode {
    /// All that it missed.
    #[default]
    Stream,
    /// The latest value.
    Cache,
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

const SUBSCRIPTION_TYPE: Kind = Kind::Choice(&["stream", "map", "map_clients", "map_users"]);
const RECOVERY_MODE: Kind = Kind::Choice(&["stream", "cache"]);
const DELTA_TYPES: Kind = Kind::Choices(&["fossil"]);
const FORMAT: Kind = Kind::Choice(&["", "json", "binary"]);
const MAP: Kind = Kind::Section("MapOptions", MAP_OPTIONS);

/// The keys of a namespace but for its name.
pub(super) const OPTIONS: [Key; 53] = [
    Key::new("subscription_type", SUBSCRIPTION_TYPE),
    Key::new("presence", Kind::Bool),
    Key::new("join_leave", Kind::Bool),
    Key::new("force_push_join_leave", Kind::Bool),
    Key::new("join_leave_limit", Kind::Integer),
    Key::new("subscribe_events", Kind::Bool),
    Key::new("occupancy_events", Kind::Bool),
    Key::new("history_size", Kind::Integer),
    Key::new("history_ttl", Kind::Duration),
    Key::new("durable", Kind::Bool),
    Key::new("history_meta_ttl", Kind::Duration),
    Key::new("allow_recovery", Kind::Bool),
    Key::new("force_recovery", Kind::Bool),
    Key::new("force_recovery_mode", RECOVERY_MODE),
    Key::new("auto_cache_recover", Kind::Bool),
    Key::new("allow_positioning", Kind::Bool),
    Key::new("force_positioning", Kind::Bool),
    Key::new("snapshot", Kind::Bool),
    Key::new("snapshot_keys", Kind::Integer),
    Key::new("allowed_delta_types", DELTA_TYPES),
    Key::new("delta_publish", Kind::Bool),
    Key::new("allow_tags_filter", Kind::Bool),
    Key::new("allow_aggregates", Kind::Bool),
    Key::new("interest", Kind::Text),
    Key::new("document", Kind::Text),
    Key::new("document_max_size", Kind::Integer),
    Key::new("delivery", Kind::Text),
    Key::new("publication_data_format", FORMAT),
    Key::new("allow_user_limited_channels", Kind::Bool),
    Key::new("channel_regex", Kind::Text),
    Key::new("publish_rate", Kind::Integer),
    Key::new("subscribe_rate", Kind::Integer),
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
    Key::new("subscribe_proxy_enabled", Kind::Bool),
    Key::new("subscribe_proxy_name", Kind::Text),
    Key::new("publish_proxy_enabled", Kind::Bool),
    Key::new("publish_proxy_name", Kind::Text),
    Key::new("sub_refresh_proxy_enabled", Kind::Bool),
    Key::new("sub_refresh_proxy_name", Kind::Text),
    Key::new("map_clients_presence_channel_prefix", Kind::Text),
    Key::new("map_users_presence_channel_prefix", Kind::Text),
    Key::new("map", MAP),
];

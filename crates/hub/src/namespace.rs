//! Namespaces: the options of the channels whose names begin alike.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::HashMap;
use jackfield_model::{Millis, channel};
use regex::Regex;

use crate::interest::InterestBy;

/// Where a client's publication goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PublishTo {
    /// To the application, as a `message` event.
    App,
    /// Straight to the channel's subscribers.
    #[default]
    Channel,
}

/// Who may do something: any client with a user, subscribers only, and whether anonymous clients count too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Permission {
    /// Every client that has a user id.
    pub client: bool,
    /// Every subscriber of the channel.
    pub subscriber: bool,
    /// Anonymous clients too.
    pub anonymous: bool,
}

impl Permission {
    /// Whether a client with or without a user, in or out of the channel, may.
    #[must_use]
    pub fn allows(self, has_user: bool, is_subscriber: bool) -> bool {
        (self.client && has_user) || (self.subscriber && is_subscriber) || (self.anonymous && !has_user)
    }
}

/// How a client that comes back is brought up to date.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecoveryMode {
    /// It gets all that it missed, or is told that it cannot.
    #[default]
    Stream,
    /// It gets the latest value: of the channel, or of every key.
    Cache,
}

/// What becomes of publications that a reader cannot take as fast as they come.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Delivery {
    /// Every one is kept for it, up to a limit; then it is closed with a code that lets it recover.
    #[default]
    All,
    /// While it is blocked, a newer one of the same key takes the place of the one that waits.
    Latest,
    /// While it is blocked and over its limit, the oldest give way.
    DropOldest,
    /// At most so many a second and key, blocked or not; the last one always comes. Blocked, as [`Self::Latest`].
    Sampled(u16),
}

impl Delivery {
    /// Reads the word of the configuration and of clients: `all`, `latest`, `drop_oldest`, `sampled:N`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => match text {
                "all" => Some(Self::All),
                "latest" => Some(Self::Latest),
                "drop_oldest" => Some(Self::DropOldest),
                _ => None,
            },
            Some(("sampled", rate)) => rate.parse().ok().filter(|rate| (1..=1000).contains(rate)).map(Self::Sampled),
            Some(_) => None,
        }
    }

    /// Whether publications may pass a reader by, so that its offset does not tell what it has seen of each key.
    #[must_use]
    pub fn skips(self) -> bool {
        matches!(self, Self::Latest | Self::Sampled(_))
    }

    /// Whether `self` asks no more of the server than `other`, so that a client may choose it.
    #[must_use]
    pub fn is_gentler_than(self, other: Self) -> bool {
        let gentleness = |delivery| match delivery {
            Self::All => 0,
            Self::DropOldest => 1,
            Self::Latest => 2,
            // A thousand a second is the least gentle rate.
            Self::Sampled(rate) => 3 + u32::from(1000 - rate.min(1000)),
        };
        gentleness(self) >= gentleness(other)
    }
}

/// What publications of a namespace must be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// Whatever the publisher says they are.
    #[default]
    Any,
    /// JSON; anything else is refused.
    Json,
    /// Bytes that nobody reads.
    Binary,
}

/// What a subscription of a namespace is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// A stream of publications.
    #[default]
    Stream,
    /// Keys with values.
    Map,
    /// A map that the server keeps of the connections in another channel.
    Clients,
    /// A map that the server keeps of the users in another channel.
    Users,
}

/// How much a map promises.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MapMode {
    /// The state only: whoever comes back starts anew.
    #[default]
    Ephemeral,
    /// State and stream: whoever comes back gets what it missed.
    Recoverable,
    /// As recoverable, and values do not run out.
    Persistent,
}

/// Which key a client's own publication into a map gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientKey {
    /// The one that it names.
    #[default]
    Any,
    /// Its connection's id.
    Client,
    /// Its user's id.
    User,
}

/// Options of maps.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// What is promised.
    pub mode: MapMode,
    /// How long a value lives unless it is renewed; 0: for ever.
    pub key_ttl: Millis,
    /// Publications that the stream keeps.
    pub stream_size: usize,
    /// For how long.
    pub stream_ttl: Millis,
    /// Values that a client published go when it leaves the channel.
    pub remove_client_on_unsubscribe: bool,
    /// Which key a client may publish.
    pub client_key: ClientKey,
    /// Who may publish values.
    pub publish: Permission,
    /// Who may take them away.
    pub remove: Permission,
    /// Entries of a page that asked for no measure.
    pub page_size: u32,
    /// The smallest page.
    pub min_page_size: u32,
    /// The largest page.
    pub max_page_size: u32,
    /// How long a client may take from the first page to going live.
    pub catch_up_timeout: Millis,
    /// Keys that a map may have.
    pub max_keys: usize,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            mode: MapMode::Ephemeral,
            key_ttl: 0,
            stream_size: 0,
            stream_ttl: 0,
            remove_client_on_unsubscribe: false,
            client_key: ClientKey::Any,
            publish: Permission::default(),
            remove: Permission::default(),
            page_size: 100,
            min_page_size: 100,
            max_page_size: 1000,
            catch_up_timeout: 5_000,
            max_keys: 100_000,
        }
    }
}

/// What was counted about slow readers of a namespace.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Publications whose place a newer one of the same key took.
    pub conflated: AtomicU64,
    /// Publications that gave way.
    pub dropped: AtomicU64,
    /// Publications that waited for a blocked reader and went out.
    pub late: AtomicU64,
    /// How long they waited, together.
    pub late_millis: AtomicU64,
    /// Age of the oldest publication that waits now, as last looked at.
    pub stalest_millis: AtomicU64,
}

/// Options of a namespace.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace's name, by which others know what belongs to it; empty for channels without one.
    pub name: Arc<str>,
    /// What a subscription is.
    pub kind: Kind,
    /// Keeps who is in a channel.
    pub presence: bool,
    /// Tells members who comes and goes, if they ask for it.
    pub join_leave: bool,
    /// Tells them even if they do not ask.
    pub force_push_join_leave: bool,
    /// In a channel with more subscriptions than this nobody is told who comes and goes; 0: always.
    ///
    /// Why: each of n members hears of each other; ten thousand that come into a room of a hundred thousand would be a
    /// thousand million pushes, and nobody could read them.
    pub join_leave_limit: u32,
    /// The application may hear who comes into a channel and leaves it.
    pub subscribe_events: bool,
    /// The application may hear which channels come into use and go out of it.
    pub occupancy_events: bool,
    /// How many publications are kept; 0 for none.
    pub history_size: usize,
    /// For how long.
    pub history_ttl: Millis,
    /// How long the position outlives the publications; 0: as long as the server's `history_meta_ttl`.
    pub meta_ttl: Millis,
    /// Publications are written to the log before anybody sees them.
    pub durable: bool,
    /// Clients that ask for it get what they missed.
    pub allow_recovery: bool,
    /// Clients may recover even if they did not ask for it.
    pub force_recovery: bool,
    /// How they recover.
    pub recovery_mode: RecoveryMode,
    /// Cache recovery: a first subscription gets the latest value too.
    pub auto_cache_recover: bool,
    /// Clients that ask for it are told their position.
    pub allow_positioning: bool,
    /// They are told even if they do not ask.
    pub force_positioning: bool,
    /// Keeps the latest value of every key, and gives them to whoever subscribes.
    pub snapshot: bool,
    /// Keys of a snapshot; beyond that, values of new keys are not kept.
    pub snapshot_keys: usize,
    /// Clients may ask for deltas in the Fossil format.
    pub delta: bool,
    /// Every publication is one that deltas are made of.
    pub delta_publish: bool,
    /// Clients may filter by tags.
    pub tags_filter: bool,
    /// Clients may have figures reckoned instead of hearing publications.
    pub aggregates: bool,
    /// Subscribers hear what has a key of theirs, and what has none.
    pub interest: Option<InterestBy>,
    /// Each channel is a document of Yjs; bytes that it may have.
    pub document: Option<usize>,
    /// What becomes of publications that a reader cannot take.
    pub delivery: Delivery,
    /// What publications must be.
    pub format: Format,
    /// `NAME#USER,USER` is for these users only.
    pub user_limited: bool,
    /// What the part of the name behind the namespace must match.
    pub pattern: Option<Regex>,
    /// Who may subscribe.
    pub subscribe: Permission,
    /// Who may publish.
    pub publish: Permission,
    /// Who may ask for presence.
    pub read_presence: Permission,
    /// Who may read history.
    pub read_history: Permission,
    /// Where client publications go.
    pub publish_to: PublishTo,
    /// Publications of one connection per second; 0: as many as its commands.
    pub publish_rate: u32,
    /// Subscriptions of one connection per second; 0: as many as its commands.
    pub subscribe_rate: u32,
    /// The application is asked about subscriptions; milliseconds it has.
    pub subscribe_call: Option<u64>,
    /// The application is asked about publications; milliseconds it has.
    pub publish_call: Option<u64>,
    /// The application is asked when a subscription's time is up; milliseconds it has.
    pub sub_refresh_call: Option<u64>,
    /// Prefix of the map of connections that is kept of each channel; empty: none.
    pub clients_map_prefix: String,
    /// Prefix of the map of users that is kept of each channel; empty: none.
    pub users_map_prefix: String,
    /// Options of maps, where `kind` is one.
    pub map: MapOptions,
    /// What was counted about slow readers.
    pub gauges: Arc<Gauges>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "".into(),
            kind: Kind::Stream,
            presence: false,
            join_leave: false,
            force_push_join_leave: false,
            join_leave_limit: 2_000,
            subscribe_events: true,
            occupancy_events: true,
            history_size: 0,
            history_ttl: 0,
            meta_ttl: 0,
            durable: false,
            allow_recovery: false,
            force_recovery: false,
            recovery_mode: RecoveryMode::Stream,
            auto_cache_recover: false,
            allow_positioning: false,
            force_positioning: false,
            snapshot: false,
            snapshot_keys: 10_000,
            delta: false,
            delta_publish: false,
            tags_filter: false,
            aggregates: false,
            interest: None,
            document: None,
            delivery: Delivery::All,
            format: Format::Any,
            user_limited: false,
            pattern: None,
            subscribe: Permission::default(),
            publish: Permission::default(),
            read_presence: Permission::default(),
            read_history: Permission::default(),
            publish_to: PublishTo::Channel,
            publish_rate: 0,
            subscribe_rate: 0,
            subscribe_call: None,
            publish_call: None,
            sub_refresh_call: None,
            clients_map_prefix: String::new(),
            users_map_prefix: String::new(),
            map: MapOptions::default(),
            gauges: Arc::default(),
        }
    }
}

/// Epoch and top of an empty history are kept this long, so that a client that comes back is not fooled by offset 1.
const META_TTL: Millis = 30 * 24 * 3600 * 1000;

impl Options {
    /// Whether channels keep a history.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.history_size() > 0 && self.history_ttl() > 0
    }

    /// Whether who comes back with this delivery can be told that nothing is missing.
    ///
    /// Where publications pass a reader by, the number that it read last says nothing of other keys: a newer value of one
    /// may have overtaken the last of another. A snapshot gives it all of them; a map it reads anew.
    #[must_use]
    pub fn can_recover(&self, delivery: Delivery) -> bool {
        self.has_history() && (!delivery.skips() || (self.snapshot && !self.is_map()))
    }

    /// Whether it is a map of any kind.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.kind != Kind::Stream
    }

    /// Publications that the stream keeps.
    #[must_use]
    pub fn history_size(&self) -> usize {
        match (self.is_map(), self.map.mode) {
            (false, _) => self.history_size,
            (true, MapMode::Ephemeral) => 0,
            (true, _) => self.map.stream_size,
        }
    }

    /// For how long.
    #[must_use]
    pub fn history_ttl(&self) -> Millis {
        if self.is_map() { self.map.stream_ttl } else { self.history_ttl }
    }

    /// How long epoch and top outlive the publications.
    #[must_use]
    pub fn meta_ttl(&self) -> Millis {
        if self.meta_ttl == 0 { META_TTL } else { self.meta_ttl }
    }

    /// Whether the latest value of every key is kept.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.is_map() || self.snapshot
    }

    /// Whether the publication before is needed again.
    pub(crate) fn has_deltas(&self) -> bool {
        self.delta
    }

    /// When a value that is set now runs out; `Millis::MAX`: never.
    pub(crate) fn value_ends(&self, now: Millis) -> Millis {
        match (self.is_map(), self.map.mode, self.map.key_ttl) {
            (true, MapMode::Ephemeral | MapMode::Recoverable, ttl) if ttl > 0 => now.saturating_add(ttl),
            _ => Millis::MAX,
        }
    }

    /// Keys that may have a value.
    #[must_use]
    pub fn max_keys(&self) -> usize {
        if self.is_map() { self.map.max_keys } else { self.snapshot_keys }
    }
}

/// The name of a namespace that stands for many: `/users/:user/inbox`, where `:user` is any one part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(Vec<Option<String>>);

impl Pattern {
    /// Reads a pattern; `None` unless it begins with `/`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| if part.starts_with(':') { None } else { Some(part.to_owned()) };
        text.strip_prefix('/').map(|rest| Self(rest.split('/').map(part).collect()))
    }

    fn fits(&self, name: &str) -> bool {
        let mut parts = name.split('/').skip(1);
        self.0.iter().all(|wanted| {
            parts.next().is_some_and(|part| match wanted {
                Some(wanted) => wanted == part,
                None => !part.is_empty(),
            })
        }) && parts.next().is_none()
    }
}

/// All namespaces of the server.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// Options of channels without a namespace; `None` where there are none such.
    pub without: Option<Arc<Options>>,
    /// Options by name.
    pub named: HashMap<String, Arc<Options>>,
    /// Options of channels that begin with `/`, by pattern; the first that fits counts.
    pub patterns: Vec<(Pattern, Arc<Options>)>,
    /// Longest channel name in bytes.
    pub max_length: usize,
    /// What stands between namespace and rest.
    pub boundary: String,
    /// What marks channels that need a token.
    pub private_prefix: String,
    /// What stands before the users of a channel that is for them alone.
    pub user_boundary: String,
    /// What stands between them.
    pub user_separator: String,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            without: Some(Arc::default()),
            named: HashMap::new(),
            patterns: Vec::new(),
            max_length: 255,
            boundary: ":".to_owned(),
            private_prefix: "$".to_owned(),
            user_boundary: "#".to_owned(),
            user_separator: ",".to_owned(),
        }
    }
}

impl Namespaces {
    /// The options of a channel; `None` where its namespace is unknown.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Arc<Options>> {
        if !self.patterns.is_empty() && name.starts_with('/') {
            return self.patterns.iter().find(|(pattern, _)| pattern.fits(name)).map(|(_, options)| options);
        }
        match channel::namespace(name, &self.boundary, &self.private_prefix) {
            "" => self.without.as_ref(),
            namespace => self.named.get(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let pattern = Pattern::parse("/users/:user/inbox").unwrap();
        assert!(pattern.fits("/users/42/inbox"));
        for other in ["/users//inbox", "/users/42", "/users/42/inbox/1", "users/42/inbox", "/rooms/42/inbox"] {
            assert!(!pattern.fits(other), "{other}");
        }
        assert!(Pattern::parse("users/:user").is_none());
    }

    #[test]
    fn deliveries() {
        assert_eq!(Delivery::parse("sampled:10"), Some(Delivery::Sampled(10)));
        for wrong in ["", "sampled", "sampled:0", "sampled:1001", "sampled:x", "latest:1", "oldest"] {
            assert_eq!(Delivery::parse(wrong), None, "{wrong}");
        }
        assert!(Delivery::Latest.is_gentler_than(Delivery::All));
        assert!(Delivery::Sampled(1).is_gentler_than(Delivery::Sampled(2)));
        assert!(!Delivery::Sampled(2).is_gentler_than(Delivery::Sampled(1)));
        assert!(!Delivery::All.is_gentler_than(Delivery::DropOldest));
    }
}

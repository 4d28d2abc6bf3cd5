//! Namespaces: the options of the channels whose names begin alike.

use std::sync::Arc;

use hashbrown::HashMap;
use jackfield_model::{Millis, channel};

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

/// Options of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keeps who is in a channel.
    pub presence: bool,
    /// Tells members who comes and goes, if they ask for it.
    pub join_leave: bool,
    /// Tells them even if they do not ask.
    pub force_push_join_leave: bool,
    /// How many publications are kept; 0 for none.
    pub history_size: usize,
    /// For how long.
    pub history_ttl: Millis,
    /// Clients that ask for it get what they missed.
    pub allow_recovery: bool,
    /// Clients may recover even if they did not ask for it.
    pub force_recovery: bool,
    /// Clients that ask for it are told their position.
    pub allow_positioning: bool,
    /// They are told even if they do not ask.
    pub force_positioning: bool,
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
}

impl Options {
    /// Whether channels keep a history.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.history_size > 0 && self.history_ttl > 0
    }
}

/// All namespaces of the server.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// Options of channels without a namespace; `None` where there are none such.
    pub without: Option<Arc<Options>>,
    /// Options by name.
    pub named: HashMap<String, Arc<Options>>,
    /// Longest channel name in bytes.
    pub max_length: usize,
    /// What stands between namespace and rest.
    pub boundary: String,
    /// What marks channels that need a token.
    pub private_prefix: String,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            without: Some(Arc::default()),
            named: HashMap::new(),
            max_length: 255,
            boundary: ":".to_owned(),
            private_prefix: "$".to_owned(),
        }
    }
}

impl Namespaces {
    /// The options of a channel; `None` where its namespace is unknown.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Arc<Options>> {
        match channel::namespace(name, &self.boundary, &self.private_prefix) {
            "" => self.without.as_ref(),
            namespace => self.named.get(namespace),
        }
    }
}

//! What the configuration says about sessions.

use crate::token::Verifier;
use crate::turn::Tick;

/// Which events the application wants.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tells {
    /// Somebody connected.
    pub connect: bool,
    /// Somebody is gone.
    pub disconnect: bool,
    /// A client said something.
    pub message: bool,
    /// A client is in a channel.
    pub subscribe: bool,
    /// A client left a channel.
    pub unsubscribe: bool,
}

/// Options of all sessions of the node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version of the server.
    pub version: &'static str,
    /// The node's name, by which requests of emulated transports find it.
    pub node: std::sync::Arc<str>,
    /// Anybody may do anything; for trying out.
    pub insecure: bool,
    /// Clients without a token are anonymous instead of refused.
    pub allow_anonymous_without_token: bool,
    /// Tokens without a user are refused.
    pub disallow_anonymous_tokens: bool,
    /// Checks connection tokens.
    pub verifier: Option<Verifier>,
    /// Checks subscription tokens where they have keys of their own.
    pub subscription_verifier: Option<Verifier>,
    /// Time between pings.
    pub ping_interval: Tick,
    /// Time for the answer to a ping.
    pub pong_timeout: Tick,
    /// Time to say who one is.
    pub stale_close_delay: Tick,
    /// Time to refresh an expired token.
    pub expired_close_delay: Tick,
    /// Time to refresh an expired subscription token.
    pub expired_sub_close_delay: Tick,
    /// Channels per connection.
    pub channel_limit: usize,
    /// Connections per user; 0: any number.
    pub user_connection_limit: usize,
    /// Calls to the application that may wait at a time, per connection.
    pub calls_in_flight: usize,
    /// Commands per second and connection.
    pub message_rate: u32,
    /// The application is asked about clients without a token; milliseconds it has.
    pub connect_call: Option<u64>,
    /// The application is asked when a connection's time is up; milliseconds it has.
    pub refresh_call: Option<u64>,
    /// The application answers `rpc`; milliseconds it has.
    pub rpc_call: Option<u64>,
    /// Each user is put into a channel of its own.
    pub personal_channel: Option<PersonalChannel>,
    /// Clients are told the server's time when they connect.
    pub time_in_connect: bool,
    /// Events the application wants.
    pub tells: Tells,
}

/// The channel that every connection of a user is put into: `NAMESPACE:#USER`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PersonalChannel {
    /// Its namespace; empty: none.
    pub namespace: String,
    /// A user has one connection: a new one ends those before.
    pub single_connection: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            node: "".into(),
            insecure: false,
            allow_anonymous_without_token: false,
            disallow_anonymous_tokens: false,
            verifier: None,
            subscription_verifier: None,
            ping_interval: 250,
            pong_timeout: 80,
            stale_close_delay: 100,
            expired_close_delay: 250,
            expired_sub_close_delay: 250,
            channel_limit: 128,
            user_connection_limit: 0,
            calls_in_flight: 32,
            message_rate: 200,
            connect_call: None,
            refresh_call: None,
            rpc_call: None,
            personal_channel: None,
            time_in_connect: false,
            tells: Tells::default(),
        }
    }
}

impl Settings {
    /// Checks subscription tokens.
    #[must_use]
    pub fn subscription_verifier(&self) -> Option<&Verifier> {
        self.subscription_verifier.as_ref().or(self.verifier.as_ref())
    }
}

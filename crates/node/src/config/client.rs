//! The section `client`: who may connect, and what one connection may cost.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::duration;
use super::proxy::{CLIENT, ClientProxy};
use super::schema::{Key, Kind};
use super::token::{SUBSCRIPTION_TOKEN, SubscriptionToken, TOKEN, Token};

/// Rules for everyone who connects.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Client {
    /// Origins of web pages that may connect, such as `https://example.com` or `https://*.example.com`; `*` allows
    /// all. A request without an Origin header (not a browser) always passes, one that matches no entry never does.
    pub(crate) allowed_origins: Vec<String>,
    /// How connection tokens (JWT) are checked.
    pub(crate) token: Token,
    /// How subscription tokens are checked, where they have keys of their own.
    pub(crate) subscription_token: SubscriptionToken,
    /// Accept everyone, ask for no token, allow everything. For development.
    pub(crate) insecure: bool,
    /// Accept a client without a token as an anonymous user.
    pub(crate) allow_anonymous_connect_without_token: bool,
    /// Refuse tokens that name no user.
    pub(crate) disallow_anonymous_connection_tokens: bool,
    /// Time between two pings to a client.
    #[serde(with = "duration")]
    pub(crate) ping_interval: Duration,
    /// Time a client has to answer a ping; less than `ping_interval`.
    #[serde(with = "duration")]
    pub(crate) pong_timeout: Duration,
    /// Time a connection has to say who it is.
    #[serde(with = "duration")]
    pub(crate) stale_close_delay: Duration,
    /// Time a client has to bring a new token once its token has expired.
    #[serde(with = "duration")]
    pub(crate) expired_close_delay: Duration,
    /// Time a client has to bring a new subscription token once that has expired.
    #[serde(with = "duration")]
    pub(crate) expired_sub_close_delay: Duration,
    /// A channel of each user's own, which every connection of the user is put into.
    pub(crate) subscribe_to_user_personal_channel: PersonalChannel,
    /// Tell clients the server's time when they connect.
    pub(crate) connect_include_server_time: bool,
    /// Channels one connection may be in.
    pub(crate) channel_limit: usize,
    /// Bytes that may wait for one slow client before it is disconnected. Answers to it count apart (16 times as many may
    /// wait), and of publications that a newer one may replace only the places count, 32 bytes each.
    pub(crate) queue_max_size: usize,
    /// Connections one user may have, on all nodes that share a broker; 0 for no limit.
    pub(crate) user_connection_limit: usize,
    /// Connections this node accepts; 0 for as many as the limit of open files allows.
    pub(crate) connection_limit: usize,
    /// Connections one address may have on this node, where the first 64 bits of an IPv6 address count as one; 0 for no
    /// limit. This machine and `trusted_proxies` are not counted.
    pub(crate) connections_per_address: usize,
    /// Networks of the proxies in front, such as `10.0.0.0/8` or `192.0.2.7`: only they are believed when they tell a
    /// client's address in a PROXY header, in `Forwarded` or in `X-Forwarded-For`.
    pub(crate) trusted_proxies: Vec<String>,
    /// A client without a token that shows a certificate is the user the certificate names; not for TCP listeners,
    /// which have a key of their own.
    pub(crate) user_from_certificate: bool,
    /// Publications one history request may return.
    pub(crate) history_max_publication_limit: usize,
    /// Publications a client that comes back may be sent at once; who missed more is told that it did.
    pub(crate) recovery_max_publication_limit: usize,
    /// Messages a connection may send per second; 0 for no limit.
    pub(crate) message_rate_limit: usize,
    /// Questions of one connection that may wait for the application's answer.
    pub(crate) max_calls_in_flight: usize,
    /// What the application is asked about clients.
    pub(crate) proxy: ClientProxy,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            token: Token::default(),
            subscription_token: SubscriptionToken::default(),
            insecure: false,
            allow_anonymous_connect_without_token: false,
            disallow_anonymous_connection_tokens: false,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            subscribe_to_user_personal_channel: PersonalChannel::default(),
            connect_include_server_time: false,
            channel_limit: 128,
            queue_max_size: 1_048_576,
            user_connection_limit: 0,
            connection_limit: 0,
            connections_per_address: 256,
            trusted_proxies: Vec::new(),
            user_from_certificate: false,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            message_rate_limit: 200,
            max_calls_in_flight: 32,
            proxy: ClientProxy::default(),
        }
    }
}

impl Client {
    /// The networks of `trusted_proxies`.
    pub(crate) fn trusted_networks(&self) -> Vec<IpNet> {
        self.trusted_proxies.iter().filter_map(|text| network(text)).collect()
    }
}

/// The network a text means: one in CIDR form, or a single address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}

/// A channel of each user's own, which every connection of the user is put into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PersonalChannel {
    /// Put every connection that has a user into the channel `#USER`.
    pub(crate) enabled: bool,
    /// The namespace of these channels; empty for none.
    pub(crate) personal_channel_namespace: String,
    /// A user has one connection: a new one ends those before it.
    pub(crate) single_connection: bool,
}

/// The keys of the section.
pub(super) const KEYS: &[Key] = &[
    Key::new("allowed_origins", Kind::Texts),
    Key::new("token", TOKEN),
    Key::new("subscription_token", SUBSCRIPTION_TOKEN),
    Key::new("insecure", Kind::Bool),
    Key::new("allow_anonymous_connect_without_token", Kind::Bool),
    Key::new("disallow_anonymous_connection_tokens", Kind::Bool),
    Key::new("ping_interval", Kind::Duration),
    Key::new("pong_timeout", Kind::Duration),
    Key::new("stale_close_delay", Kind::Duration),
    Key::new("expired_close_delay", Kind::Duration),
    Key::new("expired_sub_close_delay", Kind::Duration),
    Key::new("subscribe_to_user_personal_channel", Kind::Section("PersonalChannel", PERSONAL_CHANNEL)),
    Key::new("connect_include_server_time", Kind::Bool),
    Key::new("channel_limit", Kind::Integer),
    Key::new("queue_max_size", Kind::Integer),
    Key::new("user_connection_limit", Kind::Integer),
    Key::new("connection_limit", Kind::Integer),
    Key::new("connections_per_address", Kind::Integer),
    Key::new("trusted_proxies", Kind::Texts),
    Key::new("user_from_certificate", Kind::Bool),
    Key::new("history_max_publication_limit", Kind::Integer),
    Key::new("recovery_max_publication_limit", Kind::Integer),
    Key::new("message_rate_limit", Kind::Integer),
    Key::new("max_calls_in_flight", Kind::Integer),
    Key::new("proxy", Kind::Section("ClientProxy", CLIENT)),
];

const PERSONAL_CHANNEL: &[Key] = &[
    Key::new("enabled", Kind::Bool),
    Key::new("personal_channel_namespace", Kind::Text),
    Key::new("single_connection", Kind::Bool),
];

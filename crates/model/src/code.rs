//! The one table of error and close codes; what a client is told comes from here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// An error in the reply to a command; the connection lives on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientError {
    /// 100-399 are the protocol's, 400-1999 the application's.
    pub code: u32,
    /// For people.
    pub message: Cow<'static, str>,
    /// Whether trying again later may help.
    pub temporary: bool,
}

/// A close code with its reason; the connection ends.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Disconnect {
    /// 3000-4999; below that only what RFC 6455 itself names.
    pub code: u16,
    /// For people, at most 123 bytes on the wire.
    pub reason: Cow<'static, str>,
}

impl ClientError {
    /// Our own trouble, or the application's.
    pub const INTERNAL: Self = Self::temporary(100, "internal server error");
    /// Not connected yet.
    pub const UNAUTHORIZED: Self = Self::new(101, "unauthorized");
    /// No such namespace.
    pub const UNKNOWN_CHANNEL: Self = Self::new(102, "unknown channel");
    /// The namespace's options say no.
    pub const PERMISSION_DENIED: Self = Self::new(103, "permission denied");
    /// No such RPC method.
    pub const METHOD_NOT_FOUND: Self = Self::new(104, "method not found");
    /// One subscription per channel and connection.
    pub const ALREADY_SUBSCRIBED: Self = Self::new(105, "already subscribed");
    /// Too many channels.
    pub const LIMIT_EXCEEDED: Self = Self::new(106, "limit exceeded");
    /// The command makes no sense.
    pub const BAD_REQUEST: Self = Self::new(107, "bad request");
    /// Switched off, or not built.
    pub const NOT_AVAILABLE: Self = Self::new(108, "not available");
    /// The client should fetch a new token.
    pub const TOKEN_EXPIRED: Self = Self::new(109, "token expired");
    /// Expired.
    pub const EXPIRED: Self = Self::new(110, "expired");
    /// Slow down, or come again.
    pub const TOO_MANY_REQUESTS: Self = Self::temporary(111, "too many requests");
    /// The epoch asked for is gone.
    pub const UNRECOVERABLE_POSITION: Self = Self::new(112, "unrecoverable position");

    /// Another page of the same map is under way.
    pub const CONCURRENT_PAGINATION: Self = Self::temporary(113, "concurrent pagination");

    /// An error that will not go away by itself.
    #[must_use]
    pub const fn new(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), temporary: false }
    }

    /// An error worth another try.
    #[must_use]
    pub const fn temporary(code: u32, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), temporary: true }
    }
}

impl Disconnect {
    /// The server goes down; clients come back by themselves.
    pub const SHUTDOWN: Self = Self::new(3001, "shutdown");
    /// Our own trouble.
    pub const INTERNAL: Self = Self::new(3004, "internal server error");
    /// The token ran out.
    pub const CONNECTION_EXPIRED: Self = Self::new(3005, "connection expired");
    /// The token of a server-side subscription ran out.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(3006, "subscription expired");
    /// The client reads slower than its channels speak.
    pub const SLOW: Self = Self::new(3008, "slow");
    /// The socket refused our bytes.
    pub const WRITE_ERROR: Self = Self::new(3009, "write error");
    /// Something is missing between the client's position in a server-side subscription and the channel's.
    pub const INSUFFICIENT_STATE: Self = Self::new(3010, "insufficient state");
    /// The application wants it to come again.
    pub const FORCE_RECONNECT: Self = Self::new(3011, "force reconnect");
    /// No answer to a ping.
    pub const NO_PONG: Self = Self::new(3012, "no pong");
    /// Kept sending over the limit.
    pub const TOO_MANY_REQUESTS: Self = Self::new(3013, "too many requests");
    /// All that the client knows is void: tokens, positions, state.
    pub const STATE_INVALIDATED: Self = Self::new(3014, "state invalidated");
    /// A token that cannot be trusted.
    pub const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    /// The client does not speak the protocol.
    pub const BAD_REQUEST: Self = Self::new(3501, "bad request");
    /// Connected, but never said who it is.
    pub const STALE: Self = Self::new(3502, "stale");
    /// The application said so.
    pub const FORCE: Self = Self::new(3503, "force disconnect");
    /// Too many connections.
    pub const CONNECTION_LIMIT: Self = Self::new(3504, "connection limit");
    /// More server-side subscriptions than a connection may have.
    pub const CHANNEL_LIMIT: Self = Self::new(3505, "channel limit");
    /// A payload that the client's encoding cannot carry.
    pub const INAPPROPRIATE_PROTOCOL: Self = Self::new(3506, "inappropriate protocol");
    /// Rights were refused.
    pub const PERMISSION_DENIED: Self = Self::new(3507, "permission denied");
    /// The server was not set up for this.
    pub const NOT_AVAILABLE: Self = Self::new(3508, "not available");
    /// Mistake after mistake.
    pub const TOO_MANY_ERRORS: Self = Self::new(3509, "too many errors");
    /// RFC 6455: the peer closed normally.
    pub const NORMAL: Self = Self::new(1000, "");
    /// RFC 6455 registry: try again later. Raw clients have no error frame, so trouble with the queue ends them.
    pub const TRY_AGAIN_LATER: Self = Self::new(1013, "the queue to the application is not available");

    /// A close code of the table.
    #[must_use]
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }
}

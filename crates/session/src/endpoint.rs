//! An endpoint is a door that the configuration opened: what is spoken there and what its frames are bound to.

use std::sync::Arc;

use jackfield_dialects::raw::Mode;
use jackfield_hub::EncodingId;
use jackfield_hub::namespace::PublishTo;

use crate::wire;

/// What clients of an endpoint speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// Commands, replies and pushes as JSON.
    CentrifugoJson,
    /// Each frame is a message.
    Raw(Mode),
}

impl Dialect {
    /// The word for it on the app link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CentrifugoJson => "centrifugo-json",
            Self::Raw(Mode::Json) => "raw-json",
            Self::Raw(Mode::Text) => "raw-text",
        }
    }
}

/// How frames are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// One frame a line.
    Lines,
    /// RFC 6455.
    WebSocket,
}

impl Framing {
    /// The word for the transport on the app link.
    #[must_use]
    pub fn transport(self) -> &'static str {
        match self {
            Self::Lines => "tcp",
            Self::WebSocket => "websocket",
        }
    }
}

/// How the server finds out that a client is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keepalive {
    /// Pings of the framing itself, which must be answered.
    Frames,
    /// Pings of the dialect, which must be answered.
    Messages,
    /// Pings of the dialect that need no answer: people type at this endpoint, and TCP's own keepalive finds the dead.
    MessagesUnanswered,
    /// TCP's own keepalive only.
    Tcp,
}

/// What the frames of a raw endpoint are bound to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    /// Name of the event that a message is for the application.
    pub event: String,
    /// Whether messages go to the application or straight to the channel.
    pub publish_to: PublishTo,
}

/// One way in.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name of the listener, or path.
    pub listener: Arc<str>,
    /// What is spoken.
    pub dialect: Dialect,
    /// How frames are told apart.
    pub framing: Framing,
    /// Largest message in bytes.
    pub message_limit: usize,
    /// How the dead are found.
    pub keepalive: Keepalive,
    /// Raw endpoints: what frames are bound to.
    pub feed: Option<Feed>,
}

impl Endpoint {
    /// The encoding of everything that goes out here.
    #[must_use]
    pub fn encoding(&self) -> EncodingId {
        wire::encoding(self.dialect, self.framing)
    }
}

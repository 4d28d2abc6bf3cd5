//! An endpoint is a door that the configuration opened: what is spoken there and what its frames are bound to.

use std::sync::Arc;

use jackfield_dialects::raw::Mode;
use jackfield_framing::Measured;
use jackfield_framing::websocket::deflate::Window;
use jackfield_hub::EncodingId;
use jackfield_hub::namespace::PublishTo;

use crate::declared::Declared;
use crate::turn::Tick;
use crate::wire;

/// What clients of an endpoint speak.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Dialect {
    /// Commands, replies and pushes as JSON.
    CentrifugoJson,
    /// The same as Protobuf.
    CentrifugoProtobuf,
    /// One request to connect, and from then on bare pushes as JSON.
    CentrifugoUniJson,
    /// A frame comes back as it came.
    Echo,
    /// Each frame is a message with declared fields.
    Fields,
    /// Each frame is a message.
    Raw(Mode),
    /// A document, as clients of y-websocket speak of it.
    Yjs,
}

impl Dialect {
    /// The word for it on the app link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CentrifugoJson => "centrifugo-json",
            Self::CentrifugoProtobuf => "centrifugo-protobuf",
            Self::CentrifugoUniJson => "centrifugo-uni-json",
            Self::Echo => "echo",
            Self::Fields => "fields",
            Self::Raw(Mode::Json) => "raw-json",
            Self::Raw(Mode::Text) => "raw-text",
            Self::Yjs => "yjs",
        }
    }

    /// Whether a client is in as soon as it is there, without a word.
    #[must_use]
    pub fn needs_no_connect(self) -> bool {
        matches!(self, Self::Echo | Self::Fields | Self::Raw(_))
    }

    /// Whether a client that is too fast cannot be told so: it is read more slowly.
    #[must_use]
    pub fn has_no_replies(self) -> bool {
        self.needs_no_connect() || self == Self::Yjs
    }
}

/// How frames are told apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Framing {
    /// One frame a line.
    Lines,
    /// By length, as the configuration declares it.
    Measured(Measured),
    /// Events of `EventSource`; nothing comes in.
    Sse,
    /// The body of an HTTP answer: lines, or for Protobuf frames behind their length; nothing comes in.
    Stream,
    /// Each frame behind its length.
    Varint,
    /// RFC 6455; compressed, as RFC 7692 has it, where a window was agreed on.
    WebSocket(Option<Window>),
}

impl Framing {
    /// A WebSocket without compression.
    pub const WEBSOCKET: Self = Self::WebSocket(None);

    /// The word for the transport on the app link.
    #[must_use]
    pub fn transport(self) -> &'static str {
        match self {
            Self::Lines | Self::Measured(_) | Self::Varint => "tcp",
            Self::Sse => "sse",
            Self::Stream => "http_stream",
            Self::WebSocket(_) => "websocket",
        }
    }

    /// Whether the client speaks on another connection, if at all.
    #[must_use]
    pub fn is_downlink(self) -> bool {
        matches!(self, Self::Sse | Self::Stream)
    }
}

/// How the server finds out that a client is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Keepalive {
    /// Pings of the framing itself, which must be answered.
    Frames,
    /// Pings of the dialect, which must be answered.
    Messages,
    /// Pings of the dialect that need no answer: people type at this endpoint, or the client cannot speak; TCP finds the
    /// dead.
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
    /// What the configuration declares of it, and the number of that.
    pub declared: Option<(u8, Declared)>,
    /// A client that says nothing for so long is closed; 0: it may be silent for ever.
    pub idle_limit: Tick,
    /// A client with a certificate and no token is the user that the certificate names.
    pub user_from_certificate: bool,
    /// A unidirectional WebSocket hears why it ends by a push as well as by its Close frame.
    pub disconnect_push: bool,
}

impl Endpoint {
    /// An endpoint with everything else at its default.
    #[must_use]
    pub fn new(listener: &str, dialect: Dialect, framing: Framing) -> Self {
        let keepalive = match (dialect, framing) {
            (Dialect::Echo | Dialect::Fields | Dialect::Raw(_) | Dialect::Yjs, Framing::WebSocket(_)) => {
                Keepalive::Frames
            }
            (Dialect::Echo | Dialect::Fields | Dialect::Raw(_) | Dialect::Yjs, _) => Keepalive::Tcp,
            (Dialect::CentrifugoUniJson, _) | (_, Framing::Lines | Framing::Measured(_) | Framing::Varint) => {
                Keepalive::MessagesUnanswered
            }
            (Dialect::CentrifugoJson | Dialect::CentrifugoProtobuf, _) => Keepalive::Messages,
        };
        Self {
            listener: listener.into(),
            dialect,
            framing,
            message_limit: 65_536,
            keepalive,
            feed: None,
            declared: None,
            idle_limit: 0,
            user_from_certificate: false,
            disconnect_push: true,
        }
    }

    /// The encoding of everything that goes out here.
    #[must_use]
    pub fn encoding(&self) -> EncodingId {
        match &self.declared {
            Some((number, _)) => wire::declared(*number),
            None => wire::encoding(self.dialect, self.framing),
        }
    }

    /// The word for the transport on the app link.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match (self.dialect, self.framing) {
            (Dialect::CentrifugoUniJson, Framing::WebSocket(_)) => "uni_websocket",
            (Dialect::CentrifugoUniJson, Framing::Sse) => "uni_sse",
            (Dialect::CentrifugoUniJson, Framing::Stream) => "uni_http_stream",
            (_, framing) => framing.transport(),
        }
    }

    /// Whether its clients speak by requests of their own.
    #[must_use]
    pub fn is_emulated(&self) -> bool {
        self.framing.is_downlink() && self.dialect != Dialect::CentrifugoUniJson
    }
}

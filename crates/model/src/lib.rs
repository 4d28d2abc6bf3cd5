//! The nouns of Jackfield: channels, publications, commands, events and codes.
//!
//! Everything above this floor speaks in these words, and this floor knows nobody above it. A client's words are in
//! [`client`], the web application's in [`app`]; both meet in the [`Publication`].

pub mod app;
pub mod channel;
pub mod client;
pub mod code;
pub mod payload;
pub mod publication;
pub mod subscription;

pub use code::{ClientError, Disconnect};
pub use payload::{Content, Payload};
pub use publication::{ClientInfo, Position, Publication, Rare};
pub use subscription::{FilterNode, Grant, Overrides};
pub use uuid::Uuid;

/// The id of one connection, a UUID v4 as the client protocol asks for it.
pub type ClientId = Uuid;

/// Milliseconds since 1970 UTC, handed in from the rim of the house; nothing in here looks at a clock.
pub type Millis = u64;

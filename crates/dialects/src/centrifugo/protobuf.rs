//! Protobuf frames: commands of a client in, replies and pushes out.
//!
//! The numbers of the fields are those of the protocol's one schema; the JSON of the same fields is in
//! [`super::json`]. Payloads are not wrapped in anything here: what came as bytes goes out as the same bytes.

mod commands;
mod fields;
mod filter;
mod push;
mod reply;

pub use commands::{Commands, command, commands, connect_request};
pub use push::{bare_push, push};
pub use reply::reply;

pub(super) use commands::read as read_message;

/// What the server sends as a ping: a reply with nothing in it, behind its length. A client's pong looks the same.
pub const PING: &[u8] = &[0];

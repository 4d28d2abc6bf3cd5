//! JSON text frames: commands of a client in, replies and pushes out.

mod commands;
mod fields;
mod filter;
mod push;
mod reply;

pub use commands::{Commands, commands, connect_request};
pub use push::{bare_push, push};
pub use reply::reply;

pub(super) use fields::emulation_request;

/// What the server sends as a ping; a client's pong looks the same.
pub const PING: &[u8] = b"{}";

//! Turns bytes into frames and frames into bytes.
//!
//! Everything here is pure: bytes are handed in, frames are slices of them, and what has to leave
//! is written to a buffer of the caller. There is no socket, no clock, no thread and no `async`,
//! so every rule of a wire format can be tested by splitting its bytes anywhere.
//!
//! On the way in a connection's first bytes are told apart by [`http::looks_like_http`], read by
//! [`http::parse`], upgraded by [`websocket::handshake::check`], and from then on each read goes
//! through [`WebSocket::decode`]. Raw TCP listeners use [`Lines::decode`] or [`Varint::decode`]. On
//! the way out a [`Wrap`] frames a payload, or a [`websocket::deflate::Deflater`] does; neither keeps
//! anything about a connection, so the same bytes serve every subscriber.
//!
//! Invariant: no input makes this crate panic, and no decoder reports more bytes as consumed than
//! it was given.

pub mod client;
pub mod forwarded;
pub mod http;
pub mod lines;
mod measured;
pub mod proxy;
pub mod varint;
pub mod websocket;

mod error;
mod frame;
mod wrap;

pub use error::FramingError;
pub use frame::{Decoded, Frame};
pub use lines::Lines;
pub use measured::{Measured, Prefix};
pub use varint::Varint;
pub use websocket::{Rules, WebSocket};
pub use wrap::Wrap;

//! Properties: bytes may be split anywhere, and no bytes do harm.

mod deflate;
mod forwarded;
mod http;
mod lines;
mod proxy;
mod varint;
mod websocket;

//! Properties: bytes may be split anywhere, and no bytes do harm.

mod http;
mod lines;
mod websocket;

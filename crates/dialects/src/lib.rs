//! Turns frames into commands and pushes into frames' payloads.
//!
//! A dialect is a set of functions: it keeps nothing about a connection, so a push is encoded once
//! for all who hear it in that dialect. Payloads pass through as they came; nobody in here reads
//! them. Nothing in this crate panics, whatever the bytes are.

pub mod centrifugo;
pub mod layout;
pub mod raw;

mod error;
mod json;
mod protobuf;

pub use error::{DialectError, ProtobufError};

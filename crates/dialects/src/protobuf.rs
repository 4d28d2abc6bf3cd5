//! The wire format of Protocol Buffers, version 3, by hand: fields off a message and onto one.
//!
//! Why by hand: what generated code reads and writes lies in structs of its own, so each payload would be copied once
//! more in both directions.

mod read;
mod write;

pub(crate) use read::{Fields, prefixed_message};
pub(crate) use write::{Message, Sink, write_prefixed};

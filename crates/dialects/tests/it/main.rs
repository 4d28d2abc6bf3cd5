//! Transcripts of what is said on the wire, and properties that hold for whatever is said.

#![expect(clippy::unwrap_used, reason = "a transcript that cannot be read fails its test")]

mod fields;
mod properties;
mod protobuf;
mod script;
mod transcripts;

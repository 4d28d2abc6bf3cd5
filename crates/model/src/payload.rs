//! A payload is bytes that nobody in here reads, with a word about what they are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What the bytes of a payload are; decides how a client of another dialect sees them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Content {
    /// Any bytes.
    Binary,
    /// One JSON value.
    #[default]
    Json,
    /// UTF-8 text.
    Text,
}

impl Content {
    /// The word used on the app link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// Opaque bytes and their [`Content`]. Cloning shares them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Payload {
    /// The bytes. Invariant: valid JSON or UTF-8 where `content` says so; whoever builds a payload has checked it.
    pub bytes: Bytes,
    /// What they are.
    pub content: Content,
}

impl Payload {
    /// A payload that is known to be one JSON value.
    #[must_use]
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content: Content::Json }
    }

    /// A payload that is known to be UTF-8.
    #[must_use]
    pub fn text(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content: Content::Text }
    }

    /// Any bytes.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content: Content::Binary }
    }
}

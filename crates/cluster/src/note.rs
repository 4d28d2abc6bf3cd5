//! What nodes say to each other beside publications. Fields may be added, never taken away or renamed: nodes of adjacent
//! versions run side by side while a new version is rolled out.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::Uuid;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Reply};
use crate::card::Card;
use crate::registrar::Ledger;

/// A word between nodes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Note {
    /// I am here.
    Beat(Card),
    /// I go down; my connections have heard it.
    Bye { uid: Arc<str> },
    /// Do this, or tell me.
    Ask { from: Arc<str>, id: u64, ask: Box<Ask> },
    /// What came of it.
    Reply { from: Arc<str>, id: u64, reply: Box<Reply> },
    /// What I have of what you keep count of.
    Ledger { from: Arc<str>, ledger: Ledger },
    /// I lost count: tell me all you have of what I keep count of.
    Recount { from: Arc<str> },
    /// What a client said to its session by a request that came to another node.
    Uplink { session: Uuid, data: Bytes },
}

pub(crate) fn write(note: &Note) -> Bytes {
    // Every type in it can be written.
    rmp_serde::to_vec_named(note).map(Bytes::from).unwrap_or_default()
}

/// Reads a word; one that is not known here is none.
pub(crate) fn read(bytes: &[u8]) -> Option<Note> {
    rmp_serde::from_slice(bytes)
        .inspect_err(|error| tracing::debug!(%error, "a word of another node is not understood: it may be newer"))
        .ok()
}

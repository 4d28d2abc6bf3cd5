//! Keeps documents of Yjs as the bytes they came in: reads the messages, merges the updates.
//!
//! Nothing in here builds a document. A message is read as far as [`wire`] has to say what it is, an update as far as
//! [`check`] has to say where each of its structs ends, and it goes on to the other editors as it came. A [`Document`]
//! is what has been merged and what has not been merged yet; whoever opens it gets the difference to what they have.
//! An [`AwarenessTable`] knows which connection spoke for which client, so that somebody can say that they are gone.
//!
//! Invariant: what [`check`] has let in can be merged, cut and compacted without an error. Nothing in this crate
//! panics, recurses deeper than [`MAX_DEPTH`] or reserves memory for a length that was only claimed.

pub mod wire;

mod awareness;
mod compact;
mod document;
mod levels;
mod merge;
mod reader;
mod update;

pub use awareness::{Applied, AwarenessError, AwarenessLimits, AwarenessTable};
pub use compact::compact;
pub use document::{Document, DocumentError};
pub use merge::{diff, merge, state_vector};
pub use reader::Malformed;
pub use update::{MAX_DEPTH, check};

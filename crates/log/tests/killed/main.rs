//! The log of a server that is killed.
//!
//! A program of its own, because it starts another: for a moment that one has the locks that tests beside it hold, and they could
//! not open their folders again.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod killed;
#[path = "../it/node.rs"]
#[expect(dead_code, reason = "the other tests use the rest of it")]
mod node;

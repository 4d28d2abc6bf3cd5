//! The log under a hub: what was acknowledged, and what comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod node;
mod restarts;

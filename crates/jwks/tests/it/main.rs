//! Followers of identity providers that are honest, slow, down, or lie.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod follow;
mod provider;

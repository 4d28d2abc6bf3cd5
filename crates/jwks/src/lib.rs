//! Keys that an identity provider publishes (JWKS), fetched and kept fresh.
//!
//! [`follow`] gives the [`Keys`](jackfield_session::Keys) that verifiers look into, and the [`Follower`] that fills
//! them. Nobody waits for it: until the first set is here, tokens that name a key are refused for a moment, and while
//! the provider is down the last good set counts. New sets come by the provider's `max-age`, and soon after a token has
//! named a key that nobody knows.

mod follower;
mod freshness;

pub use follower::{Follower, Pace, follow};

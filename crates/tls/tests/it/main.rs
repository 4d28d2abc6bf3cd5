//! Streams against rustls' own client, keepers against real files.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod authority;
mod forged;
mod handed;
mod identity;
mod keeper;
mod pebble;
mod resumption;
mod stream;
mod transfer;
mod wire;

//! The HTTP door over real sockets and over streams in memory, in front of a real hub.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod commands;
mod handover;
mod metrics;
mod server;
mod slow;
mod tls;

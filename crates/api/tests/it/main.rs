//! The HTTP door over real sockets and over streams in memory, in front of a real hub.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod commands;
mod docs;
mod handover;
mod later;
mod metrics;
mod openapi;
mod server;
mod several;
mod slow;
mod tls;

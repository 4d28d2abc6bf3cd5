//! A real crew on a free port of this machine, and clients with sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod churn;
mod server;
mod sharing;
mod slow;
mod walk;

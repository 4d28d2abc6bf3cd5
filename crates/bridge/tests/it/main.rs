//! The bridge between a queue that a test holds in its hands and a real hub, under paused time.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod calls;
mod courier;
mod fake;
mod gauges;
mod herald;
mod inbound;
mod lease;
mod outbound;
mod site;

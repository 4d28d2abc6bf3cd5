//! The queue door of the web application: events and calls out, commands and answers in.
//!
//! The way out: a worker hands a [`Request`] to its [`Door`]; one task takes what waits as a batch to the [`Queue`] and
//! tells the session, through the hub, what came of it. The way in: one task receives commands, [`command::parse`]s
//! and applies them in order, and settles each; another receives the answers to calls and brings them home.
//!
//! A call goes the way that the [`Routes`] say: over the queue, or as a signed request to a [`Proxy`]. What the application
//! allows to be answered again is remembered.
//!
//! Nothing here knows a product; `brokers` does.

mod answer;
mod answers;
mod apply;
mod breaker;
mod bridge;
mod calls;
pub mod command;
mod counters;
mod courier;
mod door;
mod failure;
mod gauges;
mod herald;
mod inbound;
mod lease;
mod numbers;
mod outbound;
pub mod outcome;
pub mod proxy;
pub mod queue;
mod recent;
mod remembered;
mod room;
mod routes;
mod seldom;

pub use apply::apply;
pub use breaker::Backoff;
pub use bridge::{Bridge, BridgeOptions};
pub use counters::Counters;
pub use door::{Door, DoorError, Request};
pub use failure::{CommandFailure, EventFailure, Reason, Tally};
pub use herald::HeraldOptions;
pub use lease::{LostNode, NODE_LEASE, NodeLease};
pub use proxy::{Proxy, ProxyOptions};
pub use queue::{Delivery, Depth, Oldest, Queue, QueueError, Receipt};
pub use routes::{Carrier, Routes, Way, Ways};
pub use seldom::Seldom;

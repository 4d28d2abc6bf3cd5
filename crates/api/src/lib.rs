//! The internal HTTP door: the same commands as through the queue, one per request or many, whether the server lives,
//! and what it has counted.
//!
//! It belongs behind a firewall or on the loopback; the key keeps neighbours out, not the internet. What a worker has
//! accepted on the public port comes in through a [`Handover`], where nothing but health is answered without the key.

mod apply;
mod batch;
mod body;
mod commands;
mod connections;
mod handover;
mod key;
mod metrics;
mod openapi;
mod patience;
mod reply;
mod router;
mod serve;

pub use handover::Handover;
pub use metrics::{Metrics, Sample, Value};
pub use reply::ErrorMode;
pub use router::{ApiOptions, Ready, router};
pub use serve::{Tls, serve};

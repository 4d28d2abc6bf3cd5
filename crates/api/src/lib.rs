//! The internal HTTP door: the same commands as through the queue, one per request, and whether the server lives.
//!
//! It belongs behind a firewall or on the loopback; the key keeps neighbours out, not the internet.

mod key;
mod router;
mod serve;

pub use router::{ApiOptions, router};
pub use serve::serve;

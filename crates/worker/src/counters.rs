//! What the workers count for the metrics; touched when something rare happens, never per delivery.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::blocked::Staleness;

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many until now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are now.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    pub(crate) fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fall(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of all workers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were taken.
    pub accepted: Count,
    /// Connections that were turned away because the server or their address had enough of them.
    pub refused: Count,
    /// Connections that a PROXY header should have come with, and did not rightly.
    pub proxy_errors: Count,
    /// TLS handshakes that were begun.
    pub tls_handshakes: Count,
    /// Connections that ended by a TLS error.
    pub tls_errors: Count,
    /// Frames that were compressed; one serves all subscribers of its encoding.
    pub deflated_frames: Count,
    /// Requests that brought what a client of a stream said.
    pub uplinks: Count,
    /// Connections that were handed to the control plane.
    pub handed_over: Count,
    /// Connections that were closed because they read too slowly.
    pub slow: Count,
    /// Connections that do not take what they are sent.
    pub blocked: Level,
    /// How old what waits for them is, by worker and namespace.
    pub(crate) staleness: Staleness,
}

//! What the system tells the server: that it should end, or that it should read its certificates again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are listened to from the first moment on: one that comes before a listener is there ends the process
/// on the spot.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen; SIGHUP is somebody else's.
    pub(crate) fn listen() -> io::Result<(Self, Signal)> {
        let signals = Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        Ok((signals, signal(SignalKind::hangup())?))
    }

    /// Waits for SIGINT or SIGTERM; returns its name.
    pub(crate) async fn end(mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

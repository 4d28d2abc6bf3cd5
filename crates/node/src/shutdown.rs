//! How the server learns that it should end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT or SIGTERM; returns its name.
pub(crate) async fn requested() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

//! Connections that a worker has accepted on the public port and that turned out to want what this door has.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jackfield_tls::Handed;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;

use crate::connections::Connections;
use crate::router::Side;

/// What a client reads for whom there is no room.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
                      content-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n\r\n\
                      too many open connections\n";
/// How long a client for whom there is no room may take to be told so.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// The way in for connections of the public port; they see the same routes, and metrics need the key.
#[derive(Clone, Debug)]
pub struct Handover {
    connections: Arc<Connections>,
    runtime: Handle,
}

impl Handover {
    /// Connections are served on `runtime`.
    #[must_use]
    pub fn new(router: Router, runtime: Handle) -> Self {
        Self { connections: Connections::new(router, Side::Public), runtime }
    }

    /// Serves one connection, whose reads begin with what was read from it before. Never blocks; any thread may call.
    pub fn take(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        self.runtime.spawn(serve(Arc::clone(&self.connections), io));
    }

    /// Serves a connection as a worker hands it over. Never blocks; any thread may call.
    pub fn take_handed(&self, handed: Handed) {
        let connections = Arc::clone(&self.connections);
        self.runtime.spawn(async move {
            // Within the runtime: only there can a socket be registered.
            match handed.into_async() {
                Ok(io) => serve(connections, io).await,
                Err(error) => debug!(%error, "a connection could not be handed over"),
            }
        });
    }

    /// Takes no more connections, and ends those there are within ten seconds, requests under way answered.
    pub async fn finish(&self) {
        self.connections.finish().await;
    }
}

async fn serve(connections: Arc<Connections>, mut io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    if let Some(room) = connections.room_now() {
        connections.hold(room, connections.answer(io)).await;
        return;
    }
    // Whether the client hears it or not, it is gone.
    let told = async {
        io.write_all(BUSY).await?;
        io.shutdown().await
    };
    drop(timeout(BUSY_TIMEOUT, told).await);
}

//! Serves the routes at a socket of their own, with TLS or without, until the server goes down.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jackfield_tls::Keeper;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::connections::Connections;
use crate::router::Side;

/// How long a TLS handshake may take, its first byte included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no socket for a connection that waits.
const PAUSE: Duration = Duration::from_millis(500);
/// What a TLS handshake begins with.
const TLS_HANDSHAKE: u8 = 0x16;
/// What a client reads that speaks HTTP without TLS.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
                            content-type: text/plain; charset=utf-8\r\ncontent-length: 46\r\n\r\n\
                            this port speaks TLS; ask again with https://\n";
/// How much of a refused request is read, so that the refusal is not lost to a reset.
const MAX_REFUSED_BYTES: u64 = 64 << 10;
/// How long it may take.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(1);

/// TLS on a port.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificates; each connection takes those of its moment.
    pub keeper: Arc<Keeper>,
    /// Whether the port speaks without TLS too.
    pub also_plain: bool,
}

/// Serves until `shutdown` is done and the requests under way are answered, or the grace of ten seconds is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let connections = Connections::new(router, Side::Internal);
    tokio::select! {
        () = accept(listener, &connections, tls) => {}
        () = shutdown => {}
    }
    connections.finish().await;
}

/// Takes connections while there is room; the others wait in the system's queue.
async fn accept(listener: TcpListener, connections: &Arc<Connections>, tls: Option<Tls>) {
    while let Some(room) = connections.room().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                warn!(%error, "the internal port cannot accept a connection; it tries again");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (connections, tls) = (Arc::clone(connections), tls.clone());
        tokio::spawn(async move { connections.hold(room, welcome(stream, tls, &connections)).await });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn welcome(stream: TcpStream, tls: Option<Tls>, connections: &Connections) {
    // Without it an answer waits for an acknowledgement; nothing else is lost.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        connections.answer(stream).await;
        return;
    };
    let mut deadline = pin!(sleep(HANDSHAKE_TIMEOUT));
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut first) => peeked,
        () = deadline.as_mut() => return,
    };
    match (peeked, first[0]) {
        (Ok(1), TLS_HANDSHAKE) => {}
        (Ok(1), _) if tls.also_plain => {
            connections.answer(stream).await;
            return;
        }
        (Ok(1), byte) if byte.is_ascii_alphabetic() => {
            // Who has gone meanwhile needs no answer.
            drop(timeout(REFUSED_TIMEOUT, refuse(stream)).await);
            return;
        }
        _ => return,
    }
    let shaken = tokio::select! {
        shaken = TlsAcceptor::from(tls.keeper.current()).accept(stream) => shaken,
        () = deadline.as_mut() => return,
    };
    match shaken {
        Ok(stream) => connections.answer(stream).await,
        Err(error) => debug!(%error, "a TLS handshake with the internal port has failed"),
    }
}

/// Says in plain words that this port speaks TLS.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(SPEAKS_TLS).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_REFUSED_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

//! Serves the routes at a socket until the server goes down.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::warn;

/// How long requests under way may take after the end was announced.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `shutdown` is done and the requests under way are answered, or the grace of ten seconds is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (announce, announced) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // Nobody listens if the server has failed meanwhile.
        let _ = announce.send(());
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown);
    let grace = async move {
        match announced.await {
            Ok(()) => sleep(GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = serving.into_future() => result,
        () = grace => {
            warn!("requests of the internal port are cut off; they took too long");
            Ok(())
        }
    }
}

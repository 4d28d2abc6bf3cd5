//! The connections of one door: how many there may be, how long each may take, and how all of them end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::patience::Patient;
use crate::router::Side;

/// Connections at a time. The application needs a few; each may hold a body under way.
const MAX_CONNECTIONS: u32 = 1024;
/// How long the head of a request may take to come, and how long a connection may be idle before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long requests under way may take after the end was announced.
const GRACE: Duration = Duration::from_secs(10);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It is not in sight.
    Open,
    /// Requests under way are answered, others are not.
    Announced,
    /// Whatever is left is cut off.
    Over,
}

/// The connections of one door.
#[derive(Debug)]
pub(crate) struct Connections {
    router: Router,
    room: Arc<Semaphore>,
    /// Whether a connection may bring another request. One that a worker handed over may not: the next might be the
    /// worker's again.
    stays: bool,
    end: watch::Sender<End>,
}

impl Connections {
    /// None so far. Each door has its own room, so that strangers at one do not crowd the other.
    pub(crate) fn new(router: Router, side: Side) -> Arc<Self> {
        Arc::new(Self {
            router: router.layer(Extension(side)),
            stays: side == Side::Internal,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS as usize)),
            end: watch::Sender::new(End::Open),
        })
    }

    /// Waits for room for one more; `None` once the end is announced.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// Room for one more, if there is any.
    pub(crate) fn room_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Runs what a connection does, until everything ends; then there is room again.
    pub(crate) async fn hold(&self, room: OwnedSemaphorePermit, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.reached(End::Over) => {}
        }
        drop(room);
    }

    /// Answers the requests of one connection.
    pub(crate) async fn answer(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
        builder.keep_alive(self.stays);
        let service = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(Patient::new(io)), service));
        let answered = tokio::select! {
            answered = connection.as_mut() => answered,
            () = self.reached(End::Announced) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = answered {
            debug!(%error, "a connection of the HTTP door has ended early");
        }
    }

    async fn reached(&self, stage: End) {
        // It fails only without a sender, and the sender is ours.
        let _ = self.end.subscribe().wait_for(|end| *end >= stage).await;
    }

    /// Announces the end and waits until the requests under way are answered, or the grace is over.
    pub(crate) async fn finish(&self) {
        self.end.send_replace(End::Announced);
        if timeout(GRACE, self.room.acquire_many(MAX_CONNECTIONS)).await.is_err() {
            warn!("requests of the HTTP door are cut off; they took too long");
        }
        self.room.close();
        self.end.send_replace(End::Over);
    }
}

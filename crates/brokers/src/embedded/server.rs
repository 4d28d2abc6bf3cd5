//! The embedded queue's door: a loopback port at which stock Redis clients find it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jackfield_model::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::connection::{Connection, Next};
use super::resp::{self, Decoder};

/// The most clients at a time; more wait to be accepted.
const CLIENTS_LIMIT: usize = 256;
/// Replies are sent when so much is there, though more requests may wait.
const FLUSH_BYTES: usize = 256 << 10;
/// What a waiting client may send ahead before it is no longer read.
const AHEAD_LIMIT_BYTES: usize = 64 << 10;
/// How long a client may leave its replies unread. Why: it would keep its place and its replies for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after accept failed, which is for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The open port. Its clients are served while [`Listener::run`] is polled and end when it is dropped.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(super) fn bind(shared: Arc<Shared>, address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { shared, socket, address })
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves clients until it is dropped. An error means that the port could not be handed to Tokio.
    pub async fn run(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket)?;
        let places = Arc::new(Semaphore::new(CLIENTS_LIMIT));
        let ids = AtomicU64::new(1);
        // Dropping the set ends every client.
        let mut clients = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return Ok(());
            };
            while clients.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&self.shared);
                    let connection = Connection::new(ids.fetch_add(1, Ordering::Relaxed));
                    clients.spawn(async move {
                        let mut client = Client::new(shared, stream, connection);
                        // Why: a client that hangs up is no news; what it held is claimed by the next one.
                        let _ = client.serve().await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "The embedded queue cannot accept a client.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct Client {
    shared: Arc<Shared>,
    stream: TcpStream,
    connection: Connection,
    decoder: Decoder,
    input: BytesMut,
    output: Vec<u8>,
}

impl Client {
    fn new(shared: Arc<Shared>, stream: TcpStream, connection: Connection) -> Self {
        let (decoder, input) = (Decoder::default(), BytesMut::new());
        Self { shared, stream, connection, decoder, input, output: Vec::new() }
    }

    async fn serve(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(parts)) => {
                    if !self.answer(&parts).await? {
                        return self.flush().await;
                    }
                    if self.output.len() >= FLUSH_BYTES {
                        self.flush().await?;
                    }
                }
                Ok(None) => {
                    self.flush().await?;
                    self.input.reserve(4096);
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Ok(());
                    }
                }
                Err(error) => {
                    resp::error(&mut self.output, &format!("ERR Protocol error: {}", error.0));
                    return self.flush().await;
                }
            }
        }
    }

    /// Does one request, with its wait; false where the connection ends.
    async fn answer(&mut self, parts: &[Bytes]) -> io::Result<bool> {
        let mut deadline: Option<Option<Instant>> = None;
        loop {
            let shared = Arc::clone(&self.shared);
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // Before the look into the store, or a change in between would go unseen.
            changed.as_mut().enable();
            let before = self.output.len();
            let next = self.apply(parts);
            let wait = match next {
                Next::Answered => {
                    self.shared.changed_by(parts);
                    return Ok(true);
                }
                Next::Close => return Ok(false),
                Next::Wait(wait) => wait,
            };
            self.output.truncate(before);
            let deadline = *deadline.get_or_insert_with(|| end(wait));
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                resp::null_array(&mut self.output);
                return Ok(true);
            }
            self.flush().await?;
            if !self.until(changed, deadline).await? {
                return Ok(false);
            }
        }
    }

    fn apply(&mut self, parts: &[Bytes]) -> Next {
        let now = self.shared.now();
        let mut store = self.shared.store();
        self.connection.handle(&mut store, now, parts, &mut self.output)
    }

    /// Waits for a change or the deadline, and hears when the client hangs up meanwhile; false then.
    async fn until(&mut self, changed: impl Future<Output = ()>, deadline: Option<Instant>) -> io::Result<bool> {
        tokio::pin!(changed);
        loop {
            let listens = self.input.len() < AHEAD_LIMIT_BYTES;
            tokio::select! {
                () = &mut changed => return Ok(true),
                () = sleep_until(deadline) => return Ok(true),
                read = self.stream.read_buf(&mut self.input), if listens => {
                    if read? == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&self.output)).await;
        self.output.clear();
        self.output.shrink_to(FLUSH_BYTES);
        written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

fn end(wait: Millis) -> Option<Instant> {
    // An end beyond what the clock can count is none.
    if wait == 0 { None } else { Instant::now().checked_add(Duration::from_millis(wait)) }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

//! A server that says what a test wants it to say, byte for byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jackfield_fetch::Url;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What follows the bytes of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    /// Neither more bytes nor an end.
    Hang,
    Keep,
}

/// What was asked, and how often somebody called.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) requests: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl Server {
    /// Answers the nth request of all with what `answer` says.
    pub(crate) async fn start(answer: impl Fn(usize) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        Self::start_over(answer, |socket| async { Some(socket) }).await
    }

    /// The same over what `wrap` makes of a socket.
    pub(crate) async fn start_over<W, F, S>(
        answer: impl Fn(usize) -> (Vec<u8>, Then) + Send + Sync + 'static,
        wrap: W,
    ) -> Self
    where
        W: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = Option<S>> + Send,
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (answer, wrap, told) = (Arc::new(answer), Arc::new(wrap), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, wrap, seen) = (Arc::clone(&answer), Arc::clone(&wrap), Arc::clone(&told));
                seen.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Some(mut stream) = wrap(socket).await {
                        converse(&mut stream, &*answer, &seen).await;
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }
}

async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &(impl Fn(usize) -> (Vec<u8>, Then) + Send + Sync),
    seen: &Seen,
) {
    while let Some(request) = read(stream).await {
        let nth = {
            let mut requests = seen.requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        let (bytes, then) = answer(nth);
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        match then {
            Then::Close => return,
            Then::Hang => std::future::pending().await,
            Then::Keep => {}
        }
    }
}

/// One request, head and body.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A good response with a body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

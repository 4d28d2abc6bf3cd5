//! A door in front of a hub, and one exchange with it.

use std::sync::Arc;

use axum::Router;
use jackfield_api::{ApiOptions, Tls, router, serve};
use jackfield_hub::{Hub, Mailbox, Namespaces, Options, Wake};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[derive(Debug)]
struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

pub(crate) struct Server {
    pub(crate) hub: Arc<Hub>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(options: ApiOptions, tls: Option<Tls>) -> Self {
        let (hub, mailbox) = hub();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, router(Arc::clone(&hub), options), tls, shutdown));
        Self { hub, mailbox, address, stop, task }
    }

    pub(crate) async fn open() -> Self {
        Self::start(ApiOptions { insecure: true, ..ApiOptions::default() }, None).await
    }

    /// Status, head and body of one exchange.
    pub(crate) async fn raw(&self, head: &str, body: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses early may close before it has all.
        let _ = stream.write_all(body).await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        parts(response)
    }

    pub(crate) async fn post(&self, method: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = self.raw(&format!("POST /api/{method} HTTP/1.1"), body.to_string().as_bytes()).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

fn hub() -> (Arc<Hub>, Arc<Mailbox>) {
    let mailbox = Arc::new(Mailbox::new(Box::new(Asleep)));
    let mut namespaces = Namespaces::default();
    let kept = Options { history_size: 10, history_ttl: 60_000, presence: true, ..Options::default() };
    namespaces.named.insert("room".to_owned(), Arc::new(kept));
    (Arc::new(Hub::new(namespaces, vec![Arc::clone(&mailbox)], 100, 1)), mailbox)
}

/// The routes alone.
pub(crate) fn routes(options: ApiOptions) -> Router {
    router(hub().0, options)
}

/// Status, head and body of a whole answer.
pub(crate) fn parts(answer: Vec<u8>) -> (u16, String, String) {
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

/// One exchange over a stream that is closed after it.
pub(crate) async fn ask(mut io: impl AsyncRead + AsyncWrite + Unpin, line: &str) -> (u16, String, String) {
    let head = format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    parts(answer)
}

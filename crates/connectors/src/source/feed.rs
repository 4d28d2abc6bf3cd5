//! Messages of a feed that listens on a TCP port: we dial, say hello, and read.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::frames::{FeedFraming, Frames};
use crate::message::Message;
use crate::source::Reader;
use crate::trouble::{Trouble, UrlError, in_time};

/// An example for who wrote a wrong URL.
const RIGHT: &str = "one such as \"tcp://HOST:7400\", or \"tcps://HOST:7400\" for TLS";
/// How long a connection may take to be there, with TLS and what is said first.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that has lasted so long was a good one: the next attempt follows at once.
const GOOD: Duration = Duration::from_secs(5);
/// Silence after which the system asks whether the other machine is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where a feed listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedAddress {
    host: String,
    port: u16,
    is_tls: bool,
}

impl FeedAddress {
    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

/// What is dialled.
#[derive(Clone, Debug)]
pub struct FeedSource {
    /// Where.
    pub address: FeedAddress,
    /// Whom to trust, where it speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Where its messages end.
    pub framing: FeedFraming,
    /// What is said first; may be empty.
    pub hello: Bytes,
    /// A feed that is silent for so long is dialled again; zero: never.
    pub idle_timeout: Duration,
    /// Messages that are published together.
    pub batch: usize,
}

/// Reads a URL.
///
/// # Errors
///
/// What is wrong with it.
pub fn address(url: &str) -> Result<FeedAddress, UrlError> {
    let wrong = |wrong: &str| UrlError { wrong: wrong.to_owned(), right: RIGHT };
    let (is_tls, rest) = match url.split_once("://") {
        Some(("tcp", rest)) => (false, rest),
        Some(("tcps", rest)) => (true, rest),
        _ => return Err(wrong("is no address of a feed")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(wrong("has a user, which plain TCP has no word for; say it in `hello`"));
    }
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("has no port from 1 to 65535"))?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        // The names of certificates are those of hosts, for both schemes.
        None => ServerName::try_from(host).is_ok() && !host.contains(':'),
    };
    if !is_host {
        return Err(wrong("has no name or address of a host"));
    }
    Ok(FeedAddress { host: inner.unwrap_or(host).to_owned(), port, is_tls })
}

impl FeedSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let dialling = in_time(PATIENCE, "connecting", self.dial());
        let Some(mut stream) = reader.unless_stopped(dialling).await? else { return Ok(()) };
        reader.is_connected();
        let since = Instant::now();
        let read = reader.unless_stopped(self.relay(&mut stream, reader)).await;
        // Why not as soon as it is connected: a feed that breaks its framing with each first message would be
        // dialled ten times a second.
        if since.elapsed() >= GOOD {
            reader.backoff.reset();
        }
        read.map(drop)
    }

    /// Connects and says hello.
    async fn dial(&self) -> Result<Box<dyn AsyncRead + Send + Unpin>, Trouble> {
        let FeedAddress { host, port, .. } = &self.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        // A machine that is gone says nothing; without this nobody would notice where silence is allowed.
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        let Some(tls) = &self.tls else { return self.greet(stream).await };
        let name = ServerName::try_from(host.clone()).map_err(|error| Trouble::new(error.to_string()))?;
        self.greet(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?).await
    }

    async fn greet<S>(&self, mut stream: S) -> Result<Box<dyn AsyncRead + Send + Unpin>, Trouble>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        stream.write_all(&self.hello).await?;
        stream.flush().await?;
        Ok(Box::new(stream))
    }

    /// Publishes what comes. Nothing more is read before the hub has what was read, so a feed that is too fast is slowed
    /// down by TCP.
    async fn relay(&self, stream: &mut (impl AsyncRead + Unpin), reader: &Reader) -> Result<(), Trouble> {
        let mut frames = Frames::new(self.framing, reader.intake.options.max_bytes);
        loop {
            let (messages, ended) = self.whole(&mut frames);
            let is_more = messages.len() == self.batch;
            if !messages.is_empty() {
                reader.intake.take(messages).await;
            }
            ended?;
            if is_more {
                // A hub that never makes us wait would keep all others off this thread.
                tokio::task::yield_now().await;
            } else {
                self.fill(stream, &mut frames).await?;
            }
        }
    }

    /// The next messages that are there from end to end, and what is wrong behind them.
    fn whole(&self, frames: &mut Frames) -> (Vec<Message>, Result<(), Trouble>) {
        let mut messages = Vec::new();
        while messages.len() < self.batch {
            match frames.next() {
                Ok(Some(body)) => messages.push(Message { body: Some(body), ..Message::default() }),
                Ok(None) => break,
                Err(trouble) => return (messages, Err(trouble)),
            }
        }
        (messages, Ok(()))
    }

    async fn fill(&self, stream: &mut (impl AsyncRead + Unpin), frames: &mut Frames) -> Result<(), Trouble> {
        let reading = stream.read_buf(frames.room());
        let count = if self.idle_timeout.is_zero() {
            reading.await?
        } else {
            let silent = |_| Trouble::new(format!("nothing came for {:?} (idle_timeout)", self.idle_timeout));
            timeout(self.idle_timeout, reading).await.map_err(silent)??
        };
        match (count, frames.unfinished()) {
            (0, 0) => Err(Trouble::new("the feed ended the connection")),
            (0, bytes) => Err(Trouble::new(format!("the feed ended the connection {bytes} bytes into a message"))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parts = |url: &str| address(url).map(|address| (address.host, address.port, address.is_tls)).unwrap();
        assert_eq!(parts("tcp://127.0.0.1:7400"), ("127.0.0.1".to_owned(), 7400, false));
        assert_eq!(parts("tcps://feed.example:1/"), ("feed.example".to_owned(), 1, true));
        assert_eq!(parts("tcp://[::1]:65535"), ("::1".to_owned(), 65535, false));
        for url in [
            "secret",
            "http://secret:1",
            "tcp://secret",
            "tcp://secret:0",
            "tcp://secret:70000",
            "tcp://secret:7400/path",
            "tcp://u:secret@h:7400",
            "tcp://:7400",
            "tcp://::1:7400",
            "tcp://[secret]:7400",
            "tcp://secret host:7400",
        ] {
            let text = address(url).unwrap_err().to_string();
            assert!(!text.contains("secret") && text.contains("; write one such as"), "{text}");
        }
    }
}

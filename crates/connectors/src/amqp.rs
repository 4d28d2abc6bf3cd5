//! Connections to RabbitMQ, for those who read and those who write.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Consumer};

use crate::trouble::{Trouble, UrlError, in_time};

/// An example for who wrote a wrong URL.
const RIGHT: &str = "one such as \"amqp://USER:PASSWORD@HOST:5672/VHOST\" (%2f is the vhost /)";
/// How long connecting and declaring may take; a broker that has just started is slow with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// How often both sides show that they are there, where the URL does not say.
const HEARTBEAT_SECONDS: u16 = 10;
/// How long a polite end may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Reads a URL.
///
/// # Errors
///
/// What is wrong with it.
pub fn address(url: &str) -> Result<AMQPUri, UrlError> {
    let wrong = |wrong: &str| UrlError { wrong: wrong.to_owned(), right: RIGHT };
    // The parser's own text may repeat parts of the URL.
    let mut uri: AMQPUri = url.parse().map_err(|_| wrong("is no address of RabbitMQ"))?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Err(wrong("asks for TLS, which sources and sinks do not speak with RabbitMQ"));
    }
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

/// Connects under a name that operators see in RabbitMQ's own lists.
pub(crate) async fn connect(uri: &AMQPUri, name: &str) -> Result<Connection, Trouble> {
    let properties = ConnectionProperties::default().with_connection_name(format!("jackfield {name}").into());
    in_time(PATIENCE, "connecting", Connection::connect_uri(uri.clone(), properties)).await
}

/// Says goodbye; what was sent before is done by then.
pub(crate) async fn close(connection: &Connection) {
    let goodbye = connection.close(200, "closed".into());
    // Whoever does not answer is left.
    drop(tokio::time::timeout(GOODBYE, goodbye).await);
}

/// The next message.
pub(crate) async fn next(consumer: &mut Consumer) -> Result<Delivery, Trouble> {
    match std::future::poll_fn(|context| Pin::new(&mut *consumer).poll_next(context)).await {
        Some(came) => Ok(came?),
        None => Err(cancelled()),
    }
}

/// The next message if it is there already.
pub(crate) async fn ready(consumer: &mut Consumer) -> Result<Option<Delivery>, Trouble> {
    let came = std::future::poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *consumer).poll_next(context) {
            Poll::Ready(came) => Some(came),
            Poll::Pending => None,
        })
    });
    match came.await {
        None => Ok(None),
        Some(Some(came)) => Ok(Some(came?)),
        Some(None) => Err(cancelled()),
    }
}

fn cancelled() -> Trouble {
    Trouble::new("the queue is gone")
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn urls() {
        assert_eq!(address("amqp://guest:guest@localhost:5672/").unwrap().vhost, "/");
        assert_eq!(address("amqp://host/%2fx").unwrap().vhost, "/x");
        for url in ["amqp://u:secret@host:x", "amqps://u:secret@host", "redis://u:secret@host", "secret"] {
            let text = address(url).unwrap_err().to_string();
            assert!(!text.contains("secret") && text.contains("; write one such as"), "{text}");
        }
    }
}

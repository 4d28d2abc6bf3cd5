//! Connections to Redis, for those who read and those who write.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, ProtocolVersion, Value};

use crate::trouble::{Trouble, UrlError, in_time};

/// An example for who wrote a wrong URL.
const RIGHT: &str = "one such as \"redis://USER:PASSWORD@HOST:6379/0\" or \"unix:///PATH\"";
/// How long a connection may take to be there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a reply may take.
pub(crate) const REPLY: Duration = Duration::from_secs(5);

/// Reads a URL.
///
/// # Errors
///
/// What is wrong with it.
pub fn address(url: &str) -> Result<Client, UrlError> {
    let wrong = |wrong: &str| UrlError { wrong: wrong.to_owned(), right: RIGHT };
    if url.starts_with("rediss://") || url.starts_with("valkeys://") {
        return Err(wrong("asks for TLS, which sources and sinks do not speak with Redis"));
    }
    // The client's own text may repeat parts of the URL.
    let info = url.into_connection_info().map_err(|_| wrong("is no address of Redis"))?;
    // Replies are read in the form of RESP2 whatever the URL says.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Client::open(info.set_redis_settings(settings)).map_err(|_| wrong("is no address of Redis"))
}

/// Connects; `wait` is what the server itself waits before it replies.
pub(crate) async fn connect(client: &Client, wait: Duration) -> Result<MultiplexedConnection, Trouble> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(REPLY + wait));
    in_time(PATIENCE, "connecting", client.get_multiplexed_async_connection_with_config(&config)).await
}

/// One request and its reply.
pub(crate) async fn ask(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<Value, redis::RedisError> {
    command.query_async(connection).await
}

/// The bytes of a reply.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// The items of a reply.
pub(crate) fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn urls() {
        assert!(address("redis://localhost:6379/0").is_ok());
        for url in ["rediss://u:secret@host", "redis://u:secret@host/x", "amqp://u:secret@host", "secret"] {
            let text = address(url).unwrap_err().to_string();
            assert!(!text.contains("secret") && text.contains("; write one such as"), "{text}");
        }
    }
}

//! Messages of NATS subjects.

use std::time::Duration;

use async_nats::{ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

use super::relay::relay;
use crate::message::Message;
use crate::source::Reader;
use crate::trouble::{Trouble, UrlError, in_time};

/// An example for who wrote a wrong URL.
const RIGHT: &str = "one such as \"nats://USER:PASSWORD@HOST:4222\" or \"tls://HOST:4222\"";
/// How long a connection may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked whether the server is still there.
const PING: Duration = Duration::from_secs(10);

/// What is read in NATS.
#[derive(Clone, Debug)]
pub struct SubjectSource {
    /// Where.
    pub server: ServerAddr,
    /// The subject; it may have wildcards.
    pub subject: String,
    /// Who reads together: each message goes to one of the group. Empty: to all.
    pub group: String,
}

/// Reads a URL.
///
/// # Errors
///
/// What is wrong with it.
pub fn address(url: &str) -> Result<ServerAddr, UrlError> {
    let wrong = || UrlError { wrong: "is no address of NATS".to_owned(), right: RIGHT };
    if !url.starts_with("nats://") && !url.starts_with("tls://") {
        return Err(wrong());
    }
    // The client's own text may repeat parts of the URL.
    url.parse().map_err(|_| wrong())
}

impl SubjectSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let (gone, mut is_gone) = watch::channel(false);
        let options = ConnectOptions::new()
            .name(format!("jackfield {}", reader.intake.options.name))
            .connection_timeout(PATIENCE)
            .ping_interval(PING)
            .event_callback(move |event| {
                // The client would connect again by itself; we do, so that all sources tell alike how they are.
                if matches!(event, Event::Closed | Event::Disconnected) {
                    gone.send_replace(true);
                }
                std::future::ready(())
            });
        let connecting = async { options.connect(self.server.clone()).await.map_err(trouble) };
        let client = in_time(PATIENCE, "connecting", connecting).await?;
        let subject = self.subject.clone();
        let subscribed = if self.group.is_empty() {
            client.subscribe(subject).await
        } else {
            client.queue_subscribe(subject, self.group.clone()).await
        };
        let messages = subscribed.map_err(trouble)?;
        // The server has the subscription when it has answered what came after it.
        in_time(PATIENCE, "subscribing", async { client.flush().await.map_err(trouble) }).await?;
        reader.is_up();
        let reader = &*reader;
        let work = async {
            tokio::select! {
                ended = relay(messages, message, reader) => ended,
                _ = is_gone.wait_for(|gone| *gone) => Err(Trouble::new("the connection ended")),
            }
        };
        reader.unless_stopped(work).await.map(drop)
    }
}

fn trouble(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string())
}

fn message(came: async_nats::Message) -> Message {
    let headers = came.headers.iter().flat_map(async_nats::HeaderMap::iter);
    let fields = headers.filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string())));
    Message {
        origin: came.subject.to_string(),
        fields: fields.collect(),
        body: Some(came.payload),
        ..Message::default()
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn urls() {
        assert!(address("nats://u:p@localhost:4222").is_ok() && address("tls://h").is_ok());
        for url in ["http://u:secret@h", "nats://u:secret@h:x", "secret"] {
            let text = address(url).unwrap_err().to_string();
            assert!(!text.contains("secret") && text.contains("; write one such as"), "{text}");
        }
    }
}

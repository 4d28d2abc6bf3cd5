//! Messages that JetStream keeps, shared by all who read with one consumer, acknowledged when the hub has them.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{AckKind, Message as Came};
use futures_core::Stream as _;

use super::subject::{self, Nats, PATIENCE, trouble};
use crate::intake::Fate;
use crate::message::Message;
use crate::source::Reader;
use crate::trouble::{Trouble, in_time};

/// How long the server waits for a new message; as long as a stop may take to be heard.
const BLOCK: Duration = Duration::from_millis(500);

/// What is read in a stream of JetStream.
#[derive(Clone, Debug)]
pub struct JetStreamSource {
    /// Where.
    pub server: ServerAddr,
    /// The stream; it must be there, a missing one is waited for.
    pub stream: String,
    /// The subjects that are meant, with wildcards if need be; empty: all.
    pub subject: String,
    /// The durable consumer; one that is missing is made and begins with what comes after.
    pub group: String,
    /// Messages that are asked for at a time.
    pub batch: usize,
}

impl JetStreamSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let mut nats = subject::connect(&self.server, &reader.intake.options.name).await?;
        let consumer = in_time(PATIENCE, "looking for the consumer", self.consumer(&nats)).await?;
        reader.is_up();
        while !reader.is_stopped() {
            let asked = consumer.batch().max_messages(self.batch).expires(BLOCK).messages();
            let mut batch = in_time(PATIENCE, "asking for messages", async { asked.await.map_err(trouble) }).await?;
            loop {
                let came = tokio::select! {
                    came = some(&mut batch) => came?,
                    () = nats.ended() => return Err(Trouble::new("the connection ended")),
                };
                if came.is_empty() {
                    break;
                }
                self.publish(reader, &came).await?;
                // What is lost of this comes again.
                in_time(PATIENCE, "acknowledging", async { nats.client.flush().await.map_err(trouble) }).await?;
            }
        }
        Ok(())
    }

    async fn consumer(&self, nats: &Nats) -> Result<Consumer<Config>, Trouble> {
        let context = ContextBuilder::new().timeout(PATIENCE).build(nats.client.clone());
        let stream = context.get_stream(&self.stream).await.map_err(|error| subject::chain(&error))?;
        let config = Config {
            durable_name: Some(self.group.clone()),
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::Explicit,
            filter_subject: self.subject.clone(),
            ..Config::default()
        };
        // One that is there is taken as it is.
        stream.get_or_create_consumer(&self.group, config).await.map_err(|error| subject::chain(&error))
    }

    /// Publishes messages and settles them: what can never be published is not handed out again.
    async fn publish(&self, reader: &Reader, came: &[Came]) -> Result<(), Trouble> {
        let fates = reader.intake.take(came.iter().map(|came| self.message(came)).collect()).await;
        for (came, fate) in came.iter().zip(fates) {
            let kind = if fate == Fate::Taken { AckKind::Ack } else { AckKind::Term };
            came.ack_with(kind).await.map_err(trouble)?;
        }
        Ok(())
    }

    fn message(&self, came: &Came) -> Message {
        let (id, again) = match came.info() {
            Ok(info) => (format!("{}:{}", self.stream, info.stream_sequence), info.delivered > 1),
            Err(_) => (String::new(), true),
        };
        Message { is_unique: !id.is_empty(), id, again, ..subject::message(came.message.clone()) }
    }
}

/// The next messages that are there, at least one; none when the server has no more.
async fn some(batch: &mut Batch) -> Result<Vec<Came>, Trouble> {
    let mut found = Vec::new();
    std::future::poll_fn(|context| {
        loop {
            match Pin::new(&mut *batch).poll_next(context) {
                Poll::Ready(Some(Ok(came))) => found.push(came),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(trouble(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if found.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    })
    .await?;
    Ok(found)
}

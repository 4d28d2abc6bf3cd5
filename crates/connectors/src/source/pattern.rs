//! Messages of PUB/SUB in Redis: nobody keeps them and nobody waits, so what cannot be taken at once is lost, and counted.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg, Value};
use tokio::sync::mpsc;

use crate::message::Message;
use crate::resp;
use crate::source::Reader;
use crate::trouble::{Trouble, in_time};

/// Messages, and bytes of them, that may wait for the hub.
const MOST: usize = 4096;
const MOST_BYTES: usize = 32 << 20;
/// Messages that are published together.
const BATCH: usize = 256;
/// How often it is asked whether the server is still there.
const PING: Duration = Duration::from_secs(10);

/// What is read in Redis.
#[derive(Clone, Debug)]
pub struct PatternSource {
    /// Where.
    pub client: Client,
    /// The channels, as `PSUBSCRIBE` takes them.
    pub pattern: String,
}

impl PatternSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let (mut sink, stream) = in_time(resp::PATIENCE, "connecting", self.client.get_async_pubsub()).await?.split();
        in_time(resp::REPLY, "subscribing", sink.psubscribe(&self.pattern)).await?;
        reader.is_up();
        let (waiting, taken) = mpsc::channel(MOST);
        let bytes = AtomicUsize::new(0);
        let reader = &*reader;
        let work = async {
            tokio::select! {
                ended = listen(stream, reader, &waiting, &bytes) => ended,
                lost = pings(&mut sink) => lost,
                never = publish(taken, reader, &bytes) => never,
            }
        };
        reader.unless_stopped(work).await.map(drop)
    }
}

/// Takes messages as they come. Why not at the pace of the hub: the client has no bound of its own.
async fn listen(
    mut stream: PubSubStream,
    reader: &Reader,
    waiting: &mpsc::Sender<Message>,
    bytes: &AtomicUsize,
) -> Result<(), Trouble> {
    while let Some(came) = std::future::poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
        let message = message(&came);
        let size = size(&message);
        let has_room = bytes.fetch_add(size, Ordering::Relaxed) + size <= MOST_BYTES;
        if !has_room || waiting.try_send(message).is_err() {
            bytes.fetch_sub(size, Ordering::Relaxed);
            reader.intake.lost();
        }
    }
    Err(Trouble::new("the connection ended"))
}

/// Notices a server that is gone without a word.
async fn pings(sink: &mut PubSubSink) -> Result<(), Trouble> {
    loop {
        tokio::time::sleep(PING).await;
        in_time(resp::REPLY, "a ping", sink.ping::<Value>()).await?;
    }
}

/// Publishes what waits; ends with those who put it there.
async fn publish(mut taken: mpsc::Receiver<Message>, reader: &Reader, bytes: &AtomicUsize) -> Result<(), Trouble> {
    let mut messages = Vec::new();
    while taken.recv_many(&mut messages, BATCH).await > 0 {
        bytes.fetch_sub(messages.iter().map(size).sum(), Ordering::Relaxed);
        reader.intake.take(std::mem::take(&mut messages)).await;
    }
    Ok(())
}

fn size(message: &Message) -> usize {
    message.body.as_ref().map_or(0, Bytes::len) + message.origin.len()
}

fn message(came: &Msg) -> Message {
    Message {
        origin: came.get_channel_name().to_owned(),
        body: Some(Bytes::copy_from_slice(came.get_payload_bytes())),
        ..Message::default()
    }
}

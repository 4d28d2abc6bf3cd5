//! Messages that nobody keeps and nobody can hold back: what cannot be taken at once is lost, and counted.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::message::Message;
use crate::source::Reader;
use crate::trouble::Trouble;

/// Messages, and bytes of them, that may wait for the hub.
const MOST: usize = 4096;
const MOST_BYTES: usize = 32 << 20;
/// Messages that are published together.
const BATCH: usize = 256;

/// Publishes what comes, until nothing comes any more.
pub(super) async fn relay<S>(stream: S, message: fn(S::Item) -> Message, reader: &Reader) -> Result<(), Trouble>
where
    S: Stream + Unpin,
{
    let (waiting, taken) = mpsc::channel(MOST);
    let bytes = AtomicUsize::new(0);
    tokio::select! {
        ended = listen((stream, message), reader, &waiting, &bytes) => ended,
        never = publish(taken, reader, &bytes) => never,
    }
}

/// Takes messages as they come. Why not at the pace of the hub: clients keep what is not taken, some without a bound.
async fn listen<S>(
    (mut stream, message): (S, fn(S::Item) -> Message),
    reader: &Reader,
    waiting: &mpsc::Sender<Message>,
    bytes: &AtomicUsize,
) -> Result<(), Trouble>
where
    S: Stream + Unpin,
{
    while let Some(came) = std::future::poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
        let message = message(came);
        let size = size(&message);
        let has_room = bytes.fetch_add(size, Ordering::Relaxed) + size <= MOST_BYTES;
        if !has_room || waiting.try_send(message).is_err() {
            bytes.fetch_sub(size, Ordering::Relaxed);
            reader.intake.lost();
        }
    }
    Err(Trouble::new("the connection ended"))
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

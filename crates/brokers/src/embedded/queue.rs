//! The queue's contract on the embedded store; no socket lies between.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::{Delivery, Depth, Queue, QueueError, Receipt};
use jackfield_model::app::Event;
use tokio::time::Instant;

use super::Shared;
use super::store::{Store, StoreError};
use super::stream::{NewId, StreamId};
use super::{resp, stream_commands};
use crate::batch::{BATCH_BYTES, BATCH_COMMANDS, WAIT};
use crate::command_fields;
use crate::event_fields::{self, Sender};
use crate::keys::{COMMAND_GROUP, DEAD_LENGTH, Keys, REPLY_LIFE_MILLIS};
use crate::registry::Options;

/// Where a partition's reader is.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// Takes over what was handed out before, from this id on.
    Claims(StreamId),
    /// Reads what is new.
    News,
}

/// The queue in this process.
pub struct EmbeddedQueue {
    shared: Arc<Shared>,
    options: Options,
    address: Option<SocketAddr>,
    keys: Keys,
    answers: String,
    reading: Mutex<Vec<Reading>>,
    rounds: AtomicU32,
}

impl EmbeddedQueue {
    pub(super) fn new(shared: Arc<Shared>, options: Options, address: Option<SocketAddr>) -> Self {
        let keys = Keys::new(&options.prefix);
        let answers = keys.answers(&options.node);
        let from_the_start = Reading::Claims(StreamId::default());
        let reading = Mutex::new(vec![from_the_start; options.partitions as usize]);
        Self { shared, options, address, keys, answers, reading, rounds: AtomicU32::new(0) }
    }

    /// Another reader of the same store, as after a restart: what was handed out and not settled comes again.
    #[must_use]
    pub fn reopen(&self, node: &str) -> Arc<Self> {
        let options = Options { node: node.to_owned(), ..self.options.clone() };
        Arc::new(Self::new(Arc::clone(&self.shared), options, self.address))
    }

    fn take(&self) -> Result<Vec<Delivery>, StoreError> {
        let now = self.shared.now();
        let mut store = self.shared.store();
        store.expire(now);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut deliveries, mut weight) = (Vec::new(), 0);
        // Another one comes first each time, so that a busy partition does not starve the others.
        let partitions = self.options.partitions;
        let first = self.rounds.fetch_add(1, Ordering::Relaxed) % partitions;
        for partition in (first..partitions).chain(0..first) {
            let Some(state) = reading.get_mut(partition as usize) else {
                break;
            };
            let key = self.keys.commands(partition);
            store.create_stream(key.as_bytes())?;
            while deliveries.len() < BATCH_COMMANDS && weight < BATCH_BYTES {
                let room = (BATCH_COMMANDS - deliveries.len(), BATCH_BYTES - weight);
                let taken = step(&mut store, key.as_bytes(), state, (now, room))?;
                if taken.is_empty() && matches!(state, Reading::News) {
                    break;
                }
                for (id, body) in taken {
                    weight += body.len();
                    deliveries.push(delivery(partition, id, &body));
                }
            }
        }
        Ok(deliveries)
    }

    fn settle(&self, store: &mut Store, receipt: &Receipt) -> Result<(), StoreError> {
        let key = self.keys.commands(receipt.partition);
        let (millis, number) = receipt.number;
        let id = StreamId { millis, number };
        store.with_stream(key.as_bytes(), |stream| {
            stream.acknowledge(COMMAND_GROUP.as_bytes(), &[id]);
            stream.remove(id);
        })?;
        Ok(())
    }

    fn append(&self, store: &mut Store, event: &Event) -> Result<(), QueueError> {
        let partition = event_fields::partition(event, self.options.partitions);
        let key = self.keys.events(partition);
        let backlog = store.stream(key.as_bytes()).map_err(refused)?.map_or(0, |s| s.len());
        if backlog as u64 >= self.options.max_backlog {
            let text = format!("{backlog} events wait in partition {partition}");
            return Err(QueueError::Full(text));
        }
        let sender = Sender { node: &self.options.node, answers: &self.answers };
        let fields = event_fields::of(event, sender);
        let flat: Vec<&[u8]> = fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_ref()]).collect();
        let body = stream_commands::body(&flat);
        store.room_for_entry(key.len() + body.len()).map_err(refused)?;
        let now = self.shared.now();
        store.append(key.as_bytes(), NewId::Clock, now, body).map_err(refused)?;
        Ok(())
    }

    fn pop_answers(&self) -> Result<Vec<Bytes>, StoreError> {
        self.shared.store().pop(self.answers.as_bytes(), BATCH_COMMANDS)
    }

    /// Looks until something is there or the wait is over.
    async fn wait<T>(&self, look: impl Fn() -> Result<Vec<T>, StoreError>) -> Result<Vec<T>, QueueError> {
        let deadline = Instant::now() + WAIT;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Before the look, or a change in between would go unseen.
            changed.as_mut().enable();
            let found = look().map_err(refused)?;
            if !found.is_empty() {
                return Ok(found);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    fn describe(&self) -> String {
        match self.address {
            Some(address) => format!("embedded queue at {address}"),
            None => "embedded queue".to_owned(),
        }
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        self.wait(|| self.take()).await
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        let mut store = self.shared.store();
        for receipt in receipts {
            self.settle(&mut store, receipt).map_err(refused)?;
        }
        Ok(())
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let key = self.keys.dead(delivery.receipt.partition);
        let body = stream_commands::body(&command_fields::dead(delivery, reason));
        let now = self.shared.now();
        let mut store = self.shared.store();
        // Settled first and put away without a look at the memory: it takes the place of what it was.
        self.settle(&mut store, &delivery.receipt).map_err(refused)?;
        store.append(key.as_bytes(), NewId::Clock, now, body).map_err(refused)?;
        store.with_stream(key.as_bytes(), |stream| stream.trim(DEAD_LENGTH)).map_err(refused)?;
        drop(store);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let mut store = self.shared.store();
        let results = events.iter().map(|event| self.append(&mut store, event)).collect();
        drop(store);
        self.shared.changed.notify_waiters();
        results
    }

    async fn answers(&self) -> Result<Vec<Bytes>, QueueError> {
        self.wait(|| self.pop_answers()).await
    }

    async fn reply(&self, delivery: &Delivery, body: Bytes) -> Result<(), QueueError> {
        let key = delivery.reply_to.as_str();
        if !self.keys.takes_reply(key) {
            return Err(QueueError::Refused(format!("{key:?} is no place for a reply")));
        }
        let when = self.shared.now() + REPLY_LIFE_MILLIS;
        let mut store = self.shared.store();
        store.room_for(key.len() + body.len()).map_err(refused)?;
        store.push(key.as_bytes(), &[body]).map_err(refused)?;
        store.set_expiry(key.as_bytes(), Some(when));
        drop(store);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn depth(&self) -> Result<Option<Depth>, QueueError> {
        Ok(Some(super::depth::read(&self.shared, &self.keys, self.options.partitions)))
    }

    async fn close(&self) {
        // Nothing to give back: there is no lease in one process, and the port ends with its listener.
    }
}

impl fmt::Debug for EmbeddedQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

/// Reads a partition once: what was handed out before comes first, so that the order is kept.
fn step(
    store: &mut Store,
    key: &[u8],
    state: &mut Reading,
    limits: (u64, (usize, usize)),
) -> Result<Vec<(StreamId, Bytes)>, StoreError> {
    let (now, room) = limits;
    let group = COMMAND_GROUP.as_bytes();
    let taken = store.with_stream(key, |stream| {
        stream.create_group(group, StreamId::default());
        match *state {
            Reading::News => stream.take_new(group, group, now, room),
            Reading::Claims(start) => {
                // A few at a time, because a claim knows no limit of bytes.
                let claimed = stream.claim(group, group, now, (start, 0, room.0.min(8)));
                let done = claimed.cursor == StreamId::default();
                *state = if done { Reading::News } else { Reading::Claims(claimed.cursor) };
                claimed.entries
            }
        }
    })?;
    Ok(taken.unwrap_or_default())
}

fn delivery(partition: u32, id: StreamId, body: &Bytes) -> Delivery {
    let receipt = Receipt { partition, generation: 0, number: (id.millis, id.number) };
    let strings = resp::strings(body);
    let pairs = strings.chunks_exact(2).map(|pair| (pair[0].as_ref(), pair[1].clone()));
    command_fields::read(receipt, pairs)
}

fn refused(error: StoreError) -> QueueError {
    match error {
        StoreError::Memory => QueueError::Full(error.to_string()),
        StoreError::SmallId | StoreError::WrongType => QueueError::Refused(error.to_string()),
    }
}

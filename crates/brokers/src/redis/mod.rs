//! The queue in Redis or Valkey: streams for commands and events, lists for answers and replies.

mod leases;
mod link;
pub(crate) mod place;
mod reader;
mod sender;
pub(crate) mod slots;
mod values;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::{Delivery, Queue, QueueError, Receipt};
use jackfield_model::app::Event;
use redis::{Client, IntoConnectionInfo, Pipeline, ProtocolVersion, Value};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::leases::Leases;
use self::link::{Link, refusal};
use self::reader::{Outstanding, Reader};
use self::sender::Sender;
use crate::batch::{BATCH_COMMANDS, WAIT};
use crate::command_fields;
use crate::event_fields;
use crate::keys::{COMMAND_GROUP, DEAD_LENGTH, Keys, REPLY_LIFE_MILLIS};
use crate::registry::{OpenError, Options};

/// An example for who wrote a wrong URL.
const RIGHT: &str = "redis://USER:PASSWORD@HOST:6379/0 or unix:///PATH";

/// A queue in Redis.
pub(crate) struct RedisQueue {
    inner: Arc<Inner>,
    /// Renews the leases; starts with the first `receive`, because a node that reads nothing holds nothing.
    keeper: StdMutex<Option<JoinHandle<()>>>,
}

struct Inner {
    address: String,
    keys: Keys,
    node: String,
    answers_key: String,
    leases: Leases,
    outstanding: Outstanding,
    /// Settled, but Redis has not heard of it yet.
    late: StdMutex<Vec<Receipt>>,
    sender: Sender,
    reader: Mutex<Reader>,
    closed: AtomicBool,
    /// Connections of their own for what blocks, so that nothing else waits behind it.
    answers: Link,
    reads: Link,
    writes: Link,
}

impl RedisQueue {
    /// Makes the queue; it connects with the first call.
    pub(crate) fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        let client = client(url)?;
        let keys = Keys::new(&options.prefix);
        let inner = Inner {
            address: client.get_connection_info().addr().to_string(),
            answers_key: keys.answers(&options.node),
            keys,
            node: options.node,
            leases: Leases::new(options.partitions),
            outstanding: Outstanding::default(),
            late: StdMutex::new(Vec::new()),
            sender: Sender::new(options.partitions, options.max_backlog),
            reader: Mutex::new(Reader::new(options.max_payload_bytes)),
            closed: AtomicBool::new(false),
            answers: Link::new(client.clone(), WAIT),
            reads: Link::new(client.clone(), WAIT),
            writes: Link::new(client, Duration::ZERO),
        };
        Ok(Self { inner: Arc::new(inner), keeper: StdMutex::new(None) })
    }

    fn keep_leases(&self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            let inner = Arc::clone(&self.inner);
            *keeper = Some(tokio::spawn(async move { inner.keep_leases().await }));
        }
    }

    fn stop_keeper(&self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper.take() {
            keeper.abort();
        }
    }
}

impl Drop for RedisQueue {
    fn drop(&mut self) {
        self.stop_keeper();
    }
}

impl Inner {
    async fn keep_leases(&self) {
        loop {
            let next = tokio::time::Instant::now() + leases::ROUND;
            self.leases.renew(&self.writes, &self.keys, &self.node).await;
            if self.settle(&[]).await.is_err() {
                tracing::debug!("Acknowledgements wait for Redis.");
            }
            tokio::time::sleep_until(next).await;
        }
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        let mut reader = self.reader.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(QueueError::Unreachable("the queue is closed".to_owned()));
        }
        let held = self.leases.held();
        reader.follow(&held);
        let ready = reader.take(&self.outstanding);
        if !ready.is_empty() {
            return Ok(ready);
        }
        if held.is_empty() {
            drop(reader);
            let round = self.leases.round.notified();
            // The first round may take as long as a connection does; the others end in less.
            let _ = tokio::time::timeout(WAIT, round).await;
            return match self.leases.trouble() {
                Some(error) if self.leases.held().is_empty() => Err(error),
                Some(_) | None => Ok(Vec::new()),
            };
        }
        reader.read(&self.reads, &self.keys, &self.outstanding).await?;
        Ok(reader.take(&self.outstanding))
    }

    /// Settles receipts, and those that could not be settled before.
    async fn settle(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        let mut all = std::mem::take(&mut *self.late());
        all.extend_from_slice(receipts);
        if all.is_empty() {
            return Ok(());
        }
        all.sort_unstable_by_key(|receipt| (receipt.partition, receipt.number));
        all.dedup();
        let mut pipeline = Pipeline::new();
        for group in all.chunk_by(|one, other| one.partition == other.partition) {
            let key = self.keys.commands(group[0].partition);
            let ids: Vec<String> = group.iter().map(|receipt| values::id(receipt.number)).collect();
            pipeline.cmd("XACK").arg(&key).arg(COMMAND_GROUP).arg(&ids);
            pipeline.cmd("XDEL").arg(&key).arg(&ids);
        }
        let result = self.writes.run(&pipeline).await;
        let error = match &result {
            Ok(replies) => replies.iter().find_map(refusal),
            Err(error) => Some(error.clone()),
        };
        match error {
            None => {
                self.outstanding.settle(&all);
                Ok(())
            }
            Some(error) => {
                // They stay outstanding, so that nothing of it is handed out again meanwhile.
                self.late().extend(all);
                Err(error)
            }
        }
    }

    fn late(&self) -> std::sync::MutexGuard<'_, Vec<Receipt>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for RedisQueue {
    fn describe(&self) -> String {
        format!("Redis at {}", self.inner.address)
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        self.keep_leases();
        self.inner.receive().await
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.inner.settle(receipts).await
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let inner = &self.inner;
        let receipt = delivery.receipt;
        let key = inner.keys.commands(receipt.partition);
        let id = values::id(receipt.number);
        // As one: a letter without the end of its command would be written again with each try.
        let mut pipeline = Pipeline::new();
        pipeline.atomic();
        let dead = pipeline.cmd("XADD").arg(inner.keys.dead(receipt.partition));
        dead.arg("MAXLEN").arg("~").arg(DEAD_LENGTH).arg("*");
        for field in command_fields::dead(delivery, reason) {
            dead.arg(field);
        }
        pipeline.cmd("XACK").arg(&key).arg(COMMAND_GROUP).arg(&id);
        pipeline.cmd("XDEL").arg(&key).arg(&id);
        let replies = inner.writes.run(&pipeline).await?;
        if let Some(error) = replies.iter().find_map(refusal) {
            return Err(error);
        }
        inner.outstanding.settle(&[receipt]);
        Ok(())
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let inner = &self.inner;
        let fields = event_fields::Sender { node: &inner.node, answers: &inner.answers_key };
        let from = sender::From { keys: &inner.keys, fields };
        inner.sender.send(&inner.writes, from, events).await
    }

    async fn answers(&self) -> Result<Vec<Bytes>, QueueError> {
        let inner = &self.inner;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("BLPOP").arg(&inner.answers_key).arg(WAIT.as_secs());
        // What came together with the first.
        pipeline.cmd("LPOP").arg(&inner.answers_key).arg(BATCH_COMMANDS - 1);
        let mut found = Vec::new();
        for (number, reply) in inner.answers.run(&pipeline).await?.into_iter().enumerate() {
            if let Some(error) = refusal(&reply) {
                return Err(error);
            }
            if let Value::Array(parts) = reply {
                // BLPOP, the first, names the key before the element.
                let skip = usize::from(number == 0);
                found.extend(parts.into_iter().skip(skip).filter_map(values::bytes));
            }
        }
        Ok(found)
    }

    async fn reply(&self, delivery: &Delivery, body: Bytes) -> Result<(), QueueError> {
        let inner = &self.inner;
        let key = delivery.reply_to.as_str();
        if !inner.keys.takes_reply(key) {
            return Err(QueueError::Refused(format!("{key:?} is no place for a reply")));
        }
        let mut pipeline = Pipeline::new();
        pipeline.atomic();
        pipeline.cmd("RPUSH").arg(key).arg(body.as_ref());
        pipeline.cmd("PEXPIRE").arg(key).arg(REPLY_LIFE_MILLIS);
        let replies = inner.writes.run(&pipeline).await?;
        replies.iter().find_map(refusal).map_or(Ok(()), Err)
    }

    async fn close(&self) {
        let inner = &self.inner;
        inner.closed.store(true, Ordering::Release);
        self.stop_keeper();
        // The reader's lock: a read under way would take commands from under the next owner.
        let _reader = inner.reader.lock().await;
        if inner.settle(&[]).await.is_err() {
            tracing::debug!("Acknowledgements could not be sent; their commands come again.");
        }
        inner.leases.release(&inner.writes, &inner.keys, &inner.node).await;
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

/// Reads the URL; what is wrong with it is told without repeating it, for it may hold a password.
fn client(url: &str) -> Result<Client, OpenError> {
    let wrong = |wrong: String| OpenError::Url { driver: "redis", wrong, right: RIGHT };
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix") => {}
        Some("rediss" | "valkeys") => {
            return Err(wrong("asks for TLS, which this build does not have".to_owned()));
        }
        Some(scheme) if scheme.len() < 20 => {
            return Err(wrong(format!("starts with {scheme:?}")));
        }
        Some(_) | None => return Err(wrong("has no scheme".to_owned())),
    }
    let info = url.into_connection_info().map_err(|error| wrong(format!("is wrong: {error}")))?;
    // Replies are read in the form of RESP2 whatever the URL says.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    let info = info.set_redis_settings(settings);
    Client::open(info).map_err(|error| wrong(format!("is wrong: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        let says = |url| client(url).unwrap_err().to_string();
        assert!(says("http://u:secret@host").contains("starts with \"http\""));
        assert!(says("localhost:6379").contains("has no scheme"));
        assert!(says("rediss://u:secret@host").contains("TLS"));
        for url in ["redis://u:secret@", "redis://u:secret@host/x", "http://u:secret@h", "u:secret"] {
            let text = says(url);
            assert!(!text.contains("secret") && text.contains("right would be"), "{text}");
        }
        let queue = RedisQueue::open("redis://u:secret@host:1/2", Options::default()).unwrap();
        assert_eq!(format!("{queue:?}"), "Redis at host:1");
    }
}

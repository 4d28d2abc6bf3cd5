//! The queue in Redis or Valkey: streams for commands and events, lists for answers and replies.

pub(crate) mod dead;
mod depth;
mod leases;
mod lines;
mod link;
mod nodes;
pub mod place;
mod reader;
mod readers;
mod sender;
mod slots;
mod values;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::{Delivery, Depth, LostNode, NodeLease, Queue, QueueError, Receipt};
use jackfield_model::app::Event;
use redis::{Pipeline, Value, cmd};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use self::leases::Leases;
use self::lines::{Lines, Request};
use self::link::refusal;
use self::nodes::Nodes;
use self::place::{Place, slot};
use self::reader::{Outstanding, Reader, group};
use self::readers::Readers;
use self::sender::Sender;
pub use self::slots::Slots;
use crate::batch::{BATCH_COMMANDS, WAIT};
use crate::command_fields;
use crate::event_fields;
use crate::keys::{DEAD_LENGTH, Keys, REPLY_LIFE_MILLIS};
use crate::registry::{OpenError, Options};

/// A queue in Redis.
pub(crate) struct RedisQueue {
    inner: Arc<Inner>,
    /// Not in `inner`, which those who read hold: they end with the queue.
    readers: Mutex<Readers>,
    /// Renew the leases; they start with the first `receive`, because a node that reads nothing holds nothing.
    keepers: StdMutex<JoinSet<()>>,
}

struct Inner {
    place: Place,
    keys: Keys,
    node: String,
    /// By which this node reads commands.
    group: String,
    partitions: u32,
    answers_key: String,
    leases: Leases,
    nodes: Nodes,
    outstanding: Outstanding,
    /// Settled, but Redis has not heard of it yet.
    late: StdMutex<HashSet<Receipt>>,
    sender: Sender,
    /// Partitions that are looked after together.
    groups: Vec<Range<u32>>,
    closed: AtomicBool,
    /// Connections of their own for what blocks, so that nothing else waits behind it.
    answers: Lines,
    reads: Lines,
    writes: Lines,
}

impl RedisQueue {
    /// Makes the queue; it connects with the first call.
    pub(crate) fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        let place = Place::parse(url, options.ca_file.as_deref())?;
        let keys = Keys::new(&options.prefix);
        let partitions = options.partitions;
        // In a cluster each partition may be another server's.
        let size = if place.is_cluster() { 1 } else { partitions };
        let groups: Vec<Range<u32>> = (0..partitions / size).map(|first| first * size..(first + 1) * size).collect();
        let reader = |range: &Range<u32>| Reader::new(&options.node, range.clone(), &keys, options.max_payload_bytes);
        let readers = Readers::new(groups.iter().map(reader).collect());
        let inner = Inner {
            answers_key: keys.answers(&options.node),
            keys,
            group: group(&options.node),
            node: options.node,
            leases: Leases::new(partitions),
            nodes: Nodes::default(),
            partitions,
            outstanding: Outstanding::default(),
            late: StdMutex::default(),
            sender: Sender::new(partitions, options.max_backlog),
            groups,
            closed: AtomicBool::new(false),
            answers: Lines::new(place.clone(), WAIT),
            reads: Lines::new(place.clone(), WAIT),
            writes: Lines::new(place.clone(), Duration::ZERO),
            place,
        };
        Ok(Self { inner: Arc::new(inner), readers: Mutex::new(readers), keepers: StdMutex::default() })
    }

    fn keep_leases(&self) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        if keepers.is_empty() {
            for group in &self.inner.groups {
                let (inner, group) = (Arc::clone(&self.inner), group.clone());
                keepers.spawn(async move { inner.keep_leases(group).await });
            }
            let inner = Arc::clone(&self.inner);
            keepers.spawn(async move { inner.settle_late().await });
            let inner = Arc::clone(&self.inner);
            keepers.spawn(async move { inner.watch_nodes().await });
        }
    }

    fn stop_keepers(&self) {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Drop for RedisQueue {
    fn drop(&mut self) {
        self.stop_keepers();
    }
}

impl Inner {
    async fn keep_leases(&self, group: Range<u32>) {
        loop {
            let begun = tokio::time::Instant::now();
            let is_busy = |partition, since| self.outstanding.is_busy(partition, since);
            self.leases.renew(&self.writes, (&self.keys, &self.node), group.clone(), is_busy).await;
            tokio::time::sleep_until(begun + self.leases.pause()).await;
        }
    }

    /// Sees who comes and goes sooner than the leases of nodes are renewed.
    async fn watch_nodes(&self) {
        loop {
            tokio::time::sleep(leases::ROUND).await;
            match self.nodes.there(&self.writes, &self.keys).await {
                Ok(nodes) if nodes.contains(&self.node) => self.leases.among(nodes),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "It is not known which nodes are there."),
            }
        }
    }

    async fn settle_late(&self) {
        loop {
            tokio::time::sleep(leases::ROUND).await;
            let late: Vec<Receipt> = std::mem::take(&mut *self.late()).into_iter().collect();
            if self.settle(late).await.is_err() {
                tracing::debug!("Acknowledgements wait for Redis.");
            }
        }
    }

    /// What `receive` does while no partition is this node's.
    async fn wait_for_leases(&self) -> Result<Vec<Delivery>, QueueError> {
        let round = self.leases.round.notified();
        // The first round may take as long as a connection does; the others end in less.
        let _ = tokio::time::timeout(WAIT, round).await;
        match self.leases.trouble() {
            Some(error) if self.leases.held().is_empty() => Err(error),
            Some(_) | None => Ok(Vec::new()),
        }
    }

    /// Settles receipts. What Redis does not hear of stays outstanding, so that nothing of it is handed out again
    /// meanwhile, and is said again later.
    async fn settle(&self, mut receipts: Vec<Receipt>) -> Result<(), QueueError> {
        if receipts.is_empty() {
            return Ok(());
        }
        receipts.sort_unstable_by_key(|receipt| (receipt.partition, receipt.number));
        receipts.dedup();
        let groups: Vec<&[Receipt]> = receipts.chunk_by(|one, other| one.partition == other.partition).collect();
        let mut requests: Vec<Request> = Vec::with_capacity(groups.len() * 2);
        for group in &groups {
            let key = self.keys.commands(group[0].partition);
            let ids: Vec<String> = group.iter().map(|receipt| values::id(receipt.number)).collect();
            let (mut acknowledge, mut delete) = (cmd("XACK"), cmd("XDEL"));
            acknowledge.arg(&key).arg(&self.group).arg(&ids);
            delete.arg(&key).arg(&ids);
            requests.extend([acknowledge, delete].map(|request| (slot(&key), request)));
        }
        let replies = self.writes.run(requests).await;
        let mut failed = None;
        for (group, replies) in groups.iter().zip(replies.chunks(2)) {
            match replies.iter().find_map(|reply| reply.as_ref().err()) {
                None => self.outstanding.settle(group),
                Some(error) => {
                    failed = Some(error.clone());
                    self.late().extend(group.iter());
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn late(&self) -> std::sync::MutexGuard<'_, HashSet<Receipt>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for RedisQueue {
    fn describe(&self) -> String {
        self.inner.place.to_string()
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        self.keep_leases();
        let inner = &self.inner;
        let mut readers = self.readers.lock().await;
        if inner.closed.load(Ordering::Acquire) {
            return Err(QueueError::Unreachable("the queue is closed".to_owned()));
        }
        if inner.leases.held().is_empty() {
            drop(readers);
            return inner.wait_for_leases().await;
        }
        readers.receive(inner).await
    }

    fn is_ours(&self, receipt: &Receipt) -> bool {
        let is_held = self.inner.leases.held().iter().any(|(partition, _)| *partition == receipt.partition);
        if !is_held {
            // Whoever has it now settles it.
            self.inner.outstanding.settle(&[*receipt]);
        }
        is_held
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.inner.settle(receipts.to_vec()).await
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
        pipeline.cmd("XACK").arg(&key).arg(&inner.group).arg(&id);
        pipeline.cmd("XDEL").arg(&key).arg(&id);
        let replies = inner.writes.run_at(slot(&key), &pipeline).await?;
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
        for (number, reply) in inner.answers.run_at(slot(&inner.answers_key), &pipeline).await?.into_iter().enumerate()
        {
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
        let replies = inner.writes.run_at(slot(key), &pipeline).await?;
        replies.iter().find_map(refusal).map_or(Ok(()), Err)
    }

    async fn lease(&self, node: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        let inner = &self.inner;
        let (lost, nodes) = inner.nodes.lease(&inner.writes, &inner.keys, node).await?;
        inner.leases.among(nodes);
        Ok(lost)
    }

    async fn settle_lost(&self, lost: &LostNode) -> Result<(), QueueError> {
        let inner = &self.inner;
        inner.nodes.settle(&inner.writes, &inner.keys, lost).await
    }

    async fn depth(&self) -> Result<Option<Depth>, QueueError> {
        let inner = &self.inner;
        depth::read(&inner.writes, &inner.keys, inner.partitions).await.map(Some)
    }

    async fn close(&self) {
        let inner = &self.inner;
        inner.closed.store(true, Ordering::Release);
        self.stop_keepers();
        // A read under way would take commands from under the next owner.
        self.readers.lock().await.rest().await;
        let late = inner.late().iter().copied().collect();
        if inner.settle(late).await.is_err() {
            tracing::debug!("Acknowledgements could not be sent; their commands come again.");
        }
        inner.leases.release(&inner.writes, &inner.keys, &inner.node).await;
        inner.nodes.release(&inner.writes, &inner.keys, &inner.node).await;
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_called_by_its_place() {
        let queue = RedisQueue::open("redis://u:secret@host:1/2", Options::default()).unwrap();
        assert_eq!(format!("{queue:?}"), "Redis at host:1");
        let error = RedisQueue::open("redis+cluster://u:secret@", Options::default()).unwrap_err().to_string();
        assert!(error.contains("redis queue: the URL names no server; right would be redis://"), "{error}");
    }
}

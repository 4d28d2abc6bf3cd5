//! Reads one partition: takes its lease, takes over what was left unsettled, and hands on what comes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use futures_core::Stream as _;
use jackfield_bridge::{Delivery, QueueError, Receipt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::ledger::{Came, Ledger};
use super::session::{REPLY_TIMEOUT, Session};
use super::wire;

/// How long this node trusts a lease after it asked for it; less than it holds, so that it stops before another starts.
const TRUST: Duration = Duration::from_secs(4);
/// How often a lease is renewed, and a free one tried.
const ROUND: Duration = Duration::from_secs(1);
/// How long the server may take for a renewal; shorter than a lease is trusted.
const RENEWAL: Duration = Duration::from_millis(1500);
/// How many commands of a partition are fetched ahead.
const AHEAD: usize = 256;
/// Handed out and not settled; the server waits with more.
const MOST_OPEN: i64 = 4096;
/// How long one request for commands waits at the server, and how often the server says that it still does.
const PULL: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// When the server hands a command out again by itself. Long, because that breaks the order; whoever takes a partition
/// over begins with what is unsettled anyway.
const REDELIVERY: Duration = Duration::from_secs(600);

/// A command on its way to `receive`.
pub(super) struct Item {
    pub(super) delivery: Delivery,
    pub(super) term: u64,
    pub(super) acknowledge: Subject,
}

/// What a reader of a partition works with.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) partition: u32,
    pub(super) node: Bytes,
    pub(super) session: Arc<Session>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) items: mpsc::Sender<Item>,
}

impl Reader {
    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        loop {
            self.session.wait_until_up().await;
            if let Err(error) = self.term().await {
                tracing::debug!(partition = self.partition, %error, "A partition is not read just now.");
            }
            self.ledger.end(self.partition);
            tokio::time::sleep(ROUND).await;
        }
    }

    /// One time of holding the partition; returns when it is another node's or over.
    async fn term(&self) -> Result<(), QueueError> {
        let mut connections = self.session.connections();
        let leases = self.session.leases().await?;
        let asked = Instant::now();
        let Some(mut revision) = self.take(&leases).await? else { return Ok(()) };
        let mut until = asked + TRUST;
        let term = self.ledger.begin(self.partition, until);
        let (mut stream, left) = self.take_over().await?;
        let mut waiting: Option<Item> = None;
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What was on its way over the old connection would be missed.
                _ = connections.changed() => return Ok(()),
                _ = round.tick() => {
                    let asked = Instant::now();
                    match self.renew(&leases, revision).await {
                        Some(next) => {
                            (revision, until) = (next, asked + TRUST);
                            self.ledger.prolong(self.partition, until);
                        }
                        None if Instant::now() >= until => return Ok(()),
                        None => {}
                    }
                }
                permit = self.items.reserve(), if waiting.is_some() => {
                    if let (Ok(permit), Some(item)) = (permit, waiting.take()) {
                        permit.send(item);
                    }
                }
                came = next(&mut stream), if waiting.is_none() => waiting = self.look(came?, (term, left)).await?,
            }
        }
    }

    /// Takes the lease, or finds that it is this node's; none where it is another's.
    async fn take(&self, leases: &Store) -> Result<Option<u64>, QueueError> {
        let key = self.partition.to_string();
        if let Ok(revision) = leases.create(&key, self.node.clone()).await {
            return Ok(Some(revision));
        }
        let entry = leases.entry(&key).await.map_err(|error| QueueError::Unreachable(wire::chain(&error)))?;
        match entry.filter(|entry| entry.value == self.node) {
            Some(entry) => Ok(leases.update(&key, self.node.clone(), entry.revision).await.ok()),
            None => Ok(None),
        }
    }

    async fn renew(&self, leases: &Store, revision: u64) -> Option<u64> {
        let update = leases.update(self.partition.to_string(), self.node.clone(), revision);
        tokio::time::timeout(RENEWAL, update).await.ok()?.ok()
    }

    /// Gives the lease back; whoever reads has stopped before.
    pub(super) async fn release(&self) {
        let key = self.partition.to_string();
        let released = async {
            let leases = self.session.leases().await.ok()?;
            let entry = leases.entry(&key).await.ok()??;
            if entry.value == self.node {
                leases.delete_expect_revision(&key, Some(entry.revision)).await.ok()?;
            }
            Some(())
        };
        if !matches!(tokio::time::timeout(REPLY_TIMEOUT, released).await, Ok(Some(()))) {
            tracing::debug!(partition = self.partition, "A lease could not be given back; it runs out by itself.");
        }
    }

    /// A new consumer in the place of the old one: it begins with the oldest command that is not settled, so what was
    /// handed out and left comes first, and in order.
    /// Returns how many those may be too.
    async fn take_over(&self) -> Result<(Stream, u64), QueueError> {
        let (context, name) = (&self.session.context, format!("p{}", self.partition));
        let commands = self.session.names.stream("commands");
        // There may be none.
        let _ = context.delete_consumer_from_stream(&name, &commands).await;
        let config = Config {
            durable_name: Some(name),
            filter_subject: self.session.names.commands(self.partition),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: REDELIVERY,
            max_ack_pending: MOST_OPEN,
            ..Config::default()
        };
        let consumer = context.create_consumer_on_stream(config, &commands).await;
        let consumer = consumer.map_err(|error| wire::refused(&error))?;
        let left = consumer.cached_info().num_pending;
        let stream = consumer.stream().max_messages_per_batch(AHEAD).expires(PULL).heartbeat(HEARTBEAT);
        let stream = stream.messages().await.map_err(|error| wire::refused(&error))?;
        Ok((stream, left))
    }

    /// What is to be handed out of what came.
    async fn look(
        &self,
        message: async_nats::jetstream::Message,
        (term, left): (u64, u64),
    ) -> Result<Option<Item>, QueueError> {
        let Ok((sequence, nth)) = message.info().map(|info| (info.stream_sequence, info.consumer_sequence)) else {
            return Ok(None);
        };
        let Some(acknowledge) = message.reply.clone() else { return Ok(None) };
        match self.ledger.came((self.partition, sequence), &acknowledge) {
            Came::Again => Ok(None),
            Came::Settled => {
                let said = self.session.client.publish(acknowledge, Bytes::from_static(b"+ACK")).await;
                said.map(|()| None).map_err(|error| QueueError::Unreachable(wire::chain(&error)))
            }
            Came::New => {
                let receipt = Receipt { partition: self.partition, generation: 0, number: (sequence, 0) };
                // Whoever read the partition before may have done those that were there already.
                let delivery = Delivery { again: nth <= left, ..wire::delivery(receipt, message.message) };
                Ok(Some(Item { delivery, term, acknowledge }))
            }
        }
    }
}

/// The next command; an error or the end of the stream is the end of the term.
async fn next(stream: &mut Stream) -> Result<async_nats::jetstream::Message, QueueError> {
    let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context)).await;
    match next {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(QueueError::Unreachable(wire::chain(&error))),
        None => Err(QueueError::Unreachable("the consumer is gone".to_owned())),
    }
}

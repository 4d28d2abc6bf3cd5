//! One connection to RabbitMQ with its channels, from the handshake to its end.

use std::collections::{BTreeSet, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use jackfield_bridge::{Delivery, QueueError, Receipt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, PublisherConfirm};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::nodes::{self, Word};
use super::topology::Topology;
use super::wire::{self, classify};

/// The most commands on loan to this node, over all partitions.
const PREFETCH: u32 = 256;
/// How long a polite end may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where what comes is put; it outlives the session.
#[derive(Clone, Debug)]
pub(super) struct Inboxes {
    pub(super) answers: mpsc::UnboundedSender<Bytes>,
    pub(super) commands: mpsc::UnboundedSender<Delivery>,
    pub(super) nodes: mpsc::UnboundedSender<Word>,
}

/// A connection that works. Invariant: `publishing` is the channel that consumes the direct replies, because the broker
/// sends an answer to the channel that its call was published on.
pub(super) struct Session {
    pub(super) generation: u32,
    connection: Connection,
    consuming: Channel,
    publishing: Channel,
    /// The exchange and the queue of the nodes.
    nodes: String,
    /// Handed out and not settled, and what may be settled together.
    open: Mutex<Open>,
    /// Commands that came and are not settled.
    loans: Arc<AtomicU64>,
    /// Why it has ended, once it has.
    ended: watch::Sender<Option<QueueError>>,
    /// One for each consumer; they end with the session.
    readers: Mutex<JoinSet<()>>,
}

impl Session {
    /// Connects, declares and subscribes.
    pub(super) async fn open(
        uri: &AMQPUri,
        topology: &Topology,
        generation: u32,
        inboxes: &Inboxes,
    ) -> Result<Self, QueueError> {
        let failed = |error: lapin::Error| classify(&error);
        let name = format!("jackfield {}", topology.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(uri.clone(), properties).await.map_err(failed)?;
        let consuming = connection.create_channel().await.map_err(failed)?;
        let publishing = connection.create_channel().await.map_err(failed)?;
        topology.declare(&consuming).await.map_err(failed)?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let session = Self {
            generation,
            connection,
            consuming,
            publishing,
            nodes: topology.nodes(),
            open: Mutex::default(),
            loans: Arc::default(),
            ended: watch::Sender::new(None),
            readers: Mutex::new(JoinSet::new()),
        };
        session.listen(inboxes).await.map_err(failed)?;
        session.subscribe(topology, inboxes).await.map_err(failed)?;
        session.watch(topology, inboxes).await.map_err(failed)?;
        Ok(session)
    }

    /// Takes the tokens of nodes, if no other node does, and hears what all of them say.
    async fn watch(&self, topology: &Topology, inboxes: &Inboxes) -> lapin::Result<()> {
        let (channel, generation) = (&self.publishing, self.generation);
        let (queue, options, table) = (topology.nodes(), BasicConsumeOptions::default(), FieldTable::default());
        let mut tokens = channel.basic_consume(queue.into(), "".into(), options, table).await?;
        let (words, ended) = (inboxes.nodes.clone(), self.ended.clone());
        lock(&self.readers).spawn(async move {
            while let Some(came) = next(&mut tokens, &ended).await {
                if words.send(Word::Token { generation, tag: came.delivery_tag, body: came.data }).is_err() {
                    return;
                }
            }
        });
        let queue = topology.hear_nodes(channel).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut signs = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
        let (words, ended) = (inboxes.nodes.clone(), self.ended.clone());
        lock(&self.readers).spawn(async move {
            while let Some(came) = next(&mut signs, &ended).await {
                if words.send(Word::Sign(came.data)).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Puts a token into the queue of the nodes; returns when the broker has it.
    pub(super) async fn publish_token(&self, body: &[u8]) -> Result<(), QueueError> {
        let address = ("", self.nodes.as_str());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.publish_confirmed(address, options, (body, nodes::token_properties())).await
    }

    /// Says something to all nodes.
    pub(super) async fn publish_sign(&self, body: &[u8]) -> Result<(), QueueError> {
        let address = (self.nodes.as_str(), "");
        self.publish_confirmed(address, BasicPublishOptions::default(), (body, BasicProperties::default())).await
    }

    async fn publish_confirmed(
        &self,
        address: (&str, &str),
        options: BasicPublishOptions,
        (body, properties): (&[u8], BasicProperties),
    ) -> Result<(), QueueError> {
        let published = async {
            let confirm = self.publish(address, options, body, properties).await?;
            super::confirmed(self, confirm).await
        };
        let late = || QueueError::Unreachable("RabbitMQ did not confirm in time".to_owned());
        tokio::time::timeout(super::CONFIRM_TIMEOUT, published).await.map_err(|_| late())?
    }

    /// Settles tokens of nodes.
    pub(super) async fn settle_tokens(&self, tags: &[u64]) -> Result<(), QueueError> {
        for tag in tags {
            let settled = self.publishing.basic_ack(*tag, BasicAckOptions::default()).await;
            settled.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Listens for answers; before the first call, or the broker would refuse it.
    async fn listen(&self, inboxes: &Inboxes) -> lapin::Result<()> {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let address = wire::DIRECT_REPLY.into();
        let table = FieldTable::default();
        let mut consumer = self.publishing.basic_consume(address, "".into(), options, table).await?;
        let (answers, ended) = (inboxes.answers.clone(), self.ended.clone());
        lock(&self.readers).spawn(async move {
            while let Some(answer) = next(&mut consumer, &ended).await {
                if answers.send(Bytes::from(answer.data)).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Subscribes to the commands of all partitions; the broker says which of them this node reads.
    async fn subscribe(&self, topology: &Topology, inboxes: &Inboxes) -> lapin::Result<()> {
        // Counted for each consumer: quorum queues know no other way.
        let prefetch = u16::try_from((PREFETCH / topology.partitions).max(1)).unwrap_or(1);
        self.consuming.basic_qos(prefetch, BasicQosOptions::default()).await?;
        for partition in 0..topology.partitions {
            let (queue, options) = (topology.commands_of(partition), BasicConsumeOptions::default());
            let mut consumer =
                self.consuming.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
            let (commands, ended) = (inboxes.commands.clone(), self.ended.clone());
            let (generation, loans) = (self.generation, Arc::clone(&self.loans));
            lock(&self.readers).spawn(async move {
                while let Some(came) = next(&mut consumer, &ended).await {
                    loans.fetch_add(1, Ordering::Relaxed);
                    if commands.send(wire::delivery(partition, generation, came)).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(())
    }

    /// Waits until it has ended and tells why.
    pub(super) async fn ended(&self) -> QueueError {
        let mut ended = self.ended.subscribe();
        let unknown = || QueueError::Unreachable("the connection ended".to_owned());
        match ended.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(unknown),
            Err(_) => unknown(),
        }
    }

    /// Why it has ended, if it has.
    pub(super) fn reason(&self) -> Option<QueueError> {
        self.ended.borrow().clone()
    }

    /// Ends it, because of an error that makes it useless.
    pub(super) fn end(&self, error: QueueError) {
        end(&self.ended, error);
    }

    /// Says goodbye; what was sent before is done by then.
    pub(super) async fn close(&self) {
        lock(&self.readers).abort_all();
        let goodbye = self.connection.close(200, "closed".into());
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
        self.end(QueueError::Unreachable("the connection was closed".to_owned()));
    }

    /// Notes that a command was handed out.
    pub(super) fn hand_out(&self, receipt: &Receipt) {
        lock(&self.open).tags.insert(receipt.number.0);
    }

    /// Settles commands. Receipts of an earlier connection are void: the broker hands their commands out again.
    pub(super) async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        let mut tags: Vec<u64> = receipts
            .iter()
            .filter(|receipt| receipt.generation == self.generation)
            .map(|receipt| receipt.number.0)
            .collect();
        tags.sort_unstable();
        let (together, alone) = {
            let mut open = lock(&self.open);
            let before = open.tags.len();
            let settled = open.settle(&tags);
            self.loans.fetch_sub((before - open.tags.len()) as u64, Ordering::Relaxed);
            settled
        };
        let together = together.map(|tag| (tag, BasicAckOptions { multiple: true }));
        let alone = alone.into_iter().map(|tag| (tag, BasicAckOptions::default()));
        for (tag, options) in together.into_iter().chain(alone) {
            let acknowledged = self.consuming.basic_ack(tag, options).await;
            acknowledged.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Sends a message; the promise it returns is kept when the broker has it for sure.
    pub(super) async fn publish(
        &self,
        address: (&str, &str),
        options: BasicPublishOptions,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<PublisherConfirm, QueueError> {
        if self.connection.status().blocked() {
            let text = "RabbitMQ takes no messages: it is short of memory or disk";
            return Err(QueueError::Full(text.to_owned()));
        }
        let (exchange, key) = (address.0.into(), address.1.into());
        let published = self.publishing.basic_publish(exchange, key, options, body, properties);
        published.await.map_err(|error| self.failed(&error))
    }

    /// How many commands this node has and has not settled.
    pub(super) fn on_loan(&self) -> u64 {
        self.loans.load(Ordering::Relaxed)
    }

    /// How many messages lie in queues, added up by group. On a channel of its own: a queue that is not there ends it.
    pub(super) async fn lengths(&self, groups: [Vec<String>; 3]) -> Result<[u64; 3], QueueError> {
        let channel = self.connection.create_channel().await.map_err(|error| classify(&error))?;
        let mut sums = [0; 3];
        for (sum, names) in sums.iter_mut().zip(groups) {
            for name in names {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let queue = channel.queue_declare(name.into(), options, FieldTable::default()).await;
                *sum += u64::from(queue.map_err(|error| classify(&error))?.message_count());
            }
        }
        // One that does not close ends with its connection.
        let _ = channel.close(200, "done".into()).await;
        Ok(sums)
    }

    /// What an error of a request means. Whatever it was, the channel is done with.
    pub(super) fn failed(&self, error: &lapin::Error) -> QueueError {
        let error = classify(error);
        self.end(error.clone());
        error
    }
}

/// The commands on loan, by their tags. The broker counts tags from 1, so all up to one are settled together where none
/// of them is still on loan.
#[derive(Debug, Default)]
struct Open {
    /// Handed out and not settled. Why: the broker closes a channel that settles the same twice.
    tags: HashSet<u64>,
    /// All up to this one are settled.
    floor: u64,
    /// Settled above it.
    above: BTreeSet<u64>,
}

impl Open {
    /// Settles tags, in their order: the one up to which all are settled now, and those above it.
    fn settle(&mut self, tags: &[u64]) -> (Option<u64>, Vec<u64>) {
        let mut alone: Vec<u64> = tags.iter().copied().filter(|tag| self.tags.remove(tag)).collect();
        self.above.extend(&alone);
        while self.above.first() == Some(&(self.floor + 1)) {
            self.above.pop_first();
            self.floor += 1;
        }
        // One of these: the broker knows no tag that was settled before.
        let last = alone.iter().copied().filter(|tag| *tag <= self.floor).max();
        alone.retain(|tag| *tag > self.floor);
        (last, alone)
    }
}

/// The next message; an error or the end of the consumer is the end of the session.
async fn next(consumer: &mut Consumer, ended: &watch::Sender<Option<QueueError>>) -> Option<lapin::message::Delivery> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *consumer).poll_next(context)).await;
    let error = match next {
        Some(Ok(delivery)) => return Some(delivery),
        Some(Err(error)) => classify(&error),
        None => QueueError::Unreachable("the consumer was cancelled".to_owned()),
    };
    end(ended, error);
    None
}

/// The first reason counts.
fn end(ended: &watch::Sender<Option<QueueError>>, error: QueueError) {
    ended.send_if_modified(|reason| {
        let first = reason.is_none();
        reason.get_or_insert(error);
        first
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_together_is_settled_together() {
        let mut open = Open { tags: (1..=9).collect(), ..Open::default() };
        assert_eq!(open.settle(&[1, 2, 3]), (Some(3), Vec::new()));
        assert_eq!(open.settle(&[5, 6]), (None, vec![5, 6]));
        assert_eq!(open.settle(&[3, 4, 8]), (Some(4), vec![8]));
        assert_eq!(open.settle(&[7]), (Some(7), Vec::new()));
        assert_eq!(open.settle(&[7, 8]), (None, Vec::new()), "nothing twice");
        assert_eq!(open.settle(&[9]), (Some(9), Vec::new()));
        open.tags.extend([10, 11]);
        assert_eq!(open.settle(&[11]), (None, vec![11]));
        assert_eq!(open.settle(&[10, 11]), (Some(10), Vec::new()), "the broker knows no 11 any more");
    }
}

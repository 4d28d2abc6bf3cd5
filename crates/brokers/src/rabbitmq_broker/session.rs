//! One connection to RabbitMQ: what is not kept comes through this node's queue, what is kept through the streams.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use jackfield_bridge::QueueError;
use jackfield_cluster::{EngineError, Incoming, Placed};
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, PublisherConfirm,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::desk::Desk;
use super::reader::follow;
use super::record::{self, Record, Word};
use super::topology::{PARTITIONS, Topology};
use crate::rabbitmq::classify;

/// How long RabbitMQ may take for one thing.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// How long nothing may come while history is read; a stream of a server that has just started is slow to have a leader.
const CATCH_UP: Duration = Duration::from_secs(15);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// Which channels are open, and how many of each group.
#[derive(Default)]
struct Routes {
    open: HashSet<Arc<str>>,
    groups: HashMap<u16, usize>,
}

/// A connection that works.
pub(super) struct Session {
    desk: Arc<Desk>,
    /// This node's.
    queue: String,
    connection: Connection,
    /// Declares and binds.
    binding: Channel,
    /// To this node's queue and to others'; confirmed.
    spreading: Channel,
    /// To the streams; this node reads what it wrote, which says more than a confirmation.
    writing: Channel,
    routes: Arc<Mutex<Routes>>,
    /// Bindings are changed one after the other.
    changing: tokio::sync::Mutex<()>,
    ended: watch::Sender<Option<EngineError>>,
    readers: Mutex<JoinSet<()>>,
}

impl Session {
    /// Connects, declares, and reads what the streams hold.
    pub(super) async fn open(desk: &Arc<Desk>) -> Result<Self, EngineError> {
        let session = tokio::time::timeout(CATCH_UP, Self::connect(desk)).await.map_err(|_| late())??;
        if let Err(error) = session.catch_up().await {
            session.close().await;
            return Err(error);
        }
        Ok(session)
    }

    async fn connect(desk: &Arc<Desk>) -> Result<Self, EngineError> {
        let failed = |error: lapin::Error| failed(&error);
        let name = format!("jackfield nodes {}", desk.topology.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(desk.uri.clone(), properties).await.map_err(failed)?;
        let binding = connection.create_channel().await.map_err(failed)?;
        let spreading = connection.create_channel().await.map_err(failed)?;
        let writing = connection.create_channel().await.map_err(failed)?;
        let queue = desk.topology.fresh_queue();
        desk.topology.declare(&binding, &queue).await.map_err(failed)?;
        spreading.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let session = Self {
            desk: Arc::clone(desk),
            queue,
            connection,
            binding,
            spreading,
            writing,
            routes: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            ended: watch::Sender::new(None),
            readers: Mutex::default(),
        };
        session.listen().await.map_err(failed)?;
        for partition in 0..PARTITIONS {
            let channel = session.connection.create_channel().await.map_err(failed)?;
            let (desk, ended) = (Arc::clone(desk), session.ended.clone());
            lock(&session.readers).spawn(async move { end(&ended, follow(&desk, &channel, partition).await) });
        }
        Ok(session)
    }

    /// Hears what comes through this node's queue.
    async fn listen(&self) -> lapin::Result<()> {
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let queue = self.queue.as_str().into();
        let mut consumer =
            self.binding.basic_consume(queue, ShortString::default(), options, FieldTable::default()).await?;
        let (desk, routes, ended) = (Arc::clone(&self.desk), Arc::clone(&self.routes), self.ended.clone());
        lock(&self.readers).spawn(async move {
            let error = loop {
                match next(&mut consumer).await {
                    Ok(data) => {
                        let incoming = record::read(&data).and_then(|record| heard(record, &routes));
                        // The engine holds the other end.
                        let _ = incoming.map(|incoming| desk.incoming.send(incoming));
                    }
                    Err(error) => break error,
                }
            };
            end(&ended, error);
        });
        Ok(())
    }

    /// Reads on until this node meets what it writes now.
    async fn catch_up(&self) -> Result<(), EngineError> {
        self.meet(0..PARTITIONS, Word::Mark).await?;
        let lost: Vec<u16> =
            (0..PARTITIONS).filter(|partition| self.desk.partition(*partition).table.lost_its_end()).collect();
        if !lost.is_empty() {
            tracing::error!(
                partitions = ?lost,
                "RabbitMQ has lost records that it had shown: the history of these partitions begins anew; streams on \
                 several servers would have kept them"
            );
            self.meet(lost, Word::Begin).await?;
        }
        Ok(())
    }

    /// Writes to partitions and waits for as long as records come.
    async fn meet(&self, partitions: impl IntoIterator<Item = u16>, word: Word) -> Result<(), EngineError> {
        let mut echoes = Vec::new();
        for partition in partitions {
            echoes.push(self.write(partition, word.clone()).await?);
        }
        for mut echo in echoes {
            loop {
                let before = self.desk.progress();
                tokio::select! {
                    met = tokio::time::timeout(CATCH_UP, &mut echo) => match met {
                        Ok(met) => break met.map(drop).map_err(|_| self.over())?,
                        Err(_) if self.desk.progress() > before => {
                            tracing::info!(records = self.desk.progress(), "history is read from RabbitMQ");
                        }
                        Err(_) => return Err(late()),
                    },
                    error = self.ended() => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Waits until this node has read all that its partitions held when this was called.
    pub(super) async fn read_up(&self, partitions: &BTreeSet<u16>) -> Result<(), EngineError> {
        let met = async {
            let mut echoes = Vec::with_capacity(partitions.len());
            for partition in partitions {
                echoes.push(self.write(*partition, Word::Mark).await?);
            }
            for echo in echoes {
                self.echoed(echo).await?;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, met).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Writes to a partition; what comes back says what became of it.
    pub(super) async fn write(&self, partition: u16, word: Word) -> Result<oneshot::Receiver<Placed>, EngineError> {
        let (record, echo) = self.desk.record(partition, word);
        let stream = self.desk.topology.stream(partition);
        self.send(&self.writing, ("", &stream), &record).await?;
        Ok(echo)
    }

    /// Waits for what was written; who waits long is told by a limit of its own.
    pub(super) async fn echoed(&self, echo: oneshot::Receiver<Placed>) -> Result<Placed, EngineError> {
        tokio::select! {
            placed = echo => placed.map_err(|_| self.over()),
            error = self.ended() => Err(error),
        }
    }

    /// Sends what is not kept.
    pub(super) async fn spread(&self, key: &str, word: Word) -> Result<PublisherConfirm, EngineError> {
        let exchange = self.desk.topology.exchange();
        let record = self.desk.loose(word);
        self.send(&self.spreading, (&exchange, key), &record).await
    }

    /// Waits until RabbitMQ has it.
    pub(super) async fn confirmed(&self, confirm: PublisherConfirm) -> Result<(), EngineError> {
        match confirm.await {
            Ok(Confirmation::Nack(_)) => Err(EngineError::Unreachable("RabbitMQ did not take it".to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn send(
        &self,
        channel: &Channel,
        (exchange, key): (&str, &str),
        record: &Record,
    ) -> Result<PublisherConfirm, EngineError> {
        if self.connection.status().blocked() {
            let text = "RabbitMQ takes no messages: it is short of memory or disk";
            return Err(EngineError::Unreachable(text.to_owned()));
        }
        let body = record::write(record).map_err(|error| EngineError::Refused(error.to_string()))?;
        let properties = BasicProperties::default();
        let properties = if exchange.is_empty() { properties.with_delivery_mode(PERSISTENT) } else { properties };
        let sent =
            channel.basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), &body, properties);
        sent.await.map_err(|error| self.failed(&error))
    }

    /// Hears these channels too.
    pub(super) async fn bind(&self, channels: impl Iterator<Item = Arc<str>>) -> Result<(), EngineError> {
        let _one_at_a_time = self.changing.lock().await;
        for channel in channels {
            let group = Topology::group(&channel);
            if lock(&self.routes).open.contains(&channel) {
                continue;
            }
            if !lock(&self.routes).groups.contains_key(&group) {
                let key = Topology::to_group(group);
                self.desk.topology.bind(&self.binding, &self.queue, &key).await.map_err(|error| self.failed(&error))?;
            }
            let mut routes = lock(&self.routes);
            *routes.groups.entry(group).or_default() += 1;
            routes.open.insert(channel);
        }
        Ok(())
    }

    /// Does not hear them any more.
    pub(super) async fn unbind(&self, channels: &[Arc<str>]) -> Result<(), EngineError> {
        let _one_at_a_time = self.changing.lock().await;
        for channel in channels {
            self.desk.partition(Topology::partition(channel)).table.close(channel);
            let group = Topology::group(channel);
            let is_last = {
                let mut routes = lock(&self.routes);
                if !routes.open.remove(channel) {
                    continue;
                }
                let count = routes.groups.entry(group).or_default();
                *count = count.saturating_sub(1);
                let is_last = *count == 0;
                if is_last {
                    routes.groups.remove(&group);
                }
                is_last
            };
            if is_last {
                let key = Topology::to_group(group);
                self.desk
                    .topology
                    .unbind(&self.binding, &self.queue, &key)
                    .await
                    .map_err(|error| self.failed(&error))?;
            }
        }
        Ok(())
    }

    /// Waits until it has ended and tells why.
    pub(super) async fn ended(&self) -> EngineError {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(late),
            Err(_) => late(),
        }
    }

    /// Why it has ended, if it has.
    pub(super) fn reason(&self) -> Option<EngineError> {
        self.ended.borrow().clone()
    }

    /// Ends it.
    pub(super) fn end(&self, error: EngineError) {
        end(&self.ended, error);
    }

    /// RabbitMQ said nothing for too long: the connection is worth nothing.
    pub(super) fn silent(&self) -> EngineError {
        self.end(late());
        late()
    }

    fn over(&self) -> EngineError {
        self.reason().unwrap_or_else(late)
    }

    fn failed(&self, error: &lapin::Error) -> EngineError {
        let error = failed(error);
        self.end(error.clone());
        error
    }

    /// Says goodbye. Nothing is read any more when it has returned, so that another session may read on.
    pub(super) async fn close(&self) {
        let mut readers = std::mem::take(&mut *lock(&self.readers));
        readers.shutdown().await;
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close(200, "closed".into())).await;
        self.desk.close();
        self.end(EngineError::Unreachable("the connection was closed".to_owned()));
    }
}

/// What a message of this node's queue is, if somebody here cares.
fn heard(record: Record, routes: &Mutex<Routes>) -> Option<Incoming> {
    match record.word {
        Word::Heard(channel, body) => {
            lock(routes).open.contains(&channel).then_some(Incoming::Publication { channel, place: None, body })
        }
        Word::Note(note) => Some(Incoming::Note(note)),
        Word::Probe(token) => Some(Incoming::Probe { path: 0, token }),
        _ => None,
    }
}

async fn next(consumer: &mut Consumer) -> Result<Bytes, EngineError> {
    match std::future::poll_fn(|context| Pin::new(&mut *consumer).poll_next(context)).await {
        Some(Ok(delivery)) => Ok(Bytes::from(delivery.data)),
        Some(Err(error)) => Err(failed(&error)),
        None => Err(EngineError::Unreachable("RabbitMQ removed this node's queue".to_owned())),
    }
}

/// The first reason counts.
fn end(ended: &watch::Sender<Option<EngineError>>, error: EngineError) {
    ended.send_if_modified(|reason| {
        let is_first = reason.is_none();
        reason.get_or_insert(error);
        is_first
    });
}

/// What an error means to the caller.
pub(super) fn failed(error: &lapin::Error) -> EngineError {
    if let ErrorKind::ProtocolError(protocol) = error.kind()
        && matches!(protocol.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
    {
        // A stream without a leader, or one that somebody removed: the next session declares it again.
        return EngineError::Unreachable(error.to_string());
    }
    match classify(error) {
        QueueError::Refused(text) => EngineError::Refused(text),
        QueueError::Full(text) | QueueError::Unreachable(text) => EngineError::Unreachable(text),
    }
}

fn late() -> EngineError {
    EngineError::Unreachable("RabbitMQ did not answer in time".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

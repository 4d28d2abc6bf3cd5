//! One connection to NATS.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_nats::jetstream::consumer::push::{Config as ReaderConfig, Messages};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::{ContextBuilder, CreateStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Auth, AuthError, Client, ConnectOptions, Event, PublishErrorKind, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use jackfield_cluster::EngineError;
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Names;
use crate::nats::Address;
use crate::nats::wire::chain;
use crate::node_log::{PARTITIONS, To, Wire};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long JetStream may take for one request.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);
/// How often the connection itself is proved.
const PING: Duration = Duration::from_secs(3);
/// How often a log with nothing new says so.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// A reader that nobody listens to is removed after this time.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Messages taken at a time.
const BATCH: usize = 256;
/// Messages that may wait for this node in one subscription; the connection is given up beyond it.
const WAITING: usize = 262_144;
/// The least that a stream holds.
const LEAST: u64 = 1 << 20;

type Came = Result<Bytes, EngineError>;

/// A connection. It never comes back by itself: what was missed in between must be known, and what was still to be written
/// would come behind what was written again.
pub(super) struct NatsWire {
    names: Names,
    client: Client,
    jetstream: Context,
    /// Where this connection hears itself: the server has done all that was asked before.
    echo: String,
    sent: AtomicU64,
    echoed: watch::Receiver<u64>,
    inbox: mpsc::UnboundedSender<Came>,
    heard: AsyncMutex<mpsc::UnboundedReceiver<Came>>,
    groups: Mutex<HashMap<u16, JoinHandle<()>>>,
    own: Mutex<Vec<JoinHandle<()>>>,
    lost: watch::Receiver<Option<String>>,
}

/// A log that is read.
pub(super) struct Reading {
    messages: Messages,
    /// How many came.
    count: u64,
}

impl NatsWire {
    /// Connects, makes the streams, and hears what goes to all and to this node.
    pub(super) async fn connect(address: &Address, names: &Names) -> Result<Self, EngineError> {
        let (ended, lost) = watch::channel(None);
        let (inbox, heard) = mpsc::unbounded_channel();
        let client = client(address, names, (ended, inbox.clone())).await?;
        let jetstream = ContextBuilder::new().timeout(REPLY_TIMEOUT).build(client.clone());
        let echo = format!("{}.echo.{}", names.prefix, Uuid::new_v4().simple());
        let (echoes, echoed) = watch::channel(0);
        let wire = Self {
            names: names.clone(),
            client,
            jetstream,
            echo,
            sent: AtomicU64::new(0),
            echoed,
            inbox,
            heard: AsyncMutex::new(heard),
            groups: Mutex::default(),
            own: Mutex::default(),
            lost,
        };
        for partition in 0..PARTITIONS {
            wire.declare(partition).await?;
        }
        let mut echo = wire.client.subscribe(wire.echo.clone()).await.map_err(|error| unreachable(&error))?;
        let hearing_itself = tokio::spawn(async move {
            while let Some(message) = next(&mut echo).await {
                let number = <[u8; 8]>::try_from(&message.payload[..]).map_or(0, u64::from_be_bytes);
                echoes.send_if_modified(|known| std::mem::replace(known, number.max(*known)) < number);
            }
        });
        lock(&wire.own).push(hearing_itself);
        for to in [To::All, To::Node(names.node.clone())] {
            let task = wire.subscribe(&to).await?;
            lock(&wire.own).push(task);
        }
        wire.meet(wire.sent.load(Ordering::Relaxed) + 1).await?;
        Ok(wire)
    }

    /// Makes a stream. The server refuses what is there with other limits.
    async fn declare(&self, partition: u16) -> Result<(), EngineError> {
        let bytes = (self.names.retention.bytes / u64::from(PARTITIONS)).max(LEAST);
        let config = Config {
            name: self.names.stream(partition),
            subjects: vec![self.names.history(partition)],
            max_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            max_age: self.names.retention.age,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: self.names.replicas.max(1),
            ..Config::default()
        };
        let Err(error) = self.jetstream.create_stream(config).await else { return Ok(()) };
        let text = chain(&error);
        match error.kind() {
            CreateStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                let stream = self.names.stream(partition);
                Err(EngineError::Refused(format!(
                    "the stream {stream} is there with another age, size or number of replicas; say the same here, or edit it"
                )))
            }
            CreateStreamErrorKind::JetStream(said) if said.code() == 400 => Err(EngineError::Refused(text)),
            _ if text.contains("insufficient storage") => {
                let text = format!(
                    "{text}: {PARTITIONS} streams of {bytes} bytes each are reserved; raise max_file_store in the server's settings \
                     (jetstream {{}}), or lower broker.stream_max_bytes"
                );
                Err(EngineError::Unreachable(text))
            }
            _ if text.contains("not enabled") => {
                let text = format!("{text}; switch JetStream on in the server's settings: jetstream {{}}");
                Err(EngineError::Unreachable(text))
            }
            _ => Err(EngineError::Unreachable(text)),
        }
    }

    async fn subscribe(&self, to: &To) -> Result<JoinHandle<()>, EngineError> {
        let subscribed = self.client.subscribe(self.names.subject(to)).await;
        let mut subscriber = subscribed.map_err(|error| unreachable(&error))?;
        let inbox = self.inbox.clone();
        Ok(tokio::spawn(async move {
            while let Some(message) = next(&mut subscriber).await {
                if inbox.send(Ok(message.payload)).is_err() {
                    return;
                }
            }
        }))
    }

    async fn send(&self, subject: String, record: Vec<u8>) -> Result<(), EngineError> {
        if let Some(why) = self.lost.borrow().clone() {
            return Err(EngineError::Unreachable(why));
        }
        self.client.publish(subject, record.into()).await.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => EngineError::Refused(format!(
                "it is larger than NATS takes: max_payload there is {} bytes",
                self.client.max_payload()
            )),
            _ => unreachable(&error),
        })
    }

    /// Ends what holds subscriptions, and with them the connection.
    fn silence(&self) {
        for task in lock(&self.groups).drain().map(|(_, task)| task).chain(lock(&self.own).drain(..)) {
            task.abort();
        }
    }

    /// Waits until the server has done what was asked up to this number.
    async fn meet(&self, number: u64) -> Result<(), EngineError> {
        let (mut echoed, mut lost) = (self.echoed.clone(), self.lost.clone());
        if *echoed.borrow() < number {
            let latest = self.sent.fetch_max(number, Ordering::Relaxed).max(number);
            self.send(self.echo.clone(), latest.to_be_bytes().to_vec()).await?;
        }
        let met = tokio::select! {
            met = echoed.wait_for(|known| *known >= number) => met.is_ok(),
            _ = lost.wait_for(Option::is_some) => false,
        };
        if met { Ok(()) } else { Err(EngineError::Unreachable("the connection was lost".to_owned())) }
    }
}

impl Drop for NatsWire {
    fn drop(&mut self) {
        self.silence();
    }
}

/// Connects once; who hears of the end is told of it.
async fn client(
    address: &Address,
    names: &Names,
    (ended, inbox): (watch::Sender<Option<String>>, mpsc::UnboundedSender<Came>),
) -> Result<Client, EngineError> {
    let was_connected = Arc::new(AtomicBool::new(false));
    let (is_again, user) = (Arc::clone(&was_connected), address.user());
    // The library would connect again at least once; without a name it cannot.
    let options = ConnectOptions::with_auth_callback(move |_| {
        let mut auth = Auth::new();
        (auth.username, auth.password) = user.clone().unzip();
        let is_again = is_again.load(Ordering::Acquire);
        async move { if is_again { Err(AuthError::new("a lost connection is not taken up again")) } else { Ok(auth) } }
    });
    let options = address
        .secured(options)
        .name(format!("jackfield nodes {}", names.prefix))
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REPLY_TIMEOUT))
        .ping_interval(PING)
        .subscription_capacity(WAITING)
        .max_reconnects(Some(address.servers().len()))
        .event_callback(move |event| {
            let why = match event {
                Event::Disconnected | Event::Closed => Some("the connection was lost"),
                Event::SlowConsumer(_) => Some("this node was too slow, and messages were dropped"),
                _ => None,
            };
            if let Some(why) = why {
                ended.send_if_modified(|known| known.replace(why.to_owned()).is_none());
                // Whoever gave the connection up before does not need to hear it.
                let _ = inbox.send(Err(EngineError::Unreachable(why.to_owned())));
            }
            async {}
        });
    let client = options.connect(address.servers()).await.map_err(|error| unreachable(&error))?;
    was_connected.store(true, Ordering::Release);
    Ok(client)
}

#[async_trait]
impl Wire for NatsWire {
    type Reading = Reading;
    type Sent = u64;

    async fn write(&self, partition: u16, record: Vec<u8>) -> Result<(), EngineError> {
        self.send(self.names.history(partition), record).await
    }

    async fn read(&self, partition: u16, from: Option<u64>) -> Result<Reading, EngineError> {
        let config = ReaderConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy: match from {
                // Sequences begin with 1.
                Some(from) => DeliverPolicy::ByStartSequence { start_sequence: from + 1 },
                None => DeliverPolicy::All,
            },
            ack_policy: AckPolicy::None,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..ReaderConfig::default()
        };
        let stream = self.names.stream(partition);
        let created = self.jetstream.create_consumer_on_stream(config, stream).await;
        let messages = created.map_err(|error| unreachable(&error))?.messages().await;
        Ok(Reading { messages: messages.map_err(|error| unreachable(&error))?, count: 0 })
    }

    async fn next(&self, reading: &mut Reading) -> Result<Vec<(u64, Bytes)>, EngineError> {
        let mut all = Vec::new();
        let filled = std::future::poll_fn(|context| {
            while all.len() < BATCH {
                match Pin::new(&mut reading.messages).poll_next(context) {
                    Poll::Ready(Some(Ok(message))) => match message.info() {
                        Ok(info) if info.consumer_sequence == reading.count + 1 => {
                            reading.count += 1;
                            all.push((info.stream_sequence.saturating_sub(1), message.message.payload));
                        }
                        Ok(_) => return Poll::Ready(Err(EngineError::Unreachable("a record did not come".to_owned()))),
                        Err(error) => return Poll::Ready(Err(EngineError::Unreachable(error.to_string()))),
                    },
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(unreachable(&error))),
                    Poll::Ready(None) => break,
                    Poll::Pending if all.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(()))
        });
        filled.await?;
        Ok(all)
    }

    async fn spread(&self, to: &To, record: Vec<u8>) -> Result<u64, EngineError> {
        self.send(self.names.subject(to), record).await?;
        Ok(self.sent.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn arrived(&self, sent: u64) -> Result<(), EngineError> {
        self.meet(sent).await
    }

    async fn join(&self, groups: &[u16]) -> Result<(), EngineError> {
        if groups.is_empty() {
            return Ok(());
        }
        for group in groups {
            let task = self.subscribe(&To::Group(*group)).await?;
            lock(&self.groups).insert(*group, task);
        }
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        self.meet(number).await
    }

    async fn leave(&self, groups: &[u16]) -> Result<(), EngineError> {
        for group in groups {
            // A subscription ends with who holds it.
            if let Some(task) = lock(&self.groups).remove(group) {
                task.abort();
            }
        }
        Ok(())
    }

    async fn hear(&self) -> Result<Vec<Bytes>, EngineError> {
        let mut all = Vec::new();
        // It never ends: this connection holds the other end.
        self.heard.lock().await.recv_many(&mut all, BATCH).await;
        all.into_iter().collect()
    }

    async fn close(&self) {
        self.silence();
        // It is over either way.
        let _ = self.client.drain().await;
    }
}

async fn next(subscriber: &mut Subscriber) -> Option<async_nats::Message> {
    std::future::poll_fn(|context| Pin::new(&mut *subscriber).poll_next(context)).await
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> EngineError {
    EngineError::Unreachable(chain(error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

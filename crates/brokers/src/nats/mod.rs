//! The queue in NATS: JetStream keeps commands, events and dead letters; answers and replies are plain messages.

pub(crate) mod dead;
mod depth;
mod ledger;
mod nodes;
mod reader;
mod session;
pub(crate) mod wire;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::task::Poll;

use async_nats::jetstream::message::PublishMessage;
use async_nats::{Request, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream as _;
use jackfield_bridge::{Delivery, Depth, LostNode, NodeLease, Queue, QueueError, Receipt};
use jackfield_model::app::Event;
use tokio::sync::{Mutex, OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::ledger::Ledger;
use self::nodes::Nodes;
use self::reader::{Item, Reader};
pub(crate) use self::session::Address;
use self::session::{REPLY_TIMEOUT, Session};
use self::wire::Names;
use crate::batch::{self, BATCH_BYTES, BATCH_COMMANDS, WAIT};
use crate::event_fields;
use crate::registry::{OpenError, Options};

/// Commands that wait for `receive`, of all partitions together.
const WAITING: usize = 1024;
/// Events under way at a time.
const UNDER_WAY: usize = 512;
const ACKNOWLEDGED: Bytes = Bytes::from_static(b"+ACK");

/// A queue in NATS.
pub(crate) struct NatsQueue {
    address: Address,
    options: Options,
    ledger: Arc<Ledger>,
    nodes: Nodes,
    inbox: Mutex<Inbox>,
    items: mpsc::Sender<Item>,
    session: OnceCell<Opened>,
    /// One that looks after the connection, and from the first `receive` on one for each partition.
    tasks: StdMutex<JoinSet<()>>,
    readers: StdMutex<JoinSet<()>>,
}

/// Commands on their way to `receive`.
struct Inbox {
    items: mpsc::Receiver<Item>,
    buffer: VecDeque<Item>,
    is_closed: bool,
}

struct Opened {
    session: Arc<Session>,
    answers: Mutex<Subscriber>,
    answers_subject: String,
}

impl NatsQueue {
    /// Makes the queue; it connects with the first call.
    pub(crate) fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        let address = Address::parse(url, options.ca_file.as_deref())?;
        let (items, received) = mpsc::channel(WAITING);
        Ok(Self {
            address,
            ledger: Arc::new(Ledger::new(options.partitions)),
            nodes: Nodes::default(),
            options,
            inbox: Mutex::new(Inbox { items: received, buffer: VecDeque::new(), is_closed: false }),
            items,
            session: OnceCell::new(),
            tasks: StdMutex::default(),
            readers: StdMutex::default(),
        })
    }

    async fn opened(&self) -> Result<&Opened, QueueError> {
        let open = async || {
            let names = Names::new(&self.options.prefix);
            let answers_subject = names.answers(&self.options.node);
            let session = Arc::new(Session::open(&self.address, names, self.options.max_backlog).await?);
            // Before the first call; the client repeats it with each connection.
            let answers = session.client.subscribe(answers_subject.clone()).await;
            let answers = Mutex::new(answers.map_err(|error| QueueError::Unreachable(wire::chain(&error)))?);
            let watched = Arc::clone(&session);
            lock(&self.tasks).spawn(async move { watched.watch().await });
            Ok(Opened { session, answers, answers_subject })
        };
        let opened = self.session.get_or_try_init(open).await?;
        opened.session.up().await?;
        Ok(opened)
    }

    fn reader(&self, session: &Arc<Session>, partition: u32) -> Reader {
        Reader {
            partition,
            node: Bytes::from(self.options.node.clone()),
            session: Arc::clone(session),
            ledger: Arc::clone(&self.ledger),
            items: self.items.clone(),
        }
    }

    fn start_readers(&self, session: &Arc<Session>) {
        let mut readers = lock(&self.readers);
        if readers.is_empty() {
            for partition in 0..self.options.partitions {
                readers.spawn(self.reader(session, partition).run());
            }
        }
    }

    /// Sends a part of the events; the first error of a kind that loses the order ends the batch.
    async fn send_part(&self, opened: &Opened, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let sender = event_fields::Sender { node: &self.options.node, answers: &opened.answers_subject };
        let mut results = Vec::with_capacity(events.len());
        let mut under_way = Vec::with_capacity(events.len());
        for event in events {
            let partition = event_fields::partition(event, self.options.partitions);
            let message =
                PublishMessage::build().payload(event.data.bytes.clone()).headers(wire::event_headers(event, sender));
            let subject = opened.session.names.events(partition);
            under_way.push(opened.session.context.send_publish(subject, message).await);
        }
        for acknowledgement in under_way {
            let result = match acknowledgement {
                Ok(acknowledgement) => wire::kept(acknowledgement.await),
                Err(error) => wire::kept(Err(error)),
            };
            results.push(result.inspect_err(|error| opened.session.doubt(error)));
        }
        results
    }
}

impl Drop for NatsQueue {
    fn drop(&mut self) {
        lock(&self.tasks).abort_all();
        lock(&self.readers).abort_all();
    }
}

impl Inbox {
    /// Puts aside what came, but for what another node reads by now.
    fn keep(&mut self, item: Item, ledger: &Ledger) {
        if ledger.holds(item.delivery.receipt.partition, item.term) {
            self.buffer.push_back(item);
        }
    }

    fn take(&mut self, ledger: &Ledger) -> Vec<Delivery> {
        self.buffer.retain(|item| ledger.holds(item.delivery.receipt.partition, item.term));
        let mut deliveries: VecDeque<Delivery> =
            self.buffer.iter().take(BATCH_COMMANDS).map(|item| item.delivery.clone()).collect();
        let taken = batch::take(&mut deliveries);
        for item in self.buffer.drain(..taken.len()) {
            ledger.hand_out(&item.delivery.receipt, item.acknowledge);
        }
        taken
    }
}

#[async_trait]
impl Queue for NatsQueue {
    fn describe(&self) -> String {
        self.address.describe()
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        let mut inbox = self.inbox.lock().await;
        if inbox.is_closed {
            return Err(QueueError::Unreachable("the queue is closed".to_owned()));
        }
        let session = &self.opened().await?.session;
        self.start_readers(session);
        let deadline = Instant::now() + WAIT;
        while inbox.buffer.is_empty() {
            tokio::select! {
                item = inbox.items.recv() => if let Some(item) = item { inbox.keep(item, &self.ledger) },
                error = session.wait_until_down() => return Err(error),
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        while inbox.buffer.len() < BATCH_COMMANDS
            && let Ok(item) = inbox.items.try_recv()
        {
            inbox.keep(item, &self.ledger);
        }
        Ok(inbox.take(&self.ledger))
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        let session = &self.opened().await?.session;
        let mut sorted = receipts.to_vec();
        sorted.sort_unstable_by_key(|receipt| (receipt.partition, receipt.number));
        let mut settling = JoinSet::new();
        for group in sorted.chunk_by(|one, other| one.partition == other.partition) {
            let open: Vec<_> = group.iter().filter_map(|one| Some((*one, self.ledger.acknowledge(one)?))).collect();
            let session = Arc::clone(session);
            settling.spawn(async move { settle(&session, &open).await.map(|()| open) });
        }
        let mut failed = None;
        while let Some(settled) = settling.join_next().await {
            match settled {
                Ok(Ok(open)) => open.iter().for_each(|(receipt, _)| self.ledger.settle(receipt)),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let session = &self.opened().await?.session;
        let message =
            PublishMessage::build().payload(delivery.payload.clone()).headers(wire::dead_headers(delivery, reason));
        let published = session.context.send_publish(session.names.subject("dead"), message).await;
        let kept = match published {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        wire::kept(kept).inspect_err(|error| session.doubt(error))?;
        self.acknowledge(&[delivery.receipt]).await
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let opened = match self.opened().await {
            Ok(opened) => opened,
            Err(error) => return events.iter().map(|_| Err(error.clone())).collect(),
        };
        let (mut results, mut rest) = (Vec::with_capacity(events.len()), events);
        while !rest.is_empty() {
            let (part, later) = rest.split_at(portion(rest));
            let part = self.send_part(opened, part).await;
            let lost = part.iter().find(|one| matches!(one, Err(QueueError::Unreachable(_)))).cloned();
            results.extend(part);
            if let Some(lost) = lost {
                results.resize(events.len(), lost);
                break;
            }
            rest = later;
        }
        results
    }

    async fn answers(&self) -> Result<Vec<Bytes>, QueueError> {
        let opened = self.opened().await?;
        let mut answers = opened.answers.lock().await;
        let first = poll_fn(|context| Pin::new(&mut *answers).poll_next(context));
        let mut found = tokio::select! {
            first = first => Vec::from_iter(first.map(|answer| answer.payload)),
            error = opened.session.wait_until_down() => return Err(error),
            () = tokio::time::sleep(WAIT) => return Ok(Vec::new()),
        };
        while found.len() < BATCH_COMMANDS {
            let next = poll_fn(|context| match Pin::new(&mut *answers).poll_next(context) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => Poll::Ready(None),
            });
            match next.await {
                Some(answer) => found.push(answer.payload),
                None => break,
            }
        }
        Ok(found)
    }

    async fn reply(&self, delivery: &Delivery, body: Bytes) -> Result<(), QueueError> {
        let session = &self.opened().await?.session;
        let subject = delivery.reply_to.as_str();
        if !session.names.takes_reply(subject) {
            return Err(QueueError::Refused(format!("{subject:?} is no place for a reply")));
        }
        let said = async {
            session.client.publish(subject.to_owned(), body).await.map_err(|error| wire::chain(&error))?;
            session.client.flush().await.map_err(|error| wire::chain(&error))
        };
        match tokio::time::timeout(REPLY_TIMEOUT, said).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => Err(QueueError::Unreachable(text)),
            Err(_) => Err(QueueError::Unreachable("the reply was not sent in time".to_owned())),
        }
    }

    async fn lease(&self, node: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        self.nodes.lease(&self.opened().await?.session, node).await
    }

    async fn settle_lost(&self, lost: &LostNode) -> Result<(), QueueError> {
        self.nodes.settle(&self.opened().await?.session, lost).await
    }

    async fn depth(&self) -> Result<Option<Depth>, QueueError> {
        depth::read(&self.opened().await?.session).await.map(Some)
    }

    async fn close(&self) {
        let mut inbox = self.inbox.lock().await;
        inbox.is_closed = true;
        let mut readers = std::mem::take(&mut *lock(&self.readers));
        let held = !readers.is_empty();
        readers.shutdown().await;
        if let Some(opened) = self.session.get().filter(|_| held) {
            let mut releasing = JoinSet::new();
            for partition in 0..self.options.partitions {
                let reader = self.reader(&opened.session, partition);
                self.ledger.end(partition);
                releasing.spawn(async move { reader.release().await });
            }
            while releasing.join_next().await.is_some() {}
        }
        if let Some(opened) = self.session.get() {
            let releasing = self.nodes.release(&opened.session, &self.options.node);
            // While the server is away there is nobody to tell.
            let _ = tokio::time::timeout(REPLY_TIMEOUT, releasing).await;
        }
        lock(&self.tasks).abort_all();
    }
}

impl fmt::Debug for NatsQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

/// Settles commands of one partition. The server does what it is told in order, so the last one's confirmation is
/// that of all.
async fn settle(session: &Session, open: &[(Receipt, async_nats::Subject)]) -> Result<(), QueueError> {
    let Some(((_, last), others)) = open.split_last() else { return Ok(()) };
    for (_, subject) in others {
        let said = session.client.publish(subject.clone(), ACKNOWLEDGED).await;
        said.map_err(|error| QueueError::Unreachable(wire::chain(&error)))?;
    }
    let request = Request::new().payload(ACKNOWLEDGED).timeout(Some(REPLY_TIMEOUT));
    match session.client.send_request(last.clone(), request).await {
        Ok(_) => Ok(()),
        Err(error) => Err(QueueError::Unreachable(wire::chain(&error))),
    }
}

/// How many events go together, at least one.
fn portion(events: &[Event]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(UNDER_WAY).take_while(|event| {
        bytes += event.data.bytes.len() + 512;
        bytes <= BATCH_BYTES
    });
    fits.count().max(1)
}

fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

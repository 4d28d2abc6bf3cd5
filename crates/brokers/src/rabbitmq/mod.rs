//! The queue in RabbitMQ: quorum queues with a single active consumer, confirms, direct replies.

pub(crate) mod dead;
mod depth;
mod keeper;
mod nodes;
mod session;
mod topology;
mod wire;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::{Delivery, Depth, LostNode, NodeLease, Queue, QueueError, Receipt};
use jackfield_model::app::Event;
use lapin::options::BasicPublishOptions;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Confirmation, PublisherConfirm};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::keeper::{Plan, State};
use self::nodes::Nodes;
use self::session::{Inboxes, Session};
use self::topology::Topology;
pub(crate) use self::wire::classify;
use crate::batch::{self, BATCH_COMMANDS, WAIT};
use crate::event_fields;
use crate::registry::{OpenError, Options};

/// An example for who wrote a wrong URL.
const RIGHT: &str = "amqp://USER:PASSWORD@HOST:5672/VHOST (%2f is the vhost /)";
/// How long the broker may take to confirm.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(4);
/// How often both sides show that they are there, where the URL does not say.
const HEARTBEAT_SECONDS: u16 = 10;
/// The sender hears of a message that no queue takes.
const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

/// Commands on their way to `receive`.
struct Inbox {
    commands: mpsc::UnboundedReceiver<Delivery>,
    buffer: VecDeque<Delivery>,
}

/// A queue in RabbitMQ.
pub(crate) struct RabbitQueue {
    address: String,
    node: String,
    plan: Plan,
    state: watch::Sender<State>,
    /// Connects, and connects again; starts with the first call.
    keeper: StdMutex<Option<JoinHandle<()>>>,
    inbox: Mutex<Inbox>,
    answers: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    nodes: Nodes,
}

impl RabbitQueue {
    /// Makes the queue; it connects with the first call.
    pub(crate) fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        let uri = uri(url)?;
        let (commands_in, commands) = mpsc::unbounded_channel();
        let (answers_in, answers) = mpsc::unbounded_channel();
        let (nodes_in, words) = mpsc::unbounded_channel();
        let inboxes = Inboxes { answers: answers_in, commands: commands_in, nodes: nodes_in };
        let topology =
            Topology { prefix: options.prefix, partitions: options.partitions, max_backlog: options.max_backlog };
        Ok(Self {
            address: format!("{}:{}", uri.authority.host, uri.authority.port),
            node: options.node,
            plan: Plan { uri, topology, inboxes },
            state: watch::Sender::new(State::Connecting),
            keeper: StdMutex::new(None),
            inbox: Mutex::new(Inbox { commands, buffer: VecDeque::new() }),
            answers: Mutex::new(answers),
            nodes: Nodes::new(words),
        })
    }

    async fn session(&self) -> Result<Arc<Session>, QueueError> {
        {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            if keeper.is_none() {
                let keeping = keeper::keep(self.plan.clone(), self.state.clone());
                *keeper = Some(tokio::spawn(keeping));
            }
        }
        keeper::session(&self.state).await
    }

    /// The session if there is one just now.
    fn present(&self) -> Option<Arc<Session>> {
        match &*self.state.borrow() {
            State::Up(session) => Some(Arc::clone(session)),
            State::Connecting | State::Down(_) => None,
        }
    }

    /// Publishes events in order; after a failure nothing more is sent.
    async fn publish(&self, session: &Session, events: &[Event]) -> Vec<Result<PublisherConfirm, QueueError>> {
        let exchange = self.plan.topology.events();
        let mut confirms = Vec::with_capacity(events.len());
        for event in events {
            let partition = event_fields::partition(event, self.plan.topology.partitions);
            let key = partition.to_string();
            let properties = wire::event_properties(event, &self.node);
            let body = &event.data.bytes;
            let confirm = session.publish((&exchange, &key), MANDATORY, body, properties).await;
            let failed = confirm.as_ref().err().cloned();
            confirms.push(confirm);
            if let Some(error) = failed {
                confirms.resize_with(events.len(), || Err(error.clone()));
                break;
            }
        }
        confirms
    }

    /// Publishes one message and waits until the broker has it.
    async fn publish_surely(
        &self,
        address: (&str, &str),
        options: BasicPublishOptions,
        body: &[u8],
        properties: lapin::BasicProperties,
    ) -> Result<Arc<Session>, QueueError> {
        let session = self.session().await?;
        let published = async {
            let confirm = session.publish(address, options, body, properties).await?;
            confirmed(&session, confirm).await
        };
        tokio::time::timeout(CONFIRM_TIMEOUT, published).await.map_err(|_| late())??;
        Ok(session)
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper.take() {
            keeper.abort();
        }
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn describe(&self) -> String {
        format!("RabbitMQ at {}", self.address)
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        let mut inbox = self.inbox.lock().await;
        let session = self.session().await?;
        let Inbox { commands, buffer } = &mut *inbox;
        // Those of an earlier connection are the broker's again.
        buffer.retain(|delivery| delivery.receipt.generation == session.generation);
        let deadline = Instant::now() + WAIT;
        while buffer.is_empty() {
            match tokio::time::timeout_at(deadline, commands.recv()).await {
                Ok(Some(delivery)) => keep_current(buffer, delivery, &session),
                Ok(None) | Err(_) => break,
            }
        }
        while buffer.len() < BATCH_COMMANDS
            && let Ok(delivery) = commands.try_recv()
        {
            keep_current(buffer, delivery, &session);
        }
        let taken = batch::take(buffer);
        for delivery in &taken {
            session.hand_out(&delivery.receipt);
        }
        Ok(taken)
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        match self.present() {
            Some(session) => session.acknowledge(receipts).await,
            // All of them died with the connection.
            None => Ok(()),
        }
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let exchange = self.plan.topology.dead();
        let properties = wire::dead_properties(delivery, reason);
        let body = &delivery.payload;
        let session = self.publish_surely((&exchange, ""), MANDATORY, body, properties).await?;
        session.acknowledge(&[delivery.receipt]).await
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let session = match self.session().await {
            Ok(session) => session,
            Err(error) => return events.iter().map(|_| Err(error.clone())).collect(),
        };
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        let publishing = self.publish(&session, events);
        let Ok(confirms) = tokio::time::timeout_at(deadline, publishing).await else {
            return events.iter().map(|_| Err(late())).collect();
        };
        let mut results = Vec::with_capacity(confirms.len());
        for confirm in confirms {
            results.push(match confirm {
                Ok(confirm) => {
                    let waiting = confirmed(&session, confirm);
                    let in_time = tokio::time::timeout_at(deadline, waiting).await;
                    in_time.unwrap_or_else(|_| Err(late()))
                }
                Err(error) => Err(error),
            });
        }
        results
    }

    async fn answers(&self) -> Result<Vec<Bytes>, QueueError> {
        let mut inbox = self.answers.lock().await;
        let mut answers = Vec::new();
        // What has come is handed out though the connection has ended since.
        match self.session().await {
            Err(error) if inbox.is_empty() => return Err(error),
            Err(_) => {}
            Ok(session) => tokio::select! {
                biased;
                first = tokio::time::timeout(WAIT, inbox.recv()) => answers.extend(first.ok().flatten()),
                error = session.ended() => return Err(error),
            },
        }
        while answers.len() < BATCH_COMMANDS
            && let Ok(answer) = inbox.try_recv()
        {
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn reply(&self, delivery: &Delivery, body: Bytes) -> Result<(), QueueError> {
        let address = delivery.reply_to.as_str();
        if !wire::takes_reply(address) {
            return Err(QueueError::Refused(format!("{address:?} is no place for a reply")));
        }
        let properties = wire::reply_properties(delivery);
        // Not mandatory: who asked may be gone, and nobody else wants to know.
        let options = BasicPublishOptions::default();
        self.publish_surely(("", address), options, &body, properties).await.map(drop)
    }

    async fn lease(&self, node: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        self.nodes.lease(&*self.session().await?, node).await
    }

    async fn settle_lost(&self, lost: &LostNode) -> Result<(), QueueError> {
        self.nodes.settle(&*self.session().await?, lost).await
    }

    async fn depth(&self) -> Result<Option<Depth>, QueueError> {
        let session = self.session().await?;
        let reading = depth::read(&session, &self.plan.topology);
        tokio::time::timeout(CONFIRM_TIMEOUT, reading).await.map_err(|_| late())?.map(Some)
    }

    async fn close(&self) {
        if let Some(session) = self.present() {
            self.nodes.release(&session).await;
        }
        let keeper = {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            // A finished task stays in the place of the keeper, so that no call starts another one.
            keeper.replace(tokio::spawn(async {}))
        };
        if let Some(keeper) = keeper {
            keeper.abort();
        }
        let closed = QueueError::Unreachable("the queue is closed".to_owned());
        if let State::Up(session) = self.state.send_replace(State::Down(closed)) {
            session.close().await;
        }
    }
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

fn keep_current(buffer: &mut VecDeque<Delivery>, delivery: Delivery, session: &Session) {
    if delivery.receipt.generation == session.generation {
        buffer.push_back(delivery);
    }
}

/// Waits until the broker says what became of a message.
async fn confirmed(session: &Session, confirm: PublisherConfirm) -> Result<(), QueueError> {
    match confirm.await {
        Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
        Ok(Confirmation::Nack(_)) => {
            Err(QueueError::Full("RabbitMQ refused the message: the queue is full".to_owned()))
        }
        Ok(Confirmation::Ack(Some(_))) => {
            let error = QueueError::Refused("no queue is bound for the message".to_owned());
            // Somebody has removed a queue; a new session declares it again.
            session.end(error.clone());
            Err(error)
        }
        Err(error) => Err(session.failed(&error)),
    }
}

fn late() -> QueueError {
    QueueError::Unreachable("RabbitMQ did not confirm in time".to_owned())
}

/// Reads the URL; what is wrong with it is told without repeating it, for it may hold a password.
pub(crate) fn uri(url: &str) -> Result<AMQPUri, OpenError> {
    let wrong = |wrong: &str| OpenError::Url { driver: "rabbitmq", wrong: wrong.to_owned(), right: RIGHT };
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(wrong("has no scheme"));
    };
    if !scheme.starts_with("amqp") {
        let scheme = if scheme.len() < 20 { scheme } else { "something else" };
        return Err(wrong(&format!("starts with {scheme:?}")));
    }
    // The parser's own text may repeat parts of the URL.
    let mut uri: AMQPUri = url.parse().map_err(|_| wrong("cannot be read"))?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Err(wrong("asks for TLS, which this build does not have"));
    }
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        let says = |url| uri(url).unwrap_err().to_string();
        assert!(says("http://u:secret@host").contains("starts with \"http\""));
        assert!(says("localhost:5672").contains("has no scheme"));
        assert!(says("amqps://u:secret@host").contains("TLS"));
        for url in ["amqp://u:secret@host:x", "amqp://u:sec ret@h\0st", "u:secret", "http://u:secret@h"] {
            let text = says(url);
            assert!(!text.contains("secret") && text.contains("right would be"), "{text}");
        }
        let queue = RabbitQueue::open("amqp://u:secret@host/", Options::default()).unwrap();
        assert_eq!(format!("{queue:?}"), "RabbitMQ at host:5672");
        assert_eq!(uri("amqp://host/").unwrap().vhost, "/");
        assert_eq!(uri("amqp://host/%2fx").unwrap().vhost, "/x");
    }
}

//! The engine over shared logs.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_cluster::{Engine, EngineError, Incoming, Interest, Outgoing, Placed, Powers, Snapshot};
use jackfield_hub::Forgetting;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::desk::{Desk, millis};
use super::keeper::{self, State};
use super::record::{Terms, Word};
use super::session::{PATIENCE, Session};
use super::wire::{PARTITIONS, Plan, To, Wire, group, partition};

/// An engine over shared logs.
pub(crate) struct LogEngine<P: Plan> {
    plan: Arc<P>,
    desk: Arc<Desk>,
    state: watch::Sender<State<P::Wire>>,
    /// Connects, and connects again; starts with the first call.
    keeper: Mutex<Option<JoinHandle<()>>>,
    incoming: AsyncMutex<mpsc::UnboundedReceiver<Incoming>>,
}

/// What is waited for.
enum Pending<S> {
    Kept(oneshot::Receiver<Placed>),
    Spread(S),
}

type Live<P> = Session<<P as Plan>::Wire>;
type Sent<P> = Pending<<<P as Plan>::Wire as Wire>::Sent>;

impl<P: Plan> LogEngine<P> {
    /// Makes the engine; it connects with the first call.
    pub(crate) fn new(plan: P) -> Self {
        let (sender, incoming) = mpsc::unbounded_channel();
        Self {
            plan: Arc::new(plan),
            desk: Arc::new(Desk::new(sender)),
            state: watch::Sender::new(State::Connecting),
            keeper: Mutex::default(),
            incoming: AsyncMutex::new(incoming),
        }
    }

    async fn session(&self) -> Result<Arc<Live<P>>, EngineError> {
        {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            if keeper.is_none() {
                let keeping = keeper::keep(Arc::clone(&self.desk), Arc::clone(&self.plan), self.state.clone());
                *keeper = Some(tokio::spawn(keeping));
            }
        }
        keeper::session(&self.state).await
    }

    /// Sends one publication.
    async fn send(&self, session: &Live<P>, out: &Outgoing) -> Result<Sent<P>, EngineError> {
        let channel = &out.channel;
        let place = partition(channel);
        let keep = out.keep.as_ref().filter(|keep| keep.size > 0);
        let Some(keep) = keep else {
            let word = Word::Heard(Arc::clone(channel), out.body.clone());
            // Where the channel has history, it comes in its place among that.
            let keeps = self.desk.partition(place).table.keeps(channel);
            return if keeps {
                session.write(place, word).await.map(Pending::Kept)
            } else {
                session.spread(&To::Group(group(channel)), word).await.map(Pending::Spread)
            };
        };
        let terms = Terms {
            size: keep.size,
            ttl: keep.ttl,
            meta_ttl: keep.meta_ttl,
            id: ((out.id >> 64) as u64, out.id as u64),
            idempotency_key: out.idempotency_key.clone(),
            version: out.version.clone(),
        };
        let word = Word::Publication(Arc::clone(channel), out.body.clone(), terms);
        session.write(place, word).await.map(Pending::Kept)
    }

    async fn publish_all(&self, session: &Live<P>, batch: &[Outgoing]) -> Vec<Result<Placed, EngineError>> {
        let deadline = Instant::now() + PATIENCE;
        let mut sent = Vec::with_capacity(batch.len());
        let mut failed = None;
        for out in batch {
            let pending = match &failed {
                Some(error) => Err(EngineError::clone(error)),
                None => timeout_at(deadline, self.send(session, out)).await.unwrap_or_else(|_| Err(session.silent())),
            };
            if let Err(error) = &pending {
                failed.get_or_insert_with(|| error.clone());
            }
            sent.push(pending);
        }
        let mut results = Vec::with_capacity(sent.len());
        for pending in sent {
            let waiting = async {
                match pending? {
                    Pending::Kept(echo) => session.echoed(echo).await,
                    Pending::Spread(sent) => session.arrived(sent).await.map(|()| Placed::default()),
                }
            };
            results.push(timeout_at(deadline, waiting).await.unwrap_or_else(|_| Err(session.silent())));
        }
        results
    }

    async fn open_all(&self, session: &Live<P>, interests: &[Interest]) -> Result<Vec<Option<Snapshot>>, EngineError> {
        let channels: Vec<Arc<str>> = interests.iter().map(|interest| Arc::clone(&interest.channel)).collect();
        session.in_time(session.join(&channels)).await?;
        let kept = interests.iter().filter(|interest| interest.keep.is_some());
        let partitions: BTreeSet<u16> = kept.map(|interest| partition(&interest.channel)).collect();
        session.read_up(&partitions).await?;
        let snapshot = |interest: &Interest| {
            interest.keep.as_ref()?;
            let mut partition = self.desk.partition(partition(&interest.channel));
            Some(partition.table.open(interest, millis()))
        };
        let snapshots = interests.iter().map(snapshot).collect();
        // What ended in between has closed what was opened.
        session.reason().map_or(Ok(snapshots), Err)
    }

    async fn spread(&self, session: &Live<P>, to: &To, word: Word) -> Result<(), EngineError> {
        let spreading = async {
            let sent = session.spread(to, word).await?;
            session.arrived(sent).await
        };
        session.in_time(spreading).await
    }
}

#[async_trait]
impl<P: Plan> Engine for LogEngine<P> {
    fn describe(&self) -> String {
        self.plan.describe().to_owned()
    }

    fn powers(&self) -> Powers {
        // Values would have to outlive the records that set them.
        Powers { history: true, values: false, conditions: true }
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<Placed, EngineError>> {
        match self.session().await {
            Ok(session) => self.publish_all(&session, batch).await,
            Err(error) => vec![Err(error); batch.len()],
        }
    }

    async fn open(&self, interests: &[Interest]) -> Vec<Result<Option<Snapshot>, EngineError>> {
        let opened = match self.session().await {
            Ok(session) => self.open_all(&session, interests).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(snapshots) => snapshots.into_iter().map(Ok).collect(),
            Err(error) => interests.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn close(&self, channels: &[Arc<str>]) -> Result<(), EngineError> {
        let session = self.session().await?;
        session.in_time(session.leave(channels)).await
    }

    async fn forget(&self, channel: &Arc<str>, what: Forgetting) -> Result<(), EngineError> {
        let session = self.session().await?;
        let forgetting = async {
            let echo = session.write(partition(channel), Word::forget(channel, what)).await?;
            session.echoed(echo).await.map(drop)
        };
        session.in_time(forgetting).await
    }

    async fn tell(&self, node: Option<&str>, note: Bytes) -> Result<(), EngineError> {
        let session = self.session().await?;
        let to = node.map_or(To::All, |node| To::Node(node.to_owned()));
        self.spread(&session, &to, Word::Note(note)).await
    }

    async fn probe(&self, token: u64) -> Result<(), EngineError> {
        let session = self.session().await?;
        for partition in 0..PARTITIONS {
            // It is heard when it comes back; nobody waits for it here.
            session.write(partition, Word::Probe(token)).await.map(drop)?;
        }
        self.spread(&session, &To::Node(self.plan.node().to_owned()), Word::Probe(token)).await
    }

    fn paths(&self) -> usize {
        1 + usize::from(PARTITIONS)
    }

    fn reset(&self) {
        if let State::Up(session) = &*self.state.borrow() {
            session.end(EngineError::Unreachable("the connection was given up".to_owned()));
        }
    }

    async fn hear(&self) -> Vec<Incoming> {
        let mut all = Vec::new();
        // It never ends: the desk holds the other end.
        self.incoming.lock().await.recv_many(&mut all, 1024).await;
        all
    }

    async fn end(&self) {
        let keeper = {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            // A finished task stays in its place, so that no call starts another one.
            keeper.replace(tokio::spawn(async {}))
        };
        if let Some(keeper) = keeper {
            keeper.abort();
        }
        let ended = EngineError::Unreachable("the engine was ended".to_owned());
        if let State::Up(session) = self.state.send_replace(State::Down(ended)) {
            session.close().await;
        }
    }
}

impl<P: Plan> Drop for LogEngine<P> {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

impl<P: Plan> fmt::Debug for LogEngine<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.plan.describe())
    }
}

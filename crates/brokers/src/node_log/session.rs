//! One connection at work: reads all logs, hears what is not kept, and knows why it ended.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_cluster::{EngineError, Incoming, Placed};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::desk::Desk;
use super::reader::follow;
use super::record::{self, Record, Word};
use super::wire::{PARTITIONS, Plan, To, Wire, group, partition};

/// How long the server may take for one thing.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// How long nothing may come while history is read; a server that has just started is slow with its first log.
const CATCH_UP: Duration = Duration::from_secs(15);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which channels are open, and how many of each group.
#[derive(Default)]
struct Routes {
    open: HashSet<Arc<str>>,
    groups: HashMap<u16, usize>,
}

/// A connection that works.
pub(super) struct Session<W> {
    desk: Arc<Desk>,
    wire: Arc<W>,
    routes: Arc<Mutex<Routes>>,
    /// Groups are joined and left one after the other.
    changing: tokio::sync::Mutex<()>,
    ended: watch::Sender<Option<EngineError>>,
    readers: Mutex<JoinSet<()>>,
}

impl<W: Wire> Session<W> {
    /// Connects, and reads what the logs hold.
    pub(super) async fn open(desk: &Arc<Desk>, plan: &impl Plan<Wire = W>) -> Result<Self, EngineError> {
        let wire = tokio::time::timeout(CATCH_UP, plan.connect()).await.map_err(|_| late())??;
        let session = Self {
            desk: Arc::clone(desk),
            wire: Arc::new(wire),
            routes: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            ended: watch::Sender::new(None),
            readers: Mutex::default(),
        };
        session.start();
        if let Err(error) = session.catch_up().await {
            session.close().await;
            return Err(error);
        }
        Ok(session)
    }

    fn start(&self) {
        let mut readers = lock(&self.readers);
        for partition in 0..PARTITIONS {
            let (desk, wire, ended) = (Arc::clone(&self.desk), Arc::clone(&self.wire), self.ended.clone());
            readers.spawn(async move { end(&ended, follow(&desk, &*wire, partition).await) });
        }
        let (desk, wire, ended) = (Arc::clone(&self.desk), Arc::clone(&self.wire), self.ended.clone());
        let routes = Arc::clone(&self.routes);
        readers.spawn(async move {
            loop {
                match wire.hear().await {
                    Ok(came) => {
                        let records = came.iter().filter_map(|bytes| record::read(bytes));
                        for incoming in records.filter_map(|record| heard(record, &routes)) {
                            // The engine holds the other end.
                            let _ = desk.incoming.send(incoming);
                        }
                    }
                    Err(error) => return end(&ended, error),
                }
            }
        });
    }

    /// Reads on until this node meets what it writes now.
    async fn catch_up(&self) -> Result<(), EngineError> {
        self.meet(0..PARTITIONS, Word::Mark).await?;
        let lost: Vec<u16> =
            (0..PARTITIONS).filter(|partition| self.desk.partition(*partition).table.lost_its_end()).collect();
        if !lost.is_empty() {
            tracing::error!(
                partitions = ?lost,
                "the broker has lost records that it had shown: the history of these partitions begins anew; logs on \
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
                            tracing::info!(records = self.desk.progress(), "history is read from the broker");
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
        self.in_time(met).await
    }

    /// Bounds a wait. Who says nothing for so long has no connection worth keeping.
    pub(super) async fn in_time<T>(
        &self,
        wait: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Writes to a partition; what comes back says what became of it.
    pub(super) async fn write(&self, partition: u16, word: Word) -> Result<oneshot::Receiver<Placed>, EngineError> {
        let (record, echo) = self.desk.record(partition, word);
        let bytes = record::write(&record).map_err(|error| EngineError::Refused(error.to_string()))?;
        self.kept(self.wire.write(partition, bytes).await)?;
        Ok(echo)
    }

    /// Waits for what was written; how long is the caller's to say.
    pub(super) async fn echoed(&self, echo: oneshot::Receiver<Placed>) -> Result<Placed, EngineError> {
        tokio::select! {
            placed = echo => placed.map_err(|_| self.over()),
            error = self.ended() => Err(error),
        }
    }

    /// Sends what is not kept.
    pub(super) async fn spread(&self, to: &To, word: Word) -> Result<W::Sent, EngineError> {
        let bytes = record::write(&self.desk.loose(word)).map_err(|error| EngineError::Refused(error.to_string()))?;
        self.kept(self.wire.spread(to, bytes).await)
    }

    /// Waits until the server has it.
    pub(super) async fn arrived(&self, sent: W::Sent) -> Result<(), EngineError> {
        tokio::select! {
            arrived = self.wire.arrived(sent) => self.kept(arrived),
            error = self.ended() => Err(error),
        }
    }

    /// Hears these channels too.
    pub(super) async fn join(&self, channels: &[Arc<str>]) -> Result<(), EngineError> {
        let _one_at_a_time = self.changing.lock().await;
        let new: BTreeSet<u16> = {
            let routes = lock(&self.routes);
            channels.iter().map(|channel| group(channel)).filter(|group| !routes.groups.contains_key(group)).collect()
        };
        self.kept(self.wire.join(&new.into_iter().collect::<Vec<_>>()).await)?;
        let mut routes = lock(&self.routes);
        for channel in channels {
            if routes.open.insert(Arc::clone(channel)) {
                *routes.groups.entry(group(channel)).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Does not hear them any more.
    pub(super) async fn leave(&self, channels: &[Arc<str>]) -> Result<(), EngineError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut empty = Vec::new();
        for channel in channels {
            self.desk.partition(partition(channel)).table.close(channel);
            let mut routes = lock(&self.routes);
            if !routes.open.remove(channel) {
                continue;
            }
            let group = group(channel);
            let count = routes.groups.entry(group).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                routes.groups.remove(&group);
                empty.push(group);
            }
        }
        self.kept(self.wire.leave(&empty).await)
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

    /// The server said nothing for too long.
    pub(super) fn silent(&self) -> EngineError {
        self.end(late());
        late()
    }

    fn over(&self) -> EngineError {
        self.reason().unwrap_or_else(late)
    }

    /// A connection ends with its first error; what was refused has harmed nothing.
    fn kept<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        if let Err(error @ EngineError::Unreachable(_)) = &result {
            self.end(error.clone());
        }
        result
    }

    /// Says goodbye. Nothing is read any more when it has returned, so that another session may read on.
    pub(super) async fn close(&self) {
        let mut readers = std::mem::take(&mut *lock(&self.readers));
        readers.shutdown().await;
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.wire.close()).await;
        self.desk.close();
        self.end(EngineError::Unreachable("the connection was closed".to_owned()));
    }
}

/// What came is, if somebody here cares.
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

/// The first reason counts.
fn end(ended: &watch::Sender<Option<EngineError>>, error: EngineError) {
    ended.send_if_modified(|reason| {
        let is_first = reason.is_none();
        reason.get_or_insert(error);
        is_first
    });
}

fn late() -> EngineError {
    EngineError::Unreachable("the broker did not answer in time".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

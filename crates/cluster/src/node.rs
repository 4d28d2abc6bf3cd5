//! This node among the others: hub on one side, engine on the other.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_hub::control::{ControlError, Done, Outcome};
use jackfield_hub::{Heard, Hub};
use jackfield_model::ClientError;
use jackfield_model::client::Push;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::ask::{Ask, Reply};
use crate::card::Card;
use crate::engine::{Engine, EngineError, Incoming};
use crate::frame::{Body, decode};
use crate::interest::{Keeper, Wish};
use crate::note::{self, Note};
use crate::outbound::{heard, millis, unread};
use crate::publisher::{Job, Publisher};
use crate::registrar::{Change, Registrar};
use crate::registry::{BEAT, LEASE, Registry};
use crate::side::Side;
use crate::survey::Surveys;
use crate::words::{Words, words};

/// Publications that wait for the broker; more are refused with "too many requests".
const MOST_JOBS: usize = 16_384;
/// Publications that workers are woken for together.
const TOGETHER: usize = 64;
/// Probes that may be under way before the node counts as cut off; one is sent with each beat.
const MOST_SILENT: u64 = 3;
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// After so many the connections are made anew.
const RESET_AFTER: u64 = 6;

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Differs with every start.
    pub uid: Arc<str>,
    /// For people.
    pub name: String,
    /// Of the program.
    pub version: String,
}

/// Whether publications reach this node.
#[derive(Debug, Default)]
pub struct Health {
    is_ready: AtomicBool,
    /// The last probe that was sent.
    sent: AtomicU64,
    /// Per path, the last probe that came.
    heard: Mutex<Vec<u64>>,
    /// Why probes cannot be sent.
    trouble: Mutex<Trouble>,
    /// How often connections were lost.
    interruptions: AtomicU64,
    /// Other nodes.
    nodes: AtomicUsize,
}

/// Probes that failed one after the other, and the last reason that was told.
#[derive(Debug, Default)]
struct Trouble {
    count: u64,
    told: Option<String>,
}

impl Trouble {
    /// The reason, where it is to be told: not the first time, which a connection that is being made may explain, and
    /// then whenever it is another one.
    fn ask(&mut self, outcome: Result<(), EngineError>) -> Option<String> {
        let Err(error) = outcome else {
            *self = Self::default();
            return None;
        };
        self.count += 1;
        let reason = error.to_string();
        let is_news = self.count > 1 && self.told.as_ref() != Some(&reason);
        is_news.then(|| self.told.insert(reason).clone())
    }
}

impl Health {
    /// Whether what is published anywhere comes here, tried out within the last seconds.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// How often the connection to the broker was lost.
    #[must_use]
    pub fn interruptions(&self) -> u64 {
        self.interruptions.load(Ordering::Relaxed)
    }

    /// Nodes of the cluster, this one among them.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.load(Ordering::Relaxed) + 1
    }
}

/// What tasks and callers share.
pub(crate) struct Shared {
    pub(crate) options: ClusterOptions,
    started: Instant,
    pub(crate) hub: Arc<Hub>,
    engine: Arc<dyn Engine>,
    pub(crate) registry: Registry,
    pub(crate) surveys: Surveys,
    health: Arc<Health>,
    pub(crate) jobs: mpsc::Sender<Job>,
    wishes: mpsc::UnboundedSender<Wish>,
    pub(crate) words: Words,
    changes: mpsc::UnboundedSender<Change>,
}

/// A node of a cluster.
pub struct Cluster {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Cluster").field(&self.shared.engine.describe()).finish()
    }
}

impl Cluster {
    /// Joins; before the first connection of the hub.
    #[must_use]
    pub fn start(engine: Arc<dyn Engine>, hub: Arc<Hub>, options: ClusterOptions, runtime: &Handle) -> Self {
        let (jobs, publications) = mpsc::channel(MOST_JOBS);
        let (wishes, wished) = mpsc::unbounded_channel();
        let (words, said) = words();
        let (changes, changed) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            options,
            started: Instant::now(),
            hub: Arc::clone(&hub),
            engine: Arc::clone(&engine),
            registry: Registry::default(),
            surveys: Surveys::default(),
            health: Arc::new(Health::default()),
            jobs,
            wishes,
            words,
            changes,
        });
        let side = Arc::new(Side::new(Arc::clone(&shared)));
        let is_first = hub.set_broker(Arc::<Side>::clone(&side)) && hub.set_peers(side);
        debug_assert!(is_first, "a hub has one cluster");
        let own = (Arc::clone(&shared.options.uid), shared.words.clone());
        let registrar = Registrar::new(Arc::clone(&hub), own.0, own.1, changed);
        let mut tasks = JoinSet::new();
        let publisher = Publisher { engine: Arc::clone(&engine), hub: Arc::clone(&hub), jobs: publications };
        tasks.spawn_on(publisher.run(), runtime);
        tasks.spawn_on(registrar.run(), runtime);
        tasks.spawn_on(said.run(Arc::clone(&engine)), runtime);
        tasks.spawn_on(Keeper { engine, hub, wishes: wished }.run(), runtime);
        tasks.spawn_on(listen(Arc::clone(&shared)), runtime);
        tasks.spawn_on(beat(Arc::clone(&shared)), runtime);
        Self { shared, tasks }
    }

    /// Whether publications reach this node.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.shared.health)
    }

    /// The other nodes that are known.
    #[must_use]
    pub fn others(&self) -> Vec<Arc<str>> {
        self.shared.registry.uids()
    }

    /// Says goodbye; connections have been closed before.
    pub async fn stop(mut self) {
        let said = async {
            let (flush, flushed) = oneshot::channel();
            self.shared.count(Change::Flush(flush));
            let _ = flushed.await;
            self.shared.say(None, &Note::Bye { uid: Arc::clone(&self.shared.options.uid) });
            self.shared.words.said().await;
        };
        if timeout(GOODBYE, said).await.is_err() {
            tracing::debug!("the other nodes were not told goodbye");
        }
        self.tasks.shutdown().await;
        self.shared.engine.end().await;
    }
}

impl Shared {
    pub(crate) fn card(&self) -> Card {
        let ClusterOptions { uid, name, version } = &self.options;
        let uptime = self.started.elapsed().as_secs();
        Card { uid: Arc::clone(uid), name: name.clone(), version: version.clone(), uptime, ..Card::default() }
    }

    pub(crate) fn say(&self, to: Option<Arc<str>>, note: &Note) {
        self.words.say(to, note);
    }

    /// Tells the registrar; its task ends with this node.
    pub(crate) fn count(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    /// The nodes that are there have changed; these were lost.
    fn move_homes(&self, lost: Vec<Arc<str>>) {
        self.count(Change::Nodes(self.registry.uids(), lost));
    }

    pub(crate) fn wish(&self, wish: Wish) {
        let _ = self.wishes.send(wish);
    }

    fn take(&self, incoming: Incoming) {
        match incoming {
            // They are taken together.
            Incoming::Publication { .. } => {}
            Incoming::Note(bytes) => {
                if let Some(note) = note::read(&bytes) {
                    self.take_note(note);
                }
            }
            Incoming::Probe { path, token } => {
                let mut heard = self.health.heard.lock().unwrap_or_else(PoisonError::into_inner);
                if heard.len() <= path {
                    heard.resize(path + 1, 0);
                }
                heard[path] = heard[path].max(token);
            }
            Incoming::Interrupted(reason) => {
                let broker = self.engine.describe();
                tracing::warn!(broker, reason, "the broker was away: what was missed is read again");
                self.health.interruptions.fetch_add(1, Ordering::Relaxed);
                self.wish(Wish::Reopen);
                self.count(Change::Interrupted);
            }
        }
    }

    /// Publications that came together.
    fn hear(&self, publications: &mut Vec<(Arc<str>, Heard)>) {
        self.hub.hear_all(publications.iter().map(|(channel, heard)| (&**channel, heard.clone())));
        publications.clear();
    }

    /// What is no publication.
    fn take_body(&self, channel: &str, body: Body) {
        match body {
            Body::Forgotten(what) => self.hub.hear_forgotten(channel, what),
            Body::Join(info) => self.hub.hear_push(channel, |name| Push::Join(name, info)),
            Body::Leave(info) => self.hub.hear_push(channel, |name| Push::Leave(name, info)),
            Body::Publication(..) => {}
        }
    }

    fn take_note(&self, note: Note) {
        let own = &self.options.uid;
        match note {
            Note::Beat(card) if card.uid == *own => {}
            Note::Beat(card) => {
                let uid = Arc::clone(&card.uid);
                let (name, version) = (card.name.clone(), card.version.clone());
                if self.registry.heard(card, Instant::now()) {
                    self.move_homes(Vec::new());
                    tracing::info!(node = %uid, name, version, "a node is there");
                    self.say(Some(Arc::clone(&uid)), &Note::Beat(self.card()));
                    // It may have learnt of somebody to be kept out while this node was away, or not yet there.
                    self.say(Some(uid), &Note::Ask { from: Arc::clone(own), id: 0, ask: Box::new(Ask::Bans) });
                }
            }
            Note::Bye { uid } => {
                if let Some(card) = self.registry.left(&uid) {
                    tracing::info!(node = %uid, name = card.name, "a node went down");
                    self.surveys.gone(&uid);
                    self.move_homes(Vec::new());
                }
            }
            Note::Ask { from, .. } if from == *own => {}
            Note::Ask { from, id, ask } if ask.takes_time() => self.inquire(from, id, *ask),
            Note::Ask { from, id, ask } => {
                let reply = ask.answer(&self.hub, self.card(), millis());
                self.say(Some(from), &Note::Reply { from: Arc::clone(own), id, reply: Box::new(reply) });
            }
            Note::Reply { reply, .. } if matches!(*reply, Reply::Bans(_)) => {
                if let Reply::Bans(bans) = *reply {
                    Ask::learn(bans, &self.hub, millis());
                }
            }
            Note::Reply { from, id, reply } => self.surveys.answered(id, &from, *reply),
            Note::Ledger { from, ledger } => self.count(Change::Heard(from, ledger)),
            Note::Recount { from } if from == *own => {}
            Note::Recount { from } => self.count(Change::Recount(from)),
            Note::Uplink { session, data } => {
                if let Err(error) = self.hub.uplink(session, data) {
                    tracing::debug!(?error, "what a client sent through another node finds no session");
                }
            }
        }
    }

    /// Asks a client of this node, or all, for another node.
    fn inquire(&self, from: Arc<str>, id: u64, ask: Ask) {
        let (own, words) = (Arc::clone(&self.options.uid), self.words.clone());
        let done: Done = Box::new(move |outcome| {
            let reply = Box::new(match outcome {
                Ok(Outcome::Answered(answer)) => Reply::Answered(Ok(answer)),
                Ok(Outcome::Census(lines)) => Reply::Census(lines),
                Ok(_) => Reply::Answered(Err(ClientError::INTERNAL)),
                Err(ControlError::Refused(error)) => Reply::Answered(Err(error)),
                Err(ControlError::Busy) => Reply::Answered(Err(ClientError::TOO_MANY_REQUESTS)),
            });
            words.say(Some(from), &Note::Reply { from: own, id, reply });
        });
        match ask {
            Ask::Call(call) => self.hub.inquire(&call, millis(), done),
            Ask::Connections(target) => self.hub.census(&target, done),
            _ => {}
        }
    }

    /// Looks whether probes came back through every path.
    fn look(&self) {
        let sent = self.health.sent.load(Ordering::Relaxed);
        let oldest = {
            let heard = self.health.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let all = (0..self.engine.paths()).map(|path| heard.get(path).copied().unwrap_or_default());
            all.min().unwrap_or_default()
        };
        let silent = sent.saturating_sub(oldest);
        let is_ready = oldest > 0 && silent < MOST_SILENT;
        let was_ready = self.health.is_ready.swap(is_ready, Ordering::Relaxed);
        let broker = self.engine.describe();
        match (was_ready, is_ready) {
            (false, true) => tracing::info!(broker, "publications reach this node"),
            (true, false) => {
                tracing::error!(
                    broker,
                    silent,
                    "publications do not reach this node: it is not ready until they do; see whether the broker runs and \
                     can be reached from here"
                );
            }
            _ => {}
        }
        if silent >= RESET_AFTER && silent.is_multiple_of(RESET_AFTER) {
            tracing::warn!(broker, silent, "connections to the broker are made anew");
            self.engine.reset();
        }
    }
}

/// Takes what comes.
async fn listen(shared: Arc<Shared>) {
    let mut publications = Vec::new();
    loop {
        for incoming in shared.engine.hear().await {
            // In the order in which it came: what is no publication may speak of those before it.
            match incoming {
                Incoming::Publication { channel, place, body } => match decode(&body) {
                    Ok(Body::Publication(publication, delta)) => {
                        publications.push((channel, heard(*publication, place, delta)));
                        if publications.len() == TOGETHER {
                            shared.hear(&mut publications);
                        }
                    }
                    Ok(body) => {
                        shared.hear(&mut publications);
                        shared.take_body(&channel, body);
                    }
                    Err(error) => unread(error),
                },
                other => {
                    shared.hear(&mut publications);
                    shared.take(other);
                }
            }
        }
        shared.hear(&mut publications);
    }
}

/// Says that this node is there, and looks who else is.
async fn beat(shared: Arc<Shared>) {
    let mut every = interval(BEAT);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        every.tick().await;
        let now = Instant::now();
        if now.duration_since(last) >= LEASE {
            tracing::warn!(
                seconds = now.duration_since(last).as_secs(),
                "this node stood still: the others may have given it up; what it missed is read again"
            );
            shared.registry.excuse(now);
            shared.count(Change::StoodStill);
            shared.engine.reset();
        }
        last = now;
        let lost = shared.registry.expire(now);
        for card in &lost {
            tracing::warn!(node = %card.uid, name = card.name, "a node is silent and counts as lost");
            shared.surveys.gone(&card.uid);
        }
        if !lost.is_empty() {
            shared.move_homes(lost.into_iter().map(|card| card.uid).collect());
        }
        let silent = shared.surveys.expire(now);
        if !silent.is_empty() {
            tracing::warn!(nodes = ?silent, "nodes did not answer in time: what was asked is told without them");
        }
        shared.health.nodes.store(shared.registry.uids().len(), Ordering::Relaxed);
        shared.look();
        shared.say(None, &Note::Beat(shared.card()));
        let token = shared.health.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let probed = shared.engine.probe(token).await;
        let reason = shared.health.trouble.lock().unwrap_or_else(PoisonError::into_inner).ask(probed);
        if let Some(reason) = reason {
            let broker = shared.engine.describe();
            tracing::warn!(broker, reason, "this node is not ready without its broker, retrying");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_when_it_lasts_and_when_it_changes() {
        let mut trouble = Trouble::default();
        let mut ask = |reason: &str| trouble.ask(Err(EngineError::Refused(reason.to_owned())));
        assert_eq!(ask("a"), None);
        assert_eq!(ask("a").as_deref(), Some("the broker refused: a"));
        assert_eq!((ask("a"), ask("b").is_some(), ask("b")), (None, true, None));
        assert_eq!(trouble.ask(Ok(())), None);
        assert_eq!(trouble.ask(Err(EngineError::Refused("b".to_owned()))), None);
    }
}

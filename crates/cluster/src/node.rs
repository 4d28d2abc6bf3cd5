//! This node among the others: hub on one side, engine on the other.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jackfield_hub::control::{ControlError, Done, Outcome};
use jackfield_hub::{Broker, Forgetting, Heard, Hub, Order, Peers, PublishError, Ticket};
use jackfield_model::app::Command;
use jackfield_model::client::Push;
use jackfield_model::{Millis, Uuid};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::ask::{Ask, Reply, Sum};
use crate::card::Card;
use crate::engine::{Engine, Incoming, Outgoing};
use crate::frame::{Body, decode, encode};
use crate::interest::{Keeper, Wish};
use crate::note::{self, Note};
use crate::outbound::{heard, millis, outgoing, unread};
use crate::publisher::{Job, Publisher};
use crate::registry::{BEAT, LEASE, Registry};
use crate::survey::Surveys;

/// Publications that wait for the broker; more are refused with "too many requests".
const MOST_JOBS: usize = 16_384;
/// Publications that workers are woken for together.
const TOGETHER: usize = 64;
/// Probes that may be under way before the node counts as cut off; one is sent with each beat.
const MOST_SILENT: u64 = 3;
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
    /// How often connections were lost.
    interruptions: AtomicU64,
    /// Other nodes.
    nodes: AtomicUsize,
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
struct Shared {
    options: ClusterOptions,
    started: Instant,
    hub: Arc<Hub>,
    engine: Arc<dyn Engine>,
    registry: Registry,
    surveys: Surveys,
    health: Arc<Health>,
    jobs: mpsc::Sender<Job>,
    wishes: mpsc::UnboundedSender<Wish>,
    /// Words to other nodes, in order.
    words: mpsc::UnboundedSender<(Option<Arc<str>>, Bytes)>,
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

/// The hub's side of it.
struct Side(Arc<Shared>);

impl fmt::Debug for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cluster")
    }
}

impl Cluster {
    /// Joins; before the first connection of the hub.
    #[must_use]
    pub fn start(engine: Arc<dyn Engine>, hub: Arc<Hub>, options: ClusterOptions, runtime: &Handle) -> Self {
        let (jobs, publications) = mpsc::channel(MOST_JOBS);
        let (wishes, wished) = mpsc::unbounded_channel();
        let (words, said) = mpsc::unbounded_channel();
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
        });
        let is_first = hub.set_broker(Arc::new(Side(Arc::clone(&shared))));
        debug_assert!(is_first, "a hub has one broker");
        hub.set_peers(Arc::new(Side(Arc::clone(&shared))));
        let mut tasks = JoinSet::new();
        let publisher = Publisher { engine: Arc::clone(&engine), hub: Arc::clone(&hub), jobs: publications };
        tasks.spawn_on(publisher.run(), runtime);
        tasks.spawn_on(Keeper { engine, hub, wishes: wished }.run(), runtime);
        tasks.spawn_on(listen(Arc::clone(&shared)), runtime);
        tasks.spawn_on(speak(Arc::clone(&shared), said), runtime);
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
        let bye = note::write(&Note::Bye { uid: Arc::clone(&self.shared.options.uid) });
        if let Err(error) = self.shared.engine.tell(None, bye).await {
            tracing::debug!(%error, "the other nodes were not told goodbye");
        }
        self.tasks.shutdown().await;
        self.shared.engine.end().await;
    }
}

impl Shared {
    fn card(&self) -> Card {
        let ClusterOptions { uid, name, version } = &self.options;
        let uptime = self.started.elapsed().as_secs();
        Card { uid: Arc::clone(uid), name: name.clone(), version: version.clone(), uptime, ..Card::default() }
    }

    fn say(&self, to: Option<Arc<str>>, note: &Note) {
        // The task ends with this node.
        let _ = self.words.send((to, note::write(note)));
    }

    fn wish(&self, wish: Wish) {
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
                }
            }
            Note::Ask { from, .. } if from == *own => {}
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
            Note::Uplink { session, data } => {
                if let Err(error) = self.hub.uplink(session, data) {
                    tracing::debug!(?error, "what a client sent through another node finds no session");
                }
            }
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

impl Broker for Side {
    fn publish(&self, order: Order) -> Result<(), Order> {
        let Ok(place) = self.0.jobs.try_reserve() else { return Err(order) };
        let Some(options) = self.0.hub.namespaces().of(&order.channel) else { return Err(order) };
        let outgoing = outgoing(&order, options);
        let patient = order.publishing.stamp.is_some();
        place.send(Job::Publish { outgoing, ticket: order.ticket, patient, since: Instant::now() });
        Ok(())
    }

    fn spread(&self, channel: &Arc<str>, push: &Push) {
        let body = match push {
            Push::Join(_, info) => Body::Join(Arc::clone(info)),
            Push::Leave(_, info) => Body::Leave(Arc::clone(info)),
            _ => return,
        };
        let outgoing = Outgoing { channel: Arc::clone(channel), body: encode(&body, 0), ..Outgoing::default() };
        let job = Job::Publish { outgoing, ticket: None, patient: false, since: Instant::now() };
        if self.0.jobs.try_send(job).is_err() {
            tracing::debug!(%channel, "that somebody came or went is not told: the broker is behind");
        }
    }

    fn open(&self, channel: &Arc<str>) {
        self.0.wish(Wish::Open(Arc::clone(channel)));
    }

    fn repair(&self, channel: &Arc<str>) {
        self.0.wish(Wish::Repair(Arc::clone(channel)));
    }

    fn close(&self, channel: &Arc<str>) {
        self.0.wish(Wish::Close(Arc::clone(channel)));
    }

    fn forget(&self, channel: &Arc<str>, what: Forgetting, ticket: Option<Ticket>) {
        let job = Job::Forget(Arc::clone(channel), what, ticket);
        if let Err(
            mpsc::error::TrySendError::Full(Job::Forget(_, _, ticket))
            | mpsc::error::TrySendError::Closed(Job::Forget(_, _, ticket)),
        ) = self.0.jobs.try_send(job)
        {
            self.0.hub.settle(ticket, Err(PublishError::Busy));
        }
    }
}

impl Peers for Side {
    fn ask(&self, command: &Command, own: Result<Outcome, ControlError>, _: Millis, done: Done) {
        let sum = Sum::new(own, command, &self.0.hub, self.0.card());
        let others: HashSet<Arc<str>> = self.0.registry.uids().into_iter().collect();
        let Some(ask) = Ask::of(command).filter(|_| !others.is_empty()) else { return done(sum.outcome()) };
        let id = self.0.surveys.begin(others, sum, done);
        self.0.say(None, &Note::Ask { from: Arc::clone(&self.0.options.uid), id, ask: Box::new(ask) });
    }

    fn uplink(&self, node: &str, session: Uuid, data: Bytes) -> bool {
        let is_known = self.0.registry.knows(node);
        if is_known {
            self.0.say(Some(node.into()), &Note::Uplink { session, data });
        }
        is_known
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

/// Says what is to be said, in order.
async fn speak(shared: Arc<Shared>, mut words: mpsc::UnboundedReceiver<(Option<Arc<str>>, Bytes)>) {
    while let Some((to, note)) = words.recv().await {
        if let Err(error) = shared.engine.tell(to.as_deref(), note).await {
            // Who waits for an answer is told what is known when its time is up.
            tracing::debug!(%error, "a word to other nodes is lost");
        }
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
            shared.engine.reset();
        }
        last = now;
        for card in shared.registry.expire(now) {
            tracing::warn!(node = %card.uid, name = card.name, "a node is silent and counts as lost");
            shared.surveys.gone(&card.uid);
        }
        let silent = shared.surveys.expire(now);
        if !silent.is_empty() {
            tracing::warn!(nodes = ?silent, "nodes did not answer in time: what was asked is told without them");
        }
        shared.health.nodes.store(shared.registry.uids().len(), Ordering::Relaxed);
        shared.look();
        shared.say(None, &Note::Beat(shared.card()));
        let token = shared.health.sent.fetch_add(1, Ordering::Relaxed) + 1;
        if let Err(error) = shared.engine.probe(token).await {
            tracing::debug!(%error, "a probe is lost");
        }
    }
}

//! Commands of the web application, applied. Two doors (queue and HTTP), one hall.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use jackfield_model::app::{Broadcast, Command, ConnectionLine, Publish, Target};
use jackfield_model::client::{HistoryPage, PresenceStats};
use jackfield_model::{ClientError, ClientInfo, Millis};

use crate::glob;
use crate::hub::Hub;
use crate::journal::{Forgetting, Then, Ticket};
use crate::keyed::Page;
use crate::map::MapPage;
use crate::orders::SessionOrder;
use crate::peers;
use crate::publish::{PublishError, Published, Publishing, Receipt};

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// What a client answered: JSON.
    Answered(Bytes),
    /// One result per channel.
    Broadcast(Vec<Result<Published, ClientError>>),
    /// Connections.
    Census(Vec<ConnectionLine>),
    /// Channels with subscribers, and how many each has.
    Channels(Vec<(Arc<str>, u32)>),
    /// How many connections were reached.
    Connections(usize),
    /// It is done.
    Done,
    /// A stretch of history.
    History(HistoryPage),
    /// How this node is.
    Info(NodeInfo),
    /// How all nodes are.
    Nodes(Vec<NodeLine>),
    /// A page of a map, or a stretch of its stream.
    MapPage(MapPage),
    /// How many keys a map has.
    MapStats(u64),
    /// Who is there.
    Presence(Vec<Arc<ClientInfo>>),
    /// How many are there.
    PresenceStats(PresenceStats),
    /// Published.
    Published(Published),
}

/// What a node knows of itself without its clock and its name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NodeInfo {
    /// Connections.
    pub clients: u64,
    /// Different users among them.
    pub users: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Channels with subscribers or a past.
    pub channels: u64,
}

/// A node among others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeLine {
    /// Differs with every start.
    pub uid: Arc<str>,
    /// For people.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Seconds since its start.
    pub uptime: u64,
    /// What it holds.
    pub info: NodeInfo,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlError {
    /// A worker is behind: the same command again in a moment.
    Busy,
    /// It cannot be done.
    Refused(ClientError),
}

impl From<ClientError> for ControlError {
    fn from(error: ClientError) -> Self {
        Self::Refused(error)
    }
}

impl From<PublishError> for ControlError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Busy | PublishError::Unreachable => Self::Busy,
            error => Self::Refused(error.into()),
        }
    }
}

/// What is called with what came of a command: at once, or from the log's thread where a durable channel is published
/// into. It must not block.
pub type Done = Box<dyn FnOnce(Result<Outcome, ControlError>) + Send>;

/// Hears every command before it is done, whichever door it came by. It must not block.
pub type Ear = Box<dyn Fn(&Command) + Send + Sync>;

/// The one who listens, if anybody does.
#[derive(Default)]
pub(crate) struct Listener(OnceLock<Ear>);

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Listener").field(&self.0.get().is_some()).finish()
    }
}

impl Hub {
    /// Has every command told to an ear; false if another listens already.
    pub fn listen(&self, ear: Ear) -> bool {
        self.listener.0.set(ear).is_ok()
    }
}

/// Does what the application asks. A command that finds a worker busy is told again with each try.
pub fn apply(hub: &Hub, command: &Command, now: Millis, done: Done) {
    apply_named(hub, ("", command), now, done);
}

/// The same for a command that has an id.
pub fn apply_named(hub: &Hub, (id, command): (&str, &Command), now: Millis, done: Done) {
    let done = hub.regretting(id, command, done);
    if let Some(ear) = hub.listener.0.get() {
        ear(command);
    }
    match command {
        Command::Broadcast(broadcast) => apply_broadcast(hub, broadcast, now, done),
        Command::Call(call) => hub.inquire_anywhere(call, now, done),
        Command::Connections(target) => census_everywhere(hub, target, now, done),
        Command::Publish(publish) => apply_publish(hub, publish, false, (now, done)),
        Command::MapPublish(publish) => apply_publish(hub, publish, true, (now, done)),
        Command::MapRemove(publish) => {
            let mut publishing = publishing(publish, true);
            publishing.removes = true;
            begin(hub, &publish.channel, publishing, (now, done));
        }
        Command::HistoryRemove(channel) if hub.is_shared() => forget_everywhere(hub, channel, done),
        Command::History(query) if !hub.is_warm(&query.channel) => {
            let (query, channel) = (command.clone(), Arc::clone(&query.channel));
            done_when_warm(hub, &channel, Box::new(move |hub| apply_now(hub, &query, now)), done);
        }
        command => {
            let own = apply_now(hub, command, now);
            match hub.peers.get().filter(|_| peers::concerns_all(command)) {
                Some(peers) => peers.ask(command, own, now, done),
                None => done(own),
            }
        }
    }
}

/// Does what another node was asked to do, here.
pub fn apply_here(hub: &Hub, command: &Command, now: Millis) -> Result<Outcome, ControlError> {
    if let Some(ear) = hub.listener.0.get() {
        ear(command);
    }
    apply_now(hub, command, now)
}

type Step = Box<dyn FnOnce(&Hub) -> Result<Outcome, ControlError> + Send>;

/// Reads what the broker keeps first.
fn done_when_warm(hub: &Hub, channel: &Arc<str>, step: Step, done: Done) {
    let Some(me) = hub.me.get().and_then(std::sync::Weak::upgrade) else {
        return done(Err(ControlError::Busy));
    };
    let then: Then = Box::new(move |outcome| {
        done(match outcome {
            Ok(_) => step(&me),
            Err(error) => Err(error.into()),
        });
    });
    hub.warm(channel, Some(Ticket::Then(then)));
}

/// Asks the sessions of this node, and then those of the others.
fn census_everywhere(hub: &Hub, target: &Target, now: Millis, done: Done) {
    match hub.peers.get().cloned() {
        None => hub.census(target, done),
        Some(peers) => {
            let command = Command::Connections(target.clone());
            hub.census(target, Box::new(move |own| peers.ask(&command, own, now, done)));
        }
    }
}

fn forget_everywhere(hub: &Hub, channel: &Arc<str>, done: Done) {
    let known = hub.known(channel, |options| options.has_history() || options.has_state());
    match (known, hub.broker()) {
        (Err(error), _) => done(Err(error.into())),
        (Ok(_), Some(broker)) => {
            let then: Then = Box::new(move |outcome| done(outcome.map(|_| Outcome::Done).map_err(ControlError::from)));
            broker.forget(channel, Forgetting::Publications, Some(Ticket::Then(then)));
        }
        (Ok(_), None) => done(Ok(Outcome::Done)),
    }
}

/// What is done as soon as it is asked.
fn apply_now(hub: &Hub, command: &Command, now: Millis) -> Result<Outcome, ControlError> {
    Ok(match command {
        Command::BlockUser(block) => Outcome::Connections(hub.block(block)),
        Command::Channels(pattern) => {
            Outcome::Channels(hub.survey(|name| pattern.is_empty() || glob::fits(pattern, name)))
        }
        Command::Disconnect(ejection) => Outcome::Connections(hub.eject(ejection.clone())),
        Command::History(query) => {
            let start = (query.since.clone(), query.from);
            Outcome::History(hub.history(&query.channel, query.limit, start, query.reverse, now)?)
        }
        Command::HistoryRemove(channel) => {
            hub.forget_history(channel)?;
            Outcome::Done
        }
        Command::Info => Outcome::Info(hub.info()),
        Command::InvalidateUserTokens(tokens) => Outcome::Connections(hub.invalidate(tokens)),
        Command::MapClear(channel) => {
            hub.clear_map(channel)?;
            Outcome::Done
        }
        Command::MapReadState(query) => {
            let limit = if query.limit == 0 { hub.page_size(&query.channel) } else { query.limit as usize };
            let page = Page { cursor: &query.cursor, limit: limit.min(MOST_ENTRIES), asc: query.asc };
            let which = (page, query.key.as_deref());
            Outcome::MapPage(hub.map_page(&query.channel, which, query.revision.as_ref(), now)?)
        }
        Command::MapReadStream(query) => {
            let (start, way) = ((query.since.clone(), query.from), (query.reverse, now));
            let page = hub.map_stream(&query.channel, query.limit, start, way)?;
            Outcome::MapPage(MapPage { entries: page.publications, cursor: String::new(), position: page.position })
        }
        Command::MapStats(channel) => Outcome::MapStats(hub.map_keys(channel)?),
        Command::Presence(channel) => Outcome::Presence(hub.presence(channel)?),
        Command::PresenceStats(channel) => Outcome::PresenceStats(hub.presence_stats(channel)?),
        Command::Refresh(refresh) => {
            Outcome::Connections(hub.tell(&refresh.target, SessionOrder::Refresh(refresh.clone())))
        }
        Command::RevokeToken(revocation) => {
            hub.revoke(revocation);
            Outcome::Done
        }
        Command::Send(send) => Outcome::Connections(hub.send(&send.user, send.data.clone())),
        Command::Subscribe(subscribe) => {
            hub.known(&subscribe.channel, |_| true)?;
            Outcome::Connections(hub.tell(&subscribe.target, SessionOrder::Subscribe(subscribe.clone())))
        }
        Command::UnblockUser(user) => {
            hub.unblock(user);
            Outcome::Done
        }
        Command::Unsubscribe(unsubscribe) => {
            Outcome::Connections(hub.tell(&unsubscribe.target, SessionOrder::Unsubscribe(unsubscribe.clone())))
        }
        Command::Broadcast(_)
        | Command::Call(_)
        | Command::Connections(_)
        | Command::MapPublish(_)
        | Command::MapRemove(_)
        | Command::Publish(_) => Outcome::Done,
    })
}

/// Entries of a page of a map, whatever is asked for.
const MOST_ENTRIES: usize = 10_000;

fn publishing(publish: &Publish, is_for_map: bool) -> Publishing {
    Publishing {
        data: publish.data.clone(),
        tags: publish.tags.clone(),
        skip_history: publish.skip_history,
        is_for_map,
        more: publish.more.clone(),
        stamp: publish.stamp,
        ..Publishing::default()
    }
}

fn apply_publish(hub: &Hub, publish: &Publish, is_for_map: bool, how: (Millis, Done)) {
    begin(hub, &publish.channel, publishing(publish, is_for_map), how);
}

/// Publishes, and tells how it went when it is known.
fn begin(hub: &Hub, channel: &str, publishing: Publishing, (now, done): (Millis, Done)) {
    // Either the log answers or we do; whoever does takes it out.
    let waiting = Arc::new(Mutex::new(Some(done)));
    let answer = |waiting: &Mutex<Option<Done>>, outcome: Result<Published, PublishError>| {
        if let Some(done) = waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            done(outcome.map(Outcome::Published).map_err(ControlError::from));
        }
    };
    let later = Arc::clone(&waiting);
    let ticket = Ticket::Then(Box::new(move |outcome| answer(&later, outcome)));
    match hub.publish(channel, publishing, Some(ticket), now) {
        Ok(Receipt::Later) => {}
        Ok(Receipt::Ready(published)) => answer(&waiting, Ok(published)),
        Err(error) => answer(&waiting, Err(error)),
    }
}

/// The results of a broadcast that are still to come.
struct Gathering {
    results: Vec<Option<Result<Published, ClientError>>>,
    missing: usize,
    done: Option<Done>,
}

/// A busy worker stops a broadcast only before its first channel: after that a repetition would double what is out.
fn apply_broadcast(hub: &Hub, broadcast: &Broadcast, now: Millis, done: Done) {
    let count = broadcast.channels.len();
    if count == 0 {
        return done(Ok(Outcome::Broadcast(Vec::new())));
    }
    let gathering = Arc::new(Mutex::new(Gathering { results: vec![None; count], missing: count, done: Some(done) }));
    for (nth, channel) in broadcast.channels.iter().enumerate() {
        let publishing = Publishing { pressing: nth > 0, ..publishing(&broadcast.publish, false) };
        let later = Arc::clone(&gathering);
        let ticket = Ticket::Then(Box::new(move |outcome| put(&later, nth, outcome)));
        match hub.publish(channel, publishing, Some(ticket), now) {
            Ok(Receipt::Later) => {}
            Ok(Receipt::Ready(published)) => put(&gathering, nth, Ok(published)),
            Err(PublishError::Busy) if nth == 0 => {
                let done = gathering.lock().unwrap_or_else(PoisonError::into_inner).done.take();
                if let Some(done) = done {
                    done(Err(ControlError::Busy));
                }
                return;
            }
            Err(error) => put(&gathering, nth, Err(error)),
        }
    }
}

fn put(gathering: &Mutex<Gathering>, nth: usize, outcome: Result<Published, PublishError>) {
    let mut gathering = gathering.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(place) = gathering.results.get_mut(nth).filter(|place| place.is_none()) else { return };
    *place = Some(outcome.map_err(ClientError::from));
    gathering.missing -= 1;
    if gathering.missing == 0
        && let Some(done) = gathering.done.take()
    {
        let results = std::mem::take(&mut gathering.results);
        drop(gathering);
        done(Ok(Outcome::Broadcast(results.into_iter().flatten().collect())));
    }
}

//! The door to a broker: channels that several nodes share.
//!
//! A publication goes out through [`Broker::publish`], is numbered where all nodes see the same order, and comes back to
//! every node that cares, the publisher's own among them, through [`Hub::hear`]. A node that cares for a channel keeps a
//! mirror of it: position, history and latest values as the broker has them. So whoever subscribes, recovers or reads is
//! served from memory, under the same lock and by the same code as without a broker.

use std::fmt::Debug;
use std::sync::Arc;

use jackfield_model::client::{Push, Unsubscribed};
use jackfield_model::{Millis, Position, Publication};

use crate::directory::{Channel, Table};
use crate::hub::Hub;
use crate::journal::{Forgetting, Order, Ticket};
use crate::mailbox::{Mailbox, Wakes};
use crate::namespace::Options;
use crate::parcel::Parcel;
use crate::publish::{PublishError, Published, Taken, keep_state, takes_state};
use crate::stream::Stream;

/// Publications that wait for a mirror that is being read; more make it be read again.
const MOST_HELD: usize = 4096;

/// What carries publications between nodes. No method blocks.
pub trait Broker: Debug + Send + Sync {
    /// Takes a publication; gives it back if its queue is full. Its ticket is answered by [`Hub::settle`].
    fn publish(&self, order: Order) -> Result<(), Order>;
    /// Tells the subscribers of all nodes something that is kept nowhere; it comes back through [`Hub::hear_push`].
    fn spread(&self, channel: &Arc<str>, push: &Push);
    /// This node begins to care for a channel; [`Hub::opened`] is called.
    fn open(&self, channel: &Arc<str>);
    /// Something was missed after this position; [`Hub::opened`] is called.
    fn repair(&self, channel: &Arc<str>);
    /// This node does not care any more.
    fn close(&self, channel: &Arc<str>);
    /// Forgets what is kept of a channel, on all nodes.
    fn forget(&self, channel: &Arc<str>, what: Forgetting, ticket: Option<Ticket>);
}

/// A channel as the broker keeps it.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Where it stands.
    pub position: Position,
    /// What is kept, oldest first.
    pub publications: Vec<Arc<Publication>>,
    /// All that came after this number is in `publications`.
    pub floor: u64,
    /// The latest values of its keys, oldest first.
    pub values: Vec<Arc<Publication>>,
}

/// A publication as the broker spreads it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What was published; its offset is the broker's, 0 where nothing is kept.
    pub publication: Arc<Publication>,
    /// The life of the channel; empty where nothing is kept.
    pub epoch: Arc<str>,
    /// The number before it in this channel.
    pub previous: u64,
    /// Deltas may be made of it.
    pub delta: bool,
}

/// How a node stands to a channel of the broker.
#[derive(Debug)]
pub(crate) struct Mirror {
    state: State,
    /// When it was first seen that nobody needs it; 0: somebody does.
    idle: Millis,
}

#[derive(Debug)]
enum State {
    /// It follows the broker.
    Open,
    /// It is being read.
    Reading {
        /// Who waits for it.
        tickets: Vec<Ticket>,
        /// What came meanwhile.
        held: Vec<Heard>,
        /// It was open before: subscribers are there who have seen what it held.
        again: bool,
    },
}

impl Mirror {
    fn new() -> Self {
        Self { state: State::reading(false), idle: 0 }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether it was of no use at the last look too. `needed`: somebody is there.
    pub(crate) fn is_over(&mut self, needed: bool, now: Millis) -> bool {
        if needed || !self.is_open() {
            self.idle = 0;
            return false;
        }
        if self.idle == 0 {
            self.idle = now;
            return false;
        }
        true
    }
}

impl State {
    fn reading(again: bool) -> Self {
        Self::Reading { tickets: Vec::new(), held: Vec::new(), again }
    }
}

/// Whether a client has seen more of a channel than this node.
fn is_behind(entry: Option<&Channel>, since: &Position) -> bool {
    let stream = entry.filter(|entry| entry.mirror.is_some()).and_then(|entry| entry.stream.as_ref());
    stream.map(|stream| stream.position()).is_some_and(|top| top.epoch == since.epoch && since.offset > top.offset)
}

/// What is to be done after the lock is gone.
enum Then {
    Nothing,
    Repair,
}

impl Hub {
    /// Has channels shared with other nodes; before the first connection.
    pub fn set_broker(self: &Arc<Self>, broker: Arc<dyn Broker>) -> bool {
        self.me.set(Arc::downgrade(self)).is_ok() && self.broker.set(broker).is_ok()
    }

    pub(crate) fn broker(&self) -> Option<&Arc<dyn Broker>> {
        self.broker.get()
    }

    /// Whether channels are shared with other nodes.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.broker().is_some()
    }

    /// Whether a channel can be entered and read at once; it stays so for some time.
    #[must_use]
    pub fn is_warm(&self, channel: &str) -> bool {
        if !self.is_shared() || self.namespaces.of(channel).is_none() {
            return true;
        }
        let mut table = self.directory.table(channel);
        let mirror = table.channels.get_mut(channel).and_then(|entry| entry.mirror.as_mut());
        mirror.is_some_and(|mirror| {
            mirror.idle = 0;
            // Who is being read again serves what it has: what is missing is shown to all when it is there.
            !matches!(mirror.state, State::Reading { again: false, .. })
        })
    }

    /// Makes a channel ready to be entered and read; the ticket is answered when it is.
    pub fn warm(&self, channel: &str, ticket: Option<Ticket>) {
        let Some(broker) = self.broker() else { return self.settle(ticket, Ok(Published::default())) };
        let Some(options) = self.namespaces.of(channel) else {
            return self.settle(ticket, Err(PublishError::UnknownChannel));
        };
        let (name, is_new) = {
            let mut table = self.directory.table(channel);
            let entry = self.entry(&mut table, channel, options);
            let is_new = entry.mirror.is_none();
            let mirror = entry.mirror.get_or_insert_with(|| Box::new(Mirror::new()));
            mirror.idle = 0;
            match &mut mirror.state {
                State::Reading { tickets, again: false, .. } => {
                    tickets.extend(ticket);
                    (Arc::clone(&entry.name), is_new)
                }
                State::Open | State::Reading { .. } => {
                    drop(table);
                    return self.settle(ticket, Ok(Published::default()));
                }
            }
        };
        if is_new {
            broker.open(&name);
        }
    }

    /// Whether a channel can be entered at a position at once: it is there, and no other node has shown the client more of it
    /// than has come here. (Whoever goes on there would be told that it cannot recover, and hear again what it has.)
    #[must_use]
    pub fn is_warm_at(&self, channel: &str, since: Option<&Position>) -> bool {
        self.is_warm(channel)
            && !since.is_some_and(|since| is_behind(self.directory.table(channel).channels.get(channel), since))
    }

    /// Makes a channel ready to be entered at a position; the ticket is answered when it is, or when it was read and does
    /// not go so far.
    pub fn warm_at(&self, channel: &str, since: Option<&Position>, ticket: Option<Ticket>) {
        let (Some(broker), Some(since)) = (self.broker(), since) else { return self.warm(channel, ticket) };
        let name = {
            let mut table = self.directory.table(channel);
            let entry = table.channels.get_mut(channel).filter(|entry| is_behind(Some(&**entry), since));
            let Some((mirror, name)) = entry.and_then(|entry| Some((entry.mirror.as_mut()?, Arc::clone(&entry.name))))
            else {
                drop(table);
                return self.warm(channel, ticket);
            };
            let is_open = mirror.is_open();
            if is_open {
                mirror.state = State::reading(true);
            }
            if let State::Reading { tickets, .. } = &mut mirror.state {
                tickets.extend(ticket);
            }
            is_open.then_some(name)
        };
        if let Some(name) = name {
            broker.repair(&name);
        }
    }

    /// A channel was read; `None`: it keeps nothing but is heard from now on. An error leaves subscribers where they are
    /// and sends away who waits.
    pub fn opened(&self, channel: &str, kept: Result<Option<Kept>, PublishError>) {
        let (tickets, outcome, then) = {
            let mut table = self.directory.table(channel);
            let table: &mut Table = &mut table;
            let Some(entry) = table.channels.get_mut(channel) else { return };
            let Some(mirror) = &mut entry.mirror else { return };
            let State::Reading { tickets, held, again } = &mut mirror.state else { return };
            let (tickets, held, again) = (std::mem::take(tickets), std::mem::take(held), *again);
            match kept {
                Err(error) => {
                    if !again {
                        table.channels.remove(channel);
                    }
                    (tickets, Err(error), Then::Nothing)
                }
                Ok(kept) => {
                    mirror.state = State::Open;
                    if let Some(kept) = kept {
                        self.install(table, channel, kept, again);
                    }
                    let mut then = Then::Nothing;
                    for heard in held {
                        if let Then::Repair = self.take_heard(table, channel, heard, &mut Wakes::Now) {
                            then = Then::Repair;
                        }
                    }
                    (tickets, Ok(Published::default()), then)
                }
            }
        };
        for ticket in tickets {
            self.settle(Some(ticket), outcome.clone());
        }
        self.then(channel, &then);
    }

    /// A publication came from the broker.
    pub fn hear(&self, channel: &str, heard: Heard) {
        self.hear_all([(channel, heard)]);
    }

    /// Publications came together: workers are woken when all are mailed, and write them together. Not too many at once,
    /// because others' mail waits with them.
    pub fn hear_all<'a>(&self, all: impl IntoIterator<Item = (&'a str, Heard)>) {
        let mut wakes = Wakes::Later(0);
        for (channel, heard) in all {
            let then = self.take_heard(&mut self.directory.table(channel), channel, heard, &mut wakes);
            self.then(channel, &then);
        }
        if let Wakes::Later(bits) = wakes {
            self.each_worker(bits).for_each(Mailbox::ring);
        }
    }

    /// Something that is kept nowhere came from the broker.
    pub fn hear_push(&self, channel: &str, push: impl FnOnce(Arc<str>) -> Push) {
        let table = self.directory.table(channel);
        let Some(entry) = table.channels.get(channel) else { return };
        self.mail(entry, Parcel::new(push(Arc::clone(&entry.name))));
    }

    /// A broker has forgotten what it kept of a channel.
    pub fn hear_forgotten(&self, channel: &str, what: Forgetting) {
        if let Err(error) = self.forget_now(channel, what) {
            tracing::debug!(channel, ?error, "what a broker forgot was not known here");
        }
        if what == Forgetting::Life {
            self.reread(channel);
        }
    }

    /// The connection to the broker was lost: whatever is kept may have moved on. What comes is held back until each
    /// channel was read again; the names of all that are mirrored.
    #[must_use]
    pub fn interrupted(&self) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        for mut table in self.directory.all() {
            for entry in table.channels.values_mut() {
                let Some(mirror) = &mut entry.mirror else { continue };
                if mirror.is_open() {
                    mirror.state = State::reading(true);
                }
                names.push(Arc::clone(&entry.name));
            }
        }
        names
    }

    /// Channels that this node mirrors.
    #[must_use]
    pub fn mirrored(&self) -> usize {
        self.directory.all().map(|table| table.channels.values().filter(|entry| entry.mirror.is_some()).count()).sum()
    }

    /// Where a mirrored channel stands, for a broker that repairs it.
    #[must_use]
    pub fn mirror_position(&self, channel: &str) -> Option<Position> {
        let table = self.directory.table(channel);
        let stream = table.channels.get(channel)?.stream.as_ref()?;
        Some(stream.position())
    }

    /// Has a channel read again.
    fn reread(&self, channel: &str) {
        let name = {
            let mut table = self.directory.table(channel);
            let Some(entry) = table.channels.get_mut(channel) else { return };
            let Some(mirror) = entry.mirror.as_mut().filter(|mirror| mirror.is_open()) else { return };
            mirror.state = State::reading(true);
            Arc::clone(&entry.name)
        };
        if let Some(broker) = self.broker() {
            broker.repair(&name);
        }
    }

    fn then(&self, channel: &str, then: &Then) {
        if let Then::Repair = then {
            tracing::debug!(channel, "something was missed on the way from the broker and is read again");
            self.reread(channel);
        }
    }

    /// Takes over what the broker keeps. Subscribers of an open mirror are shown what they missed, or told that it is
    /// not known.
    fn install(&self, table: &mut Table, channel: &str, kept: Kept, again: bool) {
        let Some(entry) = table.channels.get_mut(channel) else { return };
        let options = Arc::clone(&entry.options);
        if again && follows(entry, &kept, &options) {
            let publications = kept.publications;
            let top = entry.stream.as_ref().map_or(0, |stream| stream.position().offset);
            for publication in publications.into_iter().filter(|publication| publication.offset > top) {
                let delta = options.delta_publish;
                self.show(table, channel, taken(publication, delta, &options), &mut Wakes::Now);
            }
            // What could not be read is passed over, or it would be missed for ever.
            if let Some(stream) = table.channels.get_mut(channel).and_then(|entry| entry.stream.as_mut()) {
                stream.rise_to(kept.position.offset);
            }
            return;
        }
        let Kept { position, publications, floor, values } = kept;
        let touched = publications.last().map_or(0, |last| last.time);
        if options.has_history() {
            entry.stream = Some(Box::new(Stream::mirrored(position, publications.clone(), floor, touched)));
        }
        if options.delta {
            entry.more().last = publications.last().cloned();
        }
        if options.has_state() {
            entry.more().state = crate::keyed::Keyed::default();
            for value in values {
                keep_state(entry, &value, Some(Arc::clone(&value)), None);
            }
        }
        if again {
            tracing::info!(channel, "a channel began anew at the broker; its subscribers are told");
            for mailbox in self.each_worker(entry.workers) {
                let unsubscribed = Unsubscribed::INSUFFICIENT_STATE;
                mailbox.post(crate::mailbox::Mail::Lost { key: entry.key, unsubscribed });
            }
        }
    }

    fn take_heard(&self, table: &mut Table, channel: &str, heard: Heard, wakes: &mut Wakes) -> Then {
        let Some(entry) = table.channels.get_mut(channel) else { return Then::Nothing };
        let Some(mirror) = &mut entry.mirror else { return Then::Nothing };
        if let State::Reading { held, .. } = &mut mirror.state {
            // One that finds no room is missed when the next one comes, and the channel is read again.
            if held.len() < MOST_HELD {
                held.push(heard);
            }
            return Then::Nothing;
        }
        let Heard { publication, epoch, previous, delta } = heard;
        if publication.offset > 0 {
            let Some(stream) = &entry.stream else { return Then::Repair };
            let top = stream.position();
            if *top.epoch != *epoch || previous > top.offset {
                return Then::Repair;
            }
            if publication.offset <= top.offset {
                return Then::Nothing;
            }
        }
        let options = Arc::clone(&entry.options);
        self.show(table, channel, taken(publication, delta || options.delta_publish, &options), wakes);
        Then::Nothing
    }
}

/// Whether what the broker keeps goes on where the mirror stands.
fn follows(entry: &Channel, kept: &Kept, options: &Options) -> bool {
    match &entry.stream {
        Some(stream) if options.has_history() => {
            let top = stream.position();
            top.epoch == kept.position.epoch && kept.floor <= top.offset && top.offset <= kept.position.offset
        }
        _ => !options.has_state(),
    }
}

/// A publication of the broker as one that was numbered here.
fn taken(publication: Arc<Publication>, delta: bool, options: &Options) -> Taken {
    let key = publication.key().map_or("", |key| key);
    let holds = options.has_state() && !publication.is_removal() && takes_state(options, key);
    let state = holds.then(|| Arc::clone(&publication));
    let keeps = publication.offset > 0;
    Taken { publication, state, keeps, wants_delta: options.delta && delta, more: None }
}

//! The door to a log: publications of durable channels are numbered, written, and only then shown.
//!
//! Why in this order: what a subscriber has seen it counts on. A publication that is shown first and lost in a crash
//! would leave its number to another one, and whoever saw the first would be told that nothing is missing.

use std::fmt::Debug;
use std::sync::Arc;

use jackfield_model::app::Answer;
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientError, Millis, Payload, Position, Publication};

use crate::directory::{Channel, Table};
use crate::hub::Hub;
use crate::keyed::{Keyed, Value};
use crate::mailbox::{Mail, Wakes};
use crate::people::Address;
use crate::publish::{PublishError, Published, Publishing, Taken, is_still_over, note_end};
use crate::stream::Stream;

/// What takes publications and makes them last.
pub trait Journal: Debug + Send + Sync {
    /// Takes an order and never blocks; gives it back if its queue is full.
    fn take(&self, order: Order) -> Result<(), Order>;
    /// Has [`Hub::forget_now`] called, after all it has taken before. Never blocks.
    fn forget(&self, channel: &str, what: Forgetting);
}

/// What is to be forgotten of a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forgetting {
    /// Its whole life: it begins a new one, and who listens must begin anew too.
    Life,
    /// Its publications and values; its position stays.
    Publications,
}

/// A publication that is not yet numbered.
#[derive(Debug)]
pub struct Order {
    /// The channel.
    pub channel: Arc<str>,
    /// What is published.
    pub publishing: Publishing,
    /// Who waits for what comes of it.
    pub ticket: Option<Ticket>,
}

/// What is called with the outcome of a publication.
pub type Then = Box<dyn FnOnce(Result<Published, PublishError>) + Send>;

/// Who waits for what comes of a publication.
pub enum Ticket {
    /// A session, by the number of its call.
    Session(Address, u32),
    /// Anybody else.
    Then(Then),
}

impl Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(address, call) => f.debug_tuple("Session").field(address).field(call).finish(),
            Self::Then(_) => f.write_str("Then"),
        }
    }
}

/// A publication with its place, on its way to the log and back.
#[derive(Debug)]
pub struct Numbered {
    /// The channel.
    pub channel: Arc<str>,
    /// The life of its stream.
    pub epoch: Arc<str>,
    /// What is written; `None`: nothing is, and the ticket only waits for its turn.
    pub publication: Option<Arc<Publication>>,
    /// The publisher's own count, and its life, where it counts.
    pub version: Option<(u64, Arc<str>)>,
    taken: Option<Taken>,
    published: Published,
    ticket: Option<Ticket>,
    undo: Undo,
}

/// What numbering has changed beside the number; it must not outlive a publication that is taken back.
#[derive(Debug, Default)]
struct Undo {
    idempotency_key: String,
    version: Option<(u64, Arc<str>)>,
}

impl Numbered {
    /// What the key has from then on, where that is something else than what subscribers hear.
    #[must_use]
    pub fn value(&self) -> Option<&Payload> {
        let taken = self.taken.as_ref()?;
        let state = taken.state.as_ref()?;
        (!Arc::ptr_eq(state, &taken.publication)).then_some(&state.data)
    }
}

/// The latest value of a key as a log knows it.
#[derive(Clone, Debug, Default)]
pub struct RestoredValue {
    /// What was published.
    pub publication: Arc<Publication>,
    /// The publisher's own count, and its life.
    pub version: (u64, Arc<str>),
}

/// A channel as a log knows it.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Where its stream stands.
    pub position: Position,
    /// When the last publication came.
    pub touched: Millis,
    /// The publisher's own count, and its life.
    pub version: (u64, Arc<str>),
    /// What is kept, oldest first.
    pub publications: Vec<Arc<Publication>>,
    /// The latest values of all keys, of any age.
    pub values: Vec<RestoredValue>,
}

impl Hub {
    /// Where publications of durable channels go; before the first connection.
    pub fn set_journal(&mut self, journal: Arc<dyn Journal>) {
        self.journal = Some(journal);
    }

    /// Numbers an order, in the order of calls; `None` where it failed, and its ticket knows.
    pub fn number(&self, order: Order, now: Millis) -> Option<Numbered> {
        let Order { channel, publishing, ticket } = order;
        let version = publishing.more.as_ref().filter(|more| more.version > 0);
        let version = version.map(|more| (more.version, Arc::from(more.version_epoch.as_str())));
        let mut undo = Undo::default();
        if let Some(more) = &publishing.more {
            undo.idempotency_key.clone_from(&more.idempotency_key);
            undo.version = version.is_some().then(|| self.version(&channel));
        }
        let numbered = self.take(&mut self.directory.table(&channel), &channel, publishing, now);
        match numbered {
            Ok((published, taken)) => {
                let epoch = published.position.as_ref().map_or_else(|| "".into(), |p| Arc::clone(&p.epoch));
                let publication = taken.as_ref().map(|taken| Arc::clone(&taken.publication));
                Some(Numbered { channel, epoch, publication, version, taken, published, ticket, undo })
            }
            Err(error) => {
                self.settle(ticket, Err(error));
                None
            }
        }
    }

    /// Shows what is safe: subscribers hear it, and the ticket is answered.
    pub fn reveal(&self, numbered: Numbered) {
        let Numbered { channel, taken, published, ticket, .. } = numbered;
        if let Some(taken) = taken {
            self.show(&mut self.directory.table(&channel), &channel, taken, &mut Wakes::Now);
        }
        self.settle(ticket, Ok(published));
    }

    /// Takes back what could not be written, the whole batch at once: its numbers are given out again, and the tickets
    /// are told to try again.
    pub fn take_back(&self, batch: impl DoubleEndedIterator<Item = Numbered>) {
        // Backwards, so that what was there before the first of them is there in the end.
        for numbered in batch.rev() {
            let Numbered { channel, taken, ticket, undo, .. } = numbered;
            if let Some(taken) = taken {
                let mut table = self.directory.table(&channel);
                let table: &mut Table = &mut table;
                if !undo.idempotency_key.is_empty() {
                    table.results.remove(&channel, &undo.idempotency_key);
                }
                if let Some(entry) = table.channels.get_mut(&*channel) {
                    if let Some(stream) = &mut entry.stream {
                        stream.take_back();
                    }
                    if let Some(version) = undo.version {
                        entry.more().version = version;
                    }
                    if taken.publication.is_removal()
                        && let Some(key) = taken.publication.key()
                    {
                        is_still_over(entry, key, &mut table.ends);
                    }
                }
            }
            self.settle(ticket, Err(PublishError::NotWritten));
        }
    }

    /// The publisher's own count of a channel.
    fn version(&self, channel: &str) -> (u64, Arc<str>) {
        let table = self.directory.table(channel);
        let more = table.channels.get(channel).and_then(|entry| entry.more.as_ref());
        more.map_or_else(|| (0, "".into()), |more| more.version.clone())
    }

    /// Sets a channel up as the log knows it; before the first connection.
    pub fn restore(&self, channel: &str, restored: Restored) {
        let Some(options) = self.namespaces.of(channel) else { return };
        let mut table = self.directory.table(channel);
        let name: Arc<str> = channel.into();
        let mut entry: Channel = self.new_channel(Arc::clone(&name), options);
        for RestoredValue { publication, version } in restored.values.into_iter().filter(|_| options.has_state()) {
            let key = publication.key().cloned().unwrap_or_default();
            let score = publication.rare.as_ref().map_or(0, |rare| rare.score);
            let ends = options.value_ends(publication.time);
            let value = Value { publication, ends, owner: None, holders: 1, version };
            entry.more().state.put(&key, score, value);
        }
        if restored.version.0 > 0 {
            entry.more().version = restored.version;
        }
        let stream = Stream::restored(restored.position, restored.publications, restored.touched);
        entry.stream = Some(Box::new(stream));
        note_end(&mut entry, &mut table.ends);
        table.channels.insert(name, entry);
    }

    /// Forgets, in its turn where a journal has publications under way.
    pub(crate) fn forget(&self, channel: &str, what: Forgetting) -> Result<(), ClientError> {
        let is_durable = self.namespaces.of(channel).is_some_and(|options| options.durable);
        match self.journal.as_ref().filter(|_| is_durable) {
            Some(journal) => {
                journal.forget(channel, what);
                Ok(())
            }
            None => self.forget_now(channel, what),
        }
    }

    /// Forgets; for a journal, when it has come to it.
    pub fn forget_now(&self, channel: &str, what: Forgetting) -> Result<(), ClientError> {
        {
            let mut table = self.directory.table(channel);
            let Some(entry) = table.channels.get_mut(channel) else { return Ok(()) };
            match what {
                Forgetting::Life => {
                    entry.more = None;
                    entry.stream = None;
                    entry.life += 1;
                }
                Forgetting::Publications => {
                    if let Some(stream) = &mut entry.stream {
                        stream.clear();
                    }
                    if let Some(more) = &mut entry.more {
                        more.state = Keyed::default();
                        more.noted = None;
                    }
                }
            }
        }
        match what {
            Forgetting::Life => self.invalidate_state(channel, &Unsubscribed::STATE_INVALIDATED),
            Forgetting::Publications => Ok(()),
        }
    }

    /// Tells whoever waits.
    pub fn settle(&self, ticket: Option<Ticket>, outcome: Result<Published, PublishError>) {
        match ticket {
            Some(Ticket::Session(address, call)) => {
                let answer = match outcome {
                    Ok(_) => Answer::Published,
                    Err(error) => Answer::Error(ClientError::from(error)),
                };
                self.post(address, Mail::Resume(address, call, Box::new(answer)));
            }
            Some(Ticket::Then(then)) => then(outcome),
            None => {}
        }
    }
}

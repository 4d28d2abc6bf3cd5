//! The door to a log: publications of durable channels are numbered, written, and only then shown.
//!
//! Why in this order: what a subscriber has seen it counts on. A publication that is shown first and lost in a crash
//! would leave its number to another one, and whoever saw the first would be told that nothing is missing.

use std::fmt::Debug;
use std::sync::Arc;

use jackfield_model::app::Answer;
use jackfield_model::{ClientError, Millis, Position, Publication};

use crate::directory::Channel;
use crate::hub::Hub;
use crate::keyed::Value;
use crate::mailbox::Mail;
use crate::people::Address;
use crate::publish::{PublishError, Published, Publishing, Taken};
use crate::stream::Stream;

/// What takes publications and makes them last.
pub trait Journal: Debug + Send + Sync {
    /// Takes an order and never blocks; gives it back if its queue is full.
    fn take(&self, order: Order) -> Result<(), Order>;
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
        let numbered = self.take(&mut self.directory.table(&channel), &channel, publishing, now);
        match numbered {
            Ok((published, taken)) => {
                let epoch = published.position.as_ref().map_or_else(|| "".into(), |p| Arc::clone(&p.epoch));
                let publication = taken.as_ref().map(|taken| Arc::clone(&taken.publication));
                Some(Numbered { channel, epoch, publication, version, taken, published, ticket })
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
            self.show(&mut self.directory.table(&channel), &channel, taken);
        }
        self.settle(ticket, Ok(published));
    }

    /// Takes back what could not be written, the whole batch at once: its numbers are given out again, and the tickets
    /// are told to try again.
    pub fn take_back(&self, batch: impl IntoIterator<Item = Numbered>) {
        for numbered in batch {
            let Numbered { channel, taken, ticket, .. } = numbered;
            if taken.is_some() {
                let mut table = self.directory.table(&channel);
                if let Some(stream) = table.channels.get_mut(&*channel).and_then(|entry| entry.stream.as_mut()) {
                    stream.take_back();
                }
            }
            self.settle(ticket, Err(PublishError::NotWritten));
        }
    }

    /// Sets a channel up as the log knows it; before the first connection.
    pub fn restore(&self, channel: &str, restored: Restored) {
        let Some(options) = self.namespaces.of(channel) else { return };
        let mut table = self.directory.table(channel);
        let name: Arc<str> = channel.into();
        let mut entry: Channel = self.new_channel(Arc::clone(&name), options);
        if options.has_state() {
            for publication in &restored.publications {
                let Some(key) = publication.key() else { continue };
                if publication.is_removal() {
                    entry.more().state.take(key);
                } else {
                    let score = publication.rare.as_ref().map_or(0, |rare| rare.score);
                    let value = Value {
                        publication: Arc::clone(publication),
                        ends: options.value_ends(publication.time),
                        owner: None,
                        holders: 1,
                        version: (0, "".into()),
                    };
                    entry.more().state.put(key, score, value);
                }
            }
        }
        if restored.version.0 > 0 {
            entry.more().version = restored.version;
        }
        let stream = Stream::restored(restored.position, restored.publications, restored.touched);
        entry.stream = Some(Box::new(stream));
        table.channels.insert(name, entry);
    }

    /// Tells whoever waits.
    pub(crate) fn settle(&self, ticket: Option<Ticket>, outcome: Result<Published, PublishError>) {
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

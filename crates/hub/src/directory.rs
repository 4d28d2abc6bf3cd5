//! The directory of channels: which workers care, what is kept, who is there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use jackfield_model::{Millis, Position, Publication};

use crate::broker::Mirror;
use crate::keyed::Keyed;
use crate::namespace::Options;
use crate::presence::Presence;
use crate::results::Results;
use crate::stream::Stream;

/// What a worker needs to let a connection listen.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Number of the channel while anybody cares for it.
    pub key: u64,
    /// The channel's name, shared by all who hold it.
    pub name: Arc<str>,
    /// Pushes numbered up to here were before this subscription's time.
    pub sequence: u64,
    /// What the client is told to be at: where it was if it recovered, else the top of the history, where the channel
    /// has one.
    pub position: Option<Position>,
    /// What came of its wish to recover, or of the channel's to begin with the latest values.
    pub recovery: Option<Recovery>,
    /// Options of the channel's namespace.
    pub options: Arc<Options>,
}

/// What came of a client's wish to recover.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovery {
    /// Invariant: if so, the client's position, `publications` and the pushes after [`Joined::sequence`] follow each
    /// other without a gap and without a double.
    pub recovered: bool,
    /// What it missed, oldest first; or the latest values where the channel keeps those.
    pub publications: Vec<Arc<Publication>>,
}

/// Where a client that comes back has been.
#[derive(Clone, Copy, Debug)]
pub struct Since<'a> {
    /// The last position it has seen.
    pub position: &'a Position,
    /// It would rather not come in than miss something.
    pub or_nothing: bool,
    /// The latest values are all it wants.
    pub latest: bool,
}

/// One channel as the whole node knows it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) key: u64,
    pub(crate) name: Arc<str>,
    /// One bit per worker that has a subscriber.
    pub(crate) workers: u64,
    pub(crate) stream: Option<Box<Stream>>,
    pub(crate) presence: Option<Box<Presence>>,
    /// Subscriptions of all workers.
    pub(crate) members: u32,
    /// How often its stream began anew.
    pub(crate) life: u32,
    pub(crate) more: Option<Box<More>>,
    /// How it stands to the broker, where there is one.
    pub(crate) mirror: Option<Box<Mirror>>,
    pub(crate) options: Arc<Options>,
    /// Somebody hears the whole channel.
    pub(crate) is_tapped: bool,
}

/// What few channels have.
#[derive(Debug, Default)]
pub(crate) struct More {
    /// The latest value of every key.
    pub(crate) state: Keyed,
    /// The publication before, where deltas are made.
    pub(crate) last: Option<Arc<Publication>>,
    /// The publisher's own count, and its life.
    pub(crate) version: (u64, Arc<str>),
    /// When the table looks at the values' ends next.
    pub(crate) noted: Option<Millis>,
}

impl Channel {
    pub(crate) fn new(key: u64, name: Arc<str>, options: Arc<Options>) -> Self {
        Self {
            key,
            name,
            workers: 0,
            stream: None,
            presence: None,
            members: 0,
            life: 0,
            more: None,
            mirror: None,
            options,
            is_tapped: false,
        }
    }

    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The values of its keys, where the namespace keeps those. Deltas and versions need a place here too.
    pub(crate) fn state(&self) -> Option<&Keyed> {
        self.more.as_ref().filter(|_| self.options.has_state()).map(|more| &more.state)
    }

    /// Whether nobody would miss it.
    fn is_idle(&self, now: Millis) -> bool {
        self.workers == 0
            && self.presence.as_ref().is_none_or(|presence| presence.is_empty())
            && self.state().is_none_or(Keyed::is_empty)
            && self.stream.as_ref().is_none_or(|stream| {
                // Why: any client that may read history can name channels; what nobody published into has no past.
                let ttl = if stream.has_past() { self.options.meta_ttl() } else { self.options.history_ttl() };
                stream.is_empty() && !stream.is_awaited() && stream.touched().saturating_add(ttl) < now
            })
    }
}

/// A part of the directory.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) channels: HashMap<Arc<str>, Channel, ahash::RandomState>,
    pub(crate) results: Results,
    /// When values run out, and in which channel; told again for each, so an entry may be out of date.
    pub(crate) ends: BinaryHeap<Reverse<(Millis, Arc<str>)>>,
}

const TABLES: usize = 64;

/// All channels of the node, spread over tables that have a lock each.
#[derive(Debug)]
pub(crate) struct Directory {
    tables: Vec<Mutex<Table>>,
    hasher: ahash::RandomState,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self { tables: (0..TABLES).map(|_| Mutex::default()).collect(), hasher: ahash::RandomState::new() }
    }

    /// Locks the table that a channel is in.
    pub(crate) fn table(&self, channel: &str) -> MutexGuard<'_, Table> {
        let index = self.hasher.hash_one(channel) as usize % TABLES;
        // A table is whole after any panic of its holder but for the one channel that was touched.
        self.tables[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Channels that somebody cares for.
    pub(crate) fn count(&self) -> usize {
        self.all().map(|table| table.channels.len()).sum()
    }

    /// Each table in turn, locked.
    pub(crate) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Table>> {
        self.tables.iter().map(|table| table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what is too old in one table; the caller goes round all of them. Returns mirrored channels that are no
    /// longer needed.
    pub(crate) fn sweep(&self, round: usize, now: Millis) -> Vec<Arc<str>> {
        let mut table = self.tables[round % TABLES].lock().unwrap_or_else(PoisonError::into_inner);
        let channels = &mut table.channels;
        let mut dropped = Vec::new();
        channels.retain(|_, channel| {
            if let Some(stream) = &mut channel.stream {
                stream.expire(now, channel.options.history_ttl());
            }
            let is_needed = channel.workers != 0 || channel.presence.as_ref().is_some_and(|there| !there.is_empty());
            if let Some(mirror) = &mut channel.mirror {
                // It is a copy: what it holds can be read again.
                let is_over = mirror.is_over(is_needed, now);
                dropped.extend(is_over.then(|| Arc::clone(&channel.name)));
                return !is_over;
            }
            !channel.is_idle(now)
        });
        if channels.capacity() > 1024 && channels.len() < channels.capacity() / 8 {
            let room = channels.len() * 2;
            channels.shrink_to(room);
        }
        dropped
    }
}

/// Drops a channel that nobody cares for any more. Call after taking something away from it.
pub(crate) fn release(table: &mut Table, name: &str) {
    let idle = table.channels.get(name).is_some_and(|channel| {
        channel.workers == 0
            && channel.mirror.is_none()
            && channel.stream.is_none()
            && channel.state().is_none_or(Keyed::is_empty)
            && channel.presence.as_ref().is_none_or(|presence| presence.is_empty())
    });
    if idle {
        table.channels.remove(name);
    }
}

//! Who is in a document, and for whom each connection spoke: states that others replace and that nobody saves.

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use crate::Malformed;
use crate::reader::{MAX_SAFE, Reader, write_bytes, write_uint};
use crate::wire::Message;

/// How much a table holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AwarenessLimits {
    /// Clients that are there at a time; so many are remembered who went, too.
    pub clients: usize,
    /// Bytes of the state of one.
    pub state_bytes: usize,
}

/// Why a table does not take an update.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum AwarenessError {
    /// It is not an update.
    #[error("malformed awareness: {0}")]
    Malformed(#[from] Malformed),
    /// The state of a client is too long.
    #[error("state of a client is larger than {limit} bytes, keep what is large in the document or raise the limit")]
    StateTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// There would be too many clients.
    #[error("more than {limit} clients in a document, close some or raise the limit")]
    TooManyClients {
        /// The limit.
        limit: usize,
    },
}

/// What an update did. If it did anything, it goes on to the others as it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    /// Clients that came.
    pub added: Vec<u64>,
    /// Clients whose state is a newer one.
    pub updated: Vec<u64>,
    /// Clients that went.
    pub removed: Vec<u64>,
    /// A frame for whoever sent it. Somebody who comes back with the state they had when they were said to be gone would
    /// not be seen until they change it; told that they are gone, they say at once that they are not.
    pub answer: Option<Vec<u8>>,
}

impl Applied {
    /// Whether there is something in it for the others. Why it matters: clients send on what they hear, so what is known
    /// must end here.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        !(self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty())
    }
}

/// The states of those who are in one document.
#[derive(Debug)]
pub struct AwarenessTable {
    limits: AwarenessLimits,
    clients: BTreeMap<u64, Client>,
    /// How many of them are there.
    there: usize,
    /// Clients that went, the first to be forgotten first; some may be back.
    gone: VecDeque<u64>,
}

#[derive(Debug)]
struct Client {
    clock: u64,
    /// JSON; `None` if it went.
    state: Option<Box<str>>,
    owner: u64,
}

/// What an update says about a client.
struct Entry<'a> {
    client: u64,
    clock: u64,
    state: Option<&'a str>,
}

impl AwarenessTable {
    /// A table with nobody in it.
    #[must_use]
    pub const fn new(limits: AwarenessLimits) -> Self {
        Self { limits, clients: BTreeMap::new(), there: 0, gone: VecDeque::new() }
    }

    /// Takes what `owner` says, by the rules of y-protocols: a state counts if its clock is higher, and the end of one
    /// also if it is the same. Who said the last about a client is its owner.
    ///
    /// # Errors
    ///
    /// [`AwarenessError`], and the table is as it was.
    pub fn apply(&mut self, update: &[u8], owner: u64) -> Result<Applied, AwarenessError> {
        self.check(update)?;
        let (mut applied, mut answer) = (Applied::default(), Vec::new());
        read(update, |Entry { client, clock, state }| {
            let known = self.clients.get(&client);
            let (known_clock, is_there) = known.map_or((0, false), |known| (known.clock, known.state.is_some()));
            if known_clock < clock || (known_clock == clock && state.is_none() && is_there) {
                match state {
                    Some(_) if known.is_none() => applied.added.push(client),
                    Some(_) => applied.updated.push(client),
                    None if known.is_some() => applied.removed.push(client),
                    None => {}
                }
                self.set(client, Client { clock, state: state.map(Into::into), owner });
            } else if state.is_some() && known.is_some() && !is_there {
                answer.push((client, known_clock));
            }
            Ok::<_, AwarenessError>(())
        })?;
        applied.answer = frame(answer.iter().map(|(client, clock)| (*client, *clock, None)));
        Ok(applied)
    }

    fn check(&self, update: &[u8]) -> Result<(), AwarenessError> {
        let AwarenessLimits { clients, state_bytes } = self.limits;
        let mut new = 0;
        read(update, |entry| {
            if entry.state.is_some_and(|state| state.len() > state_bytes) {
                return Err(AwarenessError::StateTooLarge { limit: state_bytes });
            }
            let is_there = self.clients.get(&entry.client).is_some_and(|client| client.state.is_some());
            new += usize::from(entry.state.is_some() && !is_there);
            Ok(())
        })?;
        if new > 0 && self.there + new > clients {
            Err(AwarenessError::TooManyClients { limit: clients })
        } else {
            Ok(())
        }
    }

    fn set(&mut self, client: u64, entry: Client) {
        let comes = entry.state.is_some();
        let was_there = self.clients.insert(client, entry).is_some_and(|before| before.state.is_some());
        self.there = self.there + usize::from(comes) - usize::from(was_there);
        if comes {
            return;
        }
        self.gone.push_back(client);
        if self.gone.len() > self.limits.clients
            && let Some(first) = self.gone.pop_front()
            && self.clients.get(&first).is_some_and(|client| client.state.is_none())
        {
            self.clients.remove(&first);
        }
    }

    /// How many are there.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.there
    }

    /// Whether nobody is there.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.there == 0
    }

    /// The frame with all who are there, for who comes in or asks; `None` if nobody is.
    #[must_use]
    pub fn all(&self) -> Option<Vec<u8>> {
        frame(self.clients.iter().filter_map(|(id, client)| Some((*id, client.clock, Some(client.state.as_deref()?)))))
    }

    /// Ends the states that `owner` brought; the frame that says so to the others, if there were some.
    pub fn leave(&mut self, owner: u64) -> Option<Vec<u8>> {
        let gone: Vec<(u64, u64)> = self
            .clients
            .iter()
            .filter(|(_, client)| client.owner == owner && client.state.is_some())
            .map(|(id, client)| (*id, MAX_SAFE.min(client.clock + 1)))
            .collect();
        for (client, clock) in &gone {
            self.set(*client, Client { clock: *clock, state: None, owner });
        }
        frame(gone.iter().map(|(client, clock)| (*client, *clock, None)))
    }
}

/// The frame with an update; `None` if there is nothing in it.
fn frame<'a>(entries: impl Iterator<Item = (u64, u64, Option<&'a str>)> + Clone) -> Option<Vec<u8>> {
    let count = entries.clone().count();
    let mut update = Vec::new();
    write_uint(count as u64, &mut update);
    for (client, clock, state) in entries {
        write_uint(client, &mut update);
        write_uint(clock, &mut update);
        write_bytes(state.unwrap_or("null").as_bytes(), &mut update);
    }
    (count > 0).then(|| Message::Awareness(&update).to_vec())
}

fn read<'a, E: From<Malformed>>(update: &'a [u8], mut tell: impl FnMut(Entry<'a>) -> Result<(), E>) -> Result<(), E> {
    let mut reader = Reader::new(update);
    for _ in 0..reader.uint()? {
        let (client, clock) = (reader.uint()?, reader.uint()?);
        let state = reader.json()?;
        tell(Entry { client, clock, state: Some(state).filter(|state| state.trim_ascii() != "null") })?;
    }
    Ok(reader.end()?)
}

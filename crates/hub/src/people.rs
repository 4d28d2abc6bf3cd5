//! Who is connected: from a user or a connection id to the worker and slot that hold the socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jackfield_model::{ClientId, Uuid};

use crate::hub::Hub;
use crate::mailbox::Mail;

/// Where a connection lives. The generation tells a connection from the next one in the same slot.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Address {
    /// Index of the worker.
    pub worker: u16,
    /// Index of the connection in the worker.
    pub slot: u32,
    /// Which tenant of the slot.
    pub generation: u32,
}

/// Nearly every user has one connection, which needs no list of its own.
#[derive(Debug)]
enum Addresses {
    Many(Vec<Address>),
    One(Address),
}

const TABLES: usize = 16;

type Locked<K, V> = Mutex<HashMap<K, V, ahash::RandomState>>;

#[derive(Debug)]
pub(crate) struct People {
    clients: [Locked<ClientId, Address>; TABLES],
    users: [Locked<Arc<str>, Addresses>; TABLES],
    /// Connections whose client speaks by other requests, by the secret that those show.
    sessions: Locked<Uuid, Address>,
    hasher: ahash::RandomState,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl People {
    pub(crate) fn new() -> Self {
        Self {
            clients: std::array::from_fn(|_| Mutex::default()),
            users: std::array::from_fn(|_| Mutex::default()),
            sessions: Mutex::default(),
            hasher: ahash::RandomState::new(),
        }
    }

    fn client_table(&self, client: &ClientId) -> MutexGuard<'_, HashMap<ClientId, Address, ahash::RandomState>> {
        lock(&self.clients[self.hasher.hash_one(client) as usize % TABLES])
    }

    fn user_table(&self, user: &str) -> MutexGuard<'_, HashMap<Arc<str>, Addresses, ahash::RandomState>> {
        lock(&self.users[self.hasher.hash_one(user) as usize % TABLES])
    }

    /// Registers a connection; false (and nothing is registered) if its user is at `limit` already (0: none).
    pub(crate) fn arrive(&self, client: ClientId, user: &Arc<str>, at: Address, limit: usize) -> bool {
        if !user.is_empty() {
            match self.user_table(user).entry(Arc::clone(user)) {
                Entry::Vacant(entry) => {
                    entry.insert(Addresses::One(at));
                }
                Entry::Occupied(mut entry) => {
                    let mut all = match entry.get_mut() {
                        Addresses::Many(all) => std::mem::take(all),
                        Addresses::One(first) => vec![*first],
                    };
                    let refused = limit != 0 && all.len() >= limit;
                    if !refused {
                        all.push(at);
                    }
                    entry.insert(Addresses::Many(all));
                    if refused {
                        return false;
                    }
                }
            }
        }
        self.client_table(&client).insert(client, at);
        true
    }

    pub(crate) fn depart(&self, client: ClientId, user: &Arc<str>, at: Address) {
        self.client_table(&client).remove(&client);
        if user.is_empty() {
            return;
        }
        let mut users = self.user_table(user);
        let Entry::Occupied(mut entry) = users.entry(Arc::clone(user)) else { return };
        let gone = match entry.get_mut() {
            Addresses::One(only) => *only == at,
            Addresses::Many(all) => {
                all.retain(|one| *one != at);
                all.is_empty()
            }
        };
        if gone {
            entry.remove();
        }
    }

    pub(crate) fn of_client(&self, client: ClientId) -> Option<Address> {
        self.client_table(&client).get(&client).copied()
    }

    pub(crate) fn of_user(&self, user: &str) -> Vec<Address> {
        match self.user_table(user).get(user) {
            None => Vec::new(),
            Some(Addresses::One(only)) => vec![*only],
            Some(Addresses::Many(all)) => all.clone(),
        }
    }

    pub(crate) fn has_user(&self, user: &str) -> bool {
        self.user_table(user).contains_key(user)
    }

    pub(crate) fn of_session(&self, session: Uuid) -> Option<Address> {
        lock(&self.sessions).get(&session).copied()
    }

    pub(crate) fn users(&self) -> usize {
        self.users.iter().map(|table| lock(table).len()).sum()
    }

    pub(crate) fn count(&self) -> usize {
        self.clients.iter().map(|table| lock(table).len()).sum()
    }
}

/// Why an uplink request goes nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UplinkError {
    /// The session's worker is behind; try again in a moment.
    Busy,
    /// There is no such session, or no longer.
    Unknown,
}

/// Sessions whose uplink comes by requests of their own (emulation over SSE and HTTP streaming).
impl Hub {
    /// Gives a session a secret that leads to it.
    pub fn open_uplink(&self, session: Uuid, at: Address) {
        lock(&self.people.sessions).insert(session, at);
    }

    /// Takes it back.
    pub fn close_uplink(&self, session: Uuid) {
        lock(&self.people.sessions).remove(&session);
    }

    /// Hands what a client said to its session, wherever that lives on this node.
    pub fn uplink(&self, session: Uuid, data: Bytes) -> Result<(), UplinkError> {
        let at = self.people.of_session(session).ok_or(UplinkError::Unknown)?;
        let mailbox = self.mailboxes.get(usize::from(at.worker)).ok_or(UplinkError::Unknown)?;
        if mailbox.is_full() {
            return Err(UplinkError::Busy);
        }
        mailbox.post(Mail::Uplink(at, session, data));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_and_go() {
        let people = People::new();
        let user: Arc<str> = "ann".into();
        let at = |slot| Address { worker: 0, slot, generation: 1 };
        let ids: Vec<Uuid> = (0..3).map(|n| Uuid::from_u128(n + 1)).collect();
        assert!(people.arrive(ids[0], &user, at(0), 2));
        assert!(people.arrive(ids[1], &user, at(1), 2));
        assert!(!people.arrive(ids[2], &user, at(2), 2));
        assert_eq!(people.of_user("ann").len(), 2);
        assert_eq!(people.of_client(ids[2]), None);
        people.depart(ids[0], &user, at(0));
        assert_eq!(people.of_user("ann"), vec![at(1)]);
        people.depart(ids[1], &user, at(1));
        assert!(people.of_user("ann").is_empty());
        assert_eq!(people.count(), 0);
    }
}

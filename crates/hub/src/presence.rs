//! Who is in a channel.

use std::sync::Arc;

use hashbrown::HashMap;
use jackfield_model::client::PresenceStats;
use jackfield_model::{ClientId, ClientInfo};

/// The members of one channel, and how many connections each user has in it.
///
/// Why the count per user: statistics of a huge channel are answered without a walk through its members.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    members: HashMap<ClientId, Arc<ClientInfo>, ahash::RandomState>,
    users: HashMap<Arc<str>, u32, ahash::RandomState>,
}

impl Presence {
    pub(crate) fn insert(&mut self, info: Arc<ClientInfo>) {
        let user = Arc::clone(&info.user);
        if self.members.insert(info.client, info).is_none() {
            *self.users.entry(user).or_insert(0) += 1;
        }
    }

    pub(crate) fn remove(&mut self, client: ClientId) {
        let Some(info) = self.members.remove(&client) else { return };
        if let Some(count) = self.users.get_mut(&info.user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&info.user);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn members(&self) -> Vec<Arc<ClientInfo>> {
        self.members.values().cloned().collect()
    }

    pub(crate) fn stats(&self) -> PresenceStats {
        PresenceStats { num_clients: self.members.len() as u32, num_users: self.users.len() as u32 }
    }
}

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

    /// Numbers that stand for its users: the same on every node.
    pub(crate) fn user_marks(&self) -> Vec<u64> {
        self.users.keys().map(|user| mark(user)).collect()
    }

    pub(crate) fn stats(&self) -> PresenceStats {
        PresenceStats { num_clients: self.members.len() as u32, num_users: self.users.len() as u32 }
    }
}

/// FNV-1a. Why not the user itself: what counts a channel of 100,000 people goes from node to node.
fn mark(user: &str) -> u64 {
    user.bytes().fold(0xcbf2_9ce4_8422_2325, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

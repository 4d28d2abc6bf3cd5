//! What a node keeps count of for all nodes, and how all find the one that does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jackfield_model::ClientId;

/// The node that keeps count of a key: the one whose mark with it is highest, so that a node that comes or goes moves only
/// the keys that it gets or had.
pub(crate) fn home_of<'n>(key: &str, nodes: &'n [Arc<str>]) -> Option<&'n Arc<str>> {
    nodes.iter().max_by_key(|node| (mark(node, key), Arc::clone(node)))
}

/// The same on every node, whatever its version: FNV-1a over both, and the last step of SplitMix64 to spread it.
fn mark(node: &str, key: &str) -> u64 {
    let bytes = node.bytes().chain([0]).chain(key.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

type Connections = Vec<(Arc<str>, ClientId)>;

/// Channels and connections.
type Unnamed = (HashSet<Arc<str>>, HashSet<ClientId>);

/// The counts of a home.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// On which nodes a channel is in use.
    channels: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// The connections of a user, in the order in which they came.
    users: HashMap<Arc<str>, Connections>,
    /// What a node that counts anew has not named yet.
    unnamed: HashMap<Arc<str>, Unnamed>,
}

impl Home {
    /// A channel is in use on a node; true if it was on none.
    pub(crate) fn occupied(&mut self, name: &Arc<str>, node: &Arc<str>) -> bool {
        if let Some((channels, _)) = self.unnamed.get_mut(node) {
            channels.remove(name);
        }
        let nodes = self.channels.entry(Arc::clone(name)).or_default();
        nodes.insert(Arc::clone(node)) && nodes.len() == 1
    }

    /// It is not any more; true if it was the last.
    pub(crate) fn vacated(&mut self, name: &str, node: &str) -> bool {
        let Some(nodes) = self.channels.get_mut(name) else { return false };
        let was_there = nodes.remove(node);
        let is_empty = nodes.is_empty();
        if is_empty {
            self.channels.remove(name);
        }
        was_there && is_empty
    }

    pub(crate) fn is_in_use(&self, name: &str) -> bool {
        self.channels.contains_key(name)
    }

    /// A connection of a user has come; how many there are now.
    pub(crate) fn arrived(&mut self, user: &Arc<str>, node: &Arc<str>, client: ClientId) -> usize {
        if let Some((_, clients)) = self.unnamed.get_mut(node) {
            clients.remove(&client);
        }
        let all = self.users.entry(Arc::clone(user)).or_default();
        if !all.iter().any(|(_, known)| *known == client) {
            all.push((Arc::clone(node), client));
        }
        all.len()
    }

    pub(crate) fn departed(&mut self, user: &str, node: &str, client: ClientId) {
        let Some(all) = self.users.get_mut(user) else { return };
        all.retain(|(on, known)| &**on != node || *known != client);
        if all.is_empty() {
            self.users.remove(user);
        }
    }

    /// Forgets what others are home of.
    pub(crate) fn keep(&mut self, is_mine: impl Fn(&str) -> bool) {
        self.channels.retain(|name, _| is_mine(name));
        self.users.retain(|user, _| is_mine(user));
    }

    /// A node is no more; the channels that were in use nowhere else.
    pub(crate) fn lose(&mut self, node: &str) -> Vec<Arc<str>> {
        self.unnamed.remove(node);
        self.users.retain(|_, all| {
            all.retain(|(on, _)| &**on != node);
            !all.is_empty()
        });
        let with: Vec<Arc<str>> =
            self.channels.iter().filter(|(_, nodes)| nodes.contains(node)).map(|(name, _)| Arc::clone(name)).collect();
        with.into_iter().filter(|name| self.vacated(name, node)).collect()
    }

    /// A node will name all that it has.
    pub(crate) fn begin_recount(&mut self, node: &Arc<str>) {
        let channels = self.channels.iter().filter(|(_, nodes)| nodes.contains(node));
        let clients = self.users.values().flatten().filter(|(on, _)| on == node);
        let all = (channels.map(|(name, _)| Arc::clone(name)).collect(), clients.map(|(_, client)| *client).collect());
        self.unnamed.insert(Arc::clone(node), all);
    }

    /// It has; the channels that it did not name and that are in use nowhere else.
    pub(crate) fn end_recount(&mut self, node: &str) -> Vec<Arc<str>> {
        let Some((channels, clients)) = self.unnamed.remove(node) else { return Vec::new() };
        if !clients.is_empty() {
            self.users.retain(|_, all| {
                all.retain(|(on, client)| &**on != node || !clients.contains(client));
                !all.is_empty()
            });
        }
        channels.into_iter().filter(|name| self.vacated(name, node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn a_node_that_goes_moves_only_what_it_had() {
        let (all, fewer) = (names(&["a", "b", "c"]), names(&["a", "c"]));
        let mut homes = HashMap::new();
        for number in 0..3000 {
            let key = format!("room:{number}");
            let home = home_of(&key, &all).unwrap();
            *homes.entry(Arc::clone(home)).or_insert(0) += 1;
            if &**home != "b" {
                assert_eq!(home_of(&key, &fewer), Some(home), "{key}");
            }
        }
        assert!(homes.values().all(|count| (850..1150).contains(count)), "{homes:?}");
        assert_eq!(home_of("x", &[]), None);
    }

    #[test]
    fn the_marks_do_not_change_with_versions() {
        assert_eq!(mark("node-a", "room:1"), 14_929_476_320_810_872_266);
    }

    #[test]
    fn a_recount_ends_what_was_not_named() {
        let mut home = Home::default();
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let [one, two]: [Arc<str>; 2] = ["one".into(), "two".into()];
        assert!(home.occupied(&one, &a) && home.occupied(&two, &a) && !home.occupied(&two, &b));
        let client = ClientId::from_u128(1);
        assert_eq!(home.arrived(&one, &a, client), 1);
        home.begin_recount(&a);
        assert!(!home.occupied(&two, &a));
        assert_eq!(home.end_recount("a"), [Arc::clone(&one)]);
        assert!(home.users.is_empty());
        assert!(!home.vacated("two", "a") && home.vacated("two", "b"));
        assert!(home.channels.is_empty());
    }
}

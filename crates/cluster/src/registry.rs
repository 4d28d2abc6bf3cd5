//! Which nodes are there: each says so once a second, and one that was silent for the time of its lease is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::card::Card;

/// How often a node says that it is there.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// How long it counts as there without a word.
pub(crate) const LEASE: Duration = Duration::from_secs(6);

/// The other nodes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    nodes: Mutex<HashMap<Arc<str>, (Card, Instant)>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, (Card, Instant)>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has said that it is there; true if that is news.
    pub(crate) fn heard(&self, card: Card, now: Instant) -> bool {
        self.lock().insert(Arc::clone(&card.uid), (card, now)).is_none()
    }

    /// A node has said goodbye.
    pub(crate) fn left(&self, uid: &str) -> Option<Card> {
        self.lock().remove(uid).map(|(card, _)| card)
    }

    /// Those whose lease has run out.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Card> {
        let mut nodes = self.lock();
        let over = nodes.extract_if(|_, (_, heard)| *heard + LEASE <= now);
        over.map(|(_, (card, _))| card).collect()
    }

    /// This node was away itself: nobody else is to blame for the silence.
    pub(crate) fn excuse(&self, now: Instant) {
        for (_, heard) in self.lock().values_mut() {
            *heard = now;
        }
    }

    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.lock().contains_key(uid)
    }

    pub(crate) fn uids(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_come_stay_and_go() {
        let registry = Registry::default();
        let start = Instant::now();
        let card = |uid: &str| Card { uid: uid.into(), ..Card::default() };
        assert!(registry.heard(card("a"), start) && !registry.heard(card("a"), start + BEAT));
        assert!(registry.heard(card("b"), start));
        assert_eq!(registry.expire(start + LEASE), [card("b")]);
        assert!(registry.knows("a") && !registry.knows("b"));
        registry.excuse(start + LEASE * 3);
        assert_eq!(registry.expire(start + LEASE * 3), []);
        assert_eq!(registry.left("a"), Some(card("a")));
        assert!(registry.uids().is_empty() && registry.left("a").is_none());
    }
}

//! What became of publications with an idempotency key: who sends one again hears the same.

use std::collections::VecDeque;

use hashbrown::HashMap;
use jackfield_model::Millis;

use crate::publish::Published;

/// How long a result is remembered.
const REMEMBERED: Millis = 5 * 60 * 1000;
/// Results of one table; beyond that the oldest are forgotten early, so that nobody fills the memory with keys.
const MOST: usize = 16_384;

/// The results of one table of channels.
#[derive(Debug, Default)]
pub(crate) struct Results {
    known: HashMap<Box<str>, Published, ahash::RandomState>,
    order: VecDeque<(Millis, Box<str>)>,
}

impl Results {
    pub(crate) fn get(&mut self, channel: &str, key: &str, now: Millis) -> Option<Published> {
        self.forget(now);
        self.known.get(&*name(channel, key)).cloned()
    }

    pub(crate) fn put(&mut self, channel: &str, key: &str, published: &Published, now: Millis) {
        let name = name(channel, key);
        if self.known.insert(name.clone(), published.clone()).is_none() {
            self.order.push_back((now, name));
        }
        self.forget(now);
    }

    /// What it was the result of has not happened.
    pub(crate) fn remove(&mut self, channel: &str, key: &str) {
        let name = name(channel, key);
        if self.known.remove(&name).is_some()
            && let Some(at) = self.order.iter().rposition(|(_, known)| *known == name)
        {
            self.order.remove(at);
        }
    }

    fn forget(&mut self, now: Millis) {
        while let Some((since, _)) = self.order.front()
            // A clock that was set back must not keep them for ever; their number ends that.
            && (since + REMEMBERED <= now || self.order.len() > MOST)
            && let Some((_, name)) = self.order.pop_front()
        {
            self.known.remove(&name);
        }
    }
}

/// Channel names have no NUL, so no two pairs have one name.
fn name(channel: &str, key: &str) -> Box<str> {
    format!("{channel}\0{key}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_remembered_for_a_while_and_in_bounds() {
        let mut results = Results::default();
        results.put("a", "k", &Published::default(), 0);
        assert!(results.get("a", "k", REMEMBERED - 1).is_some());
        assert!(results.get("a", "other", 1).is_none() && results.get("b", "k", 1).is_none());
        assert!(results.get("a", "k", REMEMBERED).is_none());
        for n in 0..MOST + 10 {
            results.put("a", &n.to_string(), &Published::default(), 1);
        }
        assert_eq!((results.known.len(), results.order.len()), (MOST, MOST));
        assert!(results.get("a", "9", 1).is_none() && results.get("a", "10", 1).is_some());
    }
}

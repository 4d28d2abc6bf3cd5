//! Remembers the ids of commands that are done, so that none is done twice.

use std::time::Duration;

use ahash::AHashSet;
use tokio::time::Instant;

/// Two generations: the young one takes ids in, the old one is forgotten whole. So an id is known for one to two spans,
/// and forgetting costs nothing per id. The bound cuts the span short under a flood, which then costs certainty, not
/// memory.
#[derive(Debug)]
pub(crate) struct Recent {
    young: AHashSet<Box<str>>,
    old: AHashSet<Box<str>>,
    since: Instant,
    span: Duration,
    bound: usize,
}

impl Recent {
    pub(crate) fn new(span: Duration, bound: usize, now: Instant) -> Self {
        Self { young: AHashSet::new(), old: AHashSet::new(), since: now, span, bound }
    }

    /// Whether the id was seen. A command without an id is always new.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }

    /// Remembers the id.
    pub(crate) fn insert(&mut self, id: &str, now: Instant) {
        if id.is_empty() {
            return;
        }
        let age = now.duration_since(self.since);
        if age >= self.span || self.young.len() >= self.bound {
            self.old = std::mem::take(&mut self.young);
            if age >= self.span * 2 {
                self.old.clear();
            }
            self.since = now;
        }
        self.young.insert(id.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_for_a_span_at_least_and_two_at_most() {
        let span = Duration::from_secs(300);
        let start = Instant::now();
        let mut recent = Recent::new(span, 100, start);
        recent.insert("a", start + span / 2);
        recent.insert("", start);
        assert!(recent.knows("a"));
        assert!(!recent.knows(""));
        recent.insert("b", start + span);
        assert!(recent.knows("a"));
        recent.insert("c", start + span * 2);
        assert!(!recent.knows("a"));
        assert!(recent.knows("b"));
        recent.insert("d", start + span * 5);
        assert!(!recent.knows("c"));
    }

    #[test]
    fn a_flood_is_bounded() {
        let start = Instant::now();
        let mut recent = Recent::new(Duration::from_secs(300), 10, start);
        for n in 0..100 {
            recent.insert(&n.to_string(), start);
        }
        assert!(recent.young.len() + recent.old.len() <= 20);
        assert!(recent.knows("99"));
    }
}

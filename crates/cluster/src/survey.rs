//! Questions to all other nodes that wait for their answers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ask::{Reply, Sum};

/// How long nodes have to answer. One that is silent for longer is told apart from a dead one by its lease.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What is done with the answers.
pub(crate) type Then = Box<dyn FnOnce(Sum) + Send>;

/// One question.
struct Open {
    missing: HashSet<Arc<str>>,
    sum: Sum,
    then: Then,
    until: Instant,
}

/// All that wait.
#[derive(Default)]
pub(crate) struct Surveys {
    open: Mutex<(u64, HashMap<u64, Open>)>,
}

impl Surveys {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Open>)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for these nodes; the number that they answer under.
    pub(crate) fn begin(&self, missing: HashSet<Arc<str>>, sum: Sum, patience: Duration, then: Then) -> u64 {
        let mut open = self.lock();
        open.0 += 1;
        let id = open.0;
        open.1.insert(id, Open { missing, sum, then, until: Instant::now() + patience });
        id
    }

    /// A node has answered.
    pub(crate) fn answered(&self, id: u64, from: &Arc<str>, reply: Reply) {
        let over = {
            let mut open = self.lock();
            let Some(one) = open.1.get_mut(&id) else { return };
            // An answer that comes twice counts once.
            if !one.missing.remove(from) {
                return;
            }
            one.sum.add(from, reply);
            if one.missing.is_empty() { open.1.remove(&id) } else { None }
        };
        if let Some(one) = over {
            (one.then)(one.sum);
        }
    }

    /// Nobody waits for a node that is gone.
    pub(crate) fn gone(&self, node: &str) {
        self.end(|one| one.missing.remove(node) && one.missing.is_empty());
    }

    /// Tells those that have waited long enough what is known; which nodes were silent.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Arc<str>> {
        let mut silent = HashSet::new();
        self.end(|one| {
            if one.until > now {
                return false;
            }
            silent.extend(one.missing.iter().cloned());
            true
        });
        silent.into_iter().collect()
    }

    fn end(&self, mut is_over: impl FnMut(&mut Open) -> bool) {
        let over: Vec<Open> = {
            let mut open = self.lock();
            let ids: Vec<u64> = open.1.iter_mut().filter_map(|(id, one)| is_over(one).then_some(*id)).collect();
            ids.iter().filter_map(|id| open.1.remove(id)).collect()
        };
        for one in over {
            (one.then)(one.sum);
        }
    }
}

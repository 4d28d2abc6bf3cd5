//! Who does not take what it is sent: counted, told in the log, and how old what waits for them is.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use jackfield_hub::namespace::Gauges;
use jackfield_session::Tick;
use slab::Slab;

use crate::backlog::Backlog;
use crate::connection::{Connection, Phase};
use crate::floor::Floor;

/// Ticks between two looks; who is blocked for less is not worth a word.
const LOOK: Tick = 10;
/// Lines of the log that one look may write, so that a bad minute of the network does not fill the disk.
const LINES: usize = 8;

/// How old what waits is: worker, namespace, milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Staleness(Mutex<Vec<(u16, Arc<Gauges>, u64)>>);

impl Staleness {
    /// Puts what a worker sees in the place of what it saw before, and the oldest of all workers into the gauges.
    fn tell(&self, worker: u16, seen: Vec<(Arc<Gauges>, u64)>) {
        // Each entry is whole whenever another panics.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut touched: Vec<Arc<Gauges>> = seen.iter().map(|(gauges, _)| Arc::clone(gauges)).collect();
        touched.extend(all.extract_if(.., |(whose, _, _)| *whose == worker).map(|(_, gauges, _)| gauges));
        all.extend(seen.into_iter().map(|(gauges, age)| (worker, gauges, age)));
        for gauges in touched {
            let ages = all.iter().filter(|(_, one, _)| Arc::ptr_eq(one, &gauges)).map(|(_, _, age)| *age);
            gauges.stalest_millis.store(ages.max().unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// The blocked connections of a worker.
#[derive(Debug)]
pub(crate) struct Blocked {
    slots: Vec<u32>,
    due: Tick,
}

impl Default for Blocked {
    fn default() -> Self {
        Self { slots: Vec::new(), due: Tick::MAX }
    }
}

impl Blocked {
    /// When [`Self::look`] wants to be called.
    pub(crate) fn due(&self) -> Tick {
        self.due
    }

    /// A connection is blocked.
    pub(crate) fn add(&mut self, slot: usize, floor: &Floor) {
        floor.plan.counters.blocked.rise();
        self.slots.push(slot as u32);
        self.due = self.due.min(floor.now.tick + LOOK);
    }

    /// It takes what it is sent again, or is gone; the next look finds that out by itself.
    pub(crate) fn relieve(slot: usize, backlog: &Backlog, floor: &Floor) {
        floor.plan.counters.blocked.fall();
        if backlog.is_told {
            let waited = (floor.fine as u32).wrapping_sub(backlog.blocked_at);
            tracing::info!(
                worker = floor.index,
                slot,
                waited_millis = waited,
                conflated = backlog.conflated,
                dropped = backlog.dropped,
                bytes_left = backlog.bytes(),
                "a slow reader is not behind any more"
            );
        }
    }

    /// Looks at all of them.
    pub(crate) fn look(&mut self, connections: &mut Slab<Connection>, floor: &Floor) {
        let now = floor.fine as u32;
        let mut seen: Vec<(Arc<Gauges>, u64)> = Vec::new();
        let mut lines = LINES;
        // Who was blocked twice since the last look stands here twice.
        self.slots.sort_unstable();
        self.slots.dedup();
        self.slots.retain(|slot| {
            let Some(connection) = connections.get_mut(*slot as usize) else { return false };
            let Some(backlog) = &mut connection.backlog else { return false };
            if let Some((gauges, since)) = backlog.stalest() {
                let age = u64::from(now.wrapping_sub(since));
                match seen.iter_mut().find(|(known, _)| Arc::ptr_eq(known, gauges)) {
                    Some((_, oldest)) => *oldest = (*oldest).max(age),
                    None => seen.push((Arc::clone(gauges), age)),
                }
            }
            let waited = now.wrapping_sub(backlog.blocked_at);
            if let Phase::Open(session, _) = &connection.phase
                && !backlog.is_told
                && waited >= 1000
                && lines > 0
            {
                lines -= 1;
                backlog.is_told = true;
                tracing::info!(
                    worker = floor.index,
                    slot,
                    client = %session.id(),
                    user = ?session.user(),
                    waited_millis = waited,
                    bytes = backlog.bytes(),
                    conflated = backlog.conflated,
                    dropped = backlog.dropped,
                    "a reader is slow"
                );
            }
            true
        });
        floor.plan.counters.staleness.tell(floor.index, seen);
        self.due = if self.slots.is_empty() { Tick::MAX } else { floor.now.tick + LOOK };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_all_workers_counts_until_it_is_gone() {
        let staleness = Staleness::default();
        let (one, two) = (Arc::<Gauges>::default(), Arc::<Gauges>::default());
        let read = |gauges: &Gauges| gauges.stalest_millis.load(Ordering::Relaxed);
        staleness.tell(0, vec![(Arc::clone(&one), 500), (Arc::clone(&two), 7)]);
        staleness.tell(1, vec![(Arc::clone(&one), 900)]);
        assert_eq!((read(&one), read(&two)), (900, 7));
        staleness.tell(1, Vec::new());
        assert_eq!((read(&one), read(&two)), (500, 7));
        staleness.tell(0, vec![(Arc::clone(&two), 3)]);
        assert_eq!((read(&one), read(&two)), (0, 3));
    }
}

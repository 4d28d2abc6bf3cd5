//! Deadlines of all connections of a worker: four bytes each, and one walk when the earliest has come.
//!
//! Why no wheel and no heap: 100,000 deadlines are 400 KB that a walk reads in about 20 microseconds, setting one is one
//! store, and nothing has to be taken out when a connection goes.

use jackfield_session::Tick;

/// When each slot wants attention.
#[derive(Debug)]
pub(crate) struct Deadlines {
    due: Vec<Tick>,
    next: Tick,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { due: Vec::new(), next: Tick::MAX }
    }
}

impl Deadlines {
    /// Sets the deadline of a slot; `Tick::MAX` for none.
    pub(crate) fn set(&mut self, slot: usize, due: Tick) {
        if slot >= self.due.len() {
            self.due.resize(slot + 1, Tick::MAX);
        }
        self.due[slot] = due;
        self.next = self.next.min(due);
    }

    /// The earliest deadline, or a little before it.
    pub(crate) fn next(&self) -> Tick {
        self.next
    }

    /// Collects the slots whose time has come; each must be set anew.
    pub(crate) fn sweep(&mut self, now: Tick, into: &mut Vec<usize>) {
        into.clear();
        if self.next > now {
            return;
        }
        let mut next = Tick::MAX;
        for (slot, due) in self.due.iter_mut().enumerate() {
            if *due <= now {
                *due = Tick::MAX;
                into.push(slot);
            }
            next = next.min(*due);
        }
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_in_its_time() {
        let mut deadlines = Deadlines::default();
        deadlines.set(0, 10);
        deadlines.set(3, 5);
        deadlines.set(1, 20);
        let mut due = Vec::new();
        assert_eq!(deadlines.next(), 5);
        deadlines.sweep(4, &mut due);
        assert!(due.is_empty());
        deadlines.sweep(12, &mut due);
        assert_eq!(due, [0, 3]);
        assert_eq!(deadlines.next(), 20);
        deadlines.sweep(12, &mut due);
        assert!(due.is_empty());
        deadlines.set(1, Tick::MAX);
        deadlines.sweep(30, &mut due);
        assert!(due.is_empty());
        assert_eq!(deadlines.next(), Tick::MAX);
    }
}

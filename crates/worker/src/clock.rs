//! The clock of a worker, read once per round.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jackfield_model::Millis;
use jackfield_session::{Now, Tick};

/// Milliseconds of one tick.
const TICK: u64 = 100;

/// Counts from the start of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// When that was, in milliseconds since 1970.
    born: Millis,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, born: since_1970().saturating_sub(millis(start.elapsed())) }
    }

    /// The time. Tick 0 is left out: sessions use 0 for "never".
    pub(crate) fn now(&self) -> Now {
        Now { tick: self.tick(), millis: since_1970() }
    }

    /// Milliseconds since 1970 by what the clock said at the start, so it never jumps: windows of figures begin at its
    /// multiples, and are told to clients.
    pub(crate) fn fine(&self) -> Millis {
        self.born + millis(self.start.elapsed())
    }

    fn tick(&self) -> Tick {
        Tick::try_from(millis(self.start.elapsed()) / TICK + 1).unwrap_or(Tick::MAX)
    }

    /// How long until [`Self::fine`] has come so far.
    pub(crate) fn until_fine(&self, due: Millis) -> Duration {
        Duration::from_millis(due.saturating_sub(self.born)).saturating_sub(self.start.elapsed())
    }

    /// How long until a tick has come; `None` for never.
    pub(crate) fn until(&self, due: Tick) -> Option<Duration> {
        if due == Tick::MAX {
            return None;
        }
        let at = Duration::from_millis(u64::from(due.saturating_sub(1)) * TICK);
        Some(at.saturating_sub(self.start.elapsed()))
    }
}

fn since_1970() -> Millis {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_those_of_people_and_only_one_may_jump() {
        let clock = Clock::new(Instant::now());
        let (before, fine, after) = (clock.now().millis, clock.fine(), since_1970());
        // A millisecond less: two clocks were read one after the other, and each cut off what it had beyond.
        assert!((before - 1..=after + 1).contains(&fine), "{before} {fine} {after}");
        assert!(clock.now().tick >= 1);
        assert!(clock.until_fine(fine + 60_000) > Duration::from_secs(59));
        assert_eq!(clock.until_fine(fine - 60_000), Duration::ZERO);
    }
}

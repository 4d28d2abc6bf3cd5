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
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start }
    }

    /// The time. Tick 0 is left out: sessions use 0 for "never".
    pub(crate) fn now(&self) -> Now {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Now { tick: self.tick(), millis: u64::try_from(millis).unwrap_or(u64::MAX) }
    }

    /// Milliseconds since the start; never jumps.
    pub(crate) fn fine(&self) -> Millis {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tick(&self) -> Tick {
        Tick::try_from(self.fine() / TICK + 1).unwrap_or(Tick::MAX)
    }

    /// How long until so many milliseconds have passed since the start.
    pub(crate) fn until_fine(&self, due: Millis) -> Duration {
        Duration::from_millis(due).saturating_sub(self.start.elapsed())
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

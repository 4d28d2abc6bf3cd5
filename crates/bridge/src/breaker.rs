//! Decides whether the queue is worth a try: after a failure the next ones fail at once, until a trial gets through.

use std::time::Duration;

use tokio::time::Instant;

/// Growing pauses between attempts.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    least: Duration,
    most: Duration,
}

impl Backoff {
    /// From the shortest to the longest.
    #[must_use]
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { next: least, least, most }
    }

    /// How long to pause; twice as long the next time.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        pause
    }

    /// All is well.
    pub fn reset(&mut self) {
        self.next = self.least;
    }

    /// Whether nothing has failed since all was well.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.next == self.least
    }
}

/// Closed while the queue works, open while it does not, and half open for one trial after each pause.
#[derive(Debug)]
pub(crate) struct Breaker {
    open: bool,
    until: Instant,
    backoff: Backoff,
}

impl Breaker {
    pub(crate) fn new(least: Duration, most: Duration, now: Instant) -> Self {
        Self { open: false, until: now, backoff: Backoff::new(least, most) }
    }

    /// Whether an event may be sent, be it as a trial.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        !self.open || now >= self.until
    }

    /// Like `lets_through`, for attempts that overlap: while it is open one trial at a time, which has so long.
    pub(crate) fn tries(&mut self, now: Instant, patience: Duration) -> bool {
        if !self.open {
            return true;
        }
        let may = now >= self.until;
        if may {
            self.until = now + patience;
        }
        may
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// When what was held back may be tried again.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// The queue did not work; true if it did before.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.wait(now);
        !std::mem::replace(&mut self.open, true)
    }

    /// The queue works; true if it did not before.
    pub(crate) fn worked(&mut self, now: Instant) -> bool {
        self.backoff.reset();
        self.until = now;
        std::mem::replace(&mut self.open, false)
    }

    /// The queue works but is full: what was held back waits, the rest goes on.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.until = now + self.backoff.pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trial_at_a_time() {
        let (half, second) = (Duration::from_millis(500), Duration::from_secs(1));
        let start = Instant::now();
        let mut breaker = Breaker::new(half, second, start);
        assert!(breaker.tries(start, second) && breaker.tries(start, second));
        breaker.failed(start);
        assert!(!breaker.tries(start, second));
        assert!(breaker.tries(start + half, second));
        assert!(!breaker.tries(start + half, second));
        assert!(breaker.tries(start + half + second, second), "whose trial never came back is followed by another");
        breaker.worked(start);
        assert!(breaker.tries(start, second));
    }

    #[test]
    fn opens_pauses_longer_and_closes() {
        let (least, most) = (Duration::from_millis(500), Duration::from_millis(1500));
        let start = Instant::now();
        let mut breaker = Breaker::new(least, most, start);
        assert!(breaker.lets_through(start));
        assert!(breaker.failed(start));
        assert!(!breaker.lets_through(start));
        let mut now = start;
        for pause in [500, 1000, 1500, 1500] {
            assert_eq!(breaker.until(), now + Duration::from_millis(pause));
            now = breaker.until();
            assert!(breaker.lets_through(now));
            assert!(!breaker.failed(now));
        }
        assert!(breaker.worked(now));
        assert!(!breaker.worked(now));
        assert!(!breaker.is_open());
        assert!(breaker.failed(now));
        assert_eq!(breaker.until(), now + least);
    }
}

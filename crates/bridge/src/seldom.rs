//! Keeps a log line from being written more often than people can read it.

use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(10);

/// One kind of line, at most every ten seconds.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    silent: u64,
}

impl Seldom {
    /// How many lines were left out since the last one; `None` if this one is left out too.
    pub fn ask(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.silent += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_line_tells_how_many_were_left_out() {
        let mut seldom = Seldom::default();
        let start = Instant::now();
        assert_eq!(seldom.ask(start), Some(0));
        assert_eq!(seldom.ask(start), None);
        assert_eq!(seldom.ask(start + PAUSE / 2), None);
        assert_eq!(seldom.ask(start + PAUSE), Some(2));
    }
}

//! How fast one connection may speak.

use crate::turn::Tick;

/// Bytes of a frame that count as nothing beyond its commands.
const FREE: usize = 8 * 1024;

/// Counts commands within the current second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    second: u32,
    count: u32,
}

/// What the rate says about one more command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Admit,
    /// Over the limit: the command fails with "too many requests".
    Refuse,
    /// Far over it: the connection ends.
    End,
}

impl Rate {
    /// Counts one command; `limit` 0 is no limit.
    pub(crate) fn count(&mut self, tick: Tick, limit: u32) -> Verdict {
        let second = tick / 10;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        match limit {
            0 => Verdict::Admit,
            _ if self.count <= limit => Verdict::Admit,
            // Whoever goes on after this many errors in one second does not listen to them.
            _ if self.count <= limit.saturating_mul(5) => Verdict::Refuse,
            _ => Verdict::End,
        }
    }

    /// Counts a long frame as so many commands more as it could have held: whoever sends much at a time may do so less
    /// often, and what a compressed frame becomes counts, not what it was.
    pub(crate) fn weigh(&mut self, tick: Tick, bytes: usize) {
        let second = tick / 10;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count = self.count.saturating_add(u32::try_from(bytes / FREE).unwrap_or(u32::MAX));
    }

    /// For dialects without error replies: until when reading must pause.
    pub(crate) fn pause(&self, tick: Tick, limit: u32) -> Option<Tick> {
        (limit != 0 && tick / 10 == self.second && self.count >= limit).then(|| (self.second + 1) * 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_frames_weigh_more() {
        let mut rate = Rate::default();
        rate.weigh(10, FREE - 1);
        assert_eq!(rate.count(10, 5), Verdict::Admit);
        rate.weigh(10, 8 * FREE);
        assert_eq!(rate.count(10, 5), Verdict::Refuse);
        rate.weigh(20, 4 * FREE);
        assert_eq!(rate.count(20, 5), Verdict::Admit, "a new second");
        rate.weigh(20, usize::MAX);
        assert_eq!(rate.count(20, 5), Verdict::End);
        assert_eq!(rate.pause(20, 5), Some(30));
    }

    #[test]
    fn a_new_second_is_a_new_start() {
        let mut rate = Rate::default();
        assert_eq!(rate.count(10, 2), Verdict::Admit);
        assert_eq!(rate.count(11, 2), Verdict::Admit);
        assert_eq!(rate.pause(12, 2), Some(20));
        assert_eq!(rate.count(12, 2), Verdict::Refuse);
        for _ in 0..7 {
            assert_eq!(rate.count(19, 2), Verdict::Refuse);
        }
        assert_eq!(rate.count(19, 2), Verdict::End);
        assert_eq!(rate.count(20, 2), Verdict::Admit);
        assert_eq!(rate.pause(20, 2), None);
    }
}

//! Time stamps that ride in a publication: making the data, finding the stamp in a delivery.

use std::time::Instant;

use memchr::memmem::Finder;

/// Nanoseconds since the generator began, counted from [`EPOCH`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

/// Why: every stamp has 16 digits, so all publications have one size, and 92 days stay below
/// 2^53, so a server that reads numbers as doubles keeps them whole.
const EPOCH: u64 = 1_000_000_000_000_000;
const DIGITS: usize = 16;

impl Clock {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(self) -> u64 {
        EPOCH + u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX - EPOCH)
    }
}

/// The bytes of `{"t":<16 digits>,"p":""}`.
pub(crate) const SMALLEST_DATA: usize = 13 + DIGITS;

/// Appends `{"t":<stamp>,"p":"xxx"}` of exactly this size.
pub(crate) fn data(stamp: u64, size: usize, into: &mut String) {
    use std::fmt::Write;
    // Writing to a String does not fail.
    let _ = write!(into, r#"{{"t":{stamp},"p":""#);
    into.extend(std::iter::repeat_n('x', size.saturating_sub(SMALLEST_DATA)));
    into.push_str("\"}");
}

/// Finds stamps without reading the JSON around them.
#[derive(Debug)]
pub(crate) struct StampFinder {
    finder: Finder<'static>,
    /// Where the last one stood: a server puts them all at the same place.
    last: usize,
}

impl StampFinder {
    pub(crate) fn new() -> Self {
        Self { finder: Finder::new(b"\"t\":"), last: 0 }
    }

    #[inline]
    pub(crate) fn find(&mut self, message: &[u8]) -> Option<u64> {
        if message.get(self.last..self.last + 4) != Some(b"\"t\":") {
            self.last = self.finder.find(message)?;
        }
        let digits = message.get(self.last + 4..self.last + 4 + DIGITS)?;
        digits
            .iter()
            .try_fold(0_u64, |stamp, digit| digit.is_ascii_digit().then(|| stamp * 10 + u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_its_size_and_keeps_its_stamp() {
        let stamp = Clock::new().now();
        for size in [SMALLEST_DATA, 128, 4096] {
            let mut text = String::new();
            data(stamp, size, &mut text);
            assert_eq!(text.len(), size);
            let mut finder = StampFinder::new();
            let push = format!(r#"{{"push":{{"channel":"bench","pub":{{"data":{text}}}}}}}"#);
            assert_eq!(finder.find(push.as_bytes()), Some(stamp));
            let moved = format!(r#"{{"push":{{"pub":{{"offset":7,"data":{text}}}}}}}"#);
            assert_eq!(finder.find(moved.as_bytes()), Some(stamp));
            assert_eq!(finder.find(b"{\"push\":{\"join\":{}}}"), None);
        }
    }
}

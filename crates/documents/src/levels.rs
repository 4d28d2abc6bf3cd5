//! Updates that are merged with others of their size, so that each byte is merged a few times, however many come.

use bytes::Bytes;

use crate::Malformed;
use crate::merge::merge;

/// How many updates are merged at a time. Below this many it costs less to keep them than to merge them.
const ROUND: usize = 64;

/// Updates in the order of their coming: merged ones, each at least twice as long as the next, then single ones.
///
/// Invariant: all of them passed [`check`](crate::check()).
#[derive(Debug, Default)]
pub(crate) struct Levels {
    merged: Vec<Bytes>,
    single: Vec<Bytes>,
    /// How long all of them are.
    length: usize,
    /// How many bytes came since it was one update.
    new: usize,
    /// How many bytes went into merges.
    pub(crate) work: u64,
}

impl Levels {
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// How many bytes came since it was one update.
    pub(crate) const fn new_bytes(&self) -> usize {
        self.new
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.merged.is_empty() && self.single.is_empty()
    }

    pub(crate) fn push(&mut self, update: Bytes) -> Result<(), Malformed> {
        self.length += update.len();
        self.new += update.len();
        self.single.push(update);
        if self.single.len() >= ROUND { self.round() } else { Ok(()) }
    }

    /// Merges the single ones, and then the last two as long as they are about as long as each other.
    fn round(&mut self) -> Result<(), Malformed> {
        self.merge_last(self.merged.len())?;
        while let [.., before, last] = &self.merged[..]
            && before.len() < last.len().saturating_mul(2)
        {
            self.merge_last(self.merged.len() - 2)?;
        }
        Ok(())
    }

    /// Makes one update of all.
    pub(crate) fn fold(&mut self) -> Result<Bytes, Malformed> {
        if self.merged.len() + self.single.len() != 1 || self.new > 0 {
            self.merge_last(0)?;
            self.new = 0;
        }
        Ok(self.merged.first().cloned().unwrap_or_default())
    }

    /// Merges all from the merged one at `from` on.
    fn merge_last(&mut self, from: usize) -> Result<(), Malformed> {
        let parts = self.merged.get(from..).unwrap_or_default().iter().chain(&self.single);
        let before: usize = parts.clone().map(Bytes::len).sum();
        let one = Bytes::from(merge(parts.map(|part| &part[..]))?);
        self.work += before as u64;
        self.length = self.length - before + one.len();
        self.merged.truncate(from);
        self.merged.push(one);
        self.single.clear();
        Ok(())
    }
}

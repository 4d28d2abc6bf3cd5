//! Finds blocks of the old payload by their hash.

use super::{BLOCK, Rolling, Stretch, common_prefix, common_suffix};

/// Blocks with the same hash that are looked at. Why: payloads that somebody made up for it could have thousands.
const MAX_TRIES: usize = 16;
/// The least number of bits of a bucket's number.
const MIN_BITS: u32 = 4;

/// The blocks of the old payload, those of one bucket in a chain, the first of them first.
pub(super) struct Index<'o> {
    old: &'o [u8],
    /// The first block of each bucket's chain, counted from 1; 0 where there is none.
    buckets: Vec<u32>,
    /// The next block in the chain of each block, counted from 1; 0 for the last.
    next: Vec<u32>,
    shift: u32,
}

impl<'o> Index<'o> {
    pub(super) fn of(old: &'o [u8]) -> Self {
        let (blocks, _) = old.as_chunks::<BLOCK>();
        let bits = (blocks.len() as u32).next_power_of_two().trailing_zeros().max(MIN_BITS);
        let mut index = Self { old, buckets: vec![0; 1 << bits], next: vec![0; blocks.len()], shift: u32::BITS - bits };
        for (at, block) in blocks.iter().enumerate().rev() {
            let bucket = index.bucket(Rolling::of(block));
            index.next[at] = std::mem::replace(&mut index.buckets[bucket], at as u32 + 1);
        }
        index
    }

    fn bucket(&self, hash: Rolling) -> usize {
        (hash.value().wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    /// The longest stretch around a block of the old payload that stands in the new one at `at`; it begins at `done` or
    /// behind.
    pub(super) fn longest(&self, hash: Rolling, new: &[u8], at: usize, done: usize) -> Option<Stretch> {
        let mut best: Option<Stretch> = None;
        let mut number = self.buckets[self.bucket(hash)];
        for _ in 0..MAX_TRIES {
            let Some(block) = (number as usize).checked_sub(1) else {
                break;
            };
            number = self.next[block];
            let from = block * BLOCK;
            let forth = common_prefix(&self.old[from..], &new[at..]);
            if forth < BLOCK {
                continue;
            }
            let back = common_suffix(&self.old[..from], &new[done..at]);
            if best.is_none_or(|best| best.length < back + forth) {
                best = Some(Stretch { from: from - back, at: at - back, length: back + forth });
            }
        }
        best
    }
}

//! Differences between two payloads in the Fossil delta format: what to copy from the old one, what to add.
//!
//! A delta is `SIZE "\n"` of the new payload, then commands, then its checksum: `COUNT "@" FROM ","` copies bytes of the old
//! payload, `COUNT ":" BYTES` adds bytes, `SUM ";"` ends it. Numbers are written in 64 digits of their own order.
//!
//! How a delta is found: what both payloads begin and end with is copied. For what is left of the new one a window of
//! [`BLOCK`] bytes slides over it, and a rolling hash tells whether the old payload has such a block; a block that it has
//! is stretched to both sides. Time is linear in both payloads, memory a quarter of the old one's size beside the delta.
//!
//! Invariant: a delta of a text is a text. JSON carries deltas in strings, so nothing is cut inside of a character.

mod apply;
mod index;

pub use apply::{FossilError, apply};
use index::Index;

/// Payloads beyond this size have no deltas.
pub const MAX_BYTES: usize = 64 << 20;

/// Bytes of the window that slides over the new payload.
const BLOCK: usize = 16;
/// The digits of numbers, the least first.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// What turns `old` into `new`; `None` where that is not smaller than `new` itself.
#[must_use]
pub fn delta(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    if old.len().max(new.len()) > MAX_BYTES {
        return None;
    }
    let mut script = Script::new(new);
    script.copy(Stretch { from: 0, at: 0, length: common_prefix(old, new) });
    let length = common_suffix(old, &new[script.done..]);
    let end = new.len() - length;
    copy_blocks(old, end, &mut script);
    script.copy(Stretch { from: old.len() - length, at: end, length });
    Some(script.end()).filter(|delta| delta.len() < new.len())
}

/// Copies what the old payload has of the new one, between what the script has done and `end`.
fn copy_blocks(old: &[u8], end: usize, script: &mut Script<'_>) {
    let new = script.new;
    if end - script.done < BLOCK || old.len() < BLOCK {
        return;
    }
    let index = Index::of(old);
    let mut at = script.done;
    while let Some(window) = new[..end].get(at..).and_then(|rest| rest.first_chunk()) {
        let mut hash = Rolling::of(window);
        // Slides on until something is copied, and begins behind it with a new window.
        loop {
            let found = index.longest(hash, &new[..end], at, script.done);
            if found.is_some_and(|stretch| script.copy(stretch)) {
                at = script.done;
                break;
            }
            at += 1;
            let Some(next) = new[..end].get(at + BLOCK - 1) else {
                return;
            };
            hash.slide(new[at - 1], *next);
        }
    }
}

/// Bytes that stand in both payloads.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Where in the old one.
    from: usize,
    /// Where in the new one.
    at: usize,
    length: usize,
}

/// A delta under construction.
struct Script<'n> {
    new: &'n [u8],
    /// What of `new` the commands written so far bring about.
    done: usize,
    out: Vec<u8>,
}

impl<'n> Script<'n> {
    fn new(new: &'n [u8]) -> Self {
        let mut script = Self { new, done: 0, out: Vec::with_capacity(64) };
        script.number(new.len());
        script.out.push(b'\n');
        script
    }

    /// Copies a stretch, with what stands before it as an addition; false, and nothing is written, where that would not
    /// be worth it.
    fn copy(&mut self, stretch: Stretch) -> bool {
        let end = character_before(self.new, stretch.at + stretch.length);
        let at = character_after(self.new, stretch.at);
        let from = stretch.from + (at - stretch.at);
        let length = end.saturating_sub(at);
        let addition = match at - self.done {
            0 => 0,
            added => digits(added) + 1,
        };
        if length <= digits(length) + digits(from) + 2 + addition {
            return false;
        }
        self.add(at);
        self.number(length);
        self.out.push(b'@');
        self.number(from);
        self.out.push(b',');
        self.done = end;
        true
    }

    /// Adds what stands in the new payload up to `end`.
    fn add(&mut self, end: usize) {
        if end > self.done {
            self.number(end - self.done);
            self.out.push(b':');
            self.out.extend_from_slice(&self.new[self.done..end]);
            self.done = end;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.add(self.new.len());
        self.number(checksum(self.new) as usize);
        self.out.push(b';');
        self.out
    }

    fn number(&mut self, number: usize) {
        for place in (0..digits(number)).rev() {
            self.out.push(DIGITS[number >> (6 * place) & 63]);
        }
    }
}

/// How many digits a number has.
fn digits(number: usize) -> usize {
    (usize::BITS - (number | 1).leading_zeros()).div_ceil(6) as usize
}

/// The sum of the bytes, four at a time, of which the first counts most.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).fold(0, |sum: u32, word| sum.wrapping_add(u32::from_be_bytes(*word)))
}

/// A hash of [`BLOCK`] bytes that can be moved on by one.
#[derive(Clone, Copy, Debug)]
struct Rolling {
    sum: u16,
    /// The sum of all sums, so that the order counts.
    sums: u16,
}

impl Rolling {
    fn of(block: &[u8; BLOCK]) -> Self {
        block.iter().fold(Self { sum: 0, sums: 0 }, |hash, byte| {
            let sum = hash.sum.wrapping_add((*byte).into());
            Self { sum, sums: hash.sums.wrapping_add(sum) }
        })
    }

    fn slide(&mut self, first: u8, next: u8) {
        let first = u16::from(first);
        self.sum = self.sum.wrapping_sub(first).wrapping_add(next.into());
        self.sums = self.sums.wrapping_sub(first.wrapping_mul(BLOCK as u16)).wrapping_add(self.sum);
    }

    fn value(self) -> u32 {
        u32::from(self.sum) | u32::from(self.sums) << 16
    }
}

/// The bytes that both begin with.
fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    let mut same = 0;
    for (left, right) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
        let difference = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if difference != 0 {
            return same + difference.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + left[same..].iter().zip(&right[same..]).take_while(|(left, right)| left == right).count()
}

/// The bytes that both end with.
fn common_suffix(left: &[u8], right: &[u8]) -> usize {
    let mut same = 0;
    for (left, right) in left.as_rchunks::<8>().1.iter().rev().zip(right.as_rchunks::<8>().1.iter().rev()) {
        let difference = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if difference != 0 {
            return same + difference.leading_zeros() as usize / 8;
        }
        same += 8;
    }
    let (left, right) = (&left[..left.len() - same], &right[..right.len() - same]);
    same + left.iter().rev().zip(right.iter().rev()).take_while(|(left, right)| left == right).count()
}

/// Bytes of a character that are not its first; UTF-8 has at most three.
const MAX_CONTINUATIONS: usize = 3;

/// The begin of the character that `at` stands in; in what is no text it is `at` itself.
fn character_before(bytes: &[u8], at: usize) -> usize {
    let earliest = at.saturating_sub(MAX_CONTINUATIONS);
    (earliest..=at).rev().find(|place| is_boundary(bytes, *place)).unwrap_or(at)
}

/// As [`character_before`], but its end.
fn character_after(bytes: &[u8], at: usize) -> usize {
    let latest = bytes.len().min(at + MAX_CONTINUATIONS);
    (at..=latest).find(|place| is_boundary(bytes, *place)).unwrap_or(at)
}

fn is_boundary(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

#[cfg(test)]
mod tests;

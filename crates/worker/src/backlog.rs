//! What a socket refused: references to shared frames, until it takes bytes again.
//!
//! Two queues. What must reach the reader (replies, control frames, publications of `all`) is kept in order. Behind it wait
//! the publications that need not reach everybody, in [`Gentle`]. A reply is never stuck behind those: it overtakes them.
//!
//! Not every byte says that a reader is slow: who asked for a long answer is not slow because it is long, and the newest of
//! a key is one frame for all who wait for it, so it counts as its place alone.
//!
//! Invariants: a frame that is partly out is finished before anything else; kept frames come out in the order in which they
//! came in; of one key nothing comes out that is older than what came out before; a channel's publications come after the
//! reply that let the reader in, because that was kept before they came, and none comes after it has left ([`Backlog::forget`]).

mod gentle;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_delta;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes};
use jackfield_hub::Frame;
use jackfield_hub::namespace::{Delivery, Gauges};
use jackfield_session::Tick;

use gentle::Gentle;

/// Answers that may wait, in limits of what is pushed: a client that comes back asks for many channels at once.
pub(crate) const ANSWERS: usize = 16;

/// What a publication that may be replaced counts as: its place and what finds it.
const PLACE: usize = 32;

/// A frame that must reach the reader, or the rest of one.
#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    is_answer: bool,
}

/// Frames that wait for a blocked socket.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// The rest of a frame that is partly out.
    begun: Option<Kept>,
    kept: VecDeque<Kept>,
    /// Only as long as there are any.
    gentle: Option<Box<Gentle>>,
    bytes: usize,
    /// How many of them are of answers.
    answers: usize,
    /// Nothing may overtake any more: the last words are said.
    is_closing: bool,
    /// When the socket last took bytes, or blocked.
    pub(crate) since: Tick,
    /// When it blocked, in milliseconds.
    pub(crate) blocked_at: u32,
    /// The log has told of it.
    pub(crate) is_told: bool,
    /// Publications whose place a newer one took, and such that gave way.
    pub(crate) conflated: u32,
    pub(crate) dropped: u32,
}

impl Backlog {
    pub(crate) fn new(since: Tick, blocked_at: u32) -> Self {
        Self { since, blocked_at, ..Self::default() }
    }

    /// From now on everything goes to the end: nothing may follow the last words.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Adds frames of which the first `skip` bytes are out already.
    pub(crate) fn extend<'f>(&mut self, frames: impl Iterator<Item = &'f Frame>, mut skip: usize, now: u32) {
        for frame in frames {
            let length = frame.bytes.len();
            if skip > 0 && skip >= length {
                skip -= length;
            } else if skip > 0 {
                let bytes = frame.bytes.slice(skip..);
                self.count(bytes.len(), frame.is_answer);
                self.begun = Some(Kept { bytes, is_answer: frame.is_answer });
                skip = 0;
            } else {
                self.push(frame, now);
            }
        }
    }

    fn push(&mut self, frame: &Frame, now: u32) {
        if let Some(note) = frame.note.as_ref().filter(|note| note.delivery != Delivery::All) {
            self.bytes += note.whole.len();
            match self.gentle.get_or_insert_default().push(note, now) {
                None => {}
                Some(replaced) => {
                    self.bytes -= replaced;
                    self.conflated += 1;
                    note.gauges.conflated.fetch_add(1, Ordering::Relaxed);
                }
            }
            return;
        }
        match &mut self.gentle {
            Some(gentle) if self.is_closing => {
                self.bytes += frame.bytes.len();
                gentle.end(frame.bytes.clone());
            }
            _ => {
                self.count(frame.bytes.len(), frame.is_answer);
                self.kept.push_back(Kept { bytes: frame.bytes.clone(), is_answer: frame.is_answer });
            }
        }
    }

    fn count(&mut self, bytes: usize, is_answer: bool) {
        self.bytes += bytes;
        if is_answer {
            self.answers += bytes;
        }
    }

    /// Whether the reader is further behind than it may be.
    pub(crate) fn is_over(&self, limit: usize) -> bool {
        self.weight() > limit || self.answers > limit.saturating_mul(ANSWERS)
    }

    /// What counts of what was pushed.
    fn weight(&self) -> usize {
        let (keys, shared) = self.gentle.as_ref().map_or((0, 0), |gentle| gentle.replaceable());
        self.bytes - self.answers - shared + keys * PLACE
    }

    /// Bytes of answers that wait.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.begun.is_none() && self.kept.is_empty() && self.gentle.is_none()
    }

    /// The publication that has waited longest among those that need not reach everybody, and since when.
    pub(crate) fn stalest(&self) -> Option<(&Arc<Gauges>, u32)> {
        self.gentle.as_ref()?.stalest()
    }

    /// Drops all that is not begun: what is half out must be finished, or the peer cannot read what follows.
    pub(crate) fn cut_short(&mut self) {
        self.kept.clear();
        self.gentle = None;
        (self.bytes, self.answers) = (0, 0);
        if let Some(Kept { bytes, is_answer }) = &self.begun {
            let (length, is_answer) = (bytes.len(), *is_answer);
            self.count(length, is_answer);
        }
    }

    /// The oldest of those that may give way do, until what waits is within the limit or there are none.
    pub(crate) fn give_way(&mut self, limit: usize) {
        while self.weight() > limit {
            let Some(note) = self.gentle.as_mut().and_then(|gentle| gentle.give_way()) else { break };
            self.bytes -= note.whole.len();
            self.dropped += 1;
            note.gauges.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.tidy();
    }

    /// The reader has left a channel.
    pub(crate) fn forget(&mut self, channel: u64) {
        if let Some(gentle) = &mut self.gentle {
            self.bytes -= gentle.forget(channel);
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        if self.gentle.as_ref().is_some_and(|gentle| gentle.is_empty()) {
            self.gentle = None;
        }
    }

    /// Fills `cork` with the next bytes.
    pub(crate) fn fill(&self, cork: &mut Vec<u8>, limit: usize) {
        cork.clear();
        let gentle = self.gentle.iter().flat_map(|gentle| gentle.frames());
        for frame in self.begun.iter().chain(&self.kept).map(|kept| &kept.bytes).chain(gentle) {
            let room = limit - cork.len();
            if room == 0 {
                break;
            }
            cork.extend_from_slice(&frame[..frame.len().min(room)]);
        }
    }

    /// Takes off what went out.
    pub(crate) fn advance(&mut self, mut written: usize, now: u32) {
        while !self.is_empty() {
            let kept = self.begun.as_ref().or_else(|| self.kept.front()).map(|kept| &kept.bytes);
            let length = kept.or_else(|| self.gentle.as_ref()?.front()).map_or(0, Bytes::len);
            if written == 0 && length > 0 {
                return;
            }
            let Some(mut frame) = self.pop(now) else { return };
            let out = written.min(length);
            self.bytes -= out;
            if frame.is_answer {
                self.answers -= out;
            }
            if written < length {
                frame.bytes.advance(written);
                self.begun = Some(frame);
                return;
            }
            written -= length;
        }
    }

    fn pop(&mut self, now: u32) -> Option<Kept> {
        if let Some(frame) = self.begun.take() {
            return Some(frame);
        }
        if let Some(frame) = self.kept.pop_front() {
            if self.kept.is_empty() {
                self.kept = VecDeque::new();
            }
            return Some(frame);
        }
        let frame = self.gentle.as_mut()?.pop(now);
        self.tidy();
        frame.map(|bytes| Kept { bytes, is_answer: false })
    }
}

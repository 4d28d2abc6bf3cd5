//! What a socket refused: references to shared frames, kept in order until it takes bytes again.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use jackfield_session::Tick;

/// Frames that wait for a blocked socket.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The first frame is partly out.
    is_cut: bool,
    /// When the socket blocked.
    pub(crate) since: Tick,
}

impl Backlog {
    pub(crate) fn new(since: Tick) -> Self {
        Self { since, ..Self::default() }
    }

    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Adds frames of which the first `skip` bytes are out already.
    pub(crate) fn extend<'f>(&mut self, frames: impl Iterator<Item = &'f Bytes>, mut skip: usize) {
        for frame in frames {
            if skip >= frame.len() {
                skip -= frame.len();
                continue;
            }
            self.is_cut |= skip > 0 && self.frames.is_empty();
            self.push(frame.slice(skip..));
            skip = 0;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Drops all that is not begun: what is half out must be finished, or the peer cannot read what follows.
    pub(crate) fn cut_short(&mut self) {
        self.frames.truncate(usize::from(self.is_cut));
        self.bytes = self.frames.iter().map(Bytes::len).sum();
    }

    /// Fills `cork` with the next bytes.
    pub(crate) fn fill(&self, cork: &mut Vec<u8>, limit: usize) {
        cork.clear();
        for frame in &self.frames {
            let room = limit - cork.len();
            if room == 0 {
                break;
            }
            cork.extend_from_slice(&frame[..frame.len().min(room)]);
        }
    }

    /// Takes off what went out.
    pub(crate) fn advance(&mut self, mut written: usize) {
        self.bytes -= written.min(self.bytes);
        while let Some(first) = self.frames.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.is_cut |= written > 0;
                return;
            }
            written -= first.len();
            self.frames.pop_front();
            self.is_cut = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_is_what_went_in() {
        let frames: Vec<Bytes> = (1..=50u8).map(|n| Bytes::from(vec![n; usize::from(n)])).collect();
        let all: Vec<u8> = frames.iter().flatten().copied().collect();
        for skip in 0..all.len() {
            let mut backlog = Backlog::default();
            backlog.extend(frames.iter(), skip);
            assert_eq!(backlog.bytes(), all.len() - skip);
            let (mut out, mut cork) = (Vec::new(), Vec::new());
            while !backlog.is_empty() {
                backlog.fill(&mut cork, 37);
                let taken = (cork.len() / 2).max(1);
                out.extend_from_slice(&cork[..taken]);
                backlog.advance(taken);
            }
            assert_eq!(out, all[skip..]);
        }
    }

    #[test]
    fn cutting_short_keeps_a_frame_that_is_half_out() {
        let frames = [Bytes::from_static(b"abcd"), Bytes::from_static(b"efgh")];
        let mut backlog = Backlog::default();
        backlog.extend(frames.iter(), 2);
        backlog.cut_short();
        assert_eq!(backlog.bytes(), 2);
        let mut backlog = Backlog::default();
        backlog.extend(frames.iter(), 4);
        backlog.cut_short();
        assert!(backlog.is_empty());
    }
}

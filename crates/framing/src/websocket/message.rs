//! A message of which only a part is there: its fragments, and how much of its text is checked.

use crate::websocket::header::Start;
use crate::websocket::utf8::Utf8;
use crate::websocket::{Opcode, mask};
use crate::{Frame, FramingError};

/// Fragments of a message that may have any size.
pub const FREE_FRAGMENTS: usize = 1024;
/// Bytes that the fragments must have on average once there are more than [`FREE_FRAGMENTS`].
/// Why: empty ones cost their sender nothing against the limit of a message, and tiny ones cost
/// the server more than they bring.
pub const LEAST_MEAN: usize = 32;

/// Bytes unmasked at once to look ahead; a multiple of the mask's length.
const LOOK: usize = 1024;

/// What is known about a message that is not whole.
#[derive(Debug)]
pub(crate) struct Message {
    /// The payloads of its frames so far, as they were sent.
    bytes: Vec<u8>,
    compressed: bool,
    finished: bool,
    /// Whole frames so far; none while a part of the first one is all there is.
    fragments: usize,
    /// Payload bytes that `utf8` knows of the frame that is not whole.
    seen: usize,
    text: bool,
    /// How far the text is checked; of no use where it is compressed.
    utf8: Utf8,
}

impl Message {
    /// A message whose first frame starts like this.
    pub(crate) fn new(start: Start) -> Self {
        Self {
            bytes: Vec::new(),
            compressed: start.compressed,
            finished: false,
            fragments: 0,
            seen: 0,
            text: matches!(start.opcode, Opcode::Text),
            utf8: Utf8::default(),
        }
    }

    /// Checks the text of a frame whose end has not come. `masked` is all that is there of its
    /// payload; only what was not there at the last call is looked at.
    pub(crate) fn look_ahead(&mut self, mut key: [u8; mask::LENGTH], masked: &[u8]) -> Result<(), FramingError> {
        let fresh = masked.get(self.seen..).unwrap_or_default();
        key.rotate_left(self.seen % mask::LENGTH);
        let mut plain = [0; LOOK];
        for part in fresh.chunks(LOOK) {
            let plain = &mut plain[..part.len()];
            plain.copy_from_slice(part);
            mask::apply(plain, key);
            self.utf8.feed(plain)?;
        }
        self.seen = masked.len();
        Ok(())
    }

    /// Checks the rest of an unfragmented text.
    pub(crate) fn check_whole(&mut self, text: &[u8]) -> Result<(), FramingError> {
        self.utf8.feed(text.get(self.seen..).unwrap_or_default())?;
        self.utf8.finish()
    }

    /// Adds a fragment, the last one if `fin` is set.
    pub(crate) fn push(&mut self, payload: &[u8], fin: bool) -> Result<(), FramingError> {
        self.fragments += 1;
        if self.is_plain_text() {
            self.utf8.feed(payload.get(self.seen..).unwrap_or_default())?;
            if fin {
                self.utf8.finish()?;
            }
        }
        self.seen = 0;
        self.bytes.extend_from_slice(payload);
        if self.fragments > FREE_FRAGMENTS && self.bytes.len() / LEAST_MEAN < self.fragments {
            return Err(FramingError::TooManyFragments { least: LEAST_MEAN, limit: FREE_FRAGMENTS });
        }
        self.finished = fin;
        Ok(())
    }

    /// Bytes gathered so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether its bytes are still compressed.
    pub(crate) const fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Whether the last fragment is there.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether its first frame is there.
    pub(crate) const fn is_fragmented(&self) -> bool {
        self.fragments > 0
    }

    /// Whether its bytes are text as they are.
    pub(crate) const fn is_plain_text(&self) -> bool {
        self.text && !self.compressed
    }

    /// What the first frame said the message is.
    pub(crate) const fn opcode(&self) -> Opcode {
        if self.text { Opcode::Text } else { Opcode::Binary }
    }

    /// The message as it was sent, once its last fragment is there.
    pub(crate) fn frame(&self) -> Option<Frame<'_>> {
        match (self.finished, self.text) {
            (false, _) => None,
            (true, true) => Some(Frame::Text(&self.bytes)),
            (true, false) => Some(Frame::Binary(&self.bytes)),
        }
    }
}

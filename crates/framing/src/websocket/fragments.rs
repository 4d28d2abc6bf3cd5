//! A message that arrives in pieces, gathered and checked piece by piece.

use crate::websocket::Opcode;
use crate::{Frame, FramingError};

/// Frames a message may be made of. Empty ones count: they would otherwise cost the sender
/// nothing against the limit of a message and keep it open for ever.
pub const MAX_FRAGMENTS: u16 = 1024;

/// The fragments of one message so far.
#[derive(Debug)]
pub(crate) struct Fragments {
    bytes: Vec<u8>,
    /// How many bytes at the front are known to be whole UTF-8 characters (text only).
    checked: usize,
    count: u16,
    finished: bool,
    text: bool,
}

impl Fragments {
    /// A message whose first frame has this opcode.
    pub(crate) const fn new(opcode: Opcode) -> Self {
        Self { bytes: Vec::new(), checked: 0, count: 0, finished: false, text: matches!(opcode, Opcode::Text) }
    }

    /// Adds a fragment, the last one if `fin` is set.
    pub(crate) fn push(&mut self, payload: &[u8], fin: bool) -> Result<(), FramingError> {
        if self.count >= MAX_FRAGMENTS {
            return Err(FramingError::TooManyFragments { limit: MAX_FRAGMENTS });
        }
        self.count += 1;
        self.bytes.extend_from_slice(payload);
        if self.text {
            self.check_text(fin)?;
        }
        self.finished = fin;
        Ok(())
    }

    /// Bytes gathered so far.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the last fragment is there.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// The message, once its last fragment is there.
    pub(crate) fn message(&self) -> Option<Frame<'_>> {
        match (self.finished, self.text) {
            (false, _) => None,
            (true, true) => Some(Frame::Text(&self.bytes)),
            (true, false) => Some(Frame::Binary(&self.bytes)),
        }
    }

    /// Checks the bytes that are new. A character cut by the end of the fragment may go on in the
    /// next one, so at most its first three bytes are looked at twice.
    fn check_text(&mut self, fin: bool) -> Result<(), FramingError> {
        let fresh = self.bytes.get(self.checked..).unwrap_or_default();
        match simdutf8::compat::from_utf8(fresh) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() && !fin => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(FramingError::InvalidUtf8),
        }
        Ok(())
    }
}

//! The way in: whole compressed messages, inflated under a cap.

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, Window};
use crate::FramingError;
use crate::websocket::Rules;

/// Bytes to which a message may inflate whatever its compressed size is. Why: a short message of
/// one repeated letter grows by a thousand and does no harm.
pub const FREE_SIZE: usize = 64 * 1024;

/// An empty final block, which ends the stream if the message stands at the end of a block. So a
/// message that was cut off is told from a whole one.
const END: [u8; 2] = [0x03, 0x00];
/// Final blocks that may be followed by more. Why: each costs a copy of the window, and a client
/// that marks the end of its data does so once.
const MAX_RESTARTS: usize = 64;
/// Bytes of the window that a restarted stream may look back on.
const WINDOW: usize = 1 << 15;
/// The first room for a message, and the least that is added.
const CHUNK: usize = 16 * 1024;
/// Room that is kept from one message to the next.
const KEPT: usize = 1024 * 1024;

/// Inflates the messages of all connections of a worker, one after the other. It takes memory with
/// the first one.
#[derive(Debug, Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    /// The room for the message; its front is the last message.
    room: Vec<u8>,
    /// Bytes of the message.
    length: usize,
}

impl Inflater {
    /// An inflater without memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { stream: None, room: Vec::new(), length: 0 }
    }

    /// Inflates a whole message, of which `compressed` is what its frames carried.
    ///
    /// It stops with the first byte beyond `rules.decompressed_limit`, or beyond `rules.ratio`
    /// times the compressed size and [`FREE_SIZE`]; no more memory is taken than that, rounded up
    /// to 16 KiB. Final blocks inside are legal (RFC 7692, 7.2.3.4), also without the padding
    /// byte behind the last one; so is a message without any data, which is empty.
    ///
    /// # Errors
    ///
    /// [`FramingError::DeflateBroken`], [`FramingError::MessageTooBig`] or
    /// [`FramingError::RatioTooHigh`].
    pub fn inflate(&mut self, compressed: &[u8], rules: &Rules) -> Result<&[u8], FramingError> {
        self.length = 0;
        if self.room.len() > KEPT {
            self.room = Vec::new();
        }
        if !compressed.is_empty() {
            let cap = Cap::new(compressed.len(), rules);
            let mut stream = match self.stream.take() {
                Some(mut stream) => {
                    stream.reset(false);
                    stream
                }
                None => Decompress::new_with_window_bits(false, Window::Full.bits()),
            };
            self.run(&mut stream, compressed, &cap)?;
            // A stream that has seen a fault is not used again.
            self.stream = Some(stream);
        }
        Ok(self.room.get(..self.length).unwrap_or_default())
    }

    /// Feeds the message, its cut tail and an end, until the stream ends with one of them.
    fn run(&mut self, stream: &mut Decompress, compressed: &[u8], cap: &Cap) -> Result<(), FramingError> {
        let mut restarts = 0;
        for (mut piece, may_go_on) in [(compressed, true), (&TAIL, false), (&END, false)] {
            while self.step(stream, &mut piece, cap)? {
                if piece.is_empty() {
                    return Ok(());
                }
                restarts += 1;
                if !may_go_on || restarts > MAX_RESTARTS {
                    return Err(FramingError::DeflateBroken);
                }
                self.restart(stream)?;
            }
        }
        Err(FramingError::DeflateBroken)
    }

    /// Inflates until the piece is used up or the stream ends, and says whether it ended.
    fn step(&mut self, stream: &mut Decompress, piece: &mut &[u8], cap: &Cap) -> Result<bool, FramingError> {
        loop {
            self.make_room(cap);
            let room = self.room.get_mut(self.length..).unwrap_or_default();
            let room_left = room.len();
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(piece, room, FlushDecompress::None);
            let read = usize::try_from(stream.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(stream.total_out() - written).unwrap_or(usize::MAX);
            *piece = piece.get(read..).unwrap_or_default();
            self.length += written;
            if self.length > cap.bytes {
                return Err(cap.error);
            }
            match status {
                Err(_) => return Err(FramingError::DeflateBroken),
                Ok(Status::StreamEnd) => return Ok(true),
                Ok(Status::Ok | Status::BufError) if written < room_left => {
                    // With room left it stops only for want of data.
                    return if piece.is_empty() { Ok(false) } else { Err(FramingError::DeflateBroken) };
                }
                Ok(Status::Ok | Status::BufError) => {}
            }
        }
    }

    /// Goes on behind a final block, with the window as it was.
    fn restart(&self, stream: &mut Decompress) -> Result<(), FramingError> {
        stream.reset(false);
        let window = self.room.get(self.length.saturating_sub(WINDOW)..self.length).unwrap_or_default();
        stream.set_dictionary(window).map_err(|_| FramingError::DeflateBroken)?;
        Ok(())
    }

    /// Sees to it that one byte more can be written, up to one byte beyond the cap.
    fn make_room(&mut self, cap: &Cap) {
        if self.length < self.room.len() {
            return;
        }
        let wanted = (self.room.len() * 2).max(CHUNK).min(cap.bytes.saturating_add(1)).max(self.length + 1);
        self.room.reserve_exact(wanted - self.room.len());
        self.room.resize(wanted, 0);
    }
}

/// How large a message may become, and what it is told when it becomes larger.
struct Cap {
    bytes: usize,
    error: FramingError,
}

impl Cap {
    fn new(compressed: usize, rules: &Rules) -> Self {
        let Rules { decompressed_limit: limit, ratio, .. } = *rules;
        let by_ratio = compressed.saturating_mul(ratio).max(FREE_SIZE);
        if by_ratio < limit {
            Self { bytes: by_ratio, error: FramingError::RatioTooHigh { ratio } }
        } else {
            Self { bytes: limit, error: FramingError::MessageTooBig { limit } }
        }
    }
}

#[cfg(test)]
impl Inflater {
    /// Bytes of memory held for messages.
    pub(super) const fn room(&self) -> usize {
        self.room.len()
    }
}

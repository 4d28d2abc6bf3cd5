//! The server's side of RFC 6455, after the handshake: masked frames in, checked messages out.

pub mod control;
pub mod handshake;

mod fragments;
pub(crate) mod header;
pub(crate) mod mask;
#[cfg(test)]
mod tests;

pub use fragments::MAX_FRAGMENTS;
pub use header::Opcode;

use bytes::Bytes;

use crate::{Decoded, Frame, FramingError};
use fragments::Fragments;
use header::{Length, MASK_LENGTH, Start};

/// Decoder of one connection. Idle, it is one empty pointer, because most of a hundred thousand
/// connections are idle at any moment.
#[derive(Debug, Default)]
pub struct WebSocket {
    /// The message whose fragments are coming in, or which was just handed out.
    fragments: Option<Box<Fragments>>,
}

impl WebSocket {
    /// A decoder that stands right behind the handshake.
    #[must_use]
    pub const fn new() -> Self {
        Self { fragments: None }
    }

    /// Takes the first frame off `input`.
    ///
    /// An unfragmented message is unmasked in place and is a slice of `input`, never copied. A
    /// fragment is copied into this decoder and swallowed, its message comes out with the last
    /// one; control frames in between come out at once. The copy is freed by the next call, which
    /// may be one with an empty `input` (as at the end of a loop that drains a buffer).
    ///
    /// Faults are reported as early as the bytes show them: a message longer than `message_limit`
    /// when its header says so, bad UTF-8 in a fragmented text at the end of its fragment.
    ///
    /// Invariant: a frame is unmasked only when all of it is there, so calling again with the same
    /// bytes plus more is always right. After an error neither the bytes nor the decoder are of
    /// further use.
    ///
    /// # Errors
    ///
    /// What the peer did wrong; [`FramingError::close_code`] is what to close with.
    pub fn decode<'a>(&'a mut self, input: &'a mut [u8], message_limit: usize) -> Result<Decoded<'a>, FramingError> {
        self.release();
        let Some(&first) = input.first() else {
            return Ok(Decoded::INCOMPLETE);
        };
        let start = Start::read(first)?;
        self.check_order(start)?;
        let Some(length) = Length::read(input, start.opcode)? else {
            return Ok(Decoded::INCOMPLETE);
        };
        let payload_length = self.check_size(start, length.payload, message_limit)?;
        let header_length = length.end + MASK_LENGTH;
        let Some(total) = header_length.checked_add(payload_length) else {
            return Err(FramingError::MessageTooBig { limit: message_limit });
        };
        if input.len() < total {
            return Ok(Decoded::INCOMPLETE);
        }
        let (header, payload) = input[..total].split_at_mut(header_length);
        if let Some(&key) = header.last_chunk::<MASK_LENGTH>() {
            mask::apply(payload, key);
        }
        self.take(start, total, payload)
    }

    /// The length of the first frame with its header, once enough of the header is there. It is
    /// what the peer claims: reserve no more than a limit, and only after [`Self::decode`] has
    /// asked for more bytes.
    #[must_use]
    pub fn needed(input: &[u8]) -> Option<usize> {
        header::frame_length(input)
    }

    /// Whether a message is half received. A peer that stays so for long may be stuck or hostile.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.held().is_some()
    }

    /// Frees a message that was handed out.
    fn release(&mut self) {
        if self.held().is_none() {
            self.fragments = None;
        }
    }

    /// The fragments that still wait for their last one.
    fn held(&self) -> Option<&Fragments> {
        self.fragments.as_deref().filter(|held| !held.is_finished())
    }

    /// Checks that a data frame may come at this point.
    fn check_order(&self, start: Start) -> Result<(), FramingError> {
        match (start.opcode, self.held()) {
            (Opcode::Continuation, None) => Err(FramingError::ContinuationWithoutStart),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(FramingError::NewMessageInsideFragments),
            _ => Ok(()),
        }
    }

    /// Checks the claimed length of a frame together with the fragments before it. Control frames
    /// are bounded already.
    fn check_size(&self, start: Start, payload: u64, limit: usize) -> Result<usize, FramingError> {
        let too_big = FramingError::MessageTooBig { limit };
        let payload = usize::try_from(payload).map_err(|_| too_big)?;
        let held = self.held().map_or(0, Fragments::len);
        if !start.opcode.is_control() && payload > limit.saturating_sub(held) {
            return Err(too_big);
        }
        Ok(payload)
    }

    /// Turns a whole, unmasked frame into what the caller gets.
    fn take<'a>(&'a mut self, start: Start, total: usize, payload: &'a [u8]) -> Result<Decoded<'a>, FramingError> {
        let frame = match start.opcode {
            Opcode::Binary if start.fin => Frame::Binary(payload),
            Opcode::Text if start.fin => {
                simdutf8::basic::from_utf8(payload).map_err(|_| FramingError::InvalidUtf8)?;
                Frame::Text(payload)
            }
            Opcode::Close => control::read_close(payload)?,
            Opcode::Ping => Frame::Ping(payload),
            Opcode::Pong => Frame::Pong(payload),
            Opcode::Binary | Opcode::Continuation | Opcode::Text => {
                let fragments = self.fragments.get_or_insert_with(|| Box::new(Fragments::new(start.opcode)));
                fragments.push(payload, start.fin)?;
                return Ok(match fragments.message() {
                    Some(frame) => Decoded::frame(total, frame),
                    None => Decoded::swallowed(total),
                });
            }
        };
        Ok(Decoded::frame(total, frame))
    }
}

/// Control frames on the way out, under the name of the format they belong to.
impl WebSocket {
    /// See [`control::ping`].
    #[must_use]
    pub fn ping(payload: &[u8]) -> Bytes {
        control::ping(payload)
    }

    /// See [`control::pong`].
    #[must_use]
    pub fn pong(payload: &[u8]) -> Bytes {
        control::pong(payload)
    }

    /// See [`control::close`].
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Bytes {
        control::close(code, reason)
    }
}

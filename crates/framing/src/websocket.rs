//! The server's side of RFC 6455, after the handshake: masked frames in, checked messages out.

pub mod control;
pub mod deflate;
pub mod handshake;

pub(crate) mod header;
pub(crate) mod mask;
mod message;
#[cfg(test)]
mod tests;
mod utf8;

pub use deflate::{Agreed, Deflater, Inflater, Window, negotiate};
pub use header::Opcode;
pub use message::{FREE_FRAGMENTS, LEAST_MEAN};

use bytes::Bytes;

use crate::{Decoded, Frame, FramingError};
use header::{Length, Start};
use message::Message;

/// Decoder of one connection. Idle, it is one empty pointer, because most of a hundred thousand
/// connections are idle at any moment.
#[derive(Debug, Default)]
pub struct WebSocket {
    /// The message that is coming in, in fragments or as a long text, or was just handed out.
    message: Option<Box<Message>>,
}

/// How large messages may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Bytes a message may have as it is sent, compressed or not.
    pub message_limit: usize,
    /// Bytes a compressed message may have when it is inflated.
    pub decompressed_limit: usize,
    /// How many times larger it may become, beyond [`deflate::FREE_SIZE`].
    pub ratio: usize,
}

impl Rules {
    /// One limit for messages, compressed or not.
    #[must_use]
    pub const fn plain(limit: usize) -> Self {
        Self { message_limit: limit, decompressed_limit: limit, ratio: usize::MAX }
    }
}

impl WebSocket {
    /// A decoder that stands right behind the handshake.
    #[must_use]
    pub const fn new() -> Self {
        Self { message: None }
    }

    /// Takes the first frame off `input`. There is an `inflater` where compression was negotiated,
    /// and only there.
    ///
    /// An unfragmented message is unmasked in place and is a slice of `input`, never copied. A
    /// fragment is copied into this decoder and swallowed, its message comes out with the last
    /// one; control frames in between come out at once. The copy is freed by the next call, which
    /// may be one with an empty `input` (as at the end of a loop that drains a buffer). A
    /// compressed message is a slice of what the inflater holds.
    ///
    /// Faults are reported as early as the bytes show them: a message that is too long when its
    /// header says so, bad UTF-8 with the first byte that cannot be right, also in the middle of a
    /// frame. Only what is compressed is checked as a whole.
    ///
    /// Invariant: a frame is unmasked only when all of it is there, so calling again with the same
    /// bytes plus more is always right, and no byte of it is looked at again before that. After an
    /// error neither the bytes nor the decoder are of further use.
    ///
    /// # Errors
    ///
    /// What the peer did wrong; [`FramingError::close_code`] is what to close with.
    pub fn decode<'a>(
        &'a mut self,
        input: &'a mut [u8],
        rules: &Rules,
        inflater: Option<&'a mut Inflater>,
    ) -> Result<Decoded<'a>, FramingError> {
        self.release();
        let Some(&first) = input.first() else {
            return Ok(Decoded::INCOMPLETE);
        };
        let start = Start::read(first, inflater.is_some())?;
        self.check_order(start)?;
        let Some(length) = Length::read(input, start.opcode)? else {
            return Ok(Decoded::INCOMPLETE);
        };
        let payload_length = self.check_size(start, length.payload, rules.message_limit)?;
        let header_length = length.end + mask::LENGTH;
        let Some(total) = header_length.checked_add(payload_length) else {
            return Err(FramingError::MessageTooBig { limit: rules.message_limit });
        };
        let available = input.len().min(total);
        let Some((header, payload)) = input[..available].split_at_mut_checked(header_length) else {
            return Ok(Decoded::INCOMPLETE);
        };
        let key = header.last_chunk().copied().unwrap_or_default();
        if available < total {
            self.look_ahead(start, key, payload)?;
            return Ok(Decoded::INCOMPLETE);
        }
        mask::apply(payload, key);
        let frame = match (start.opcode, inflater) {
            (Opcode::Close, _) => Some(control::read_close(payload)?),
            (Opcode::Ping, _) => Some(Frame::Ping(payload)),
            (Opcode::Pong, _) => Some(Frame::Pong(payload)),
            (Opcode::Binary | Opcode::Text, Some(inflater)) if start.fin && start.compressed => {
                Some(inflate(start.opcode, payload, rules, inflater)?)
            }
            (Opcode::Binary | Opcode::Text, _) if start.fin => Some(self.whole(start.opcode, payload)?),
            (Opcode::Binary | Opcode::Continuation | Opcode::Text, inflater) => {
                self.fragment(start, payload, rules, inflater)?
            }
        };
        Ok(Decoded { consumed: total, frame })
    }

    /// The length of the first frame with its header, once enough of the header is there. It is
    /// what the peer claims: reserve no more than a limit, and only after [`Self::decode`] has
    /// asked for more bytes.
    #[must_use]
    pub fn needed(input: &[u8]) -> Option<usize> {
        header::frame_length(input)
    }

    /// Whether fragments of a message are held. A peer that stays so for long may be stuck or
    /// hostile.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.held().is_some()
    }

    /// Frees a message that was handed out.
    fn release(&mut self) {
        if self.message.as_deref().is_some_and(Message::is_finished) {
            self.message = None;
        }
    }

    /// The fragments that still wait for their last one.
    fn held(&self) -> Option<&Message> {
        self.message.as_deref().filter(|message| message.is_fragmented() && !message.is_finished())
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
        let held = self.held().map_or(0, |message| message.bytes().len());
        if !start.opcode.is_control() && payload > limit.saturating_sub(held) {
            return Err(too_big);
        }
        Ok(payload)
    }

    /// Checks what is there of a text frame that is not whole.
    fn look_ahead(&mut self, start: Start, key: [u8; mask::LENGTH], masked: &[u8]) -> Result<(), FramingError> {
        let is_text = match start.opcode {
            Opcode::Text => !start.compressed,
            Opcode::Continuation => self.held().is_some_and(Message::is_plain_text),
            Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => false,
        };
        if !is_text || masked.is_empty() {
            return Ok(());
        }
        self.message.get_or_insert_with(|| Box::new(Message::new(start))).look_ahead(key, masked)
    }

    /// A message in one frame, as it was sent.
    fn whole<'a>(&mut self, opcode: Opcode, payload: &'a [u8]) -> Result<Frame<'a>, FramingError> {
        let begun = self.message.take();
        if !matches!(opcode, Opcode::Text) {
            return Ok(Frame::Binary(payload));
        }
        match begun {
            None => check_text(payload)?,
            Some(mut message) => message.check_whole(payload)?,
        }
        Ok(Frame::Text(payload))
    }

    /// Takes in a fragment; gives the message if it was the last one.
    fn fragment<'a>(
        &'a mut self,
        start: Start,
        payload: &[u8],
        rules: &Rules,
        inflater: Option<&'a mut Inflater>,
    ) -> Result<Option<Frame<'a>>, FramingError> {
        self.message.get_or_insert_with(|| Box::new(Message::new(start))).push(payload, start.fin)?;
        match (self.message.as_deref(), inflater) {
            (Some(message), Some(inflater)) if message.is_finished() && message.is_compressed() => {
                inflate(message.opcode(), message.bytes(), rules, inflater).map(Some)
            }
            (message, _) => Ok(message.and_then(Message::frame)),
        }
    }
}

/// Inflates a whole message and checks what came out.
fn inflate<'a>(
    opcode: Opcode,
    compressed: &[u8],
    rules: &Rules,
    inflater: &'a mut Inflater,
) -> Result<Frame<'a>, FramingError> {
    let payload = inflater.inflate(compressed, rules)?;
    if matches!(opcode, Opcode::Text) {
        check_text(payload)?;
        return Ok(Frame::Text(payload));
    }
    Ok(Frame::Binary(payload))
}

/// Checks the text of a message that is whole.
fn check_text(text: &[u8]) -> Result<(), FramingError> {
    simdutf8::basic::from_utf8(text).map_err(|_| FramingError::InvalidUtf8)?;
    Ok(())
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

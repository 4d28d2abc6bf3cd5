//! The frames that decoders hand out, as slices of the bytes they were given.

/// What a decoder found at the front of its input.
///
/// | `consumed` | `frame` | the caller |
/// |---|---|---|
/// | 0 | `None` | keeps the bytes and calls again when there are more |
/// | > 0 | `None` | drops that many bytes (a fragment was stored) and calls again with the rest |
/// | > 0 | `Some` | handles the frame, drops that many bytes and calls again with the rest |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// How many bytes of the input are done with; never more than there were.
    pub consumed: usize,
    /// The frame that those bytes completed, if any.
    pub frame: Option<Frame<'a>>,
}

impl<'a> Decoded<'a> {
    /// Nothing was consumed; more bytes are needed.
    pub(crate) const INCOMPLETE: Self = Self { consumed: 0, frame: None };

    /// The first `consumed` bytes were `frame`.
    pub(crate) const fn frame(consumed: usize, frame: Frame<'a>) -> Self {
        Self { consumed, frame: Some(frame) }
    }
}

/// One message or control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A binary message, or a line that is not UTF-8.
    Binary(&'a [u8]),
    /// The peer closes; both parts are checked.
    Close {
        /// `None` when the peer gave no code (reported as 1005 elsewhere).
        code: Option<u16>,
        /// Empty when the peer gave none.
        reason: &'a str,
    },
    /// The peer asks for a pong with the same payload (at most 125 bytes).
    Ping(&'a [u8]),
    /// The peer answers a ping, or just says that it lives.
    Pong(&'a [u8]),
    /// A text message; the bytes are valid UTF-8.
    Text(&'a [u8]),
}

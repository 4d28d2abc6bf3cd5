//! What has come of a feed so far, cut into messages.

use bytes::{Buf, Bytes, BytesMut};
use jackfield_framing::{Decoded, Frame, FramingError, Lines, Measured, Varint};

use crate::trouble::Trouble;

/// Room for each read.
const ROOM: usize = 64 << 10;

/// How the messages of a feed are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedFraming {
    /// A newline ends each.
    Lines,
    /// Each has the same length, or its length before it in an integer of one width.
    Measured(Measured),
    /// Each has its length before it as a varint.
    Varint,
}

impl FeedFraming {
    /// Reads the word of the configuration: `lines`, `varint`, or what [`Measured::parse`] reads.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "lines" => Some(Self::Lines),
            "varint" => Some(Self::Varint),
            other => Measured::parse(other).map(Self::Measured),
        }
    }

    /// The length of all messages, where they have one.
    #[must_use]
    pub fn fixed_length(self) -> Option<usize> {
        match self {
            Self::Measured(Measured::Fixed(length)) => Some(length.into()),
            Self::Lines | Self::Measured(Measured::Prefix(_)) | Self::Varint => None,
        }
    }
}

/// Bytes on their way to messages.
pub(super) struct Frames {
    framing: FeedFraming,
    limit: usize,
    buffer: BytesMut,
    /// Bytes at the front that are known to hold no newline.
    scanned: usize,
}

impl Frames {
    pub(super) fn new(framing: FeedFraming, limit: usize) -> Self {
        Self { framing, limit, buffer: BytesMut::new(), scanned: 0 }
    }

    /// Where the next read goes. It never grows beyond a message of the largest size and two reads.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(ROOM);
        &mut self.buffer
    }

    /// Bytes of a message that is not whole yet.
    pub(super) fn unfinished(&self) -> usize {
        self.buffer.len()
    }

    /// The next message, if it is there from end to end. Empty ones are signs of life and no messages.
    ///
    /// Why a copy: a slice would hold the whole buffer, thousands of messages, for as long as a history or a key keeps one
    /// of them.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            let decoded = match self.framing {
                FeedFraming::Lines => Lines::decode(&mut self.buffer, self.scanned, self.limit),
                FeedFraming::Measured(measured) => measured.decode(&mut self.buffer, self.limit),
                FeedFraming::Varint => Varint::decode(&mut self.buffer, self.limit),
            };
            let Decoded { consumed, frame } = decoded.map_err(broken)?;
            let Some(Frame::Binary(message) | Frame::Text(message)) = frame else {
                self.scanned = self.buffer.len();
                return Ok(None);
            };
            let message = (!message.is_empty()).then(|| Bytes::copy_from_slice(message));
            self.buffer.advance(consumed);
            self.scanned = 0;
            if message.is_some() {
                return Ok(message);
            }
        }
    }
}

fn broken(error: FramingError) -> Trouble {
    Trouble(match error {
        FramingError::LineTooLong { limit } | FramingError::MessageTooBig { limit } => format!(
            "a message is longer than message_size_limit, {limit} bytes; raise it, or see whether `framing` is the feed's"
        ),
        other => format!("{other}; see whether `framing` is the feed's"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages of a stream that comes in pieces of one size, and what is wrong behind them.
    fn cut(word: &str, stream: &[u8], size: usize) -> (Vec<Bytes>, Option<String>) {
        let mut frames = Frames::new(FeedFraming::parse(word).unwrap(), 9);
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            frames.room().extend_from_slice(piece);
            loop {
                match frames.next() {
                    Ok(Some(message)) => found.push(message),
                    Ok(None) => break,
                    Err(trouble) => return (found, Some(trouble.0)),
                }
            }
        }
        (found, None)
    }

    #[test]
    fn wherever_they_are_cut() {
        for (word, stream) in [
            ("lines", &b"one\n\ntwo\r\n\xff\nno end"[..]),
            ("varint", b"\x03one\x00\x03two\x01\xff\x09no end"),
            ("u16be", b"\x00\x03one\x00\x00\x00\x03two\x00\x01\xff\x00"),
        ] {
            for size in 1..=stream.len() {
                assert_eq!(cut(word, stream, size).0, [&b"one"[..], b"two", b"\xff"], "{word} by {size}");
            }
        }
        assert_eq!(cut("fixed:3", b"onetwo\xff", 2).0, [&b"one"[..], b"two"]);
    }

    #[test]
    fn what_is_broken_names_limit_and_remedy() {
        for (word, stream) in
            [("lines", &b"one\n0123456789\n"[..]), ("varint", b"\x03one\x0a"), ("u32le", b"\x03\0\0\0one\x0a\0\0\0")]
        {
            let (found, wrong) = cut(word, stream, 4);
            assert_eq!(found, ["one"], "{word}");
            let wrong = wrong.unwrap();
            assert!(wrong.contains("message_size_limit, 9 bytes; raise it"), "{wrong}");
        }
        let mut frames = Frames::new(FeedFraming::Varint, 1000);
        frames.room().extend_from_slice(b"\x80\x00");
        assert!(frames.next().unwrap_err().0.ends_with("; see whether `framing` is the feed's"));
    }

    #[test]
    fn what_was_read_is_not_held_by_what_was_cut_from_it() {
        let mut frames = Frames::new(FeedFraming::Lines, 100);
        frames.room().extend_from_slice(&b"0123456789\n".repeat(1000));
        let kept: Vec<Bytes> = std::iter::from_fn(|| frames.next().unwrap()).collect();
        assert_eq!(kept.len(), 1000);
        for message in kept {
            assert_eq!(message.try_into_mut().expect("nobody shares it").capacity(), 10);
        }
    }

    #[test]
    fn words() {
        assert_eq!(FeedFraming::parse("lines"), Some(FeedFraming::Lines));
        assert_eq!(FeedFraming::parse("fixed:12").unwrap().fixed_length(), Some(12));
        assert_eq!(FeedFraming::parse("u8").unwrap().fixed_length(), None);
        assert_eq!(FeedFraming::parse("u24be"), None);
    }
}

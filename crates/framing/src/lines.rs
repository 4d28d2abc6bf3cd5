//! Lines of text: the framing of raw TCP clients that speak one command per line.

use memchr::memchr;

use crate::{Decoded, Frame, FramingError};

/// Decoder of lines; it keeps nothing, so an idle connection costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines;

impl Lines {
    /// Takes the first line off `input`: a `\n` ends it, and one `\r` before that is dropped.
    ///
    /// The line is a [`Frame::Text`] when it is valid UTF-8, else a [`Frame::Binary`]; an empty
    /// line is an empty text. A line longer than `limit` bytes is refused, without its end as soon
    /// as `limit + 2` bytes are there.
    ///
    /// `scanned` says how many bytes at the front of `input` are known to hold no newline (those
    /// for which the call before asked for more). Why: a client that sends a long line byte by
    /// byte would otherwise have the whole of it searched again at each byte.
    ///
    /// # Errors
    ///
    /// [`FramingError::LineTooLong`].
    pub fn decode<'a>(input: &'a mut [u8], scanned: usize, limit: usize) -> Result<Decoded<'a>, FramingError> {
        let input: &'a [u8] = input;
        let scanned = scanned.min(input.len());
        let Some(offset) = memchr(b'\n', &input[scanned..]) else {
            return if input.len() >= limit.saturating_add(2) {
                Err(FramingError::LineTooLong { limit })
            } else {
                Ok(Decoded::INCOMPLETE)
            };
        };
        let end = scanned + offset;
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            return Err(FramingError::LineTooLong { limit });
        }
        let frame = if simdutf8::basic::from_utf8(line).is_ok() { Frame::Text(line) } else { Frame::Binary(line) };
        Ok(Decoded::frame(end + 1, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], limit: usize) -> Result<(usize, Option<Vec<u8>>), FramingError> {
        let mut input = input.to_vec();
        let decoded = Lines::decode(&mut input, 0, limit)?;
        let line = decoded.frame.map(|frame| match frame {
            Frame::Text(line) | Frame::Binary(line) => line.to_vec(),
            other => panic!("not a line: {other:?}"),
        });
        Ok((decoded.consumed, line))
    }

    #[test]
    fn a_line_ends_at_its_newline() {
        assert_eq!(decode(b"one\ntwo\n", 10), Ok((4, Some(b"one".to_vec()))));
        assert_eq!(decode(b"one\r\ntwo", 10), Ok((5, Some(b"one".to_vec()))));
        assert_eq!(decode(b"one\r\r\n", 10), Ok((6, Some(b"one\r".to_vec()))));
        assert_eq!(decode(b"o\rne\n", 10), Ok((5, Some(b"o\rne".to_vec()))));
        assert_eq!(decode(b"\n", 10), Ok((1, Some(Vec::new()))));
        assert_eq!(decode(b"\r\n", 0), Ok((2, Some(Vec::new()))));
        assert_eq!(decode(b"one", 10), Ok((0, None)));
        assert_eq!(decode(b"", 10), Ok((0, None)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_binary() {
        let mut input = *b"\xff\xfe\n";
        let decoded = Lines::decode(&mut input, 0, 10);
        assert_eq!(decoded, Ok(Decoded::frame(3, Frame::Binary(b"\xff\xfe"))));
    }

    #[test]
    fn the_limit_holds_with_and_without_an_end() {
        let too_long = Err(FramingError::LineTooLong { limit: 3 });
        assert_eq!(decode(b"abc\n", 3), Ok((4, Some(b"abc".to_vec()))));
        assert_eq!(decode(b"abc\r\n", 3), Ok((5, Some(b"abc".to_vec()))));
        assert_eq!(decode(b"abc\r", 3), Ok((0, None)));
        assert_eq!(decode(b"abcd\n", 3), too_long);
        assert_eq!(decode(b"abcd\r\n", 3), too_long);
        assert_eq!(decode(b"abcde", 3), too_long);
        assert_eq!(decode(b"abcdefgh\n", 3), too_long);
        assert_eq!(decode(b"abc", usize::MAX), Ok((0, None)));
    }

    #[test]
    fn known_bytes_are_not_searched_again() {
        let mut input = *b"abc\n";
        let decoded = Lines::decode(&mut input, 3, 10);
        assert_eq!(decoded, Ok(Decoded::frame(4, Frame::Text(b"abc"))));
        let beyond = Lines::decode(&mut input, 100, 10);
        assert_eq!(beyond, Ok(Decoded::INCOMPLETE));
    }
}

//! Length-prefixed messages: the framing of raw TCP clients that speak Protobuf.

use crate::{Decoded, Frame, FramingError};

/// Bytes a length prefix may have: enough for 32 bits.
pub const MAX_PREFIX: usize = 5;

const MORE: u8 = 0x80;
const VALUE_BITS: u8 = 0x7f;

/// Decoder of messages with an unsigned LEB128 length before each; it keeps nothing, so an idle
/// connection costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Varint;

impl Varint {
    /// Takes the first message off `input`, as a [`Frame::Binary`]; it may be empty.
    ///
    /// A length beyond `limit` is refused as soon as a byte of its prefix shows it, before any byte
    /// of the message.
    ///
    /// # Errors
    ///
    /// [`FramingError::MessageTooBig`], [`FramingError::VarintNotMinimal`] or
    /// [`FramingError::VarintTooLong`].
    pub fn decode(input: &mut [u8], limit: usize) -> Result<Decoded<'_>, FramingError> {
        let input: &[u8] = input;
        let Some(prefix) = Prefix::read(input, limit)? else {
            return Ok(Decoded::INCOMPLETE);
        };
        let total = prefix.length.saturating_add(prefix.message);
        Ok(match input.get(prefix.length..total) {
            Some(message) => Decoded::frame(total, Frame::Binary(message)),
            None => Decoded::INCOMPLETE,
        })
    }

    /// The length of the first message with its prefix, once the prefix is there and right. It is
    /// what the peer claims: reserve no more than a limit, and only after [`Self::decode`] has
    /// asked for more bytes.
    #[must_use]
    pub fn needed(input: &[u8]) -> Option<usize> {
        let prefix = Prefix::read(input, usize::MAX).ok()??;
        Some(prefix.length.saturating_add(prefix.message))
    }
}

/// A length prefix.
struct Prefix {
    /// Bytes of the prefix itself.
    length: usize,
    /// Bytes of the message behind it.
    message: usize,
}

impl Prefix {
    /// Reads and checks the prefix byte by byte, so that a fault is the same one however the bytes
    /// arrive; `None` asks for more.
    fn read(input: &[u8], limit: usize) -> Result<Option<Self>, FramingError> {
        let too_big = FramingError::MessageTooBig { limit };
        let mut value = 0_u64;
        for (at, &byte) in input.iter().enumerate() {
            if at == MAX_PREFIX {
                return Err(FramingError::VarintTooLong);
            }
            let shift = 7 * at as u32;
            value |= u64::from(byte & VALUE_BITS) << shift;
            let ends = byte & MORE == 0;
            if ends && byte == 0 && at > 0 {
                return Err(FramingError::VarintNotMinimal);
            }
            // What follows adds at least one bit above these.
            let least = if ends { value } else { value | 1 << (shift + 7) };
            let least = usize::try_from(least).map_err(|_| too_big)?;
            if least > limit {
                return Err(too_big);
            }
            if ends {
                return Ok(Some(Self { length: at + 1, message: least }));
            }
        }
        Ok(None)
    }
}

/// Bytes of the prefix before a message of `length` bytes.
pub(crate) const fn length(length: usize) -> usize {
    let bits = (usize::BITS - length.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Appends the prefix of a message of `length` bytes.
pub(crate) fn write(mut length: usize, out: &mut Vec<u8>) {
    while length > usize::from(VALUE_BITS) {
        out.push(MORE | (length & usize::from(VALUE_BITS)) as u8);
        length >>= 7;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wrap;

    fn decode(input: &[u8], limit: usize) -> Result<(usize, Option<Vec<u8>>), FramingError> {
        let mut input = input.to_vec();
        let Decoded { consumed, frame } = Varint::decode(&mut input, limit)?;
        let message = frame.map(|frame| match frame {
            Frame::Binary(message) => message.to_vec(),
            other => panic!("not a message: {other:?}"),
        });
        Ok((consumed, message))
    }

    #[test]
    fn messages_come_out_one_by_one() {
        assert_eq!(decode(b"", 10), Ok((0, None)));
        assert_eq!(decode(b"\x00", 0), Ok((1, Some(Vec::new()))));
        assert_eq!(decode(b"\x03abcd", 10), Ok((4, Some(b"abc".to_vec()))));
        assert_eq!(decode(b"\x03ab", 10), Ok((0, None)));
        let long = [&b"\xac\x02"[..], &[7; 300]].concat();
        assert_eq!(decode(&long, 300), Ok((302, Some(vec![7; 300]))));
        assert_eq!(decode(&long[..301], 300), Ok((0, None)));
    }

    #[test]
    fn a_prefix_is_refused_by_the_byte_that_shows_it() {
        let limit = 300;
        let too_big = Err(FramingError::MessageTooBig { limit });
        assert_eq!(decode(b"\xac\x02", limit), Ok((0, None)));
        assert_eq!(decode(b"\xad\x02", limit), too_big);
        assert_eq!(decode(b"\xac", limit), Ok((0, None)));
        assert_eq!(decode(b"\x80\x80", limit), too_big, "a third byte means 16384 at least");
        assert_eq!(decode(b"\x80", 127), Err(FramingError::MessageTooBig { limit: 127 }));
        assert_eq!(decode(b"\x80\x00", limit), Err(FramingError::VarintNotMinimal));
        assert_eq!(decode(b"\x81\x80\x00", 1 << 20), Err(FramingError::VarintNotMinimal));
        assert_eq!(decode(b"\xff\xff\xff\xff\x0f", usize::MAX), Ok((0, None)));
        assert_eq!(decode(b"\x80\x80\x80\x80\x80", usize::MAX), Ok((0, None)));
        for sixth in [0, 1, 0x80] {
            let bytes = [0x80, 0x80, 0x80, 0x80, 0x80, sixth];
            assert_eq!(decode(&bytes, usize::MAX), Err(FramingError::VarintTooLong));
        }
    }

    #[test]
    fn what_is_needed_is_known_with_the_prefix() {
        assert_eq!(Varint::needed(b""), None);
        assert_eq!(Varint::needed(b"\x00"), Some(1));
        assert_eq!(Varint::needed(b"\xac"), None);
        assert_eq!(Varint::needed(b"\xac\x02"), Some(302));
        assert_eq!(Varint::needed(b"\x80\x00"), None);
    }

    #[test]
    fn prefixes_are_written_in_their_shortest_form() {
        for (value, prefix) in [
            (0, &b"\x00"[..]),
            (1, b"\x01"),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (16_383, b"\xff\x7f"),
            (16_384, b"\x80\x80\x01"),
            (u32::MAX as usize, b"\xff\xff\xff\xff\x0f"),
        ] {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(out, prefix, "{value}");
            assert_eq!(length(value), prefix.len(), "{value}");
        }
        assert_eq!(Wrap::Varint.frame(b"abc"), &b"\x03abc"[..]);
        assert_eq!(Wrap::Varint.frame(b""), &b"\x00"[..]);
    }
}

//! Messages of one length, or each behind its length in an integer of one width: what devices and games send that have a
//! protocol of their own.

use bytes::Bytes;

use crate::{Decoded, Frame, FramingError};

/// How long a message is. It keeps nothing, so an idle connection costs nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Measured {
    /// Every message has so many bytes.
    Fixed(u16),
    /// Before each stands its length.
    Prefix(Prefix),
}

/// The integer before a message. It counts the bytes behind it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Prefix {
    /// One byte.
    U8,
    /// Two bytes, the higher first.
    U16Be,
    /// Two bytes, the lower first.
    U16Le,
    /// Four bytes, the highest first.
    U32Be,
    /// Four bytes, the lowest first.
    U32Le,
}

impl Measured {
    /// Reads the word of the configuration: `fixed:N`, `u8`, `u16be`, `u16le`, `u32be`, `u32le`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self::Prefix(match text {
            "u8" => Prefix::U8,
            "u16be" => Prefix::U16Be,
            "u16le" => Prefix::U16Le,
            "u32be" => Prefix::U32Be,
            "u32le" => Prefix::U32Le,
            _ => return text.strip_prefix("fixed:")?.parse().ok().filter(|length| *length > 0).map(Self::Fixed),
        }))
    }

    /// Takes the first message off `input`, as a [`Frame::Binary`].
    ///
    /// # Errors
    ///
    /// [`FramingError::MessageTooBig`], as soon as its length is there.
    pub fn decode(self, input: &mut [u8], limit: usize) -> Result<Decoded<'_>, FramingError> {
        let input: &[u8] = input;
        let (head, length) = match self {
            Self::Fixed(length) => (0, usize::from(length)),
            Self::Prefix(prefix) => match prefix.read(input) {
                Some(length) => (prefix.width(), length),
                None => return Ok(Decoded::INCOMPLETE),
            },
        };
        if length > limit {
            return Err(FramingError::MessageTooBig { limit });
        }
        let total = head.saturating_add(length);
        Ok(match input.get(head..total) {
            Some(message) => Decoded::frame(total, Frame::Binary(message)),
            None => Decoded::INCOMPLETE,
        })
    }

    /// The framed payload; `None` where its length cannot be said.
    #[must_use]
    pub fn frame(self, payload: &[u8]) -> Option<Bytes> {
        let Self::Prefix(prefix) = self else {
            return (self == Self::Fixed(u16::try_from(payload.len()).ok()?)).then(|| Bytes::copy_from_slice(payload));
        };
        let length = u32::try_from(payload.len()).ok()?;
        let mut out = Vec::with_capacity(prefix.width() + payload.len());
        match prefix {
            Prefix::U8 => out.push(u8::try_from(length).ok()?),
            Prefix::U16Be => out.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes()),
            Prefix::U16Le => out.extend_from_slice(&u16::try_from(length).ok()?.to_le_bytes()),
            Prefix::U32Be => out.extend_from_slice(&length.to_be_bytes()),
            Prefix::U32Le => out.extend_from_slice(&length.to_le_bytes()),
        }
        out.extend_from_slice(payload);
        Some(out.into())
    }
}

impl Prefix {
    const fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16Be | Self::U16Le => 2,
            Self::U32Be | Self::U32Le => 4,
        }
    }

    fn read(self, input: &[u8]) -> Option<usize> {
        let length = match self {
            Self::U8 => u32::from(*input.first()?),
            Self::U16Be => u16::from_be_bytes(*input.first_chunk()?).into(),
            Self::U16Le => u16::from_le_bytes(*input.first_chunk()?).into(),
            Self::U32Be => u32::from_be_bytes(*input.first_chunk()?),
            Self::U32Le => u32::from_le_bytes(*input.first_chunk()?),
        };
        usize::try_from(length).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PREFIXES: [&str; 5] = ["u8", "u16be", "u16le", "u32be", "u32le"];

    /// All messages of a stream that comes in pieces.
    fn decode(measured: Measured, stream: &[u8], cuts: &[usize], limit: usize) -> Result<Vec<Vec<u8>>, FramingError> {
        let (mut found, mut kept, mut from) = (Vec::new(), Vec::new(), 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        for cut in cuts {
            kept.extend_from_slice(&stream[from..cut]);
            from = cut;
            loop {
                let decoded = measured.decode(&mut kept, limit)?;
                let Some(Frame::Binary(message)) = decoded.frame else { break };
                let consumed = decoded.consumed;
                found.push(message.to_vec());
                kept.drain(..consumed);
            }
        }
        Ok(found)
    }

    #[test]
    fn words_of_the_configuration() {
        assert_eq!(Measured::parse("fixed:12"), Some(Measured::Fixed(12)));
        for word in PREFIXES {
            assert!(matches!(Measured::parse(word), Some(Measured::Prefix(_))), "{word}");
        }
        for wrong in ["fixed", "fixed:", "fixed:0", "fixed:70000", "fixed:-1", "u16", "u64be", "", "lines"] {
            assert_eq!(Measured::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_word() {
        let frame = |word: &str, payload: &[u8]| Measured::parse(word).and_then(|measured| measured.frame(payload));
        assert_eq!(frame("u8", b"ab").as_deref(), Some(&b"\x02ab"[..]));
        assert_eq!(frame("u16be", b"ab").as_deref(), Some(&b"\x00\x02ab"[..]));
        assert_eq!(frame("u16le", b"ab").as_deref(), Some(&b"\x02\x00ab"[..]));
        assert_eq!(frame("u32be", b"ab").as_deref(), Some(&b"\x00\x00\x00\x02ab"[..]));
        assert_eq!(frame("u32le", b"ab").as_deref(), Some(&b"\x02\x00\x00\x00ab"[..]));
        assert_eq!(frame("fixed:2", b"ab").as_deref(), Some(&b"ab"[..]));
        assert_eq!(frame("fixed:3", b"ab"), None, "shorter than all others");
        assert_eq!(frame("u8", &[0; 256]), None, "longer than the length can say");
        assert_eq!(frame("u16le", &[0; 65_536]), None);
    }

    #[test]
    fn too_long_is_refused_before_it_comes() {
        let too_big = Err(FramingError::MessageTooBig { limit: 9 });
        assert_eq!(decode(Measured::Prefix(Prefix::U32Be), b"\x00\x00\x00\x0a", &[], 9), too_big);
        assert_eq!(decode(Measured::Prefix(Prefix::U8), b"\x0a", &[], 9), too_big);
        assert_eq!(decode(Measured::Fixed(10), b"", &[], 9), too_big);
        assert_eq!(decode(Measured::Prefix(Prefix::U8), b"\x09\x00", &[], 9), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut(
            which in 0..PREFIXES.len(),
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..6),
        ) {
            let measured = Measured::parse(PREFIXES[which]).unwrap();
            let stream: Vec<u8> = messages.iter().flat_map(|one| measured.frame(one).unwrap()).collect();
            prop_assert_eq!(decode(measured, &stream, &cuts, 200), Ok(messages));
        }

        #[test]
        fn messages_of_one_length(length in 1_u16..50, stream in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(any::<usize>(), 0..6)) {
            let measured = Measured::Fixed(length);
            let whole: Vec<Vec<u8>> = stream.chunks_exact(length.into()).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(decode(measured, &stream, &cuts, 50), Ok(whole));
        }
    }
}

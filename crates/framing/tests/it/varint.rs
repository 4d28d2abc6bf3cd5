//! Length-prefixed messages are the same however their bytes arrive.

use jackfield_framing::{Decoded, Frame, FramingError, Varint, Wrap};
use proptest::collection::vec;
use proptest::prelude::*;

/// The messages that come out of chunks, and how many bytes are left or what was wrong.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Vec<u8>>, Result<usize, FramingError>) {
    let mut messages = Vec::new();
    let mut buffer = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let available = buffer.len();
            let needed = Varint::needed(&buffer);
            let Decoded { consumed, frame } = match Varint::decode(&mut buffer, limit) {
                Ok(decoded) => decoded,
                Err(error) => return (messages, Err(error)),
            };
            match frame {
                Some(Frame::Binary(message)) => {
                    assert_eq!(needed, Some(consumed));
                    messages.push(message.to_vec());
                }
                Some(other) => panic!("not a message: {other:?}"),
                None => assert!(consumed == 0 && needed.is_none_or(|needed| needed > available)),
            }
            buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
    }
    (messages, Ok(buffer.len()))
}

proptest! {
    #[test]
    fn messages_survive_any_split(
        messages in vec(prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 100..400)], 0..8),
        size in 1usize..20,
    ) {
        let mut bytes = Vec::new();
        for message in &messages {
            Wrap::Varint.wrap(message, &mut bytes);
        }
        let expected = (messages, Ok(0));
        prop_assert_eq!(&decode(bytes.chunks(size), 400), &expected);
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            prop_assert_eq!(&decode([front, back], 400), &expected);
        }
    }

    #[test]
    fn the_limit_is_exact(length in 1usize..40_000) {
        let bytes = Wrap::Varint.frame(&vec![1; length]);
        prop_assert_eq!(decode([&bytes[..]], length), (vec![vec![1; length]], Ok(0)));
        let limit = length - 1;
        let prefix = bytes.len() - length;
        let (_, end) = decode([&bytes[..prefix]], limit);
        prop_assert_eq!(end, Err(FramingError::MessageTooBig { limit }), "the prefix alone is enough");
    }

    #[test]
    fn no_bytes_do_harm(
        bytes in vec(prop_oneof![Just(0x80u8), Just(0x00), 0u8..6, any::<u8>()], 0..100),
        limit in prop_oneof![0usize..200, Just(20_000), Just(usize::MAX)],
    ) {
        let whole = decode([&bytes[..]], limit);
        prop_assert_eq!(decode(bytes.chunks(1), limit), whole);
    }
}

//! Length-prefixed messages: the first byte cuts the rest in two, which must not change what comes out.
#![no_main]

use jackfield_framing::{Decoded, Frame, FramingError, Varint};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches it, and beyond one byte of prefix.
const LIMIT: usize = 200;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let (front, back) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(decode(&[front, back]), decode(&[bytes]));
});

/// The messages that come out of chunks, and how it ended.
fn decode(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Result<usize, FramingError>) {
    let mut messages = Vec::new();
    let mut buffer = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let available = buffer.len();
            let needed = Varint::needed(&buffer);
            let Decoded { consumed, frame } = match Varint::decode(&mut buffer, LIMIT) {
                Ok(decoded) => decoded,
                Err(error) => return (messages, Err(error)),
            };
            match frame {
                Some(Frame::Binary(message)) => {
                    assert!(message.len() <= LIMIT);
                    assert_eq!(needed, Some(consumed));
                    messages.push(message.to_vec());
                }
                Some(other) => panic!("not a message: {other:?}"),
                None => {
                    assert_eq!(consumed, 0);
                    assert!(needed.is_none_or(|needed| needed > available));
                }
            }
            buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
    }
    (messages, Ok(buffer.len()))
}

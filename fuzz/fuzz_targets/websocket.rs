//! WebSocket frames: the first byte cuts the rest in two, which must not change what comes out.
#![no_main]

use jackfield_framing::{Decoded, Frame, FramingError, WebSocket};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches it.
const LIMIT: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let (front, back) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(decode(&[front, back]), decode(&[bytes]));
});

/// The frames that come out of chunks, printed, and how it ended.
fn decode(chunks: &[&[u8]]) -> (Vec<String>, Result<usize, FramingError>) {
    let mut socket = WebSocket::new();
    let mut frames = Vec::new();
    let mut buffer = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let available = buffer.len() - at;
            let needed = WebSocket::needed(&buffer[at..]);
            let Decoded { consumed, frame } = match socket.decode(&mut buffer[at..], LIMIT) {
                Ok(decoded) => decoded,
                Err(error) => return (frames, Err(error)),
            };
            assert!(consumed <= available);
            if consumed == 0 {
                assert!(frame.is_none());
                assert!(needed.is_none_or(|needed| needed > available));
                break;
            }
            assert_eq!(needed, Some(consumed));
            match frame {
                Some(Frame::Text(text)) => assert!(std::str::from_utf8(text).is_ok()),
                Some(Frame::Binary(bytes)) => assert!(bytes.len() <= LIMIT),
                Some(Frame::Ping(bytes) | Frame::Pong(bytes)) => assert!(bytes.len() <= 125),
                Some(Frame::Close { .. }) | None => {}
            }
            frames.extend(frame.map(|frame| format!("{frame:?}")));
            at += consumed;
        }
        buffer.drain(..at);
    }
    (frames, Ok(buffer.len()))
}

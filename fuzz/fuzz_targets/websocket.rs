//! WebSocket frames: the first byte cuts the rest in two, which must not change what comes out, with
//! compression and without.
#![no_main]

use jackfield_framing::websocket::Inflater;
use jackfield_framing::{Decoded, Frame, FramingError, Rules, WebSocket};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches them.
const RULES: Rules = Rules { message_limit: 300, decompressed_limit: 2000, ratio: 100 };

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let (front, back) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let plain = decode(&[bytes], None);
    assert_eq!(decode(&[front, back], None), plain);
    let inflated = decode(&[bytes], Some(&mut Inflater::new()));
    assert_eq!(decode(&[front, back], Some(&mut Inflater::new())), inflated);
    let (plain, refused) = plain;
    if refused != Err(FramingError::ReservedBits) {
        assert_eq!((plain, refused), inflated, "compression changes what is compressed, and nothing else");
    }
});

/// The frames that come out of chunks, printed, and how it ended.
fn decode(chunks: &[&[u8]], mut inflater: Option<&mut Inflater>) -> (Vec<String>, Result<usize, FramingError>) {
    let mut socket = WebSocket::new();
    let mut frames = Vec::new();
    let mut buffer = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let available = buffer.len() - at;
            let needed = WebSocket::needed(&buffer[at..]);
            let decoded = socket.decode(&mut buffer[at..], &RULES, inflater.as_deref_mut());
            let Decoded { consumed, frame } = match decoded {
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
                Some(Frame::Binary(bytes)) => assert!(bytes.len() <= RULES.decompressed_limit),
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

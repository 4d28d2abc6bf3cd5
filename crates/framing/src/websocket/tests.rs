//! Every rule of RFC 6455 that a client can break, and the edges of those it keeps.

use crate::client::{mask_fragment, mask_frame};
use crate::websocket::{FREE_FRAGMENTS, Inflater, LEAST_MEAN, Opcode};
use crate::{Decoded, Frame, FramingError, Rules, WebSocket};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMIT: usize = 1 << 20;
const RULES: Rules = Rules::plain(LIMIT);

/// Decodes the first frame of `bytes` with a fresh decoder and hands it to `look`.
fn first<T>(bytes: &[u8], look: impl FnOnce(Result<Decoded<'_>, FramingError>) -> T) -> T {
    let mut bytes = bytes.to_vec();
    look(WebSocket::new().decode(&mut bytes, &RULES, None))
}

/// The error of the first frame of `bytes`.
fn refused(bytes: &[u8]) -> FramingError {
    first(bytes, |decoded| decoded.unwrap_err())
}

/// Decodes frames until one is handed out, and gives it as text.
fn drain(socket: &mut WebSocket, bytes: &[u8]) -> Result<Vec<String>, FramingError> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    let mut seen = Vec::new();
    loop {
        let decoded = socket.decode(&mut bytes[at..], &RULES, None)?;
        if let Some(frame) = decoded.frame {
            seen.push(match frame {
                Frame::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
                other => format!("{other:?}"),
            });
        }
        if decoded.consumed == 0 {
            return Ok(seen);
        }
        at += decoded.consumed;
    }
}

fn fragment(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    mask_fragment(opcode, payload, KEY, &mut out);
    out
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    mask_frame(opcode, payload, KEY, &mut out);
    out
}

#[test]
fn an_idle_decoder_is_one_pointer() {
    assert_eq!(size_of::<WebSocket>(), size_of::<usize>());
}

#[test]
fn the_examples_of_the_rfc() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    first(hello, |decoded| {
        assert_eq!(decoded, Ok(Decoded::frame(11, Frame::Text(b"Hello"))));
    });
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    first(pong, |decoded| {
        assert_eq!(decoded, Ok(Decoded::frame(11, Frame::Pong(b"Hello"))));
    });
    assert_eq!(refused(b"\x81\x05Hello"), FramingError::Unmasked);
    let mut both = fragment(Opcode::Text, b"Hel");
    both.extend(frame(Opcode::Continuation, b"lo"));
    let seen = drain(&mut WebSocket::new(), &both);
    assert_eq!(seen, Ok(vec!["text Hello".to_owned()]));
}

#[test]
fn lengths_at_the_edges() {
    for length in [0, 1, 124, 125, 126, 127, 65535, 65536, 65537] {
        let payload = vec![b'a'; length];
        let bytes = frame(Opcode::Binary, &payload);
        assert_eq!(WebSocket::needed(&bytes), Some(bytes.len()));
        first(&bytes, |decoded| {
            let expected = Decoded::frame(bytes.len(), Frame::Binary(&payload));
            assert_eq!(decoded, Ok(expected), "length {length}");
        });
        for kept in [0, 1, 2, 3, 5, bytes.len() - 1] {
            let part = &bytes[..kept.min(bytes.len() - 1)];
            first(part, |decoded| assert_eq!(decoded, Ok(Decoded::INCOMPLETE)));
        }
    }
}

#[test]
fn needed_waits_for_the_length() {
    assert_eq!(WebSocket::needed(b""), None);
    assert_eq!(WebSocket::needed(b"\x82"), None);
    assert_eq!(WebSocket::needed(b"\x82\x83"), Some(9));
    assert_eq!(WebSocket::needed(b"\x82\xfe\x01"), None);
    assert_eq!(WebSocket::needed(b"\x82\xfe\x01\x00"), Some(8 + 256));
    assert_eq!(WebSocket::needed(b"\x82\xff\0\0\0\0\0\x01\x00"), None);
    let all = [&b"\x82\xff"[..], &[0xff; 8]].concat();
    assert_eq!(WebSocket::needed(&all), Some(usize::MAX));
}

#[test]
fn the_first_bytes_are_refused_at_once() {
    for first in [0xc1, 0xa1, 0x91, 0xf1] {
        assert_eq!(refused(&[first]), FramingError::ReservedBits);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let expected = FramingError::ReservedOpcode { opcode };
        assert_eq!(refused(&[0x80 | opcode]), expected);
        assert_eq!(refused(&[opcode]), expected);
    }
    for opcode in [8, 9, 10] {
        assert_eq!(refused(&[opcode]), FramingError::ControlFragmented);
        let start = 0x80 | opcode;
        for length in [126, 127] {
            let bytes = [start, 0x80 | length];
            assert_eq!(refused(&bytes), FramingError::ControlTooLong);
        }
        assert_eq!(refused(&[start, 0]), FramingError::Unmasked);
    }
    let lost = FramingError::ContinuationWithoutStart;
    assert_eq!(refused(&[0x80]), lost);
    assert_eq!(refused(&[0x00]), lost);
}

#[test]
fn lengths_must_be_minimal_and_positive() {
    for length in [0u16, 125] {
        let bytes = [&b"\x82\xfe"[..], &length.to_be_bytes()].concat();
        let length = u64::from(length);
        assert_eq!(refused(&bytes), FramingError::LengthNotMinimal { length });
    }
    for length in [0u64, 125, 126, 65535] {
        let bytes = [&b"\x82\xff"[..], &length.to_be_bytes()].concat();
        assert_eq!(refused(&bytes), FramingError::LengthNotMinimal { length });
    }
    for length in [1u64 << 63, u64::MAX] {
        let bytes = [&b"\x82\xff"[..], &length.to_be_bytes()].concat();
        assert_eq!(refused(&bytes), FramingError::LengthHighBit);
    }
    let bytes = [&b"\x82\xff"[..], &(u64::MAX >> 1).to_be_bytes()].concat();
    let limit = LIMIT;
    assert_eq!(refused(&bytes), FramingError::MessageTooBig { limit });
    let mut all = bytes;
    let mut socket = WebSocket::new();
    let decoded = socket.decode(&mut all, &Rules::plain(usize::MAX), None);
    assert_eq!(decoded, Ok(Decoded::INCOMPLETE));
}

#[test]
fn a_big_message_is_refused_by_its_header() {
    let limit = 10;
    let too_big = Err(FramingError::MessageTooBig { limit });
    let mut bytes = frame(Opcode::Binary, &[0; 11]);
    let mut socket = WebSocket::new();
    assert_eq!(socket.decode(&mut bytes[..2], &Rules::plain(limit), None), too_big);
    let mut bytes = frame(Opcode::Binary, &[0; 10]);
    assert!(WebSocket::new().decode(&mut bytes, &Rules::plain(limit), None).is_ok());
    let mut bytes = frame(Opcode::Ping, &[0; 100]);
    assert!(WebSocket::new().decode(&mut bytes, &Rules::plain(limit), None).is_ok());

    let mut socket = WebSocket::new();
    let mut bytes = fragment(Opcode::Binary, &[0; 6]);
    let total = bytes.len();
    let decoded = socket.decode(&mut bytes, &Rules::plain(limit), None);
    assert_eq!(decoded, Ok(Decoded { consumed: total, frame: None }));
    let mut ping = frame(Opcode::Ping, &[0; 100]);
    assert!(socket.decode(&mut ping, &Rules::plain(limit), None).is_ok());
    let mut bytes = fragment(Opcode::Continuation, &[0; 5]);
    assert_eq!(socket.decode(&mut bytes[..2], &Rules::plain(limit), None), too_big);
    let mut bytes = frame(Opcode::Continuation, &[0; 4]);
    let decoded = socket.decode(&mut bytes, &Rules::plain(limit), None);
    let expected = Decoded::frame(bytes_of(4), Frame::Binary(&[0; 10]));
    assert_eq!(decoded, Ok(expected));
}

/// The length of a masked frame with a short payload.
fn bytes_of(payload: usize) -> usize {
    2 + 4 + payload
}

#[test]
fn messages_do_not_interleave() {
    let start = fragment(Opcode::Text, b"a");
    for opcode in [Opcode::Text, Opcode::Binary] {
        let bytes = [start.clone(), frame(opcode, b"b")].concat();
        let error = drain(&mut WebSocket::new(), &bytes).unwrap_err();
        assert_eq!(error, FramingError::NewMessageInsideFragments);
    }
    let bytes = [start, frame(Opcode::Continuation, b"b"), frame(Opcode::Continuation, b"c")];
    let error = drain(&mut WebSocket::new(), &bytes.concat()).unwrap_err();
    assert_eq!(error, FramingError::ContinuationWithoutStart);
}

#[test]
fn control_frames_come_out_between_fragments() {
    let bytes = [
        fragment(Opcode::Text, b"a"),
        frame(Opcode::Ping, b""),
        fragment(Opcode::Continuation, b""),
        frame(Opcode::Pong, b""),
        frame(Opcode::Continuation, b"b"),
        frame(Opcode::Close, b""),
    ];
    let seen = drain(&mut WebSocket::new(), &bytes.concat()).unwrap();
    let close = "Close { code: None, reason: \"\" }";
    assert_eq!(seen, ["Ping([])", "Pong([])", "text ab", close]);
}

/// A message of `count` fragments, all of the given size but the last, which has `last` bytes.
fn fragmented(count: usize, size: usize, last: usize) -> Vec<u8> {
    let mut bytes = fragment(Opcode::Text, &vec![b'a'; size]);
    for _ in 2..count {
        bytes.extend(fragment(Opcode::Continuation, &vec![b'a'; size]));
    }
    bytes.extend(frame(Opcode::Continuation, &vec![b'a'; last]));
    bytes
}

#[test]
fn many_fragments_must_not_be_tiny() {
    let (free, least) = (FREE_FRAGMENTS, LEAST_MEAN);
    let flood = Err(FramingError::TooManyFragments { least, limit: free });
    let length = |bytes: &[u8]| drain(&mut WebSocket::new(), bytes).map(|seen| seen[0].len() - "text ".len());
    assert_eq!(length(&fragmented(free, 0, 0)), Ok(0));
    assert_eq!(length(&fragmented(free, 1, 0)), Ok(free - 1));
    assert_eq!(length(&fragmented(free + 1, 0, 0)), flood);
    assert_eq!(length(&fragmented(free + 1, least, least)), Ok((free + 1) * least));
    assert_eq!(length(&fragmented(free + 1, least, least - 1)), flood);
    assert_eq!(length(&fragmented(free + 1, 1, least * free)), Ok(free + least * free));
    let many = LIMIT / 64;
    assert_eq!(length(&fragmented(many, 64, 64)), Ok(LIMIT));
}

#[test]
fn text_is_checked_fragment_by_fragment() {
    let bad = FramingError::InvalidUtf8;
    assert_eq!(refused(&frame(Opcode::Text, b"\xff")), bad);
    assert_eq!(refused(&frame(Opcode::Text, b"\xe2\x82")), bad);
    assert_eq!(refused(&frame(Opcode::Text, b"\xed\xa0\x80")), bad);
    assert_eq!(refused(&fragment(Opcode::Text, b"a\xff")), bad);
    assert_eq!(refused(&fragment(Opcode::Text, b"\xf4\x90")), bad);

    let euro = [
        fragment(Opcode::Text, b"a\xe2"),
        fragment(Opcode::Continuation, b""),
        fragment(Opcode::Continuation, b"\x82"),
        frame(Opcode::Continuation, b"\xac"),
    ];
    let seen = drain(&mut WebSocket::new(), &euro.concat());
    assert_eq!(seen, Ok(vec!["text a\u{20ac}".to_owned()]));
    for ending in [&b""[..], b"\x82", b"a"] {
        let cut = [euro[0].clone(), frame(Opcode::Continuation, ending)].concat();
        assert_eq!(drain(&mut WebSocket::new(), &cut), Err(bad));
    }
    let binary = [fragment(Opcode::Binary, b"\xff"), frame(Opcode::Continuation, b"\xfe")];
    assert!(drain(&mut WebSocket::new(), &binary.concat()).is_ok());
}

/// Decodes the frame as it grows byte by byte; gives the payload bytes that were there when it was
/// refused.
fn refused_at(mut socket: WebSocket, whole: &[u8]) -> Option<usize> {
    let mut bytes = Vec::new();
    for &byte in whole {
        bytes.push(byte);
        match socket.decode(&mut bytes, &RULES, None) {
            Ok(decoded) => assert_eq!(decoded.consumed == 0, bytes.len() < whole.len()),
            Err(error) => {
                assert_eq!(error, FramingError::InvalidUtf8);
                return Some(bytes.len() - bytes_of(0));
            }
        }
    }
    None
}

#[test]
fn text_is_refused_with_its_first_wrong_byte() {
    for (text, at) in [
        (&b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited"[..], Some(13)),
        (b"\xffab", Some(1)),
        (b"ab\xe2\x82a", Some(5)),
        (b"abc\xe2\x82", Some(5)),
        (b"abc\xe2\x82\xac", None),
    ] {
        assert_eq!(refused_at(WebSocket::new(), &frame(Opcode::Text, text)), at, "{text:x?}");
        let mut socket = WebSocket::new();
        let mut start = fragment(Opcode::Text, b"\xf0\x9f");
        assert!(socket.decode(&mut start, &RULES, None).is_ok());
        let rest = [b"\x99\x82", text].concat();
        let later = at.map(|at| at + 2);
        assert_eq!(refused_at(socket, &frame(Opcode::Continuation, &rest)), later, "{rest:x?}");
        assert_eq!(refused_at(WebSocket::new(), &frame(Opcode::Binary, text)), None);
    }
}

#[test]
fn a_cut_text_is_looked_at_in_pieces_of_any_size() {
    let text = "\u{20ac}x".repeat(2000);
    let whole = frame(Opcode::Text, text.as_bytes());
    for step in [1, 3, 5, 1023, 1024, 1025, 4000] {
        let mut socket = WebSocket::new();
        for end in (0..whole.len()).step_by(step) {
            let mut part = whole[..end].to_vec();
            assert_eq!(socket.decode(&mut part, &RULES, None), Ok(Decoded::INCOMPLETE), "step {step} at {end}");
            assert_eq!(part, whole[..end]);
            assert!(!socket.is_mid_message());
        }
        let mut all = whole.clone();
        let decoded = socket.decode(&mut all, &RULES, None);
        assert_eq!(decoded, Ok(Decoded::frame(whole.len(), Frame::Text(text.as_bytes()))));
        assert!(socket.message.is_none(), "nothing is kept of a text that was whole");
    }
}

#[test]
fn reserved_bits_need_a_meaning() {
    let mut inflater = Inflater::new();
    let mut refused = |bytes: &[u8], socket: &mut WebSocket| {
        let mut bytes = bytes.to_vec();
        socket.decode(&mut bytes, &RULES, Some(&mut inflater)).err()
    };
    let fresh = &mut WebSocket::new();
    for first in [0xa1, 0x91, 0xe1, 0xd1, 0xf2] {
        assert_eq!(refused(&[first], fresh), Some(FramingError::ReservedBits), "{first:x}");
    }
    for first in [0xc8, 0xc9, 0xca] {
        assert_eq!(refused(&[first], fresh), Some(FramingError::ReservedBits), "control {first:x}");
    }
    for first in [0xc1, 0xc2, 0x41, 0x42] {
        assert_eq!(refused(&[first], fresh), None, "{first:x}");
    }
    assert_eq!(refused(&fragment(Opcode::Text, b"a"), fresh), None);
    for first in [0xc0, 0x40] {
        assert_eq!(refused(&[first], fresh), Some(FramingError::ReservedBits), "continuation {first:x}");
    }
}

#[test]
fn close_payloads_are_read() {
    let error = refused(&frame(Opcode::Close, b"\x03"));
    assert_eq!(error, FramingError::ClosePayloadTooShort);
    let error = refused(&frame(Opcode::Close, b"\x03\xed"));
    assert_eq!(error, FramingError::CloseCodeInvalid { code: 1005 });
    let error = refused(&frame(Opcode::Close, b"\x03\xe8\xc0\x80"));
    assert_eq!(error.close_code(), 1007);
    first(&frame(Opcode::Close, b"\x03\xe8bye"), |decoded| {
        let close = Frame::Close { code: Some(1000), reason: "bye" };
        assert_eq!(decoded, Ok(Decoded::frame(bytes_of(5), close)));
    });
}

#[test]
fn memory_goes_with_the_call_after_the_message() {
    let mut socket = WebSocket::new();
    let mut bytes = fragment(Opcode::Binary, &[1; 1000]);
    assert!(socket.decode(&mut bytes, &RULES, None).is_ok());
    assert!(socket.is_mid_message());
    assert_eq!(socket.decode(&mut [], &RULES, None), Ok(Decoded::INCOMPLETE));
    assert!(socket.is_mid_message(), "an unfinished message is kept");

    let mut bytes = frame(Opcode::Continuation, &[2; 10]);
    let decoded = socket.decode(&mut bytes, &RULES, None).unwrap();
    assert!(matches!(decoded.frame, Some(Frame::Binary(all)) if all.len() == 1010));
    assert!(!socket.is_mid_message());
    assert!(socket.message.is_some());
    assert_eq!(socket.decode(&mut [], &RULES, None), Ok(Decoded::INCOMPLETE));
    assert!(socket.message.is_none());
}

#[test]
fn an_incomplete_frame_is_left_alone() {
    let whole = frame(Opcode::Text, b"Hello");
    let mut socket = WebSocket::new();
    let mut part = whole[..whole.len() - 1].to_vec();
    for _ in 0..3 {
        assert_eq!(socket.decode(&mut part, &RULES, None), Ok(Decoded::INCOMPLETE));
        assert_eq!(part, whole[..whole.len() - 1]);
    }
}

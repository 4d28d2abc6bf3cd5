//! Compressed messages are the same however they are fragmented and however their bytes arrive.

use flate2::{Compress, Compression, FlushCompress};
use jackfield_framing::client::{self, Opcode, ServerFrames};
use jackfield_framing::http;
use jackfield_framing::websocket::{Deflater, Inflater, Window, negotiate};
use jackfield_framing::{Decoded, Frame, FramingError, Rules, WebSocket};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const RULES: Rules = Rules { message_limit: 10_000, decompressed_limit: 20_000, ratio: 2000 };

/// A message, and whether it is text.
type Message = (Opcode, Vec<u8>);

/// Compresses like a client, flushed at the cuts, in the manner of `finish` at the end.
fn deflate(payload: &[u8], level: u32, cuts: &[Index], finish: bool) -> Vec<u8> {
    let mut stream = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(2 * payload.len() + 100 + 20 * cuts.len());
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        stream.compress_vec(&payload[start..end], &mut out, FlushCompress::Sync).expect("compressed");
        start = end;
    }
    let flush = if finish { FlushCompress::Finish } else { FlushCompress::Sync };
    stream.compress_vec(&payload[start..], &mut out, flush).expect("compressed");
    assert!(out.len() < out.capacity());
    if finish {
        out.push(0);
    } else if out.ends_with(&[0, 0, 0xff, 0xff]) {
        out.truncate(out.len() - 4);
    }
    out
}

/// Text or binary: words that repeat, letters of all lengths, or noise.
fn message() -> impl Strategy<Value = Message> {
    let words = vec(prop_oneof![Just("jack"), Just("field "), Just("{\"a\":1}"), Just("\u{20ac}")], 0..1500);
    prop_oneof![
        words.prop_map(|words| (Opcode::Text, words.concat().into_bytes())),
        vec(any::<char>(), 0..500).prop_map(|text| (Opcode::Text, String::from_iter(text).into_bytes())),
        vec(any::<u8>(), 0..5000).prop_map(|bytes| (Opcode::Binary, bytes)),
        vec(0u8..4, 0..5000).prop_map(|bytes| (Opcode::Binary, bytes)),
    ]
}

/// Writes a message in fragments, with a ping between them.
fn write(first: Opcode, compressed: bool, payload: &[u8], cuts: &[Index], out: &mut Vec<u8>) {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    ends.sort_unstable();
    let mark = if compressed { client::COMPRESSED } else { 0 };
    let mut opcode = mark | first as u8;
    let mut start = 0;
    for end in ends {
        client::mask_raw(opcode, &payload[start..end], [7, 11, 13, 17], out);
        client::mask_frame(Opcode::Ping, b"between", [1; 4], out);
        (opcode, start) = (Opcode::Continuation as u8, end);
    }
    client::mask_raw(client::FIN | opcode, &payload[start..], [19, 23, 29, 31], out);
}

/// The messages that come out of chunks, without pings, and how it ended.
fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    rules: &Rules,
) -> (Vec<Message>, Result<usize, FramingError>) {
    let (mut socket, mut inflater) = (WebSocket::new(), Inflater::new());
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let Decoded { consumed, frame } = match socket.decode(&mut buffer[at..], rules, Some(&mut inflater)) {
                Ok(decoded) => decoded,
                Err(error) => return (messages, Err(error)),
            };
            match frame {
                Some(Frame::Binary(bytes)) => messages.push((Opcode::Binary, bytes.to_vec())),
                Some(Frame::Text(text)) => {
                    assert!(std::str::from_utf8(text).is_ok());
                    messages.push((Opcode::Text, text.to_vec()));
                }
                Some(Frame::Close { .. } | Frame::Ping(_) | Frame::Pong(_)) | None => {}
            }
            at += consumed;
            if consumed == 0 {
                break;
            }
        }
        buffer.drain(..at);
    }
    (messages, Ok(buffer.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn messages_survive_compression_fragments_and_splits(
        all in vec((message(), 0u32..=9, vec(any::<Index>(), 0..3), any::<bool>(), vec(any::<Index>(), 0..4), any::<bool>()), 1..4),
        sizes in vec(1usize..700, 1..5),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for ((opcode, payload), level, flushes, finish, cuts, compressed) in all {
            if compressed {
                write(opcode, true, &deflate(&payload, level, &flushes, finish), &cuts, &mut bytes);
            } else {
                write(opcode, false, &payload, &cuts, &mut bytes);
            }
            expected.push((opcode, payload));
        }
        prop_assert_eq!(decode([&bytes[..]], &RULES), (expected.clone(), Ok(0)));
        let mut rest = &bytes[..];
        let parts: Vec<_> = sizes.iter().cycle().map_while(|&size| {
            let (part, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            (!part.is_empty()).then_some(part)
        }).collect();
        prop_assert_eq!(decode(parts, &RULES), (expected.clone(), Ok(0)));
        let step = (bytes.len() / 50).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let (front, back) = bytes.split_at(at);
            prop_assert_eq!(decode([front, back], &RULES), (expected.clone(), Ok(0)));
        }
    }

    #[test]
    fn what_the_server_compresses_comes_out_again(
        all in vec((message(), any::<bool>()), 1..5),
        level in 0u32..=9,
        threshold in 0usize..300,
    ) {
        let (mut deflater, mut inflater) = (Deflater::new(level, threshold), Inflater::new());
        for ((opcode, payload), small) in all {
            let window = if small { Window::Small } else { Window::Full };
            let frame = deflater.frame(opcode, &payload, window);
            let (total, read, range) = ServerFrames::decode(&frame).unwrap();
            prop_assert_eq!((total, read), (frame.len(), opcode));
            if ServerFrames::is_compressed(&frame) {
                prop_assert!(payload.len() >= threshold && range.len() < payload.len());
                prop_assert_eq!(inflater.inflate(&frame[range], &RULES), Ok(&payload[..]));
            } else {
                prop_assert_eq!(&frame[range], &payload[..]);
            }
        }
    }

    #[test]
    fn the_limits_are_exact((opcode, payload) in message(), level in 1u32..=9) {
        let compressed = deflate(&payload, level, &[], false);
        let mut bytes = Vec::new();
        write(opcode, true, &compressed, &[], &mut bytes);
        let rules = Rules { message_limit: compressed.len(), decompressed_limit: payload.len(), ratio: 2000 };
        prop_assert_eq!(decode([&bytes[..]], &rules), (vec![(opcode, payload.clone())], Ok(0)));
        if let Some(limit) = payload.len().checked_sub(1) {
            let (_, end) = decode([&bytes[..]], &Rules { decompressed_limit: limit, ..rules });
            prop_assert_eq!(end, Err(FramingError::MessageTooBig { limit }));
        }
        let limit = compressed.len() - 1;
        let (_, end) = decode([&bytes[..]], &Rules { message_limit: limit, ..rules });
        prop_assert_eq!(end, Err(FramingError::MessageTooBig { limit }));
    }

    #[test]
    fn broken_data_does_no_harm(
        (_, payload) in message(),
        level in 0u32..=9,
        flips in vec((any::<Index>(), any::<u8>()), 0..4),
        end in any::<Index>(),
    ) {
        let mut compressed = deflate(&payload, level, &[], false);
        for (at, with) in flips {
            let at = at.index(compressed.len());
            compressed[at] ^= with;
        }
        compressed.truncate(end.index(compressed.len() + 1));
        let mut inflater = Inflater::new();
        let inflated = inflater.inflate(&compressed, &RULES).map(<[u8]>::to_vec);
        match &inflated {
            Ok(bytes) => prop_assert!(bytes.len() <= RULES.decompressed_limit),
            Err(error) => {
                let is_known = matches!(
                    error,
                    FramingError::DeflateBroken | FramingError::MessageTooBig { .. } | FramingError::RatioTooHigh { .. }
                );
                prop_assert!(is_known, "{}", error);
            }
        }
        prop_assert_eq!(inflater.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &RULES), Ok(&b"Hello"[..]));
        prop_assert_eq!(inflater.inflate(&compressed, &RULES).map(<[u8]>::to_vec), inflated);
    }

    #[test]
    fn no_offer_does_harm(value in "[ -~]{0,60}|permessage-deflate(; ?[a-z_]{0,30}(=\"?[0-9a-z]{0,3}\"?)?){0,4}") {
        let request = client::request("a", "/", &[("Sec-WebSocket-Extensions", &value)]);
        let head = http::parse(&request, 8192).unwrap().unwrap();
        if let Ok(Some(agreed)) = negotiate(&head) {
            prop_assert!(value.contains("permessage-deflate"));
            prop_assert_eq!(agreed.answer().contains("server_max_window_bits"), agreed.window == Window::Small || value.contains("15"));
        }
    }
}

#[test]
fn compressed_text_is_checked_when_it_is_whole() {
    let mut bytes = Vec::new();
    write(Opcode::Text, true, &deflate(b"abc\xff", 6, &[], false), &[], &mut bytes);
    assert_eq!(decode([&bytes[..]], &RULES), (Vec::new(), Err(FramingError::InvalidUtf8)));
    bytes.clear();
    write(Opcode::Binary, true, &deflate(b"abc\xff", 6, &[], false), &[], &mut bytes);
    assert_eq!(decode([&bytes[..]], &RULES), (vec![(Opcode::Binary, b"abc\xff".to_vec())], Ok(0)));
}

#[test]
fn a_megabyte_in_a_kilobyte_is_refused() {
    let bomb = deflate(&vec![0; 1 << 20], 9, &[], false);
    assert!(bomb.len() < 1100);
    let mut whole = Vec::new();
    write(Opcode::Binary, true, &bomb, &[], &mut whole);
    let mut cut = Vec::new();
    let (front, back) = bomb.split_at(bomb.len() / 2);
    client::mask_raw(client::COMPRESSED | Opcode::Binary as u8, front, [1; 4], &mut cut);
    client::mask_frame(Opcode::Continuation, back, [1; 4], &mut cut);
    for bytes in [whole, cut] {
        let rules = Rules { message_limit: 65_536, decompressed_limit: 655_360, ratio: 100 };
        let (_, end) = decode([&bytes[..]], &rules);
        assert_eq!(end, Err(FramingError::RatioTooHigh { ratio: 100 }));
        let (_, end) = decode([&bytes[..]], &Rules { ratio: 2000, ..rules });
        assert_eq!(end, Err(FramingError::MessageTooBig { limit: 655_360 }));
    }
}

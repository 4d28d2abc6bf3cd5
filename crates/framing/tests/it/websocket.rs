//! Messages are the same however they are fragmented and however their bytes arrive.

use jackfield_framing::client::{Opcode, mask_fragment, mask_frame};
use jackfield_framing::{Decoded, Frame, FramingError, Rules, WebSocket};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMIT: usize = 70_000;

/// A frame that outlives its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Binary(Vec<u8>),
    Close(Option<u16>, String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Text(String),
}

impl From<Frame<'_>> for Owned {
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Frame::Close { code, reason } => Self::Close(code, reason.to_owned()),
            Frame::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Frame::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Frame::Text(bytes) => Self::Text(String::from_utf8(bytes.to_vec()).expect("text is UTF-8")),
        }
    }
}

impl Owned {
    fn opcode(&self) -> Opcode {
        match self {
            Self::Binary(_) => Opcode::Binary,
            Self::Close(..) => Opcode::Close,
            Self::Ping(_) => Opcode::Ping,
            Self::Pong(_) => Opcode::Pong,
            Self::Text(_) => Opcode::Text,
        }
    }

    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.clone(),
            Self::Close(None, _) => Vec::new(),
            Self::Close(Some(code), reason) => [&code.to_be_bytes(), reason.as_bytes()].concat(),
            Self::Text(text) => text.clone().into_bytes(),
        }
    }
}

/// A message, where it is cut, and what is sent at the cuts.
#[derive(Clone, Debug)]
struct Sent {
    message: Owned,
    cuts: Vec<Index>,
    between: Vec<Owned>,
    key: [u8; 4],
}

fn control() -> impl Strategy<Value = Owned> {
    prop_oneof![
        vec(any::<u8>(), 0..=125).prop_map(Owned::Ping),
        vec(any::<u8>(), 0..=125).prop_map(Owned::Pong),
        Just(Owned::Close(None, String::new())),
        (prop_oneof![1000u16..=1003, 3000u16..=4999], "\\PC{0,30}")
            .prop_map(|(code, reason)| Owned::Close(Some(code), reason)),
    ]
}

fn sent(longest: usize) -> impl Strategy<Value = Sent> {
    let message = prop_oneof![
        vec(any::<u8>(), 0..=longest).prop_map(Owned::Binary),
        vec(any::<char>(), 0..=longest / 4).prop_map(|text| Owned::Text(String::from_iter(text))),
    ];
    let parts = (message, vec(any::<Index>(), 0..5), vec(control(), 0..4), any::<[u8; 4]>());
    parts.prop_map(|(message, cuts, between, key)| Sent { message, cuts, between, key })
}

/// Writes the messages as a client would; gives the frames in the order they come out.
fn encode(all: &[Sent], out: &mut Vec<u8>) -> Vec<Owned> {
    let mut expected = Vec::new();
    for sent in all {
        let payload = sent.message.payload();
        let mut cuts: Vec<_> = sent.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut between = sent.between.iter();
        let mut opcode = sent.message.opcode();
        let mut start = 0;
        for end in cuts {
            mask_fragment(opcode, &payload[start..end], sent.key, out);
            (opcode, start) = (Opcode::Continuation, end);
            if let Some(control) = between.next() {
                mask_frame(control.opcode(), &control.payload(), sent.key, out);
                expected.push(control.clone());
            }
        }
        mask_frame(opcode, &payload[start..], sent.key, out);
        expected.push(sent.message.clone());
    }
    expected
}

/// Decodes chunks as a connection would, keeping what is incomplete.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Owned>, Result<usize, FramingError>) {
    let mut socket = WebSocket::new();
    let mut frames = Vec::new();
    let mut buffer = Vec::new();
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let rest = &mut buffer[at..];
            let available = rest.len();
            match socket.decode(rest, &Rules::plain(limit), None) {
                Err(error) => return (frames, Err(error)),
                Ok(Decoded { consumed, frame }) => {
                    assert!(consumed <= available);
                    assert!(consumed > 0 || frame.is_none());
                    frames.extend(frame.map(Owned::from));
                    at += consumed;
                    if consumed == 0 {
                        break;
                    }
                }
            }
        }
        buffer.drain(..at);
    }
    (frames, Ok(buffer.len()))
}

/// Cuts bytes into chunks of the given sizes, over and over.
fn chunks<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (part, rest) = bytes.split_at((*size).min(bytes.len()));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// Bytes that look like frames, whole or not, so that the checks behind the first are reached.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        Just(Opcode::Continuation),
        Just(Opcode::Text),
        Just(Opcode::Binary),
        Just(Opcode::Close),
        Just(Opcode::Ping),
    ];
    let whole = (opcode, any::<bool>(), vec(any::<u8>(), 0..20)).prop_map(|(opcode, fin, payload)| {
        let mut out = Vec::new();
        if fin || opcode.is_control() {
            mask_frame(opcode, &payload, [0; 4], &mut out);
        } else {
            mask_fragment(opcode, &payload, [0; 4], &mut out);
        }
        out
    });
    let ascii = "[a-z]{0,20}".prop_map(|text| {
        let mut out = Vec::new();
        mask_fragment(Opcode::Text, text.as_bytes(), [9; 4], &mut out);
        mask_frame(Opcode::Continuation, text.as_bytes(), [9; 4], &mut out);
        out
    });
    let second = prop_oneof![0x80u8..=0x84, Just(0xfe), Just(0xff), any::<u8>()];
    let odd = (any::<u8>(), second, vec(any::<u8>(), 0..12))
        .prop_map(|(first, second, rest)| [&[first, second], &rest[..]].concat());
    let pieces = vec(prop_oneof![4 => ascii, 4 => whole, 1 => odd], 0..20);
    prop_oneof![
        1 => vec(any::<u8>(), 0..100),
        4 => pieces.prop_map(|pieces| pieces.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn small_messages_survive_every_split(all in vec(sent(200), 1..4)) {
        let mut bytes = Vec::new();
        let expected = encode(&all, &mut bytes);
        let step = (bytes.len() / 300).max(1);
        for at in (0..=bytes.len()).step_by(step) {
            let (front, back) = bytes.split_at(at);
            let (frames, end) = decode([front, back], LIMIT);
            prop_assert_eq!(end, Ok(0));
            prop_assert_eq!(&frames, &expected);
        }
        let (frames, end) = decode(bytes.chunks(1), LIMIT);
        prop_assert_eq!((frames, end), (expected, Ok(0)));
    }

    #[test]
    fn messages_survive_random_chunks(
        all in vec(sent(2000), 1..8),
        sizes in vec(1usize..3000, 1..10),
    ) {
        let mut bytes = Vec::new();
        let expected = encode(&all, &mut bytes);
        let (frames, end) = decode(chunks(&bytes, &sizes), LIMIT);
        prop_assert_eq!((frames, end), (expected, Ok(0)));
    }

    #[test]
    fn the_limit_is_exact(sent in sent(300)) {
        let mut bytes = Vec::new();
        let expected = encode(std::slice::from_ref(&sent), &mut bytes);
        let length = sent.message.payload().len();
        let (frames, end) = decode([&bytes[..]], length);
        prop_assert_eq!((frames, end), (expected, Ok(0)));
        if let Some(limit) = length.checked_sub(1) {
            let (_, end) = decode([&bytes[..]], limit);
            prop_assert_eq!(end, Err(FramingError::MessageTooBig { limit }));
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in likely_bytes(), limit in 0usize..100) {
        let whole = decode([&bytes[..]], limit);
        let single = decode(bytes.chunks(1), limit);
        prop_assert_eq!(whole, single);
    }
}

#[test]
fn long_messages_survive_splits_at_their_edges() {
    for length in [0, 125, 126, 65535, 65536] {
        let message = Owned::Binary((0..length).map(|at| at as u8).collect());
        let mut bytes = Vec::new();
        let expected =
            encode(&[Sent { message, cuts: Vec::new(), between: Vec::new(), key: [1, 2, 3, 4] }], &mut bytes);
        let end = bytes.len();
        for at in (0..20.min(end)).chain(end.saturating_sub(20)..end) {
            let (front, back) = bytes.split_at(at);
            let decoded = decode([front, back], LIMIT);
            assert_eq!(decoded, (expected.clone(), Ok(0)), "length {length} at {at}");
        }
    }
}

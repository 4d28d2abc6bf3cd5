//! Messages by length, and fields in them: whatever comes, nothing panics, and cutting the bytes in two changes nothing.
#![no_main]

use jackfield_dialects::layout::{Field, Integer, Kind, Layout, Mark, Message};
use jackfield_framing::{Decoded, Frame, FramingError, Measured};
use libfuzzer_sys::fuzz_target;

const WORDS: [&str; 6] = ["fixed:7", "u8", "u16be", "u16le", "u32be", "u32le"];
const LIMIT: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let [word, cut, bytes @ ..] = bytes else { return };
    let Some(measured) = Measured::parse(WORDS[usize::from(*word) % WORDS.len()]) else { return };
    let (front, back) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let whole = decode(measured, &[bytes]);
    assert_eq!(decode(measured, &[front, back]), whole);
    let layout = layout();
    for message in whole.0 {
        assert_eq!(measured.frame(&message).map(|frame| frame.ends_with(&message)), Some(true));
        if let Ok((event, fields)) = layout.read(&message) {
            layout.write(format!("{{\"event\":\"{event}\",\"data\":{fields}}}").as_bytes(), &mut Vec::new());
        }
    }
    layout.write(bytes, &mut Vec::new());
});

fn layout() -> Layout {
    let integer = |word| Integer::parse(word).unwrap_or(Integer { width: 1, signed: false, big: true });
    let field = |name: &str, offset, kind| Field { name: name.to_owned(), offset, kind };
    let fields = vec![
        field("a", 1, Kind::Integer(integer("i16le"))),
        field("b", 2, Kind::Names(integer("u8"), vec![(0, "x".to_owned()), (1, "y".to_owned())])),
        field("c", 3, Kind::Float(true)),
        field("d", 3, Kind::Text(3)),
        field("e", 6, Kind::Text(0)),
    ];
    let marks = vec![Mark { offset: 0, kind: integer("u8"), value: 1 }];
    Layout { messages: vec![Message { event: "m".to_owned(), marks, fields, length: 7 }] }
}

/// The messages that come out of chunks, and how it ended.
fn decode(measured: Measured, chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Result<usize, FramingError>) {
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let Decoded { consumed, frame } = match measured.decode(&mut buffer, LIMIT) {
                Ok(decoded) => decoded,
                Err(error) => return (messages, Err(error)),
            };
            let Some(Frame::Binary(message)) = frame else { break };
            messages.push(message.to_vec());
            buffer.drain(..consumed);
        }
    }
    (messages, Ok(buffer.len()))
}

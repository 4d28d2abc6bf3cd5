//! Lines are the same however their bytes arrive.

use jackfield_framing::{Decoded, Frame, FramingError, Lines, Wrap};
use proptest::collection::vec;
use proptest::prelude::*;

/// Decodes chunks as a connection would, keeping what is incomplete.
fn decode(chunks: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, FramingError> {
    let mut lines = Vec::new();
    let mut buffer = Vec::new();
    let mut scanned = 0;
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let Decoded { consumed, frame } = Lines::decode(&mut buffer, scanned, limit)?;
            match frame {
                Some(Frame::Text(line)) => {
                    assert!(std::str::from_utf8(line).is_ok());
                    lines.push(line.to_vec());
                }
                Some(Frame::Binary(line)) => {
                    assert!(std::str::from_utf8(line).is_err());
                    lines.push(line.to_vec());
                }
                Some(other) => panic!("not a line: {other:?}"),
                None => assert_eq!(consumed, 0),
            }
            buffer.drain(..consumed);
            scanned = if consumed == 0 { buffer.len() } else { 0 };
            if consumed == 0 {
                break;
            }
        }
    }
    Ok(lines)
}

proptest! {
    #[test]
    fn lines_survive_any_split(
        payloads in vec(vec(any::<u8>(), 0..40), 0..10),
        size in 1usize..20,
    ) {
        let mut bytes = Vec::new();
        for payload in &payloads {
            Wrap::Lines.wrap(payload, &mut bytes);
        }
        let expected: Vec<Vec<u8>> = payloads
            .iter()
            .map(|payload| {
                let space = |&byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
                payload.iter().map(space).collect()
            })
            .collect();
        let chunks: Vec<_> = bytes.chunks(size).collect();
        prop_assert_eq!(decode(&chunks, 40), Ok(expected.clone()));
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            prop_assert_eq!(decode(&[front, back], 40), Ok(expected.clone()));
        }
    }

    #[test]
    fn no_bytes_do_harm(
        bytes in vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
        scanned in 0usize..300,
        limit in 0usize..60,
    ) {
        let mut input = bytes.clone();
        if let Ok(decoded) = Lines::decode(&mut input, scanned, limit) {
            prop_assert!(decoded.consumed <= bytes.len());
            prop_assert_eq!(decoded.consumed == 0, decoded.frame.is_none());
        }
        let whole = decode(&[&bytes], limit);
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(decode(&single, limit), whole);
    }
}

//! Lines: the first byte cuts the rest in two, which must not change what comes out.
#![no_main]

use jackfield_framing::{Decoded, FramingError, Lines};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches it.
const LIMIT: usize = 30;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let (front, back) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(decode(&[front, back]), decode(&[bytes]));
});

/// The lines that come out of chunks, printed, or how it ended.
fn decode(chunks: &[&[u8]]) -> Result<Vec<String>, FramingError> {
    let mut lines = Vec::new();
    let mut buffer = Vec::new();
    let mut scanned = 0;
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let available = buffer.len();
            let Decoded { consumed, frame } = Lines::decode(&mut buffer, scanned, LIMIT)?;
            assert!(consumed <= available);
            assert_eq!(consumed == 0, frame.is_none());
            lines.extend(frame.map(|frame| format!("{frame:?}")));
            scanned = if consumed == 0 { available } else { 0 };
            buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
    }
    Ok(lines)
}

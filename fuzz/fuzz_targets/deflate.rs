//! Compression: offers that nobody would make, data that nobody would send, and what we send ourselves.
#![no_main]

use std::cell::RefCell;

use jackfield_framing::client::{self, ServerFrames};
use jackfield_framing::websocket::{Deflater, Inflater, Opcode, Window, handshake, negotiate};
use jackfield_framing::{FramingError, Rules, http};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches both limits.
const RULES: Rules = Rules { message_limit: 4096, decompressed_limit: 100_000, ratio: 20 };

thread_local! {
    /// Kept from input to input, as a worker does; so what one leaves behind is seen by the next.
    static INFLATER: RefCell<Inflater> = const { RefCell::new(Inflater::new()) };
    static DEFLATERS: RefCell<Vec<Deflater>> = RefCell::new((0..10).map(|level| Deflater::new(level, 0)).collect());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&what, bytes)) = bytes.split_first() else {
        return;
    };
    match what % 4 {
        0 => offer(bytes),
        1 => INFLATER.with_borrow_mut(|inflater| inflate(inflater, bytes)),
        rest => DEFLATERS.with_borrow_mut(|deflaters| {
            let window = if rest == 2 { Window::Small } else { Window::Full };
            INFLATER.with_borrow_mut(|inflater| {
                round_trip(&mut deflaters[usize::from(what / 4) % 10], inflater, window, bytes);
            });
        }),
    }
});

/// What is agreed is answered in a head that can be read.
fn offer(bytes: &[u8]) {
    let Ok(value) = std::str::from_utf8(bytes) else {
        return;
    };
    let request = client::request("a", "/", &[("Sec-WebSocket-Extensions", value)]);
    let Ok(Some(head)) = http::parse(&request, 8192) else {
        return;
    };
    if let Ok(Some(agreed)) = negotiate(&head) {
        assert!(value.contains("permessage-deflate"));
        let answer = handshake::response(client::KEY, None, Some(agreed));
        let answer = String::from_utf8(answer).expect("heads are ASCII");
        assert_eq!(answer.matches("\r\n\r\n").count(), 1);
        assert_eq!(agreed.window == Window::Small, answer.contains("server_max_window_bits=9\r\n"));
    }
}

/// The same bytes give the same message, whatever the inflater saw before; none is too large.
fn inflate(inflater: &mut Inflater, bytes: &[u8]) {
    let first = inflater.inflate(bytes, &RULES).map(<[u8]>::to_vec);
    match &first {
        Ok(message) => assert!(message.len() <= RULES.decompressed_limit),
        Err(error) => assert!(matches!(
            error,
            FramingError::DeflateBroken | FramingError::MessageTooBig { .. } | FramingError::RatioTooHigh { .. }
        )),
    }
    assert_eq!(inflater.inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], &RULES), Ok(&b"Hello"[..]));
    assert_eq!(inflater.inflate(bytes, &RULES).map(<[u8]>::to_vec), first);
}

/// What the server sends comes out again, twice, and is the same both times.
fn round_trip(deflater: &mut Deflater, inflater: &mut Inflater, window: Window, payload: &[u8]) {
    let rules = Rules { decompressed_limit: usize::MAX, ratio: usize::MAX, ..RULES };
    let frame = deflater.frame(Opcode::Binary, payload, window);
    let (total, opcode, range) = ServerFrames::decode(&frame).expect("a whole frame");
    assert_eq!((total, opcode), (frame.len(), Opcode::Binary));
    if ServerFrames::is_compressed(&frame) {
        assert!(range.len() < payload.len());
        assert_eq!(inflater.inflate(&frame[range], &rules), Ok(payload));
    } else {
        assert_eq!(&frame[range], payload);
    }
    assert_eq!(deflater.frame(Opcode::Binary, payload, window), frame);
}

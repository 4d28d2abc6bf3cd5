//! Negotiation in all its shapes, frames as the server writes them, and what a client may do wrong.

use super::*;
use crate::client::{self, Opcode};
use crate::websocket::header::{COMPRESSED, FIN};
use crate::websocket::{Rules, handshake};
use crate::{FramingError, http};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const RULES: Rules = Rules { message_limit: 1 << 20, decompressed_limit: 4 << 20, ratio: 100 };

/// Negotiates with one header line for each value.
fn negotiated(values: &[&str]) -> Result<Option<Agreed>, HandshakeError> {
    let headers: Vec<_> = values.iter().map(|value| ("Sec-WebSocket-Extensions", *value)).collect();
    let request = client::request("a", "/", &headers);
    let head = http::parse(&request, 8192).unwrap().unwrap();
    negotiate(&head)
}

/// The extension header of the answer to an offer, or none.
fn answer(offer: &str) -> Option<String> {
    let agreed = negotiated(&[offer]).unwrap_or_else(|error| panic!("{offer}: {error}"))?;
    let response = String::from_utf8(handshake::response(client::KEY, None, Some(agreed))).unwrap();
    let line = response.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    Some(line.unwrap().to_owned())
}

const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const SMALL: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9";
const FULL: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

#[test]
fn offers_are_accepted() {
    for (offer, expected) in [
        ("permessage-deflate", PLAIN),
        ("permessage-deflate; client_max_window_bits", PLAIN),
        ("permessage-deflate;client_max_window_bits=8", PLAIN),
        ("permessage-deflate; client_max_window_bits=15", PLAIN),
        ("permessage-deflate; client_max_window_bits=\"10\"", PLAIN),
        ("permessage-deflate; server_no_context_takeover", PLAIN),
        ("permessage-deflate; client_no_context_takeover", PLAIN),
        ("permessage-deflate; server_max_window_bits=15", FULL),
        ("permessage-deflate; server_max_window_bits=14", SMALL),
        ("permessage-deflate; server_max_window_bits=10", SMALL),
        ("permessage-deflate; server_max_window_bits=9", SMALL),
        ("permessage-deflate; server_max_window_bits=\"9\"", SMALL),
        ("permessage-deflate; server_max_window_bits=\"1\\5\"", FULL),
        ("  permessage-deflate ;\tserver_max_window_bits = 9 ; client_max_window_bits  ", SMALL),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits; server_max_window_bits=12",
            SMALL,
        ),
        ("x-webkit-deflate-frame, permessage-deflate", PLAIN),
        ("x; a=b; a=b; c=\"d\", permessage-deflate", PLAIN),
        (", ,permessage-deflate,,", PLAIN),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", PLAIN),
        ("permessage-deflate; nonsense, permessage-deflate; server_max_window_bits=9", SMALL),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", SMALL),
    ] {
        assert_eq!(answer(offer).as_deref(), Some(expected), "{offer}");
    }
}

#[test]
fn offers_are_declined() {
    for parameters in [
        "unknown",
        "server_max_window_bits",
        "server_max_window_bits=8",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "server_max_window_bits=0x9",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits=9; server_max_window_bits=9",
        "server_max_window_bits=9; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        "client_max_window_bits=ten",
        "client_max_window_bits; client_max_window_bits",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "Server_No_Context_Takeover",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(negotiated(&[&offer]), Ok(None), "{offer}");
        let second = format!("{offer}, permessage-deflate");
        assert!(negotiated(&[&second]).unwrap().is_some(), "{second}");
    }
    for other in ["", " , ", "bbf-usp-protocol", "permessage-bzip2", "permessage-deflate2; a=1"] {
        assert_eq!(negotiated(&[other]), Ok(None), "{other}");
    }
    assert_eq!(negotiated(&[]), Ok(None));
}

#[test]
fn headers_may_be_repeated() {
    let window = |values: &[&str]| negotiated(values).unwrap().map(|agreed| agreed.window);
    assert_eq!(window(&["x", "permessage-deflate"]), Some(Window::Full));
    assert_eq!(
        window(&["permessage-deflate; server_max_window_bits=9", "permessage-deflate"]),
        Some(Window::Small),
        "the first acceptable offer counts"
    );
    assert_eq!(negotiated(&["permessage-deflate", "a=b"]), Err(HandshakeError::Extensions));
}

#[test]
fn broken_headers_are_refused() {
    for value in [
        ";",
        "=",
        "permessage-deflate;",
        "permessage-deflate; ;",
        "permessage-deflate; a=",
        "permessage-deflate; a==b",
        "permessage-deflate; =b",
        "permessage-deflate; a=b=c",
        "permessage-deflate a",
        "permessage-deflate; a b",
        "permessage-deflate; a=b c",
        "permessage-deflate=1",
        "permessage-deflate; a=\"",
        "permessage-deflate; a=\"b",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate; a=\"b\\",
        "permessage-deflate; a=\"b\"c",
        "permessage-deflate; a=\"b,c\"",
        "\"permessage-deflate\"",
        "permessage/deflate",
        "permessage-deflate, (x)",
        "permessage-d\u{e9}flate",
    ] {
        assert_eq!(negotiated(&[value]), Err(HandshakeError::Extensions), "{value}");
    }
    assert!(HandshakeError::Extensions.response().starts_with(b"HTTP/1.1 400 "));
}

/// The first byte and the payload of a frame of a server.
fn taken_apart(frame: &[u8]) -> (u8, &[u8]) {
    let (total, _, range) = client::ServerFrames::decode(frame).unwrap();
    assert_eq!(total, frame.len());
    (frame[0], &frame[range])
}

/// Payloads that compress well, badly, and not at all.
fn payloads() -> Vec<Vec<u8>> {
    let mut seed = 1_u32;
    let noise = (0..70_000).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    let noise: Vec<u8> = noise.collect();
    let lines: Vec<u8> =
        (0..3000).flat_map(|number| format!("{{\"number\":{number},\"text\":\"a\"}}\n").into_bytes()).collect();
    let far: Vec<u8> = noise.chunks(600).cycle().take(400).flatten().copied().collect();
    vec![
        Vec::new(),
        b"a".to_vec(),
        b"Hello".to_vec(),
        vec![0; 1 << 20],
        lines,
        [&noise[..600], &noise[..600], &noise[..600]].concat(),
        [&noise[..40_000], &noise[..40_000]].concat(),
        far,
        noise,
    ]
}

/// Inflates as a client with that window would, and not a byte further back: what comes out is
/// taken away one byte at a time, so that the window is all the inflater has.
fn inflate_strictly(compressed: &[u8], window: Window) -> Vec<u8> {
    let mut stream = Decompress::new_with_window_bits(false, window.bits());
    let all = [compressed, &TAIL].concat();
    let mut out = Vec::new();
    loop {
        let mut byte = [0];
        let read = stream.total_in() as usize;
        let written = stream.total_out();
        let status = stream.decompress(&all[read..], &mut byte, FlushDecompress::None).expect("good deflate data");
        assert_ne!(status, Status::StreamEnd);
        if stream.total_out() == written {
            assert_eq!(stream.total_in() as usize, all.len());
            return out;
        }
        out.push(byte[0]);
    }
}

#[test]
fn frames_are_compressed_within_their_window_at_every_level() {
    for level in 1..=9 {
        let mut deflater = Deflater::new(level, 0);
        let mut inflater = Inflater::new();
        let mut counted = 0;
        for payload in &payloads() {
            for window in [Window::Small, Window::Full] {
                let frame = deflater.frame(Opcode::Binary, payload, window);
                let (first, body) = taken_apart(&frame);
                if first & COMPRESSED == 0 {
                    assert_eq!((first, body), (FIN | 2, &payload[..]));
                    continue;
                }
                counted += 1;
                assert_eq!(first, FIN | COMPRESSED | 2);
                assert!(body.len() < payload.len());
                assert_eq!(&inflate_strictly(body, window), payload, "level {level}, {window:?}");
                let rules = Rules { ratio: 2000, ..RULES };
                assert_eq!(inflater.inflate(body, &rules), Ok(&payload[..]), "level {level}, {window:?}");
            }
        }
        assert_eq!(deflater.compressed(), counted);
        assert!(counted >= 4, "the zeros and the lines shrink in both windows at level {level}");
    }
}

#[test]
fn small_payloads_and_controls_are_left_as_they_are() {
    let mut deflater = Deflater::new(6, 100);
    let first = |deflater: &mut Deflater, opcode, length| {
        let frame = deflater.frame(opcode, &vec![b'a'; length], Window::Full);
        frame[0]
    };
    assert_eq!(first(&mut deflater, Opcode::Text, 99), 0x81);
    assert_eq!(first(&mut deflater, Opcode::Text, 100), 0xc1);
    assert_eq!(first(&mut deflater, Opcode::Binary, 100), 0xc2);
    assert_eq!(first(&mut deflater, Opcode::Ping, 120), 0x89);
    assert_eq!(deflater.compressed(), 2);
    let mut none = Deflater::new(0, 0);
    assert_eq!(first(&mut none, Opcode::Text, 1000), 0x81);
    assert_eq!(none.compressed(), 0);
}

#[test]
fn each_message_stands_alone() {
    let mut deflater = Deflater::new(6, 0);
    let payload = b"the same words and the same words again".repeat(3);
    let first = deflater.frame(Opcode::Text, &payload, Window::Full);
    for _ in 0..3 {
        deflater.frame(Opcode::Text, b"something else, something else, something else", Window::Full);
        assert_eq!(deflater.frame(Opcode::Text, &payload, Window::Full), first);
    }
    let mut inflater = Inflater::new();
    let (_, body) = taken_apart(&first);
    assert!(inflater.inflate(&body[..body.len() / 2], &RULES).is_err());
    assert_eq!(inflater.inflate(body, &RULES), Ok(&payload[..]), "an error leaves nothing behind");
}

/// Compresses in the ways a client may, with `flush` at the end of each part.
fn deflated(parts: &[&[u8]], flush: FlushCompress) -> Vec<u8> {
    let mut stream = Compress::new_with_window_bits(Compression::best(), false, 15);
    let mut out = Vec::new();
    for part in parts {
        let start = stream.total_in() as usize;
        loop {
            out.reserve(1024);
            let read = stream.total_in() as usize - start;
            stream.compress_vec(&part[read..], &mut out, flush).unwrap();
            if out.len() < out.capacity() {
                break;
            }
        }
    }
    out
}

#[test]
fn the_examples_of_the_rfc() {
    let mut inflater = Inflater::new();
    let hello = Ok(&b"Hello"[..]);
    for compressed in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        // A final block without the padding byte behind it.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        assert_eq!(inflater.inflate(compressed, &RULES), hello, "{compressed:x?}");
    }
    for empty in [&[0x00][..], &[0x02, 0x00], &[0x03, 0x00], &[0x01], &[]] {
        assert_eq!(inflater.inflate(empty, &RULES), Ok(&b""[..]), "{empty:x?}");
    }
}

#[test]
fn final_blocks_may_be_followed_by_more() {
    let text = b"a sentence that is repeated, a sentence that is repeated";
    let part = deflated(&[text], FlushCompress::Finish);
    let mut inflater = Inflater::new();
    for count in [1, 2, 3, 64] {
        let many = [&part.repeat(count)[..], &[0]].concat();
        assert_eq!(inflater.inflate(&many, &RULES), Ok(&text.repeat(count)[..]), "{count}");
    }
    let flood = [0x03, 0x00].repeat(30_000);
    assert_eq!(inflater.inflate(&flood, &RULES), Err(FramingError::DeflateBroken));
}

#[test]
fn a_block_may_look_back_beyond_a_final_one() {
    // "Hello" in a final block, then a match of length 5 at distance 5, in a block with fixed codes.
    let first = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut inflater = Inflater::new();
    let back = [&first[..], &[0x02, 0x13, 0x00, 0x00]].concat();
    assert_eq!(inflater.inflate(&back, &RULES), Ok(&b"HelloHello"[..]));
    let alone = inflater.inflate(&[0x02, 0x13, 0x00, 0x00], &RULES);
    assert_eq!(alone, Err(FramingError::DeflateBroken), "nothing is left of the message before");
}

#[test]
fn what_is_cut_off_or_broken_is_refused() {
    let text: Vec<u8> = (0..400).flat_map(|number| format!("line {number} of some\n").into_bytes()).collect();
    let mut whole = deflated(&[&text[..3000], &text[3000..]], FlushCompress::Sync);
    whole.truncate(whole.len() - TAIL.len());
    let mut inflater = Inflater::new();
    assert_eq!(inflater.inflate(&whole, &RULES), Ok(&text[..]));
    let mut refused = 0;
    for end in 1..whole.len() {
        match inflater.inflate(&whole[..end], &RULES) {
            Ok(part) => assert_eq!(part, &text[..3000], "only the end of the first part is an end"),
            Err(error) => {
                assert_eq!((error, error.close_code()), (FramingError::DeflateBroken, 1007));
                refused += 1;
            }
        }
    }
    assert!(refused >= whole.len() - 8, "{refused} of {}", whole.len());
    for broken in [&b"Hello"[..], &[0xff; 20], &[0x06], &[0x00, 0x05, 0x00, 0x05, 0x00], b"\x78\x9c\x03\x00"] {
        assert_eq!(inflater.inflate(broken, &RULES), Err(FramingError::DeflateBroken), "{broken:x?}");
    }
    assert_eq!(inflater.inflate(&whole, &RULES), Ok(&text[..]));
}

#[test]
fn bombs_do_not_go_off() {
    let mut bomb = deflated(&[&vec![0; 1 << 20]], FlushCompress::Sync);
    bomb.truncate(bomb.len() - TAIL.len());
    assert!(bomb.len() < 1100, "{}", bomb.len());
    let mut inflater = Inflater::new();
    let ratio = 100;
    let stopped = inflater.inflate(&bomb, &RULES).map(<[u8]>::len);
    assert_eq!(stopped, Err(FramingError::RatioTooHigh { ratio }));
    assert!(inflater.room() <= bomb.len() * ratio + 1, "{}", inflater.room());

    for limit in [0, 1, 1000, 16_384, 100_000, (1 << 20) - 1] {
        let mut inflater = Inflater::new();
        let rules = Rules { decompressed_limit: limit, ratio: usize::MAX, ..RULES };
        let stopped = inflater.inflate(&bomb, &rules).map(<[u8]>::len);
        assert_eq!(stopped, Err(FramingError::MessageTooBig { limit }));
        assert!(inflater.room() <= limit + 1, "{} for {limit}", inflater.room());
    }
    let rules = Rules { decompressed_limit: 1 << 20, ratio: usize::MAX, ..RULES };
    assert_eq!(inflater.inflate(&bomb, &rules).map(<[u8]>::len), Ok(1 << 20));
}

#[test]
fn a_short_message_may_grow_a_lot() {
    let mut small = deflated(&[&vec![b' '; FREE_SIZE]], FlushCompress::Sync);
    small.truncate(small.len() - TAIL.len());
    let mut inflater = Inflater::new();
    assert_eq!(inflater.inflate(&small, &RULES).map(<[u8]>::len), Ok(FREE_SIZE));
    let mut larger = deflated(&[&vec![b' '; FREE_SIZE + 1]], FlushCompress::Sync);
    larger.truncate(larger.len() - TAIL.len());
    let grown = inflater.inflate(&larger, &RULES).map(<[u8]>::len);
    assert_eq!(grown, Err(FramingError::RatioTooHigh { ratio: 100 }));
}

#[test]
fn a_large_message_leaves_no_large_room() {
    let large = vec![b'a'; 3 << 20];
    let mut compressed = deflated(&[&large], FlushCompress::Sync);
    compressed.truncate(compressed.len() - TAIL.len());
    let rules = Rules { ratio: 2000, ..RULES };
    let mut inflater = Inflater::new();
    assert_eq!(inflater.inflate(&compressed, &rules).map(<[u8]>::len), Ok(3 << 20));
    assert_eq!(inflater.inflate(&[0x00], &rules), Ok(&b""[..]));
    assert!(inflater.room() <= 1 << 20, "{}", inflater.room());
}

//! Large transfers over sockets that refuse at random.

use std::io::{Read, Write};

use crate::authority::{Authority, SUITES};
use crate::wire::{Joined, is_blocked, moody};

const SIZE: usize = 16 * 1024 * 1024;

/// A byte that depends on its place.
fn expected(place: usize) -> u8 {
    (place ^ (place >> 9) ^ (place >> 17)).to_le_bytes()[0]
}

fn text() -> Vec<u8> {
    (0..SIZE).map(expected).collect()
}

#[test]
fn sixteen_megabytes_come_in_whole() {
    let (authority, text) = (Authority::new(), text());
    for (suite, seed) in SUITES.into_iter().zip(1..) {
        let config = authority.speaking(suite, None);
        let mut joined = Joined::new(&authority.keeper(), config, moody(seed), moody(seed + 10)).shaken();
        let (mut said, mut heard) = (0, Vec::with_capacity(SIZE));
        let mut out = vec![0; 50_000];
        while heard.len() < SIZE {
            said += joined.client.writer().write(&text[said..]).unwrap();
            joined.turn_client().unwrap();
            loop {
                match joined.read(&mut out) {
                    Ok(length) => heard.extend_from_slice(&out[..length]),
                    outcome => break assert!(is_blocked(&outcome), "{outcome:?}"),
                }
            }
        }
        assert!(heard == text, "something was lost, doubled or out of order");
    }
}

#[test]
fn sixteen_megabytes_go_out_whole() {
    let (authority, text) = (Authority::new(), text());
    for (suite, seed) in SUITES.into_iter().zip(21..) {
        let config = authority.speaking(suite, None);
        let mut joined = Joined::new(&authority.keeper(), config, moody(seed), moody(seed + 10)).shaken();
        let (mut said, mut heard) = (0, Vec::with_capacity(SIZE));
        let mut out = vec![0; 50_000];
        while heard.len() < SIZE {
            // As a worker does: write what can be written, flush when there is room again.
            match joined.write(&text[said..]) {
                Ok(taken) => said += taken,
                outcome => assert!(is_blocked(&outcome), "{outcome:?}"),
            }
            joined.server.flush(&mut joined.server_end).unwrap();
            joined.turn_client().unwrap();
            while let Ok(length) = joined.client.reader().read(&mut out) {
                heard.extend_from_slice(&out[..length]);
            }
        }
        assert!(heard == text, "something was lost, doubled or out of order");
    }
}

//! What one connection does with good peers, bad ones and none.

use std::io::{self, IoSlice, Write};

use jackfield_tls::{ClientAuth, Keeper, Options, Version};
use rustls::SupportedCipherSuite;
use rustls::version::TLS12;

use crate::authority::{Authority, SUITES};
use crate::wire::{Joined, Random, calm, is_blocked, stingy};

fn joined(authority: &Authority, suite: SupportedCipherSuite) -> Joined {
    Joined::new(&authority.keeper(), authority.speaking(suite, None), calm(), calm())
}

#[test]
fn both_versions_shake_hands_and_echo() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut joined = joined(&authority, suite).shaken();
        assert_eq!(joined.server.version(), Some(suite.version().version));
        joined.client.writer().write_all(b"hello").unwrap();
        joined.turn_client().unwrap();
        assert_eq!(joined.read_all(), (b"hello".to_vec(), false));
        assert_eq!(joined.write(b"good day").unwrap(), 8);
        assert_eq!(joined.client_reads(), b"good day");
        assert!(format!("{:?}", joined.server).contains("is_idle: true"), "{:?}", joined.server);
    }
}

#[test]
fn one_byte_at_a_time_is_enough_for_both_sides() {
    let authority = Authority::new();
    for suite in SUITES {
        let config = authority.speaking(suite, None);
        let mut joined = Joined::new(&authority.keeper(), config, stingy(), stingy()).shaken();
        let text = b"a text of some length, which comes one byte at a time".repeat(20);
        joined.client.writer().write_all(&text).unwrap();
        let mut heard = Vec::new();
        while heard.len() < text.len() {
            joined.turn_client().unwrap();
            heard.extend(joined.read_all().0);
        }
        assert_eq!(heard, text);
        let mut told = 0;
        let mut heard = Vec::new();
        while heard.len() < text.len() {
            match joined.write(&text[told..]) {
                Ok(taken) => told += taken,
                outcome => assert!(is_blocked(&outcome), "{outcome:?}"),
            }
            joined.server.flush(&mut joined.server_end).unwrap();
            heard.extend(joined.client_reads());
        }
        assert_eq!(heard, text);
    }
}

#[test]
fn a_certificate_cut_into_small_records_arrives_byte_by_byte() {
    let authority = Authority::new();
    let options =
        Options { client_ca: Some(authority.file()), client_auth: ClientAuth::Required, ..authority.options() };
    let keeper = Keeper::open(options).unwrap();
    for suite in SUITES {
        let mut config = authority.speaking(suite, Some(authority.client("sensor-7", Vec::new())));
        config.max_fragment_size = Some(48);
        let joined = Joined::new(&keeper, config, stingy(), stingy()).shaken();
        assert_eq!(joined.server.identity().unwrap().name(), "sensor-7");
    }
}

#[test]
fn plaintext_that_does_not_fit_comes_with_the_next_read() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut joined = joined(&authority, suite).shaken();
        let text: Vec<u8> = (0..40_000_u32).map(|nth| nth.to_le_bytes()[0]).collect();
        joined.client.writer().write_all(&text).unwrap();
        joined.turn_client().unwrap();
        let mut heard = Vec::new();
        let mut out = [0; 7];
        loop {
            match joined.read(&mut out) {
                Ok(length) => heard.extend_from_slice(&out[..length]),
                outcome => break assert!(is_blocked(&outcome), "{outcome:?}"),
            }
        }
        assert_eq!(heard, text);
    }
}

#[test]
fn what_was_read_before_the_stream_existed_is_fed() {
    let authority = Authority::new();
    for cut in [1, 5, 50, usize::MAX] {
        let mut joined = joined(&authority, SUITES[0]);
        joined.turn_client().unwrap();
        let early: Vec<u8> = {
            let mut lane = joined.server_end.incoming.borrow_mut();
            let cut = cut.min(lane.bytes.len());
            lane.bytes.drain(..cut).collect()
        };
        joined.server.feed(&early);
        joined.shaken();
    }
}

#[test]
fn half_closed_connections_still_carry_the_other_half() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut joined = joined(&authority, suite).shaken();
        joined.client.writer().write_all(b"my last words").unwrap();
        joined.client.send_close_notify();
        joined.turn_client().unwrap();
        joined.client_end.inject(b"what comes after the end is no matter");
        assert_eq!(joined.read_all(), (b"my last words".to_vec(), true));
        assert_eq!(joined.write(b"mine").unwrap(), 4);
        joined.server.close(&mut joined.server_end, &mut joined.scratch).unwrap();
        joined.server.close(&mut joined.server_end, &mut joined.scratch).unwrap();
        assert_eq!(joined.client_reads(), b"mine");
        assert!(joined.client.process_new_packets().unwrap().peer_has_closed());
        assert_eq!(joined.write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn after_our_end_what_comes_is_dropped_until_the_peer_ends() {
    let authority = Authority::new();
    let mut joined = joined(&authority, SUITES[0]).shaken();
    joined.server.close(&mut joined.server_end, &mut joined.scratch).unwrap();
    joined.client_end.inject(&[0; 100]);
    assert!(is_blocked(&joined.read(&mut [0; 10])));
    joined.client_end.hang_up();
    assert_eq!(joined.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn nothing_is_written_before_the_handshake() {
    let authority = Authority::new();
    let mut joined = joined(&authority, SUITES[0]);
    assert!(is_blocked(&joined.write(b"early")));
    joined.server.close(&mut joined.server_end, &mut joined.scratch).unwrap();
    assert!(joined.client_end.arrived().is_empty());
}

#[test]
fn garbage_is_answered_with_an_alert() {
    let authority = Authority::new();
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0xff; 600], &[22, 3, 1, 0, 4, 1, 0, 0, 0], b"\0\0\0\0\0\0"]
    {
        let mut joined = joined(&authority, SUITES[0]);
        joined.client_end.inject(garbage);
        let error = joined.read(&mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        let answer = joined.client_end.arrived();
        assert_eq!((answer[0], answer.len(), answer[5]), (21, 7, 2), "no fatal alert: {answer:?}");
        // The fault stays, and nothing is written any more.
        assert_eq!(joined.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(joined.write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(joined.client_end.arrived().len(), 7);
    }
}

#[test]
fn plaintext_before_garbage_is_delivered_and_then_the_fault_is_told() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut joined = joined(&authority, suite).shaken();
        joined.client.writer().write_all(b"good").unwrap();
        joined.turn_client().unwrap();
        joined.client_end.inject(&[23, 3, 3, 0, 32]);
        joined.client_end.inject(&[7; 32]);
        assert_eq!(joined.read(&mut [0; 64]).unwrap(), 4);
        assert_eq!(joined.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(joined.turn_client().unwrap_err().to_string().contains("BadRecordMac"));
    }
}

#[test]
fn a_hello_that_is_cut_off_waits_or_ends() {
    let authority = Authority::new();
    let mut joined = joined(&authority, SUITES[0]);
    joined.turn_client().unwrap();
    joined.server_end.incoming.borrow_mut().bytes.truncate(100);
    assert!(is_blocked(&joined.read(&mut [0; 64])));
    assert!(joined.server.is_handshaking());
    joined.client_end.hang_up();
    assert_eq!(joined.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn an_end_without_farewell_is_an_end() {
    let authority = Authority::new();
    let mut joined = joined(&authority, SUITES[0]).shaken();
    joined.client.writer().write_all(b"cut o").unwrap();
    joined.turn_client().unwrap();
    joined.client_end.hang_up();
    assert_eq!(joined.read_all(), (b"cut o".to_vec(), true));
}

#[test]
fn a_client_that_does_not_trust_us_says_so() {
    let (ours, other) = (Authority::new(), Authority::new());
    for suite in SUITES {
        let mut joined = Joined::new(&ours.keeper(), other.speaking(suite, None), calm(), calm());
        let (_, client) = joined.shake();
        assert!(client.unwrap_err().to_string().contains("invalid peer certificate"));
        let error = joined.read(&mut [0; 64]).unwrap_err();
        assert!(error.to_string().contains("received fatal alert"), "{error}");
    }
}

#[test]
fn an_old_version_is_refused_with_an_alert() {
    let authority = Authority::new();
    let keeper = Keeper::open(Options { min_version: Version::Tls13, ..authority.options() }).unwrap();
    let mut joined = Joined::new(&keeper, authority.trusted(&[&TLS12], None), calm(), calm());
    let (server, client) = joined.shake();
    assert_eq!(server.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(client.unwrap_err().to_string().contains("ProtocolVersion"));
}

#[test]
fn small_frames_share_a_record() {
    let authority = Authority::new();
    let mut joined = joined(&authority, SUITES[0]).shaken();
    joined.client_reads();
    let pieces: Vec<_> = (0..50).map(|_| IoSlice::new(b"0123456789")).collect();
    let taken = joined.server.write_vectored(&mut joined.server_end, &pieces, &mut joined.scratch).unwrap();
    assert_eq!(taken, 500);
    assert_eq!(joined.client_end.arrived().len(), 5 + 500 + 1 + 16);
    assert_eq!(joined.client_reads(), b"0123456789".repeat(50));
    // More than a record at once: what does not fit is not taken.
    let large = [3; 12_000];
    let pieces = [IoSlice::new(&large), IoSlice::new(&large)];
    let taken = joined.server.write_vectored(&mut joined.server_end, &pieces, &mut joined.scratch).unwrap();
    assert_eq!(taken, 16_384);
    assert_eq!(joined.client_reads(), [3; 16_384]);
}

#[test]
fn no_damage_makes_it_panic() {
    let authority = Authority::new();
    let keeper = authority.keeper();
    let mut random = Random(7);
    for nth in 0..600 {
        let config = authority.speaking(SUITES[nth % 6], None);
        let mut joined = Joined::new(&keeper, config, calm(), calm());
        if nth % 5 < 3 {
            let (server, client) = joined.shake();
            server.and(client).unwrap();
            joined.client.writer().write_all(b"something to damage").unwrap();
        }
        joined.turn_client().unwrap();
        {
            let bytes = &mut joined.server_end.incoming.borrow_mut().bytes;
            let length = bytes.len();
            for _ in 0..=random.below(4) {
                bytes[random.below(length)] ^= 1 << random.below(8);
            }
            if random.below(2) == 0 {
                bytes.truncate(random.below(length));
            }
        }
        joined.client_end.hang_up();
        // Either it was harmless or it is refused; the end comes in any case.
        let mut out = [0; 64];
        while joined.read(&mut out).is_ok_and(|length| length > 0) {}
        let _ = joined.write(b"anyone there?");
        let _ = joined.server.close(&mut joined.server_end, &mut joined.scratch);
    }
}

//! Records after the handshake that no honest client sends, encrypted as an honest client would.

use std::io::{self, Write};

use jackfield_tls::{Scratch, Stream};
use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

use crate::authority::{Authority, SUITES};
use crate::wire::{End, Joined, calm, is_blocked};

/// A client taken apart: its keys, and the server that still believes in it.
struct Forger {
    suite: SupportedCipherSuite,
    key: Vec<u8>,
    whole_key: Option<AeadKey>,
    iv: [u8; 12],
    sequence: u64,
    client_end: End,
    server: Stream,
    server_end: End,
    scratch: Scratch,
}

impl Forger {
    fn new(authority: &Authority, suite: SupportedCipherSuite) -> Self {
        let mut config = authority.speaking(suite, None);
        config.enable_secret_extraction = true;
        let mut joined = Joined::new(&authority.keeper(), config, calm(), calm()).shaken();
        joined.client_reads();
        let Joined { client, client_end, server, server_end, scratch } = joined;
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("a cipher of another kind")
        };
        let (bytes, iv) = (key.as_ref().to_vec(), iv.as_ref().try_into().unwrap());
        Self { suite, key: bytes, whole_key: Some(key), iv, sequence, client_end, server, server_end, scratch }
    }

    fn encrypter(&mut self) -> Box<dyn MessageEncrypter> {
        // Only a key of 256 bits can be had twice.
        let copy = <[u8; 32]>::try_from(self.key.as_slice()).map(AeadKey::from);
        let key = copy.unwrap_or_else(|_| self.whole_key.take().unwrap());
        match self.suite {
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = self.iv.split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, Iv::from(self.iv)),
        }
    }

    /// Sends a record.
    fn send(&mut self, typ: ContentType, payload: &[u8]) {
        let mut encrypter = self.encrypter();
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = encrypter.encrypt(message, self.sequence).unwrap().encode();
        self.sequence += 1;
        self.client_end.inject(&record);
    }

    fn read(&mut self) -> io::Result<usize> {
        self.server.read(&mut self.server_end, &mut [0; 64], &mut self.scratch)
    }

    fn write(&mut self) -> io::Result<usize> {
        self.server.write(&mut self.server_end, b"still here", &mut self.scratch)
    }

    /// That the server refuses what came, with these words and an alert.
    fn is_refused(&mut self, words: &str) {
        let before = self.client_end.arrived().len();
        let error = self.read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(words), "{error}");
        // In TLS 1.3 an alert looks like data; its length tells.
        let alert = match self.suite {
            SupportedCipherSuite::Tls12(_) => (21, 2),
            SupportedCipherSuite::Tls13(_) => (23, 3),
        };
        let answer = self.client_end.arrived().split_off(before);
        let overhead = usize::from(answer[4]) - alert.1;
        assert!(answer[0] == alert.0 && (overhead == 16 || overhead == 24), "no alert: {answer:?}");
        assert_eq!(self.write().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

fn suites(version: ProtocolVersion) -> impl Iterator<Item = SupportedCipherSuite> {
    SUITES.into_iter().filter(move |suite| suite.version().version == version)
}

/// Those whose records are ours, since rustls has handed over the keys.
fn reduced(version: ProtocolVersion) -> impl Iterator<Item = SupportedCipherSuite> {
    suites(version).filter(|suite| !format!("{suite:?}").contains("AES_128"))
}

#[test]
fn honest_records_are_taken() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut forger = Forger::new(&authority, suite);
        forger.send(ContentType::ApplicationData, b"honest");
        assert_eq!(forger.read().unwrap(), 6, "{suite:?}");
        assert!(is_blocked(&forger.read()));
        assert_eq!(forger.write().unwrap(), 10);
    }
}

#[test]
fn nothing_empty_comes_for_ever() {
    let authority = Authority::new();
    for suite in reduced(ProtocolVersion::TLSv1_3).chain(reduced(ProtocolVersion::TLSv1_2)) {
        let mut forger = Forger::new(&authority, suite);
        for _ in 0..2 {
            (0..32).for_each(|_| forger.send(ContentType::ApplicationData, b""));
            assert!(is_blocked(&forger.read()));
            forger.send(ContentType::ApplicationData, b"data");
            assert_eq!(forger.read().unwrap(), 4);
        }
        (0..33).for_each(|_| forger.send(ContentType::ApplicationData, b""));
        forger.is_refused("TooManyEmptyFragments");
    }
}

#[test]
fn what_has_no_business_after_the_handshake_is_refused() {
    let authority = Authority::new();
    let (new, old) = (ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2);
    for suite in reduced(new).chain(reduced(old)) {
        let is_new = suite.version().version == new;
        let refused = |send: &dyn Fn(&mut Forger), words| {
            let mut forger = Forger::new(&authority, suite);
            send(&mut forger);
            forger.is_refused(words);
        };
        // A hello in TLS 1.3, a ticket, a finish.
        let first = if is_new { 1 } else { 4 };
        for message in [[first, 0, 0, 0], [4, 0, 0, 0], [20, 0, 0, 0]] {
            refused(&|forger| forger.send(ContentType::Handshake, &message), "received unexpected message");
        }
        refused(&|forger| forger.client_end.inject(&[20, 3, 3, 0, 1, 1]), "received unexpected message");
        refused(&|forger| forger.send(ContentType::Alert, &[2]), "AlertDescription");
        refused(&|forger| forger.client_end.inject(&[23, 3, 3, 0x48, 1]), "excess record size");
        refused(&|forger| forger.client_end.inject(&[99, 3, 3, 0, 1]), "InvalidContentType");
        refused(&|forger| forger.client_end.inject(&[23, 2, 3, 0, 1]), "UnknownProtocolVersion");
        refused(&|forger| forger.client_end.inject(&[23, 3, 3, 0, 0]), "decrypt");
        refused(&|forger| forger.client_end.inject(&[[23, 3, 3, 0, 40].as_slice(), &[9; 40]].concat()), "decrypt");
    }
}

#[test]
fn a_record_comes_once() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut forger = Forger::new(&authority, suite);
        forger.send(ContentType::ApplicationData, b"once");
        let record: Vec<u8> = forger.server_end.arrived();
        assert_eq!(forger.read().unwrap(), 4);
        forger.client_end.inject(&record);
        forger.is_refused("decrypt");
    }
}

#[test]
fn keys_change_by_whole_messages_and_not_for_ever() {
    let authority = Authority::new();
    for suite in reduced(ProtocolVersion::TLSv1_3) {
        for message in [&[24, 0, 0][..], &[24, 0, 0, 1, 2], &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], &[24, 0, 0, 2, 0, 0]] {
            let mut forger = Forger::new(&authority, suite);
            forger.send(ContentType::Handshake, message);
            forger.is_refused("received unexpected message");
        }
    }
    for suite in suites(ProtocolVersion::TLSv1_3) {
        let config = authority.speaking(suite, None);
        let mut joined = Joined::new(&authority.keeper(), config, calm(), calm()).shaken();
        for _ in 0..50 {
            joined.client.refresh_traffic_keys().unwrap();
            joined.client.writer().write_all(b"under new keys").unwrap();
            joined.turn_client().unwrap();
            assert_eq!(joined.read_all().0, b"under new keys");
            joined.write(b"so am I").unwrap();
            assert_eq!(joined.client_reads(), b"so am I");
        }
        for _ in 0..33 {
            joined.client.refresh_traffic_keys().unwrap();
            joined.turn_client().unwrap();
        }
        let error = joined.read(&mut [0; 64]).unwrap_err();
        assert!(error.to_string().contains("TooManyKeyUpdateRequests"), "{error}");
    }
}

#[test]
fn a_client_that_wants_new_keys_and_does_not_read_gets_them_when_it_does() {
    let authority = Authority::new();
    for suite in suites(ProtocolVersion::TLSv1_3) {
        let config = authority.speaking(suite, None);
        let mut joined = Joined::new(&authority.keeper(), config, calm(), calm()).shaken();
        joined.client_reads();
        let mut told = 0;
        while let Ok(taken) = joined.write(&[7; 1000]) {
            told += taken;
        }
        assert!(!joined.server.is_flushed());
        for _ in 0..10 {
            joined.client.refresh_traffic_keys().unwrap();
            joined.client.writer().write_all(b"data").unwrap();
            while joined.client.wants_write() {
                joined.client.write_tls(&mut joined.client_end).unwrap();
            }
        }
        assert_eq!(joined.read_all().0, b"data".repeat(10));
        let mut heard = joined.client_reads();
        assert!(joined.server.flush(&mut joined.server_end).unwrap());
        assert_eq!(joined.write(b"under new keys").unwrap(), 14);
        heard.extend(joined.client_reads());
        assert_eq!(heard.len(), told + 14);
        assert!(heard.ends_with(b"under new keys"));
    }
}

#[test]
fn renegotiation_is_refused_politely_once() {
    let authority = Authority::new();
    for suite in reduced(ProtocolVersion::TLSv1_2) {
        let mut forger = Forger::new(&authority, suite);
        let before = forger.client_end.arrived().len();
        forger.send(ContentType::Handshake, &[1, 0, 0, 0]);
        assert!(is_blocked(&forger.read()));
        assert_eq!(forger.client_end.arrived()[before], 21);
        forger.send(ContentType::ApplicationData, b"then not");
        assert_eq!(forger.read().unwrap(), 8);
        forger.send(ContentType::Handshake, &[1, 0, 0, 0]);
        forger.is_refused("TooManyRenegotiationRequests");
    }
}

#[test]
fn alerts_are_heeded() {
    let authority = Authority::new();
    for suite in SUITES {
        let mut forger = Forger::new(&authority, suite);
        forger.send(ContentType::Alert, &[2, 80]);
        assert!(forger.read().unwrap_err().to_string().contains("InternalError"), "{suite:?}");
    }
    for suite in reduced(ProtocolVersion::TLSv1_2) {
        let mut forger = Forger::new(&authority, suite);
        (0..4).for_each(|_| forger.send(ContentType::Alert, &[1, 90]));
        assert!(is_blocked(&forger.read()));
        forger.send(ContentType::Alert, &[1, 90]);
        forger.is_refused("TooManyWarningAlertsReceived");
    }
    for suite in reduced(ProtocolVersion::TLSv1_3).chain(reduced(ProtocolVersion::TLSv1_2)) {
        let mut forger = Forger::new(&authority, suite);
        forger.send(ContentType::Alert, &[1, 0]);
        forger.client_end.inject(b"what comes after the end is no matter");
        assert_eq!(forger.read().unwrap(), 0);
        assert_eq!(forger.read().unwrap(), 0);
        assert_eq!(forger.write().unwrap(), 10);
    }
}

#[test]
fn half_a_message_with_rustls_disturbs_no_write() {
    let authority = Authority::new();
    let mut forger = Forger::new(&authority, SUITES[1]);
    // The beginning of a KeyUpdate; rustls remembers how far it has looked into what we keep.
    forger.send(ContentType::Handshake, &[24, 0, 0]);
    assert!(is_blocked(&forger.read()));
    assert_eq!(forger.write().unwrap(), 10);
    assert!(is_blocked(&forger.read()));
    forger.client_end.hang_up();
    assert_eq!(forger.read().unwrap(), 0);
    assert_eq!(forger.write().unwrap(), 10);
    forger.server.close(&mut forger.server_end, &mut forger.scratch).unwrap();
}

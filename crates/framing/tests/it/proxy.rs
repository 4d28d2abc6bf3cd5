//! PROXY headers are the same however their bytes arrive, and a fault stays a fault.

use std::net::{IpAddr, SocketAddr};

use jackfield_framing::proxy::{Header, ProxyError, parse, starts};
use proptest::collection::vec;
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 1 as a proxy writes it.
fn text(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// A header of version 2 as a proxy writes it, with something behind the addresses.
fn binary(source: SocketAddr, destination: SocketAddr, rest: &[u8]) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let block = [octets(source), octets(destination), ports, rest.to_vec()].concat();
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    let length = u16::try_from(block.len()).expect("it is short").to_be_bytes();
    [SIGNATURE, &[0x21, family], &length, &block].concat()
}

/// Two addresses of one family.
fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<([u8; 4], [u8; 4], u16, u16)>()
        .prop_map(|(from, to, port, other)| (SocketAddr::from((from, port)), SocketAddr::from((to, other))));
    let v6 = any::<([u8; 16], [u8; 16], u16, u16)>()
        .prop_map(|(from, to, port, other)| (SocketAddr::from((from, port)), SocketAddr::from((to, other))));
    prop_oneof![v4, v6]
}

/// Bytes that headers are made of, more often than others.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        Just("TCP4"),
        Just("TCP6"),
        Just("UNKNOWN"),
        Just(" "),
        Just("192.0.2.1"),
        Just("::1"),
        Just("80"),
        Just("\r"),
        Just("\n"),
        Just("\r\n"),
    ];
    let line = vec(words, 0..12).prop_map(|words| format!("PROXY {}", words.concat()).into_bytes());
    let block = (prop_oneof![0x20u8..=0x22, any::<u8>()], any::<u8>(), 0u8..2, vec(any::<u8>(), 0..60))
        .prop_map(|(command, family, high, rest)| [SIGNATURE, &[command, family, high], &rest].concat());
    prop_oneof![3 => line, 3 => block, 1 => vec(any::<u8>(), 0..20)]
}

proptest! {
    #[test]
    fn headers_survive_any_split(
        (source, destination) in addresses(),
        rest in vec(any::<u8>(), 0..40),
        after in vec(any::<u8>(), 0..10),
    ) {
        for sent in [text(source, destination), binary(source, destination, &rest)] {
            let bytes = [&sent[..], &after].concat();
            for at in 0..sent.len() {
                prop_assert_eq!(parse(&bytes[..at]), Ok(None));
                prop_assert_ne!(starts(&bytes[..at]), Some(false));
            }
            let source = Some(SocketAddr::new(source.ip().to_canonical(), source.port()));
            for at in sent.len()..=bytes.len() {
                prop_assert_eq!(parse(&bytes[..at]), Ok(Some(Header { length: sent.len(), source })));
                prop_assert_eq!(starts(&bytes[..at]), Some(true));
            }
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in likely_bytes()) {
        let mut before = Ok(None);
        for at in 0..=bytes.len() {
            let found = parse(&bytes[..at]);
            if before != Ok(None) {
                prop_assert_eq!(found, before, "what was decided stays decided");
            }
            if let Ok(Some(header)) = found {
                prop_assert!(header.length <= at);
            }
            prop_assert_eq!(starts(&bytes[..at]) == Some(false), found == Err(ProxyError::Missing));
            before = found;
        }
    }
}

//! PROXY headers, whole and in two steps, and lists of addresses that a client wrote in front of what
//! its proxy says.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use jackfield_framing::forwarded::{ForwardedHeader, client_address};
use jackfield_framing::http::Head;
use jackfield_framing::proxy::{self, ProxyError};
use libfuzzer_sys::fuzz_target;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fuzz_target!(|bytes: &[u8]| {
    let [kind, cut, bytes @ ..] = bytes else { return };
    if kind % 2 == 1 {
        if let Ok(text) = std::str::from_utf8(bytes) {
            lists(text);
        }
        return;
    }
    let whole = proxy::parse(bytes);
    let part = &bytes[..usize::from(*cut).min(bytes.len())];
    match proxy::parse(part) {
        Ok(None) => {}
        decided => assert_eq!(decided, whole),
    }
    assert_eq!(proxy::starts(bytes) == Some(false), whole == Err(ProxyError::Missing));
    if let Ok(Some(header)) = whole {
        assert!(header.length <= bytes.len() && header.length <= proxy::MAX_BINARY);
        assert_eq!(proxy::parse(&bytes[..header.length]), Ok(Some(header)));
        assert_eq!(proxy::parse(&bytes[..header.length - 1]), Ok(None));
        assert!(header.source.is_none_or(|source| source.ip() == source.ip().to_canonical()));
    }
});

/// Whatever stands in front of it, what a trusted proxy adds counts.
fn lists(text: &str) {
    let quoted = format!("{text}, for=\"192.0.2.1:80\";host=\"a,for=\\\"6.6.6.6\", proto=https;for=10.0.0.2");
    let elements = [format!("{text},for=192.0.2.1"), quoted];
    let addresses = [format!("{text},192.0.2.1"), format!("{text}, 192.0.2.1:80, 10.0.0.2")];
    for line in &elements {
        assert_eq!(client("Forwarded", line, ForwardedHeader::Forwarded), CLIENT);
    }
    for line in &addresses {
        assert_eq!(client("X-Forwarded-For", line, ForwardedHeader::XForwardedFor), CLIENT);
    }
    let _ = client("Forwarded", text, ForwardedHeader::Forwarded);
    let _ = client("X-Forwarded-For", text, ForwardedHeader::XForwardedFor);
}

fn client(name: &str, value: &str, header: ForwardedHeader) -> IpAddr {
    let headers = vec![(name, value)];
    let head = Head { method: "GET", target: "/", path: "/", query: "", version: 1, headers, length: 0 };
    let trusted = [IpNet::from(PROXY), IpNet::from(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)))];
    client_address(&head, PROXY, header, &trusted)
}

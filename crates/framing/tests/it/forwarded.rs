//! Whatever a client writes into the lists of addresses, the trusted proxies' word counts.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use jackfield_framing::forwarded::{ForwardedHeader, client_address};
use jackfield_framing::http::Head;
use proptest::collection::vec;
use proptest::prelude::*;

/// The client's address by these header lines; the proxies live in 10.0.0.0/8.
fn client(lines: &[(&str, &str)], header: ForwardedHeader) -> IpAddr {
    let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().expect("a network")];
    let head =
        Head { method: "GET", target: "/", path: "/", query: "", version: 1, headers: lines.to_vec(), length: 0 };
    client_address(&head, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), header, &trusted)
}

/// What clients may write: pieces of lists, and anything else.
fn forged() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "for=", "6.6.6.6", "10.0.0.7", "\"", "\\", ",", ";", "=", " ", "[::1]", ":80", "by=a", "host=\"", "a",
        ]).prop_map(str::to_owned),
        1 => "[ -~\t]{1,5}",
        1 => "\\PC{1,3}",
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// An address that no proxy has.
fn outside() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<[u8; 4]>().prop_filter("a proxy", |octets| octets[0] != 10).prop_map(IpAddr::from);
    let v6 = any::<[u8; 16]>().prop_map(IpAddr::from).prop_filter("IPv4", |address| address.to_canonical().is_ipv6());
    prop_oneof![v4, v6]
}

/// How a proxy writes an address, with what it knows of the request besides.
fn element(address: IpAddr, port: Option<u16>, host: Option<&str>) -> String {
    let node = match (address, port) {
        (address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (IpAddr::V4(address), None) => address.to_string(),
        (IpAddr::V6(address), None) => format!("[{address}]"),
    };
    let quoted = if node.contains(':') { format!("\"{node}\"") } else { node };
    match host {
        Some(host) => format!("for={quoted};host=\"{}\"", host.replace('\\', "\\\\").replace('"', "\\\"")),
        None => format!("for={quoted}"),
    }
}

proptest! {
    #[test]
    fn the_word_of_the_proxies_counts(
        forged in forged(),
        client_is in outside(),
        port in any::<Option<u16>>(),
        host in prop::option::of(forged()),
        hops in vec(any::<[u8; 3]>(), 0..4),
        apart in any::<bool>(),
    ) {
        let hops: Vec<_> = hops.iter().map(|[b, c, d]| IpAddr::V4(Ipv4Addr::new(10, *b, *c, *d))).collect();
        let addresses: Vec<_> = [client_is].into_iter().chain(hops).collect();
        let plain: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        let elements: Vec<_> =
            addresses.iter().map(|address| element(*address, port, host.as_deref())).collect();
        for (header, name, added) in [
            (ForwardedHeader::XForwardedFor, "X-Forwarded-For", plain),
            (ForwardedHeader::Forwarded, "Forwarded", elements),
        ] {
            let joined = added.join(", ");
            let whole = format!("{forged}, {joined}");
            let mut lines = vec![(name, &*forged)];
            if apart {
                lines.extend(added.iter().map(|line| (name, &**line)));
            } else {
                lines[0].1 = &whole;
            }
            prop_assert_eq!(client(&lines, header), client_is, "{:?}", lines);
        }
    }

    #[test]
    fn no_text_does_harm(lines in vec(forged(), 0..4)) {
        for (header, name) in [
            (ForwardedHeader::XForwardedFor, "x-forwarded-for"),
            (ForwardedHeader::Forwarded, "forwarded"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (name, &**line)).collect();
            let _ = client(&lines, header);
        }
    }
}

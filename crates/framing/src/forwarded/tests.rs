//! Lists of addresses, honest and forged.

use super::*;
use crate::http::parse;

/// The client's address by the lines of a request that came from `peer`; 10.0.0.0/8 and
/// 2001:db8::/32 are trusted.
fn client(peer: &str, lines: &[&str], header: ForwardedHeader) -> String {
    let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
    let name = match header {
        ForwardedHeader::Forwarded => "Forwarded",
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
    };
    let mut text = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    for line in lines {
        text.push_str(&format!("{name}: {line}\r\n"));
    }
    text.push_str("\r\n");
    let head = parse(text.as_bytes(), 8192).unwrap().unwrap();
    client_address(&head, peer.parse().unwrap(), header, &trusted).to_string()
}

/// What a request from a trusted proxy says with one `X-Forwarded-For`.
fn listed(line: &str) -> String {
    client("10.0.0.1", &[line], ForwardedHeader::XForwardedFor)
}

/// What a request from a trusted proxy says with one `Forwarded`.
fn forwarded(line: &str) -> String {
    client("10.0.0.1", &[line], ForwardedHeader::Forwarded)
}

#[test]
fn a_list_is_read_from_its_end() {
    for (line, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("6.6.6.6, 10.0.0.9, 192.0.2.1, 10.0.0.3, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.1, 2001:db8::5", "192.0.2.1"),
        ("192.0.2.1,10.0.0.2", "192.0.2.1"),
        ("192.0.2.1 ,\t10.0.0.2 ", "192.0.2.1"),
        (",, 192.0.2.1,, 10.0.0.2 , ,", "192.0.2.1"),
        ("", "10.0.0.1"),
        (",", "10.0.0.1"),
    ] {
        assert_eq!(listed(line), expected, "{line}");
    }
}

#[test]
fn repeated_headers_are_one_list() {
    let lines = ["6.6.6.6", "192.0.2.1", "10.0.0.3, 10.0.0.2"];
    assert_eq!(client("10.0.0.1", &lines, ForwardedHeader::XForwardedFor), "192.0.2.1");
    let lines = ["for=6.6.6.6", "for=192.0.2.1", "for=10.0.0.3, for=10.0.0.2"];
    assert_eq!(client("10.0.0.1", &lines, ForwardedHeader::Forwarded), "192.0.2.1");
    let lines = ["6.6.6.6", "", "garbage", "10.0.0.2"];
    assert_eq!(client("10.0.0.1", &lines, ForwardedHeader::XForwardedFor), "10.0.0.2");
}

#[test]
fn strangers_are_not_believed() {
    for peer in ["192.0.2.9", "11.0.0.1", "::1"] {
        assert_eq!(client(peer, &["6.6.6.6"], ForwardedHeader::XForwardedFor), peer);
        assert_eq!(client(peer, &["for=6.6.6.6"], ForwardedHeader::Forwarded), peer);
    }
    assert_eq!(client("2001:db8::1", &["192.0.2.1"], ForwardedHeader::XForwardedFor), "192.0.2.1");
    assert_eq!(client("10.0.0.1", &[], ForwardedHeader::XForwardedFor), "10.0.0.1");
    let head = parse(b"GET / HTTP/1.0\r\nForwarded: for=192.0.2.1\r\n\r\n", 100).unwrap().unwrap();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(client_address(&head, peer, ForwardedHeader::Forwarded, &[]), peer, "nobody is trusted");
    let all = ["0.0.0.0/0".parse().unwrap()];
    assert_eq!(client_address(&head, peer, ForwardedHeader::XForwardedFor, &all), peer, "the other header");
}

#[test]
fn addresses_in_ipv6_form_are_ipv4() {
    assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.1"], ForwardedHeader::XForwardedFor), "192.0.2.1");
    assert_eq!(client("::ffff:192.0.2.9", &["6.6.6.6"], ForwardedHeader::XForwardedFor), "192.0.2.9");
    assert_eq!(listed("192.0.2.1, ::ffff:10.0.0.2"), "192.0.2.1");
    assert_eq!(listed("::ffff:c000:201"), "192.0.2.1");
    assert!(is_trusted("::ffff:10.0.0.1".parse().unwrap(), &["10.0.0.0/8".parse().unwrap()]));
}

#[test]
fn ports_brackets_and_quotes_are_read() {
    for (node, expected) in [
        ("192.0.2.1:80", "192.0.2.1"),
        ("192.0.2.1:0", "192.0.2.1"),
        ("192.0.2.1:_a.b-c_1", "192.0.2.1"),
        ("2001:db9::1", "2001:db9::1"),
        ("2001:DB9::1:80", "2001:db9::1:80"),
        ("[2001:db9::1]", "2001:db9::1"),
        ("[2001:db9::1]:65535", "2001:db9::1"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
    ] {
        assert_eq!(listed(node), expected, "{node}");
        assert_eq!(listed(&format!("\"{node}\"")), expected, "{node}");
        assert_eq!(forwarded(&format!("for=\"{node}\"")), expected, "{node}");
        assert_eq!(forwarded(&format!("for={node}")), expected, "{node}");
    }
}

#[test]
fn what_is_no_address_ends_the_walk() {
    for node in [
        "unknown",
        "_hidden",
        "a.example",
        "192.0.2",
        "192.0.2.1.1",
        "192.0.2.01",
        "192.0.2.256",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:+1",
        "192.0.2.1:_",
        "192.0.2.1:80:80",
        "[192.0.2.1]",
        "[2001:db9::1",
        "2001:db9::1]",
        "[2001:db9::1]80",
        "[2001:db9::1]:",
        "[2001:db9::1%eth0]",
        "2001:db9::1%eth0",
        "[]",
        ":80",
        "192.0.2.1 192.0.2.2",
        "192.0.2.1;",
        "\"192.0.2.1",
        "192.0.2.1\"",
        "\u{661}92.0.2.1",
    ] {
        assert_eq!(listed(&format!("6.6.6.6, {node}")), "10.0.0.1", "{node}");
        assert_eq!(listed(&format!("6.6.6.6, {node}, 10.0.0.2")), "10.0.0.2", "{node}");
        let line = format!("for=6.6.6.6, for=\"{}\"", node.replace('"', "\\\""));
        assert_eq!(forwarded(&line), "10.0.0.1", "{line}");
    }
}

#[test]
fn elements_are_taken_apart() {
    for (line, expected) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;Proto=https;by=203.0.113.43", "192.0.2.1"),
        ("proto=https;FOR=\"[2001:db9::1]:80\"", "2001:db9::1"),
        ("proto=https; for=192.0.2.1 ; by=a;", "192.0.2.1"),
        ("for=6.6.6.6, for=192.0.2.1;host=\"a, for=7.7.7.7\"", "192.0.2.1"),
        ("for=6.6.6.6, for=192.0.2.1;host=\"a, for=\\\"7.7.7.7\"", "192.0.2.1"),
        ("for=192.0.2.1;a=\"\\\\\",for=10.0.0.2;a=\",,\\\",\";b=\"\"", "192.0.2.1"),
        ("for=\"19\\2.0.2.1\"", "192.0.2.1"),
        ("for=6.6.6.6, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
    ] {
        assert_eq!(forwarded(line), expected, "{line}");
    }
}

#[test]
fn what_is_no_element_ends_the_walk() {
    for element in [
        "192.0.2.1",
        "by=192.0.2.1",
        "for",
        "for=",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "=192.0.2.1",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;;by=a",
        ";for=192.0.2.1",
        "for=192.0.2.1;by",
        "for=192.0.2.1 by=a",
        "for=192.0.2.1;by=\"a",
        "for=192.0.2.1;by=a\"",
        "for=192.0.2.1;by=\"a\"b",
        "for=192.0.2.1;by=\"a\\",
        "for=192.0.2.1;by=a\\b",
        "for=192.0.2.1;by=\u{e4}",
    ] {
        assert_eq!(forwarded(&format!("for=6.6.6.6, {element}")), "10.0.0.1", "{element}");
        assert_eq!(forwarded(&format!("for=6.6.6.6, {element}, for=10.0.0.2")), "10.0.0.2", "{element}");
    }
}

#[test]
fn a_client_cannot_swallow_what_the_proxy_adds() {
    let added = ["for=192.0.2.1", "for=\"192.0.2.1:80\";host=\"a\"", "for=192.0.2.1;host=\"x,for=\\\"6.6.6.6\""];
    for forged in ["\"", "for=\"", "for=6.6.6.6;host=\"", "for=6.6.6.6;host=\"\\", "a=\"b\\\"", ",", "for=6.6.6.6;"] {
        for element in added {
            assert_eq!(forwarded(&format!("{forged}, {element}")), "192.0.2.1", "{forged} {element}");
        }
        assert_eq!(listed(&format!("{forged}, 192.0.2.1")), "192.0.2.1", "{forged}");
    }
}

#[test]
fn long_lists_end() {
    for piece in
        ["a=\"b\",", "10.0.0.2,", ",", "\"", "for=10.0.0.2,", "a=b;", "a=\",", "\\\"", "for=\"10.0.0.2\";a=\",\","]
    {
        let line = piece.repeat(7000 / piece.len());
        for found in [listed(&line), forwarded(&line)] {
            assert!(found.starts_with("10.0.0."), "{piece} gave {found}");
        }
    }
}

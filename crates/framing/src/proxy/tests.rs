//! PROXY headers of both versions that are read, and those that are refused.

use super::*;

/// Reads a header that must be whole and right; gives what follows it, too.
fn read(bytes: &[u8]) -> (Option<SocketAddr>, &[u8]) {
    match parse(bytes) {
        Ok(Some(header)) => (header.source, &bytes[header.length..]),
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// The source of a header, printed.
fn source(bytes: impl AsRef<[u8]>) -> String {
    read(bytes.as_ref()).0.map_or_else(|| "none".to_owned(), |source| source.to_string())
}

fn fault(bytes: impl AsRef<[u8]>) -> ProxyError {
    let bytes = bytes.as_ref();
    match parse(bytes) {
        Err(error) => error,
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [BINARY, &[command, family], &length, rest].concat()
}

/// Source 192.0.2.1:258, destination 192.0.2.2:443.
const INET: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 1, 187];

/// Source [2001:db8::1]:258, destination [2001:db8::2]:443.
fn inet6() -> Vec<u8> {
    let address = |last| [&[0x20, 1, 0x0D, 0xB8][..], &[0; 11], &[last]].concat();
    [&address(1)[..], &address(2), &[1, 2, 1, 187]].concat()
}

#[test]
fn the_example_of_the_specification() {
    let bytes = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
    let (source, rest) = read(bytes);
    assert_eq!(source, Some("192.168.0.1:56324".parse().unwrap()));
    assert_eq!(rest, b"GET / HTTP/1.1\r\n");
}

#[test]
fn text_headers_are_read() {
    for (line, expected) in [
        ("TCP4 0.0.0.0 255.255.255.255 0 65535", "0.0.0.0:0"),
        ("TCP6 2001:db8::1 ::1 65535 443", "[2001:db8::1]:65535"),
        ("TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 :: 1 2", "[2001:db8::1]:1"),
        ("TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2", "192.0.2.1:1"),
        ("UNKNOWN", "none"),
        ("UNKNOWN ", "none"),
        ("UNKNOWN ffff:f...f:ffff whatever \u{e4}\0", "none"),
        ("UNKNOWN 192.0.2.1 192.0.2.2 1 2", "none"),
    ] {
        assert_eq!(source(format!("PROXY {line}\r\n")), expected, "{line}");
    }
}

#[test]
fn malformed_text_headers_are_refused() {
    for line in [
        "",
        "TCP4",
        "TCP5 192.0.2.1 192.0.2.2 1 2",
        "tcp4 192.0.2.1 192.0.2.2 1 2",
        "UDP4 192.0.2.1 192.0.2.2 1 2",
        "UNKNOWNS",
        "unknown",
        " TCP4 192.0.2.1 192.0.2.2 1 2",
        "TCP4  192.0.2.1 192.0.2.2 1 2",
        "TCP4 192.0.2.1  192.0.2.2 1 2",
        "TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "TCP4\t192.0.2.1 192.0.2.2 1 2",
        "TCP4 192.0.2.1 192.0.2.2 1",
        "TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "TCP4 192.0.2 192.0.2.2 1 2",
        "TCP4 192.0.2.1.1 192.0.2.2 1 2",
        "TCP4 192.0.2.01 192.0.2.2 1 2",
        "TCP4 192.0.2.256 192.0.2.2 1 2",
        "TCP4 0xC0.0.2.1 192.0.2.2 1 2",
        "TCP4 ::1 ::2 1 2",
        "TCP4 192.0.2.1 ::2 1 2",
        "TCP4 192.0.2.1 192.0.2.x 1 2",
        "TCP6 192.0.2.1 192.0.2.2 1 2",
        "TCP6 [::1] [::2] 1 2",
        "TCP6 ::1%eth0 ::2 1 2",
        "TCP6 1::2::3 ::2 1 2",
        "TCP6 12345:: ::2 1 2",
        "TCP4 192.0.2.1 192.0.2.2 01 2",
        "TCP4 192.0.2.1 192.0.2.2 +1 2",
        "TCP4 192.0.2.1 192.0.2.2 -1 2",
        "TCP4 192.0.2.1 192.0.2.2 65536 2",
        "TCP4 192.0.2.1 192.0.2.2 1 00",
        "TCP4 192.0.2.1 192.0.2.2 1 99999",
        "TCP4 192.0.2.1 192.0.2.2 1 x",
        "TCP4 192.0.2.1\0 192.0.2.2 1 2",
        "TCP4 192.0.2.\u{661} 192.0.2.2 1 2",
    ] {
        let found = fault(format!("PROXY {line}\r\n"));
        assert!(matches!(found, ProxyError::Malformed(_)), "{line:?} gave {found:?}");
    }
    let found = fault(b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n");
    assert!(matches!(found, ProxyError::Malformed(_)));
}

#[test]
fn a_text_header_ends_in_cr_lf() {
    let line = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2";
    for end in ["\n", "\r\r\n", "\rG", "\n\r\n"] {
        let found = fault(format!("{line}{end}"));
        assert!(matches!(found, ProxyError::Malformed(_)), "{end:?} gave {found:?}");
    }
    assert!(matches!(fault("PROXY UNKNOWN a\nb\r\n"), ProxyError::Malformed(_)));
    assert_eq!(parse(line.as_bytes()), Ok(None));
    assert_eq!(parse(format!("{line}\r").as_bytes()), Ok(None));
}

#[test]
fn a_text_header_has_at_most_107_bytes() {
    let longest =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), MAX_TEXT);
    assert_eq!(source(longest), "none");
    let too_long = ProxyError::TooLong { limit: MAX_TEXT };
    assert_eq!(fault(longest.replace("65535\r", "655350\r")), too_long);
    let open = "PROXY ".to_owned() + &" ".repeat(101);
    assert_eq!(parse(&open.as_bytes()[..106]), Ok(None));
    assert_eq!(fault(&open), too_long);
    assert_eq!(fault(open[..106].to_owned() + "\r"), too_long);
}

#[test]
fn binary_headers_are_read() {
    let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1], &[0; 16], &[1, 2, 1, 187]].concat();
    for (command, family, rest, expected) in [
        (0x21, 0x11, INET.to_vec(), "192.0.2.1:258"),
        (0x21, 0x12, INET.to_vec(), "192.0.2.1:258"),
        (0x21, 0x21, inet6(), "[2001:db8::1]:258"),
        (0x21, 0x22, inet6(), "[2001:db8::1]:258"),
        (0x21, 0x21, mapped, "192.0.2.1:258"),
        (0x21, 0x31, vec![b'/'; 216], "none"),
        (0x21, 0x32, vec![b'/'; 220], "none"),
        (0x21, 0x00, vec![], "none"),
        (0x21, 0x00, INET.to_vec(), "none"),
        (0x21, 0x01, INET.to_vec(), "none"),
        (0x21, 0x10, INET.to_vec(), "none"),
        (0x20, 0x00, vec![], "none"),
        (0x20, 0x11, INET.to_vec(), "none"),
        (0x20, 0x11, vec![1, 2, 3], "none"),
        (0x20, 0xFF, vec![], "none"),
    ] {
        let bytes = [binary(command, family, &rest), b"GET ".to_vec()].concat();
        assert_eq!(source(&bytes), expected, "{command:#x} {family:#x}");
        assert_eq!(read(&bytes).1, b"GET ");
    }
}

#[test]
fn what_follows_the_addresses_is_skipped() {
    let name = [&[2, 0, 3][..], b"a.b"].concat();
    for rest in [name, vec![4; 4096 - 16 - 12]] {
        let bytes = binary(0x21, 0x11, &[&INET[..], &rest].concat());
        let found = read(&bytes);
        assert_eq!((found.0.unwrap().to_string().as_str(), found.1), ("192.0.2.1:258", &b""[..]));
    }
}

#[test]
fn malformed_binary_headers_are_refused() {
    for (command, family, rest) in [
        (0x11, 0x11, INET.to_vec()),
        (0x31, 0x11, INET.to_vec()),
        (0x01, 0x11, INET.to_vec()),
        (0x22, 0x11, INET.to_vec()),
        (0x2F, 0x11, INET.to_vec()),
        (0x21, 0x13, INET.to_vec()),
        (0x21, 0x1F, INET.to_vec()),
        (0x21, 0x41, INET.to_vec()),
        (0x21, 0xF1, INET.to_vec()),
        (0x21, 0x40, INET.to_vec()),
        (0x21, 0x03, vec![]),
        (0x21, 0x11, INET[..11].to_vec()),
        (0x21, 0x11, vec![]),
        (0x21, 0x21, INET.to_vec()),
        (0x21, 0x21, inet6()[..35].to_vec()),
        (0x21, 0x31, vec![0; 215]),
    ] {
        let found = fault(binary(command, family, &rest));
        assert!(matches!(found, ProxyError::Malformed(_)), "{command:#x} {family:#x} gave {found:?}");
    }
    let too_long = ProxyError::TooLong { limit: MAX_BINARY };
    assert_eq!(fault(binary(0x21, 0x11, &[0; 4081])), too_long);
    assert_eq!(fault([BINARY, &[0x20, 0x00, 0xFF, 0xFF]].concat()), too_long, "before its bytes are there");
}

#[test]
fn other_bytes_are_missing_a_header() {
    for bytes in ["GET / ", "PROXX", "PROXY\t", "proxy ", "\r\nG", "\r\n\r\n\r", "\x16\x03\x01", "{"] {
        assert_eq!(fault(bytes), ProxyError::Missing, "{bytes:?}");
        assert_eq!(starts(bytes.as_bytes()), Some(false), "{bytes:?}");
    }
    assert_eq!(fault(b"\r\n\r\n\0\r\nQUIT\r"), ProxyError::Missing);
    for bytes in ["", "P", "PROXY", "\r", "\r\n\r\n\0\r\nQUIT"] {
        assert_eq!((parse(bytes.as_bytes()), starts(bytes.as_bytes())), (Ok(None), None), "{bytes:?}");
    }
    for bytes in ["PROXY ", "PROXY TCP", "\r\n\r\n\0\r\nQUIT\n", "\r\n\r\n\0\r\nQUIT\n\x21"] {
        assert_eq!(starts(bytes.as_bytes()), Some(true), "{bytes:?}");
    }
}

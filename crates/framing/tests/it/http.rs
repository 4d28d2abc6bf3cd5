//! Request heads are the same however their bytes arrive, and a fault stays a fault.

use jackfield_framing::http::{HeadError, parse};
use jackfield_framing::websocket::handshake;
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that a head is made of, more often than others.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET ".to_vec()),
        Just(b"/a?b=%41 ".to_vec()),
        Just(b"HTTP/1.1".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Upgrade: websocket\r\n".to_vec()),
        Just(b"Content-Length: 1\r\n".to_vec()),
        vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn heads_survive_any_split(
        path in "/[a-z0-9/%]{0,20}",
        query in "[a-z=&+%0-9]{0,20}",
        headers in vec(("X-[A-Za-z-]{1,10}", "[!-~]{1,20}"), 0..20),
        body in vec(any::<u8>(), 0..20),
    ) {
        let mut text = format!("POST {path}?{query} HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let length = text.len();
        let bytes = [text.as_bytes(), &body].concat();
        for at in 0..length {
            prop_assert_eq!(parse(&bytes[..at], 8192), Ok(None));
        }
        for at in length..=bytes.len() {
            let head = parse(&bytes[..at], 8192).unwrap().unwrap();
            prop_assert_eq!(head.length, length);
            prop_assert_eq!((head.path, head.query), (&*path, &*query));
            prop_assert_eq!(head.headers.len(), headers.len() + 1);
            for (found, sent) in head.headers[1..].iter().zip(&headers) {
                prop_assert_eq!(found, &(&*sent.0, &*sent.1));
            }
            let _ = head.query_value("a");
        }
        let limit = length - 1;
        prop_assert_eq!(parse(&bytes, limit), Err(HeadError::TooLarge { limit }));
    }

    #[test]
    fn no_bytes_do_harm(bytes in likely_bytes(), limit in 0usize..200) {
        let mut before = Ok(None);
        for at in 0..=bytes.len() {
            let found = parse(&bytes[..at], limit);
            match (&before, &found) {
                (Ok(None), _) | (Err(_), Err(_)) => {}
                (Ok(Some(_)), found) => prop_assert_eq!(found, &before),
                (Err(error), found) => prop_assert!(false, "{error:?} became {found:?}"),
            }
            if let Ok(Some(head)) = &found {
                prop_assert!(head.length <= at && head.length <= limit);
                let _ = head.query_value("b");
                let _ = handshake::check(head);
            }
            before = found;
        }
    }

    #[test]
    fn a_changed_byte_does_no_harm(at in 0usize..200, byte in any::<u8>()) {
        let headers = [("Sec-WebSocket-Protocol", "a, b"), ("Content-Length", "0")];
        let mut bytes = jackfield_framing::client::request("a:80", "/b?c=%20+d", &headers);
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(Some(head)) = parse(&bytes, 8192) {
            prop_assert!(head.length <= bytes.len());
            let _ = head.query_value("c");
            let _ = handshake::check(&head);
        }
    }
}

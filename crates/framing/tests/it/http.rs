//! Requests are the same however their bytes arrive, a fault stays a fault, and no answer can be split.

use jackfield_framing::http::{
    BodyError, BodyKind, HeadError, Response, cors, largest_body, parse, read_body, stream_head,
};
use jackfield_framing::websocket::handshake;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

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

/// Cuts data into chunks as a client would.
fn chunked(data: &[u8], cuts: &[Index], zeros: usize) -> Vec<u8> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(data.len() + 1)).chain([0, data.len()]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut out = Vec::new();
    for ends in cuts.windows(2) {
        let chunk = &data[ends[0]..ends[1]];
        let width = zeros + 1;
        out.extend_from_slice(format!("{:0width$x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Bytes that chunks are made of, more often than others.
fn likely_chunks() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"1\r\na\r\n".to_vec()),
        2 => Just(b"A\r\n0123456789\r\n".to_vec()),
        1 => Just(b"0\r\n\r\n".to_vec()),
        1 => Just(b"00000".to_vec()),
        1 => Just(b";a=b".to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn bodies_survive_any_split(
        data in vec(any::<u8>(), 0..100),
        cuts in vec(any::<Index>(), 0..6),
        zeros in 0usize..6,
        after in vec(any::<u8>(), 0..10),
    ) {
        let chunks = chunked(&data, &cuts, zeros);
        let length = BodyKind::Length(data.len() as u64);
        for (kind, sent) in [(BodyKind::Chunked, chunks), (length, data.clone())] {
            let bytes = [&sent[..], &after].concat();
            for at in 0..sent.len() {
                prop_assert_eq!(read_body(&bytes[..at], kind, data.len()), Ok(None));
            }
            for at in sent.len()..=bytes.len() {
                let body = read_body(&bytes[..at], kind, data.len()).unwrap().unwrap();
                prop_assert_eq!((&*body.data, body.length), (&data[..], sent.len()));
            }
            prop_assert!(sent.len() <= largest_body(data.len()));
            if let Some(limit) = data.len().checked_sub(1) {
                prop_assert_eq!(read_body(&bytes, kind, limit), Err(BodyError::TooLarge { limit }));
            }
        }
    }

    #[test]
    fn no_chunks_do_harm(bytes in likely_chunks(), limit in 0usize..40) {
        let mut before = Ok(None);
        for at in 0..=bytes.len() {
            let found = read_body(&bytes[..at], BodyKind::Chunked, limit);
            if before != Ok(None) {
                prop_assert_eq!(&found, &before, "what was decided stays decided");
            }
            if let Ok(Some(body)) = &found {
                prop_assert!(body.length <= at && body.data.len() <= limit);
            }
            before = found;
        }
    }

    #[test]
    fn requests_follow_each_other(
        bodies in vec((vec(any::<u8>(), 0..50), any::<bool>()), 1..5),
    ) {
        let mut bytes = Vec::new();
        for (body, in_chunks) in &bodies {
            bytes.extend_from_slice(b"POST /a HTTP/1.1\r\nHost: a\r\n");
            if *in_chunks {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                bytes.extend_from_slice(&chunked(body, &[], 0));
            } else {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
            }
        }
        let mut rest = &bytes[..];
        for (sent, _) in &bodies {
            let head = parse(rest, 8192).unwrap().unwrap();
            let body = read_body(&rest[head.length..], head.body().unwrap(), 50).unwrap().unwrap();
            prop_assert_eq!(&*body.data, &sent[..]);
            rest = &rest[head.length + body.length..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn answers_have_the_lines_they_were_given(
        reason in "\\PC{0,10}|.{0,10}|[a\r\n]{0,4}",
        content_type in "[a-z/]{0,10}|[a\r\n:]{0,6}",
        headers in vec(("[A-Za-z:\r\n ]{0,6}", any::<String>()), 0..6),
        keeps in any::<bool>(),
        body in vec(any::<u8>(), 0..20),
    ) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = Response::new(200, &reason).content_type(&content_type).headers(&headers).keep_alive(keeps);
        for (head, own) in [(answer.head(body.len()), 4), (stream_head(&content_type, &headers), 5)] {
            let head = String::from_utf8(head).unwrap();
            let (lines, rest) = head.split_once("\r\n\r\n").unwrap();
            prop_assert_eq!(rest, "");
            prop_assert!(lines.len() + 4 == head.len() && lines.split("\r\n").count() <= own + 1 + headers.len());
            prop_assert!(!lines.replace("\r\n", "").contains(char::is_control));
        }
        prop_assert_eq!(answer.body(&body), [answer.head(body.len()), body].concat());
    }

    #[test]
    fn origins_and_names_are_sent_back_or_not(
        origin in "https?://[a-z0-9.:]{1,20}|null|.{0,20}|[a-z:/ ,\r\n]{0,20}",
        requested in "[a-zA-Z-]{1,8}(, ?[a-z-]{1,8}){0,3}|.{0,20}",
    ) {
        for (name, value) in cors::preflight(Some(&origin), Some(&requested)) {
            let head = String::from_utf8(stream_head("", &[(name, value)])).unwrap();
            let line = format!("\r\n{name}: {value}\r\n");
            prop_assert!(head.contains(&line) && !value.contains(char::is_control), "{head:?}");
        }
    }
}

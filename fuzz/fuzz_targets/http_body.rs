//! Requests with their bodies, one after another, and answers made of what they say: where a body
//! ends does not depend on how its bytes arrive, and no answer is split.
#![no_main]

use jackfield_framing::http::{self, BodyKind, Response, cors};
use libfuzzer_sys::fuzz_target;

const HEAD_LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let [kind, cut, limit, bytes @ ..] = bytes else { return };
    let (cut, limit) = (usize::from(*cut), usize::from(*limit));
    // Why apart from heads: a fuzzer rarely keeps a head whole while it plays with chunks.
    if kind % 2 == 1 {
        body(bytes, BodyKind::Chunked, cut, limit);
        return;
    }
    let mut rest = bytes;
    while let Ok(Some(head)) = http::parse(rest, HEAD_LIMIT) {
        answer(&head);
        let kind = head.body().expect("a head that was parsed has one body");
        assert_eq!(head.has_body(), kind != BodyKind::None);
        let Some(length) = body(&rest[head.length..], kind, cut, limit) else { return };
        rest = &rest[head.length + length..];
    }
});

/// Reads a body whole and in two steps; gives the bytes it took.
fn body(bytes: &[u8], kind: BodyKind, cut: usize, limit: usize) -> Option<usize> {
    let whole = http::read_body(bytes, kind, limit);
    let part = http::read_body(&bytes[..cut.min(bytes.len())], kind, limit);
    if part != Ok(None) {
        assert_eq!(part, whole);
    }
    match whole {
        Ok(Some(body)) => {
            assert!(body.data.len() <= limit && body.length <= bytes.len());
            assert!(body.length <= http::largest_body(limit));
            let exact = http::read_body(&bytes[..body.length], kind, body.data.len());
            // Why any error: the room for chunk sizes goes with the limit.
            assert!(exact.is_err() || exact == Ok(Some(body.clone())));
            Some(body.length)
        }
        Ok(None) => {
            assert!(bytes.len() < http::largest_body(limit));
            None
        }
        Err(error) => {
            assert!(matches!(error.status().0, 400 | 413));
            None
        }
    }
}

/// Sends what the request says back in every place where it could do harm.
fn answer(head: &http::Head<'_>) {
    let requested = head.header("access-control-request-headers");
    let mut headers = cors::preflight(head.header("origin"), requested);
    let own = headers.len();
    headers.extend(&head.headers);
    let value = head.headers.last().map_or("", |(_, value)| value);
    let text = Response::new(200, value).content_type(value).keep_alive(head.keeps_alive()).headers(&headers);
    for head in [text.head(1), http::stream_head(value, &headers), text.body(b"")] {
        let head = String::from_utf8(head).expect("heads are text");
        let (lines, rest) = head.split_once("\r\n\r\n").expect("a head has an end");
        assert_eq!(rest, "");
        let count = lines.split("\r\n").count();
        assert!((3 + own..=6 + headers.len()).contains(&count));
        assert!(!lines.replace("\r\n", "").contains(char::is_control));
    }
}

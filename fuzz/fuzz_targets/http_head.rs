//! Request heads and handshakes: what a part of the bytes decided stays decided.
#![no_main]

use jackfield_framing::http;
use jackfield_framing::websocket::{handshake, negotiate};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = http::parse(bytes, LIMIT);
    match http::parse(&bytes[..usize::from(cut).min(bytes.len())], LIMIT) {
        Ok(None) => {}
        Ok(Some(head)) => assert_eq!(whole, Ok(Some(head))),
        Err(_) => assert!(whole.is_err()),
    }
    let Ok(Some(head)) = whole else {
        return;
    };
    assert!(head.length <= bytes.len() && head.length <= LIMIT);
    let _ = head.query_value("token");
    match handshake::check(&head) {
        Ok(found) => {
            let protocol = found.protocols.first().copied();
            let agreed = negotiate(&head).ok().flatten();
            let answer = handshake::response(found.key, protocol, agreed);
            let lines = answer.iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(lines, 5 + usize::from(protocol.is_some()) + usize::from(agreed.is_some()));
        }
        Err(error) => assert!(error.response().starts_with(b"HTTP/1.1 4")),
    }
});

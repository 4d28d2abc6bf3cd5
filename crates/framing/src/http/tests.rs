//! Request heads that are read, those that are refused, and the answers.

use super::*;

const LIMIT: usize = 8192;

/// Parses a head that must be whole and right.
fn read(text: &str) -> Head<'_> {
    match parse(text.as_bytes(), LIMIT) {
        Ok(Some(head)) => head,
        other => panic!("{text:?} gave {other:?}"),
    }
}

/// The status with which a head is refused.
fn status(bytes: impl AsRef<[u8]>) -> u16 {
    let bytes = bytes.as_ref();
    match parse(bytes, LIMIT) {
        Err(error) => error.status().0,
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A GET request with the given header lines after a good `Host`.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_head_is_taken_apart() {
    let text = "GET /chat/ws?token=a%20b&x HTTP/1.1\r\nHost: example.com:80\r\n\
                Cookie:  a=b; c=d \t\r\nAccept: x\r\naccept: y, z\r\n\r\nbody";
    let head = read(text);
    assert_eq!((head.method, head.version), ("GET", 1));
    assert_eq!(head.target, "/chat/ws?token=a%20b&x");
    assert_eq!((head.path, head.query), ("/chat/ws", "token=a%20b&x"));
    assert_eq!(&text[head.length..], "body");
    assert_eq!(head.header("COOKIE"), Some("a=b; c=d"));
    assert_eq!(head.header("accept"), Some("x"));
    assert_eq!(head.header("none"), None);
    assert_eq!(head.list("Accept").collect::<Vec<_>>(), ["x", "y", "z"]);
    assert!(!head.has_body());
}

#[test]
fn queries_are_decoded() {
    let head = read("GET /?a=1&b=x+y%21&%63=d&a=2&e&f=%ff&g=50%&h=%4&i=%zz&k=a=b HTTP/1.0\r\n\r\n");
    let value = |key| head.query_value(key).map(std::borrow::Cow::into_owned);
    assert_eq!(value("a").as_deref(), Some("1"));
    assert_eq!(value("b").as_deref(), Some("x y!"));
    assert_eq!(value("c").as_deref(), Some("d"));
    assert_eq!(value("e").as_deref(), Some(""));
    assert_eq!(value("f"), None, "not UTF-8");
    assert_eq!(value("g").as_deref(), Some("50%"));
    assert_eq!(value("h").as_deref(), Some("%4"));
    assert_eq!(value("i").as_deref(), Some("%zz"));
    assert_eq!(value("k").as_deref(), Some("a=b"));
    assert_eq!(value("l"), None);
    assert_eq!(read("GET / HTTP/1.0\r\n\r\n").query_value("a"), None);
}

#[test]
fn targets_are_reduced_to_their_path() {
    for (target, path, query) in [
        ("/", "/", ""),
        ("/a/b?c?d", "/a/b", "c?d"),
        ("http://a", "/", ""),
        ("WS://A/b?c", "/b", "c"),
        ("https://a?b", "/", "b"),
        ("//evil/x", "//evil/x", ""),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = read(&text);
        assert_eq!((head.path, head.query), (path, query), "{target}");
    }
    assert_eq!(read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
    for target in ["*", "a", "a:80", "ftp://a/", "http://b/", "http:///", "http://u@a/", "/#x"] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&text), 400, "{target}");
    }
    assert_eq!(status("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), 400);
    assert_eq!(status("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

#[test]
fn what_smuggles_is_refused() {
    for lines in [
        "Host: a\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: 5\u{b}\r\n",
        "Content-Length: \u{661}\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        "Content-Length: 5\r\n 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Origin: http://a\r\nOrigin: http://b\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A : b\r\n",
        " A: b\r\n",
        "A\r\n",
        ": b\r\n",
        "A: b\n",
        "A: b\rB: c\r\n",
        "A: \0\r\n",
        "A: \u{1b}[31m\r\n",
        "A: \u{9b}31m\r\n",
        "A: \u{7f}\r\n",
        "\u{e4}: b\r\n",
    ] {
        assert_eq!(status(with(lines)), 400, "{lines:?}");
    }
    assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a\r\nA: \xff\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn a_host_is_needed_and_must_be_one() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    for host in ["", "a b", "a,b", "a/b", "u@a", "a?b", "a\\b", "<a>"] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&text), 400, "{host:?}");
    }
    for host in ["a", "a.b:80", "[::1]:80", "xn--a", "127.0.0.1", "a_b"] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(read(&text).header("host"), Some(host));
    }
    assert_eq!(read("GET / HTTP/1.0\r\n\r\n").version, 0);
}

#[test]
fn bodies_are_announced() {
    assert_eq!(read(&with("Content-Length: 12\r\n")).content_length(), Some(12));
    assert!(read(&with("Content-Length: 12\r\n")).has_body());
    assert!(!read(&with("Content-Length: 0\r\n")).has_body());
    assert!(read(&with("Transfer-Encoding: Chunked\r\n")).is_chunked());
    assert!(read(&with("A: \u{e4}\r\n")).header("a").is_some());
}

#[test]
fn the_end_of_a_body_is_found_in_one_way() {
    for (lines, kind) in [
        ("", BodyKind::None),
        ("Content-Length: 0\r\n", BodyKind::None),
        ("Content-Length: 007\r\n", BodyKind::Length(7)),
        ("Content-Length: 18446744073709551615\r\n", BodyKind::Length(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", BodyKind::Chunked),
        ("transfer-encoding:\tCHUNKED \r\n", BodyKind::Chunked),
    ] {
        assert_eq!(read(&with(lines)).body(), Ok(kind), "{lines:?}");
    }
    let text = with("");
    let mut head = read(&text);
    head.headers.extend([("Content-Length", "1"), ("content-length", "2")]);
    assert_eq!(head.body().unwrap_err().status().0, 400, "a head that was not parsed");
}

#[test]
fn connections_are_kept_alive() {
    for (lines, keeps) in [
        ("", true),
        ("Connection: keep-alive\r\n", true),
        ("Connection: Upgrade\r\n", true),
        ("Connection: closed\r\n", true),
        ("Connection: Close\r\n", false),
        ("Connection: keep-alive, close\r\n", false),
        ("Connection: Upgrade\r\nConnection: close\r\n", false),
    ] {
        assert_eq!(read(&with(lines)).keeps_alive(), keeps, "{lines:?}");
    }
    assert!(!read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps_alive());
}

#[test]
fn bodies_may_be_held_back() {
    assert!(read(&with("Expect: 100-Continue\r\nContent-Length: 1\r\n")).expects_continue());
    assert!(read(&with("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")).expects_continue());
    assert!(!read(&with("Expect: 100-continue\r\n")).expects_continue(), "there is no body");
    assert!(!read(&with("Expect: a\r\nContent-Length: 1\r\n")).expects_continue());
    assert!(!read("GET / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").expects_continue());
}

#[test]
fn faults_show_early() {
    assert_eq!(status("\0"), 400);
    assert_eq!(status("get / "), 400);
    assert_eq!(status("\r\nGET / "), 400);
    assert_eq!(status(b"\x16\x03\x01"), 400);
    assert_eq!(status("FOO"), 501);
    assert_eq!(status("GETT / "), 501);
    assert_eq!(status("GET / HTTP/1.1\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nA: \0"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\rA"), 400);
    assert_eq!(status("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_eq!(status("GET /\r\n\r\n"), 400);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        let text = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(status(&text), 505, "{version}");
    }
}

#[test]
fn the_limits_hold() {
    let text = with("");
    let length = text.len();
    assert!(matches!(parse(text.as_bytes(), length), Ok(Some(_))));
    let limit = length - 1;
    let too_large = Err(HeadError::TooLarge { limit });
    assert_eq!(parse(text.as_bytes(), limit), too_large);
    assert_eq!(parse(&text.as_bytes()[..limit], limit), too_large);
    assert_eq!(parse(&text.as_bytes()[..limit - 1], limit), Ok(None));
    assert_eq!(parse(b"GET ", 0), Err(HeadError::TooLarge { limit: 0 }));
    assert_eq!(read(&with(&"A: b\r\n".repeat(63))).headers.len(), MAX_HEADERS);
    assert_eq!(status(with(&"A: b\r\n".repeat(64))), 431);
    assert_eq!(HeadError::TooLarge { limit }.status().0, 431);
}

#[test]
fn first_bytes_tell_http_apart() {
    for text in ["GET ", "POST /x", "OPTIONS *", "DELETE /", "TRACE "] {
        assert_eq!(looks_like_http(text.as_bytes()), Some(true), "{text}");
    }
    for text in ["", "G", "GET", "P", "PO", "PU", "OPTIONS"] {
        assert_eq!(looks_like_http(text.as_bytes()), None, "{text}");
    }
    for text in ["GET\t", "g", "{", "\x16\x03", "POSTS", " ", "HELLO"] {
        assert_eq!(looks_like_http(text.as_bytes()), Some(false), "{text}");
    }
}

#[test]
fn answers_are_whole() {
    let answer = response(200, "OK", "text/plain", &[("A", "b")], b"hi");
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
                Connection: close\r\nX-Content-Type-Options: nosniff\r\nA: b\r\n\r\nhi";
    assert_eq!(String::from_utf8(answer).unwrap(), text);
    let answer = String::from_utf8(response(204, "No Content", "", &[], b"x")).unwrap();
    assert!(!answer.contains("Content-Length"));
    assert!(answer.ends_with("\r\n\r\n"));
}

#[test]
fn answers_cannot_be_split() {
    let forged = "x\r\nSet-Cookie: a=b";
    let headers = [("Location", forged), (forged, "x"), ("A:", "x"), ("B", "\0"), ("C", "d")];
    let answer = response(400, forged, forged, &headers, b"");
    let text = "HTTP/1.1 400 \r\nContent-Length: 0\r\nConnection: close\r\n\
                X-Content-Type-Options: nosniff\r\nC: d\r\n\r\n";
    assert_eq!(String::from_utf8(answer).unwrap(), text);
}

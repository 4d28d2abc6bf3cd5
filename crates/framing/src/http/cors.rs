//! CORS: what a browser must read in an answer before it shows it to a page of another origin.
//!
//! Who is allowed is decided elsewhere. A page that is not allowed gets the answer without these
//! headers, and its browser keeps it away from the page.

use super::{Head, is_token};

/// Bytes of `Access-Control-Request-Headers` that are answered.
const MAX_REQUESTED: usize = 1024;

/// Headers of an answer; `allowed` is the request's Origin if it may read it.
///
/// `Vary` is always there, so that no cache hands one page's answer to another. An Origin that is
/// none is answered like one that is not allowed.
#[must_use]
pub fn simple(allowed: Option<&str>) -> Vec<(&'static str, &str)> {
    let mut headers = vec![("Vary", "Origin")];
    if let Some(origin) = allowed.filter(|origin| is_origin(origin)) {
        headers.push(("Access-Control-Allow-Origin", origin));
        headers.push(("Access-Control-Allow-Credentials", "true"));
    }
    headers
}

/// Headers of the answer to a preflight; `requested` is its `Access-Control-Request-Headers`,
/// which are all allowed if they can be header names at all.
#[must_use]
pub fn preflight<'a>(allowed: Option<&'a str>, requested: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let mut headers = simple(allowed);
    if headers.len() > 1 {
        headers.push(("Access-Control-Allow-Methods", "GET, POST, OPTIONS"));
        if let Some(requested) = requested.filter(|requested| are_names(requested)) {
            headers.push(("Access-Control-Allow-Headers", requested));
        }
        headers.push(("Access-Control-Max-Age", "300"));
    }
    headers
}

/// Whether a request only asks what another one may do.
#[must_use]
pub fn is_preflight(head: &Head<'_>) -> bool {
    let has = |name| head.header(name).is_some();
    head.method == "OPTIONS" && has("origin") && has("access-control-request-method")
}

/// Whether `text` is an origin as browsers write it: `null`, or scheme, host and perhaps port.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(&byte);
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let Some((scheme, host)) = text.split_once("://") else { return text == "null" };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme)
        && host.bytes().all(is_host)
        // Pages from the disk of a mobile application are of this origin.
        && (!host.is_empty() || scheme == "file")
}

/// Whether `list` is nothing but header names.
fn are_names(list: &str) -> bool {
    list.len() <= MAX_REQUESTED && list.split(',').all(|name| is_token(name.trim_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn an_allowed_page_may_read_the_answer() {
        let origin = "https://example.com:8443";
        let expected =
            [("Vary", "Origin"), ("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")];
        assert_eq!(simple(Some(origin)), expected);
        assert_eq!(simple(None), expected[..1]);
    }

    #[test]
    fn a_preflight_is_told_what_is_allowed() {
        let expected = [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", "null"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
            ("Access-Control-Allow-Headers", "content-type, x-a"),
            ("Access-Control-Max-Age", "300"),
        ];
        assert_eq!(preflight(Some("null"), Some("content-type, x-a")), expected);
        assert_eq!(preflight(None, Some("content-type")), expected[..1]);
        for requested in
            [None, Some(""), Some("a,,b"), Some("a b"), Some("a:"), Some("a,\tb"), Some("*\r\nA: b"), Some("\u{e4}")]
        {
            assert_eq!(preflight(Some("null"), requested).len(), 5, "{requested:?}");
        }
        let longest = "a".repeat(1024);
        assert_eq!(preflight(Some("null"), Some(&longest)).len(), 6);
        assert_eq!(preflight(Some("null"), Some(&(longest + "a"))).len(), 5);
    }

    #[test]
    fn only_an_origin_is_sent_back() {
        for origin in [
            "null",
            "http://a",
            "https://a.b-c.example:8443",
            "http://[::1]:80",
            "capacitor://localhost",
            "chrome-extension://abcdef",
            "file://",
        ] {
            assert_eq!(simple(Some(origin)).len(), 3, "{origin}");
        }
        for origin in [
            "",
            "*",
            "NULL",
            "a",
            "http://",
            "://a",
            "1a://a",
            "http://a/",
            "http://a b",
            "http://a,http://b",
            "http://u@a",
            "http://a\r\nB: c",
            "http://a;b",
            "http://*",
            "http://\u{e4}",
            "http://<a>",
        ] {
            assert_eq!(simple(Some(origin)), [("Vary", "Origin")], "{origin:?}");
        }
    }

    #[test]
    fn a_preflight_is_known_by_its_headers() {
        let is = |text: &str| is_preflight(&parse(text.as_bytes(), 1024).unwrap().unwrap());
        let asks = "Host: a\r\nOrigin: http://b\r\nAccess-Control-Request-Method: POST\r\n\r\n";
        assert!(is(&format!("OPTIONS / HTTP/1.1\r\n{asks}")));
        assert!(!is(&format!("POST / HTTP/1.1\r\n{asks}")));
        assert!(!is("OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n"));
        assert!(!is("OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: POST\r\n\r\n"));
    }
}

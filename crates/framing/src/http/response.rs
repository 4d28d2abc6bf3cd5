//! Answers: whole ones, after which the connection goes on or ends, and heads of streams.

use super::is_token;

/// What goes out before a body that its client holds back, see
/// [`Head::expects_continue`](super::Head::expects_continue).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Headers that say where an answer ends. They are written here and nowhere else.
const FRAMING: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// An answer in the making. It ends the connection unless [`keep_alive`](Self::keep_alive) is said.
///
/// A header, reason or content type with a line break or another control character in it is left
/// out. Why: it would let whoever chose the value write headers of his own. An empty content type
/// is left out as well.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    status: u16,
    reason: &'a str,
    content_type: &'a str,
    connection: &'static str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Response<'a> {
    /// An answer with a status code and its reason phrase.
    #[must_use]
    pub const fn new(status: u16, reason: &'a str) -> Self {
        Self { status, reason, content_type: "", connection: "close", headers: Vec::new() }
    }

    /// Says what the body is.
    #[must_use]
    pub const fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = content_type;
        self
    }

    /// Adds headers; those about connection and length are left out, because they are decided here.
    #[must_use]
    pub fn headers(mut self, headers: &[(&'a str, &'a str)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }

    /// Tells the client that it may send another request, if `keeps` is
    /// [`Head::keeps_alive`](super::Head::keeps_alive) and the request was read to its end.
    #[must_use]
    pub const fn keep_alive(mut self, keeps: bool) -> Self {
        self.connection = if keeps { "keep-alive" } else { "close" };
        self
    }

    /// The whole answer.
    #[must_use]
    pub fn body(&self, body: &[u8]) -> Vec<u8> {
        let mut out = self.head(body.len());
        if !self.is_bodiless() {
            out.extend_from_slice(body);
        }
        out
    }

    /// The head of an answer with a body of `length` bytes: all there is for HEAD, and for others
    /// what goes out before bytes that are kept elsewhere.
    #[must_use]
    pub fn head(&self, length: usize) -> Vec<u8> {
        if self.is_bodiless() { self.write(None) } else { self.write(Some(length)) }
    }

    /// Whether the status forbids a body; a length would announce one (RFC 9110, 8.6).
    const fn is_bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Writes status line, headers and the blank line.
    fn write(&self, length: Option<usize>) -> Vec<u8> {
        let reason = if is_value(self.reason) { self.reason } else { "" };
        let mut head = format!("HTTP/1.1 {:03} {reason}\r\n", self.status);
        if !self.is_bodiless() && !self.content_type.is_empty() {
            push_header(&mut head, "Content-Type", self.content_type);
        }
        if let Some(length) = length {
            push_header(&mut head, "Content-Length", &length.to_string());
        }
        push_header(&mut head, "Connection", self.connection);
        push_header(&mut head, "X-Content-Type-Options", "nosniff");
        for (name, value) in &self.headers {
            if !FRAMING.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                push_header(&mut head, name, value);
            }
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// Builds an answer with a body. It ends the connection, so no client waits for a second one.
/// [`Response`] is for everything longer.
#[must_use]
pub fn response(status: u16, reason: &str, content_type: &str, extra_headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    Response::new(status, reason).content_type(content_type).headers(extra_headers).body(body)
}

/// The head of an answer whose body has no length and ends with the connection.
///
/// Its headers keep everybody in between from holding the stream back: caches, proxies that gather
/// answers before they pass them on, and those that compress.
#[must_use]
pub fn stream_head(content_type: &str, extra_headers: &[(&str, &str)]) -> Vec<u8> {
    let unbuffered = [("Cache-Control", "no-cache, no-store, no-transform"), ("X-Accel-Buffering", "no")];
    Response::new(200, "OK").content_type(content_type).headers(&unbuffered).headers(extra_headers).write(None)
}

/// Appends a header, unless it could be read as more than one.
fn push_header(head: &mut String, name: &str, value: &str) {
    if is_token(name) && is_value(value) {
        for part in [name, ": ", value, "\r\n"] {
            head.push_str(part);
        }
    }
}

/// Whether `text` stays on its line.
fn is_value(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: Vec<u8>) -> String {
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_connection_is_kept_when_it_is_said() {
        let answer = Response::new(200, "OK").content_type("text/plain").keep_alive(true).body(b"hi");
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
                        Connection: keep-alive\r\nX-Content-Type-Options: nosniff\r\n\r\nhi";
        assert_eq!(text(answer), expected);
        let answer = text(Response::new(200, "OK").keep_alive(false).body(b""));
        assert!(answer.contains("\r\nConnection: close\r\n"));
        assert!(answer.contains("\r\nContent-Length: 0\r\n"));
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        for status in [101, 204, 304] {
            let answer = text(Response::new(status, "X").content_type("a/b").keep_alive(true).body(b"body"));
            let expected = "Connection: keep-alive\r\nX-Content-Type-Options: nosniff\r\n\r\n";
            assert_eq!(answer, format!("HTTP/1.1 {status} X\r\n{expected}"));
        }
    }

    #[test]
    fn a_head_alone_has_the_length_of_its_body() {
        let page = Response::new(200, "OK").content_type("text/html").headers(&[("A", "b")]);
        let (head, whole) = (text(page.head(4)), text(page.body(b"page")));
        assert_eq!(head + "page", whole);
    }

    #[test]
    fn a_stream_ends_with_its_connection() {
        let head = text(stream_head("text/event-stream; charset=utf-8", &[("Vary", "Origin")]));
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                        Connection: close\r\nX-Content-Type-Options: nosniff\r\n\
                        Cache-Control: no-cache, no-store, no-transform\r\nX-Accel-Buffering: no\r\n\
                        Vary: Origin\r\n\r\n";
        assert_eq!(head, expected);
    }

    #[test]
    fn nobody_else_says_where_an_answer_ends() {
        let headers = [("content-length", "9"), ("Transfer-Encoding", "chunked"), ("CONNECTION", "keep-alive")];
        assert_eq!(text(response(200, "OK", "", &headers, b"a")), text(response(200, "OK", "", &[], b"a")));
        assert_eq!(stream_head("a/b", &headers), stream_head("a/b", &[]));
    }

    #[test]
    fn no_value_writes_headers_of_its_own() {
        for forged in ["a\r\nSet-Cookie: b=c", "a\nB: c", "a\rB: c", "\0", "a\u{1b}[m", "a\u{7f}", "a\u{85}B: c"] {
            let plain = text(stream_head("", &[]));
            for head in [stream_head(forged, &[]), stream_head("", &[("A", forged)]), stream_head("", &[(forged, "a")])]
            {
                assert_eq!(text(head), plain, "{forged:?}");
            }
            let answer = text(Response::new(200, forged).keep_alive(true).body(b""));
            assert_eq!(answer, text(Response::new(200, "").keep_alive(true).body(b"")), "{forged:?}");
        }
    }
}

//! A whole HTTP answer in one piece, after which the connection is closed.

use super::is_token;

/// Builds an answer with a body. It ends the connection, so no client waits for a second one.
///
/// A header, reason or content type with a line break or another control character in it is left
/// out. Why: it would let whoever chose the value write headers of his own. An empty
/// `content_type` is left out as well.
#[must_use]
pub fn response(status: u16, reason: &str, content_type: &str, extra_headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let reason = if is_value(reason) { reason } else { "" };
    let mut head = format!("HTTP/1.1 {status:03} {reason}\r\n");
    // Why: these have no body by definition, and a length would announce one (RFC 9110, 8.6).
    let bodiless = matches!(status, 100..=199 | 204 | 304);
    if !bodiless {
        if !content_type.is_empty() {
            push_header(&mut head, "Content-Type", content_type);
        }
        push_header(&mut head, "Content-Length", &body.len().to_string());
    }
    push_header(&mut head, "Connection", "close");
    push_header(&mut head, "X-Content-Type-Options", "nosniff");
    for (name, value) in extra_headers {
        push_header(&mut head, name, value);
    }
    head.push_str("\r\n");
    let mut out = head.into_bytes();
    if !bodiless {
        out.extend_from_slice(body);
    }
    out
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

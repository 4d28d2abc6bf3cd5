//! HTTP/1 request heads, read strictly, and the short answers a socket server gives.
//!
//! Only the head is read here: bodies, keep-alive and streaming belong to whoever owns the socket.
//! What two HTTP parsers could read differently is refused and never repaired, because the
//! difference is what request smuggling lives on.

mod head;
mod parse;
mod response;
#[cfg(test)]
mod tests;

pub use head::Head;
pub use parse::{HeadError, MAX_HEADERS, looks_like_http, parse};
pub use response::response;

/// Whether `text` is a token (RFC 9110, 5.6.2): a method, a header name, a subprotocol.
#[must_use]
pub fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

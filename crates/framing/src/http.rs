//! HTTP/1 requests, read strictly, and the answers a socket server gives.
//!
//! What two HTTP parsers could read differently is refused and never repaired, because the
//! difference is what request smuggling lives on. When to read, to keep alive and to give up
//! belongs to whoever owns the socket.

mod body;
pub mod cors;
mod head;
mod parse;
mod response;
#[cfg(test)]
mod tests;

pub use body::{Body, BodyError, BodyKind, largest_body, read_body};
pub use head::Head;
pub use parse::{HeadError, MAX_HEADERS, looks_like_http, parse};
pub use response::{CONTINUE, Response, response, stream_head};

/// Whether `text` is a token (RFC 9110, 5.6.2): a method, a header name, a subprotocol.
#[must_use]
pub fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

//! The head of a request, as slices of the bytes it came in.

use std::borrow::Cow;

use super::{BodyKind, HeadError, parse};

/// A request's first line and headers, checked by [`parse`](super::parse).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// One of the methods that [`looks_like_http`](super::looks_like_http) knows.
    pub method: &'a str,
    /// The target as it was sent, for logs; route by `path`.
    pub target: &'a str,
    /// The target's path, not decoded; of an absolute target what follows the authority.
    pub path: &'a str,
    /// The target's query without its `?`, not decoded; empty when there is none.
    pub query: &'a str,
    /// The minor version: 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub version: u8,
    /// Names as they were sent and trimmed values, in the order of the request.
    pub headers: Vec<(&'a str, &'a str)>,
    /// Bytes of the head with its blank line; the body starts there.
    pub length: usize,
}

impl<'a> Head<'a> {
    /// The value of a header, by its name in any case; the first one if it was sent repeatedly.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// The values of a header that may be sent repeatedly.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    /// The entries of a header that is a list, whether it was sent with commas or repeatedly.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name)
            .flat_map(|value| value.split(','))
            .map(|entry| entry.trim_matches([' ', '\t']))
            .filter(|entry| !entry.is_empty())
    }

    /// The bytes of the body, if the client gave their number.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// Whether the body comes in chunks.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some()
    }

    /// Whether a body follows the head.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.is_chunked() || self.content_length().is_some_and(|length| length > 0)
    }

    /// How the end of the body is found. A request without a length has no body.
    ///
    /// # Errors
    ///
    /// What [`parse`](super::parse) refuses already, for a head that was made otherwise.
    pub fn body(&self) -> Result<BodyKind, HeadError> {
        parse::body_kind(self)
    }

    /// Whether the client may send another request on this connection. Why never with HTTP/1.0:
    /// keeping alive is an agreement there that proxies in between do not understand.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.version == 1 && !self.list("connection").any(|option| option.eq_ignore_ascii_case("close"))
    }

    /// Whether the client waits for [`CONTINUE`](super::CONTINUE) before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        let expects = |value: &str| value.eq_ignore_ascii_case("100-continue");
        self.version == 1 && self.has_body() && self.header("expect").is_some_and(expects)
    }

    /// The first value of a key in the query, percent-decoded, `+` as a space. A key without `=`
    /// has an empty value; a value that does not decode to UTF-8 counts as absent.
    #[must_use]
    pub fn query_value(&self, key: &str) -> Option<Cow<'a, str>> {
        self.query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decode_percent(name, true)? == key { decode_percent(value, true) } else { None }
        })
    }

    /// What stands in the path behind a prefix and a slash, percent-decoded; `None` if it is another path, or nothing that
    /// decodes to UTF-8 is there.
    #[must_use]
    pub fn path_below(&self, prefix: &str) -> Option<Cow<'a, str>> {
        let rest = self.path.strip_prefix(prefix)?.strip_prefix('/')?;
        decode_percent(rest, false).filter(|rest| !rest.is_empty())
    }
}

/// Decodes `%41`, and `+` where it is a space; a `%` without two digits stays as it is, as browsers do it.
fn decode_percent(text: &str, has_spaces: bool) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'+' if has_spaces => b' ',
            b'%' => match decode_digits(after) {
                Some(byte) => {
                    rest = &after[2..];
                    byte
                }
                None => b'%',
            },
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The byte that two hexadecimal digits at the front stand for.
fn decode_digits(digits: &[u8]) -> Option<u8> {
    let [high, low] = *digits.first_chunk()?;
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

//! Bytes become a request head, or are refused as early as they show that they will not.

use memchr::memmem;
use thiserror::Error;

use super::{BodyKind, Head};

/// Headers a request may have.
pub const MAX_HEADERS: usize = 64;

/// The methods that anything is answered to, each with the space that ends it.
const METHODS: [&[u8]; 9] =
    [b"CONNECT ", b"DELETE ", b"GET ", b"HEAD ", b"OPTIONS ", b"PATCH ", b"POST ", b"PUT ", b"TRACE "];

/// Headers that have one value: two would let two readers believe different things.
const SINGLE: [&str; 8] = [
    "authorization",
    "content-length",
    "content-type",
    "host",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
];

/// Why bytes are not the head of a request that this server answers.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// Not HTTP, or HTTP that two readers could read differently.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// No end within the limit.
    #[error("request head is larger than {limit} bytes")]
    TooLarge {
        /// Bytes a head may have.
        limit: usize,
    },
    /// More than [`MAX_HEADERS`] headers.
    #[error("request has more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// A method that nothing is answered to.
    #[error("unknown request method")]
    UnknownMethod,
    /// A version other than 1.0 and 1.1.
    #[error("unknown HTTP version, use HTTP/1.1")]
    UnknownVersion,
}

impl HeadError {
    /// Status code and reason phrase of the answer.
    #[must_use]
    pub const fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed(_) => (400, "Bad Request"),
            Self::TooLarge { .. } | Self::TooManyHeaders => (431, "Request Header Fields Too Large"),
            Self::UnknownMethod => (501, "Not Implemented"),
            Self::UnknownVersion => (505, "HTTP Version Not Supported"),
        }
    }
}

/// Whether a connection's first bytes are an HTTP request: yes when they are a known method and a
/// space, no when they cannot become that, `None` when there are too few.
#[must_use]
pub fn looks_like_http(input: &[u8]) -> Option<bool> {
    if METHODS.iter().any(|method| input.starts_with(method)) {
        return Some(true);
    }
    if METHODS.iter().any(|method| method.starts_with(input)) {
        return None;
    }
    Some(false)
}

/// Reads the head of a request of at most `limit` bytes; `None` asks for more bytes.
///
/// # Errors
///
/// [`HeadError`], as early as the bytes show the fault.
pub fn parse(input: &[u8], limit: usize) -> Result<Option<Head<'_>>, HeadError> {
    match looks_like_http(input) {
        None => return Ok(None),
        Some(true) => {}
        Some(false) if input.first().is_some_and(u8::is_ascii_uppercase) => {
            return Err(HeadError::UnknownMethod);
        }
        Some(false) => return Err(HeadError::Malformed("it does not start with a method")),
    }
    let window = input.get(..limit).unwrap_or(input);
    let Some(end) = memmem::find(window, b"\r\n\r\n") else {
        check_bytes(window)?;
        if input.len() >= limit {
            return Err(HeadError::TooLarge { limit });
        }
        return Ok(None);
    };
    let bytes = &window[..end + 4];
    check_bytes(bytes)?;
    let head = read(bytes)?;
    check_headers(&head)?;
    Ok(Some(head))
}

/// Refuses what no head holds: control bytes, line ends other than CR LF, folded lines.
fn check_bytes(bytes: &[u8]) -> Result<(), HeadError> {
    let mut before = 0;
    for &byte in bytes {
        let fault = match (before, byte) {
            (b'\r', b'\n') => None,
            (b'\r', _) => Some("a CR without LF"),
            (_, b'\n') => Some("a LF without CR"),
            (b'\n', b' ' | b'\t') => Some("a folded header"),
            (_, b'\r' | b'\t') => None,
            (_, byte) if byte.is_ascii_control() => Some("a control byte"),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(HeadError::Malformed(fault));
        }
        before = byte;
    }
    Ok(())
}

/// Takes a whole head apart.
fn read(bytes: &[u8]) -> Result<Head<'_>, HeadError> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut storage);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(HeadError::Malformed("the head ends too early")),
        Err(error) => return Err(translate(error)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(HeadError::Malformed("the request line is incomplete"));
    };
    let mut headers = Vec::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        headers.push((header.name, read_value(header.value)?));
    }
    let mut head = Head { method, target, path: target, query: "", version, headers, length: bytes.len() };
    split_target(&mut head)?;
    Ok(head)
}

/// Says in our words what httparse found.
const fn translate(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::Malformed("a header name is not a token"),
        httparse::Error::HeaderValue => HeadError::Malformed("a header value has bad bytes"),
        httparse::Error::NewLine => HeadError::Malformed("a line does not end in CR LF"),
        httparse::Error::Status | httparse::Error::Token => {
            HeadError::Malformed("the request line is not METHOD TARGET VERSION")
        }
        httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
        httparse::Error::Version => HeadError::UnknownVersion,
    }
}

/// A header's value as trimmed text. Why no control characters: beyond ASCII they are still
/// commands to a terminal that shows a log.
fn read_value(value: &[u8]) -> Result<&str, HeadError> {
    let Ok(value) = simdutf8::basic::from_utf8(value) else {
        return Err(HeadError::Malformed("a header value is not UTF-8"));
    };
    if value.chars().any(|char| char.is_control() && char != '\t') {
        return Err(HeadError::Malformed("a header value has a control character"));
    }
    Ok(value.trim_matches([' ', '\t']))
}

/// Finds path and query in the target.
fn split_target(head: &mut Head<'_>) -> Result<(), HeadError> {
    let target = head.target;
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || target.contains('#') {
        return Err(HeadError::Malformed("the target has a bad character"));
    }
    let local = if target.starts_with('/') || (target == "*" && head.method == "OPTIONS") {
        target
    } else {
        let (authority, local) = split_absolute(target)?;
        // Why: RFC 9112 lets the authority win over Host, but not every reader knows.
        if head.header("host").is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err(HeadError::Malformed("the target and Host differ"));
        }
        local
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    head.path = if path.is_empty() { "/" } else { path };
    head.query = query;
    Ok(())
}

/// Cuts an absolute target into its authority and the rest.
fn split_absolute(target: &str) -> Result<(&str, &str), HeadError> {
    let fault = HeadError::Malformed("the target is neither a path nor an http or ws address");
    let (scheme, rest) = target.split_once("://").ok_or(fault)?;
    let known = ["http", "https", "ws", "wss"];
    if !known.iter().any(|name| scheme.eq_ignore_ascii_case(name)) {
        return Err(fault);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, local) = rest.split_at(end);
    if !is_authority(authority) {
        return Err(fault);
    }
    Ok((authority, local))
}

/// Refuses what smuggling is made of.
fn check_headers(head: &Head<'_>) -> Result<(), HeadError> {
    if SINGLE.iter().any(|name| head.values(name).nth(1).is_some()) {
        return Err(HeadError::Malformed("a header that must be unique is there twice"));
    }
    match head.header("host") {
        None if head.version == 1 => return Err(HeadError::Malformed("Host is missing")),
        Some(host) if !is_authority(host) => {
            return Err(HeadError::Malformed("Host is not a host"));
        }
        _ => {}
    }
    body_kind(head)?;
    Ok(())
}

/// How the end of the body is found, if there is exactly one way to find it.
pub(super) fn body_kind(head: &Head<'_>) -> Result<BodyKind, HeadError> {
    let mut lengths = head.values("content-length");
    let mut encodings = head.values("transfer-encoding");
    match (lengths.next(), encodings.next()) {
        _ if lengths.next().is_some() || encodings.next().is_some() => {
            Err(HeadError::Malformed("a header that must be unique is there twice"))
        }
        (None, None) => Ok(BodyKind::None),
        (Some(_), Some(_)) => Err(HeadError::Malformed("both Content-Length and Transfer-Encoding are there")),
        (Some(length), None) => {
            let length = Some(length).filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
            let length = length.and_then(|length| length.parse().ok());
            let length = length.ok_or(HeadError::Malformed("Content-Length is not a number"))?;
            Ok(if length == 0 { BodyKind::None } else { BodyKind::Length(length) })
        }
        (None, Some(encoding)) if head.version == 1 && encoding.eq_ignore_ascii_case("chunked") => {
            Ok(BodyKind::Chunked)
        }
        (None, Some(_)) => Err(HeadError::Malformed("Transfer-Encoding is not chunked")),
    }
}

/// Whether `text` can be a host with an optional port: no user, path, list or blank in it.
fn is_authority(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

//! The PROXY protocol, versions 1 and 2: the client's address in front of everything else that a
//! load balancer passes on.
//!
//! Whether a header must be there is a fact of the configuration and never guessed, because
//! whoever may choose could claim any address; whose header is believed is
//! [`forwarded::is_trusted`](crate::forwarded::is_trusted). The rules are those of the protocol's
//! specification, sections 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

#[cfg(test)]
mod tests;

/// Bytes of a header of version 1, its line end included.
pub const MAX_TEXT: usize = 107;
/// Bytes of a header of version 2. Addresses take 232 at most; the rest is room for what is not
/// read here, such as a name from the client's certificate.
pub const MAX_BINARY: usize = 4096;

/// The start of version 1.
const TEXT: &[u8] = b"PROXY ";
/// The start of version 2.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 in front of the addresses.
const FIXED: usize = 16;

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes it took; what the client sent starts behind them.
    pub length: usize,
    /// Who the connection is made for. `None` is the proxy itself (as its health checks are), or
    /// somebody without an address: the socket's own address counts.
    ///
    /// An IPv4 address in IPv6 form is given as IPv4, so that a client has one name.
    pub source: Option<SocketAddr>,
}

/// Why bytes are not a PROXY header. The connection must end.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// A header that is not as the protocol wants it.
    #[error("malformed PROXY header: {0}")]
    Malformed(&'static str),
    /// Something else than a header.
    #[error("no PROXY header, it must come first on this port")]
    Missing,
    /// No end within the limit.
    #[error("PROXY header is longer than {limit} bytes")]
    TooLong {
        /// Bytes the header may have.
        limit: usize,
    },
}

/// Whether a connection's first bytes are a PROXY header: yes when the start of either version is
/// there, no when they cannot become one, `None` when there are too few.
///
/// This is for saying that a header is not expected; expecting one only when it comes would
/// believe everybody.
#[must_use]
pub fn starts(input: &[u8]) -> Option<bool> {
    let signatures = [TEXT, BINARY];
    if signatures.iter().any(|signature| input.starts_with(signature)) {
        return Some(true);
    }
    if signatures.iter().any(|signature| signature.starts_with(input)) { None } else { Some(false) }
}

/// Reads the header at the start of a connection; `None` asks for more bytes.
///
/// # Errors
///
/// [`ProxyError`], as early as the bytes show the fault.
pub fn parse(input: &[u8]) -> Result<Option<Header>, ProxyError> {
    match starts(input) {
        None => Ok(None),
        Some(false) => Err(ProxyError::Missing),
        Some(true) if input.starts_with(TEXT) => parse_text(input),
        Some(true) => parse_binary(input),
    }
}

/// Version 1: one line of words.
fn parse_text(input: &[u8]) -> Result<Option<Header>, ProxyError> {
    let window = input.get(..MAX_TEXT).unwrap_or(input);
    let Some(end) = memchr::memchr2(b'\r', b'\n', window) else {
        let is_full = window.len() == MAX_TEXT;
        return if is_full { Err(ProxyError::TooLong { limit: MAX_TEXT }) } else { Ok(None) };
    };
    match &window[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if window.len() == MAX_TEXT => return Err(ProxyError::TooLong { limit: MAX_TEXT }),
        [b'\r'] => return Ok(None),
        _ => return Err(ProxyError::Malformed("its line does not end in CR LF")),
    }
    Ok(Some(Header { length: end + 2, source: read_words(&window[TEXT.len()..end])? }))
}

/// Reads what stands behind `PROXY `.
fn read_words(line: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    // Why before everything: what follows this word has no grammar.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed("it is not text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words[..] else {
        return Err(ProxyError::Malformed("it is not a family, two addresses and two ports with single spaces"));
    };
    let read = match family {
        "TCP4" => |text: &str| text.parse::<Ipv4Addr>().map(IpAddr::V4),
        "TCP6" => |text: &str| text.parse::<Ipv6Addr>().map(IpAddr::V6),
        _ => return Err(ProxyError::Malformed("its family is not TCP4, TCP6 or UNKNOWN")),
    };
    let (Ok(source), Ok(_)) = (read(source), read(destination)) else {
        return Err(ProxyError::Malformed("an address is not of its family"));
    };
    let (Some(port), Some(_)) = (read_port(source_port), read_port(destination_port)) else {
        return Err(ProxyError::Malformed("a port is not a number up to 65535 without leading zeros"));
    };
    Ok(Some(SocketAddr::new(source.to_canonical(), port)))
}

/// A port in the only way to write it.
fn read_port(text: &str) -> Option<u16> {
    let has_zero = text.len() > 1 && text.starts_with('0');
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && !has_zero { text.parse().ok() } else { None }
}

/// What the first 16 bytes of version 2 say is in the rest.
enum Block {
    Inet,
    Inet6,
    /// Nothing that can be an address here.
    Other,
    Unix,
}

impl Block {
    /// Bytes that its addresses need.
    const fn length(&self) -> usize {
        match self {
            Self::Inet => 12,
            Self::Inet6 => 36,
            Self::Other => 0,
            Self::Unix => 216,
        }
    }
}

/// Version 2: fixed fields, addresses, and a rest that is skipped.
fn parse_binary(input: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some(&command) = input.get(BINARY.len()) else { return Ok(None) };
    if command >> 4 != 2 {
        return Err(ProxyError::Malformed("its version is not 2"));
    }
    if command & 0x0F > 1 {
        return Err(ProxyError::Malformed("its command is neither LOCAL nor PROXY"));
    }
    let Some(&family) = input.get(BINARY.len() + 1) else { return Ok(None) };
    // Why not for LOCAL: its family is to be ignored, whatever it is.
    let block = if command & 0x0F == 0 { Block::Other } else { read_family(family)? };
    let Some([high, low]) = input.get(BINARY.len() + 2..FIXED) else { return Ok(None) };
    let rest = usize::from(u16::from_be_bytes([*high, *low]));
    if rest < block.length() {
        return Err(ProxyError::Malformed("it is too short for the addresses of its family"));
    }
    let length = FIXED + rest;
    if length > MAX_BINARY {
        return Err(ProxyError::TooLong { limit: MAX_BINARY });
    }
    Ok(input.get(FIXED..length).map(|rest| Header { length, source: read_source(&block, rest) }))
}

/// Reads the byte of family and transport.
fn read_family(byte: u8) -> Result<Block, ProxyError> {
    match (byte >> 4, byte & 0x0F) {
        (4.., _) => Err(ProxyError::Malformed("its address family is unknown")),
        (_, 3..) => Err(ProxyError::Malformed("its transport is unknown")),
        // Addresses of an unknown transport are to be ignored.
        (0, _) | (_, 0) => Ok(Block::Other),
        (1, _) => Ok(Block::Inet),
        (2, _) => Ok(Block::Inet6),
        (3, _) => Ok(Block::Unix),
    }
}

/// The source among the addresses: source, destination, and then the ports of both.
fn read_source(block: &Block, rest: &[u8]) -> Option<SocketAddr> {
    let (address, port): (IpAddr, &[u8]) = match block {
        Block::Inet => ((*rest.first_chunk::<4>()?).into(), rest.get(8..)?),
        Block::Inet6 => ((*rest.first_chunk::<16>()?).into(), rest.get(32..)?),
        Block::Other | Block::Unix => return None,
    };
    let port = u16::from_be_bytes(*port.first_chunk()?);
    Some(SocketAddr::new(address.to_canonical(), port))
}

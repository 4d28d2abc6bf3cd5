//! The HTTP request that asks for a WebSocket, checked, and its answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::http::{self, Head, is_token};
use crate::websocket::deflate::Agreed;

/// Appended to the client's key before it is hashed (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version of the protocol that was ever finished.
const VERSION: &str = "13";

/// A request that may be answered with [`response`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// The client's key: 16 bytes in base64.
    pub key: &'a str,
    /// The subprotocols the client offers, the one it likes best first.
    pub protocols: Vec<&'a str>,
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A WebSocket is opened by a request without a body.
    #[error("a websocket handshake has no body: send neither Content-Length nor Transfer-Encoding")]
    Body,
    /// The `Connection` header does not name `upgrade`.
    #[error("header \"Connection: Upgrade\" is missing: a proxy in front must pass it on")]
    Connection,
    /// A list of extensions that does not follow its grammar.
    #[error("header Sec-WebSocket-Extensions must be a list like \"name; parameter=value\", separated by commas")]
    Extensions,
    /// The key is absent or not 16 bytes in base64.
    #[error("header Sec-WebSocket-Key must be 16 bytes in base64 (24 characters)")]
    Key,
    /// A WebSocket is opened by GET.
    #[error("a websocket handshake must be a GET request")]
    Method,
    /// A plain HTTP request; not a fault.
    #[error("not a websocket handshake: header \"Upgrade: websocket\" is missing")]
    NotAnUpgrade,
    /// HTTP/1.0 knows no upgrade.
    #[error("a websocket handshake needs HTTP/1.1: a proxy in front must speak it to this server")]
    OldHttp,
    /// A subprotocol that is no token.
    #[error("header Sec-WebSocket-Protocol must be a list of tokens, separated by commas")]
    Protocols,
    /// The rest of a handshake without its `Upgrade` header, as left by a proxy.
    #[error("header \"Upgrade: websocket\" is missing: a proxy in front must pass it on")]
    UpgradeLost,
    /// Another version of the protocol than 13.
    #[error("header Sec-WebSocket-Version must be 13")]
    Version,
}

impl HandshakeError {
    /// Status code and reason phrase of the answer.
    #[must_use]
    pub const fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Method => (405, "Method Not Allowed"),
            Self::NotAnUpgrade | Self::Version => (426, "Upgrade Required"),
            Self::Body
            | Self::Connection
            | Self::Extensions
            | Self::Key
            | Self::OldHttp
            | Self::Protocols
            | Self::UpgradeLost => (400, "Bad Request"),
        }
    }

    /// The headers that belong to that status.
    #[must_use]
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET")],
            Self::NotAnUpgrade | Self::Version => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)],
            _ => &[],
        }
    }

    /// The whole answer, with this error's text as its body.
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        let (status, reason) = self.status();
        let body = format!("{self}\n");
        let text = "text/plain; charset=utf-8";
        http::response(status, reason, text, self.headers(), body.as_bytes())
    }
}

/// Whether the request means to open a WebSocket, rightly or not.
///
/// Why the key counts too: a proxy that is not set up for WebSockets drops `Upgrade` and
/// `Connection` but not the key, and whoever runs it wants to read that and not a 404.
#[must_use]
pub fn is_upgrade(head: &Head<'_>) -> bool {
    has_token(head, "upgrade", "websocket") || head.header("sec-websocket-key").is_some()
}

/// Checks that the request is a handshake. Who may open one (origin, token, limits) is not asked
/// here.
///
/// # Errors
///
/// [`HandshakeError::NotAnUpgrade`] when the request never meant to be one, else what was wrong.
pub fn check<'a>(head: &Head<'a>) -> Result<Handshake<'a>, HandshakeError> {
    if !is_upgrade(head) {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if head.method != "GET" {
        return Err(HandshakeError::Method);
    }
    if head.version < 1 {
        return Err(HandshakeError::OldHttp);
    }
    if !has_token(head, "upgrade", "websocket") {
        return Err(HandshakeError::UpgradeLost);
    }
    if !has_token(head, "connection", "upgrade") {
        return Err(HandshakeError::Connection);
    }
    if head.header("sec-websocket-version") != Some(VERSION) {
        return Err(HandshakeError::Version);
    }
    let key = head.header("sec-websocket-key").filter(|key| is_key(key));
    let key = key.ok_or(HandshakeError::Key)?;
    if head.has_body() {
        return Err(HandshakeError::Body);
    }
    let protocols: Vec<_> = head.list("sec-websocket-protocol").collect();
    if !protocols.iter().all(|protocol| is_token(protocol)) {
        return Err(HandshakeError::Protocols);
    }
    Ok(Handshake { key, protocols })
}

/// The value of `Sec-WebSocket-Accept` for a client's key.
#[must_use]
pub fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// The answer that opens the WebSocket. `protocol` is one of those the client offered, `deflate`
/// what [`negotiate`](super::deflate::negotiate) made of its offers.
#[must_use]
pub fn response(key: &str, protocol: Option<&str>, deflate: Option<Agreed>) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        accept(key)
    );
    if let Some(protocol) = protocol.filter(|protocol| is_token(protocol)) {
        out.push_str("Sec-WebSocket-Protocol: ");
        out.push_str(protocol);
        out.push_str("\r\n");
    }
    if let Some(agreed) = deflate {
        out.push_str("Sec-WebSocket-Extensions: ");
        out.push_str(&agreed.answer());
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// Whether a header that is a list holds a token, in any case.
fn has_token(head: &Head<'_>, name: &str, token: &str) -> bool {
    head.list(name).any(|entry| entry.eq_ignore_ascii_case(token))
}

/// Whether a key is 16 bytes in base64.
fn is_key(key: &str) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    /// Checks the request of the client with lines of it replaced.
    fn checked(replace: &[(&str, &str)]) -> Result<(String, Vec<String>), HandshakeError> {
        let headers = [("Sec-WebSocket-Protocol", "chat, superchat")];
        let mut text = String::from_utf8(client::request("a", "/ws", &headers)).unwrap();
        for (from, to) in replace {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let head = http::parse(text.as_bytes(), 8192).unwrap().unwrap();
        let handshake = check(&head)?;
        let protocols = handshake.protocols.iter().map(ToString::to_string);
        Ok((handshake.key.to_owned(), protocols.collect()))
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept(client::KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let answer = String::from_utf8(response(client::KEY, Some("chat"), None)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "));
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.ends_with("\r\nSec-WebSocket-Protocol: chat\r\n\r\n"));
        let answer = String::from_utf8(response(client::KEY, Some("a\r\nb"), None)).unwrap();
        assert!(!answer.contains("Protocol:"));
    }

    #[test]
    fn good_requests_pass() {
        let (key, protocols) = checked(&[]).unwrap();
        assert_eq!(key, client::KEY);
        assert_eq!(protocols, ["chat", "superchat"]);
        let variants = [
            ("Upgrade: websocket", "upgrade: foo, WebSocket"),
            ("Connection: Upgrade", "connection: keep-alive, upgrade"),
            ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: UPGRADE"),
            ("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
            ("GET /ws", "GET ws://a/ws"),
        ];
        for variant in variants {
            assert!(checked(&[variant]).is_ok(), "{variant:?}");
        }
        let (_, protocols) = checked(&[("chat, superchat", ",")]).unwrap();
        assert_eq!(protocols, [""; 0]);
    }

    #[test]
    fn bad_requests_are_refused() {
        use HandshakeError as E;
        let length = "\r\nContent-Length: 1\r\n\r\n";
        let chunked = "\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (from, to, error) in [
            ("GET", "POST", E::Method),
            ("HTTP/1.1", "HTTP/1.0", E::OldHttp),
            ("Upgrade: websocket\r\n", "", E::UpgradeLost),
            ("Upgrade: websocket", "Upgrade: h2c", E::UpgradeLost),
            ("Connection: Upgrade\r\n", "", E::Connection),
            ("Connection: Upgrade", "Connection: close", E::Connection),
            ("Version: 13", "Version: 8", E::Version),
            ("Version: 13", "Version: 13, 8", E::Version),
            ("Sec-WebSocket-Version: 13\r\n", "", E::Version),
            (client::KEY, "", E::Key),
            (client::KEY, "dGhlIHNhbXBsZSBub25jZQ", E::Key),
            (client::KEY, "dGhlIHNhbXBsZSBub25jZSEh", E::Key),
            (client::KEY, "dGhlIHNhbXBsZSBub25jZ!==", E::Key),
            ("\r\n\r\n", length, E::Body),
            ("\r\n\r\n", chunked, E::Body),
            ("superchat", "super chat", E::Protocols),
        ] {
            assert_eq!(checked(&[(from, to)]), Err(error), "{from} to {to}");
            assert!(error.response().starts_with(b"HTTP/1.1 4"));
        }
        let plain = http::parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 8192);
        let plain = plain.unwrap().unwrap();
        assert_eq!(check(&plain), Err(HandshakeError::NotAnUpgrade));
        let answer = String::from_utf8(HandshakeError::Version.response()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    }
}

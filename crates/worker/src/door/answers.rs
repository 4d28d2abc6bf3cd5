//! Short answers in words.

use jackfield_framing::http::{Head, HeadError, Response};
use jackfield_framing::websocket::handshake;

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn text(status: u16, reason: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    Response::new(status, reason).content_type(TEXT).headers(headers).body(body.as_bytes())
}

/// The answer at a path that leads nowhere.
pub(super) fn nothing_here(head: &Head<'_>) -> Vec<u8> {
    let words = if handshake::is_upgrade(head) {
        "There is no WebSocket at this path.\n"
    } else {
        "Nothing is served at this path. This is a Jackfield socket server: see its documentation.\n"
    };
    text(404, "Not Found", &[], words)
}

/// The answer to bytes that are no HTTP request.
pub(crate) fn malformed(error: &HeadError) -> Vec<u8> {
    let (status, reason) = error.status();
    text(status, reason, &[], &format!("{error}\n"))
}

/// The answer to a request that took too long.
pub(crate) fn too_slow() -> Vec<u8> {
    text(408, "Request Timeout", &[], "The request did not arrive in time (http_server.handshake_timeout).\n")
}

/// The answer when the server is full.
pub(crate) fn full() -> Vec<u8> {
    let words = "The server holds as many connections as it may.\n";
    text(503, "Service Unavailable", &[("Retry-After", "5")], words)
}

/// The answer to one address too often.
pub(crate) fn too_many() -> Vec<u8> {
    let words = "This address holds as many connections as one may (client.connections_per_address). \
                 If it is a proxy in front of many clients, name it in client.trusted_proxies.\n";
    text(429, "Too Many Requests", &[("Retry-After", "5")], words)
}

/// The answer to plain HTTP where only TLS is spoken.
pub(crate) fn speaks_tls() -> Vec<u8> {
    text(400, "Bad Request", &[], "This port speaks TLS: use https:// or wss://.\n")
}

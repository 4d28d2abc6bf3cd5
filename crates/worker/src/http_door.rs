//! The HTTP door: from the head of a request to a WebSocket, a page, or a refusal in words.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_framing::http::{self, Head};
use jackfield_framing::websocket::handshake;
use jackfield_session::Endpoint;

/// Largest request head in bytes.
pub(crate) const HEAD_LIMIT: usize = 8 * 1024;

/// What a channel template may be filled from.
#[derive(Debug)]
pub struct Visit<'a> {
    /// The client's address.
    pub remote: SocketAddr,
    /// The connection's id.
    pub client: String,
    /// The query of its request; `None` on plain TCP.
    pub query: Option<&'a Head<'a>>,
}

type NameOf = dyn Fn(&Visit<'_>) -> Result<Arc<str>, String> + Send + Sync;

/// Names the channel of a visit to a raw endpoint, or says what is missing.
#[derive(Clone)]
pub struct Binding(pub Arc<NameOf>);

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Binding")
    }
}

/// A path that is a WebSocket.
#[derive(Clone, Debug)]
pub struct WebSocketRoute {
    /// What is spoken there.
    pub endpoint: Arc<Endpoint>,
    /// Raw endpoints: which channel.
    pub binding: Option<Binding>,
}

/// A path that is a page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Bytes,
}

/// Which web pages may connect.
///
/// Why strict: a browser sends the user's cookies along with a WebSocket of any page, so the page's origin must be known.
#[derive(Clone, Debug, Default)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Requests without an Origin come from no browser and are always let in.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &origin))
    }
}

/// `*` in a pattern stands for any run of characters but `/`; alone it stands for everything.
fn matches(pattern: &str, text: &str) -> bool {
    fn glob(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => {
                let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                (0..=end).any(|at| glob(rest, &text[at..]))
            }
            Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
        }
    }
    pattern == "*" || glob(pattern.as_bytes(), text.as_bytes())
}

/// What is behind each path of the public port.
#[derive(Debug, Default)]
pub struct HttpDoor {
    /// WebSockets by path.
    pub websockets: HashMap<String, WebSocketRoute>,
    /// Pages by path.
    pub pages: HashMap<String, Page>,
    /// Which web pages may connect.
    pub origins: Origins,
}

/// Where a request leads.
#[derive(Debug)]
pub(crate) enum Way {
    /// This answer goes out, then the connection ends.
    Answer(Vec<u8>),
    /// This answer goes out, then the connection speaks a dialect.
    Upgrade(Vec<u8>, Arc<Endpoint>, Option<Arc<str>>),
}

impl HttpDoor {
    /// Decides about a complete request head.
    pub(crate) fn route(&self, head: &Head<'_>, remote: SocketAddr, client: String) -> Way {
        if let Some(route) = self.websockets.get(head.path) {
            return self.upgrade(route, head, &Visit { remote, client, query: Some(head) });
        }
        if handshake::is_upgrade(head) {
            return refuse(404, "Not Found", "There is no WebSocket at this path.\n");
        }
        let Some(page) = self.pages.get(head.path) else {
            return refuse(
                404,
                "Not Found",
                "Nothing is served at this path. This is a Jackfield socket server: see its documentation.\n",
            );
        };
        if head.method != "GET" && head.method != "HEAD" {
            let body = b"Only GET and HEAD are answered here.\n";
            return Way::Answer(http::response(405, "Method Not Allowed", TEXT, &[("Allow", "GET, HEAD")], body));
        }
        let headers = [("Cache-Control", "no-cache"), ("X-Frame-Options", "DENY")];
        let mut answer = http::response(200, "OK", page.content_type, &headers, &page.body);
        if head.method == "HEAD" {
            answer.truncate(answer.len() - page.body.len());
        }
        Way::Answer(answer)
    }

    fn upgrade(&self, route: &WebSocketRoute, head: &Head<'_>, visit: &Visit<'_>) -> Way {
        let shake = match handshake::check(head) {
            Ok(shake) => shake,
            Err(error) => return Way::Answer(error.response()),
        };
        if !self.origins.allow(head.header("origin")) {
            return refuse(
                403,
                "Forbidden",
                "This Origin is not allowed. Add it to client.allowed_origins of the server's configuration.\n",
            );
        }
        let channel = match &route.binding {
            None => None,
            Some(binding) => match binding.0(visit) {
                Ok(channel) => Some(channel),
                Err(what) => return refuse(400, "Bad Request", &format!("{what}\n")),
            },
        };
        let protocol = shake.protocols.iter().find(|name| **name == "centrifuge-json").copied();
        Way::Upgrade(handshake::response(shake.key, protocol), Arc::clone(&route.endpoint), channel)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn refuse(status: u16, reason: &str, text: &str) -> Way {
    Way::Answer(http::response(status, reason, TEXT, &[], text.as_bytes()))
}

/// The answer to bytes that are no HTTP request.
pub(crate) fn malformed(error: &http::HeadError) -> Vec<u8> {
    let (status, reason) = error.status();
    http::response(status, reason, TEXT, &[], format!("{error}\n").as_bytes())
}

/// The answer to a request that took too long.
pub(crate) fn too_slow() -> Vec<u8> {
    http::response(408, "Request Timeout", TEXT, &[], b"The request head did not arrive within 10 seconds.\n")
}

/// The answer when the server is full.
pub(crate) fn full() -> Vec<u8> {
    let headers = [("Retry-After", "5")];
    http::response(503, "Service Unavailable", TEXT, &headers, b"The server holds as many connections as it may.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let allow = |patterns: &[&str], origin: &str| {
            Origins(patterns.iter().map(|p| (*p).to_owned()).collect()).allow(Some(origin))
        };
        assert!(Origins::default().allow(None));
        assert!(!allow(&[], "https://a.example"));
        assert!(allow(&["*"], "https://a.example"));
        assert!(allow(&["https://A.example"], "https://a.example"));
        assert!(!allow(&["https://a.example"], "https://a.example.evil"));
        assert!(allow(&["https://*.example"], "https://a.example"));
        assert!(!allow(&["https://*.example"], "https://evil/.example"));
        assert!(!allow(&["https://*.example"], "https://a.example.com"));
        assert!(allow(&["http://localhost:*"], "http://localhost:8000"));
        assert!(!allow(&["http://localhost:*"], "http://localhost.evil:8000"));
        assert!(!allow(&["https://a.example"], "null"));
    }
}

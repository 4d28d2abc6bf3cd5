//! The HTTP door: from a request to a WebSocket, a stream, a page, or a refusal in words.

mod answers;
mod origins;
mod routes;
mod visit;

pub use origins::Origins;
pub use routes::{Emulation, Page, StreamKind, StreamRoute, WebSocketRoute};
pub use visit::{Binding, Visit};

pub(crate) use answers::{full, malformed, speaks_tls, too_many, too_slow};
pub(crate) use routes::Way;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jackfield_framing::forwarded::{self, ForwardedHeader};
use jackfield_framing::http::{BodyError, Head};
use jackfield_hub::Hub;
use jackfield_model::app::Header;
use jackfield_tls::Handed;

/// Largest request head in bytes.
pub(crate) const HEAD_LIMIT: usize = 8 * 1024;

/// Takes over a connection whose requests are not the data plane's.
#[derive(Clone)]
pub struct HandOver(pub Arc<dyn Fn(Handed) + Send + Sync>);

type Proof = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Answers the question of a certificate authority at `/.well-known/acme-challenge/TOKEN`.
#[derive(Clone)]
pub struct Challenges(pub Arc<Proof>);

impl std::fmt::Debug for HandOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandOver")
    }
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenges")
    }
}

/// What is behind each path of the public port.
#[derive(Debug, Default)]
pub struct HttpDoor {
    /// WebSockets by path.
    pub websockets: HashMap<String, WebSocketRoute>,
    /// Documents: what stands behind this path and a slash is a channel.
    pub documents: Option<(String, WebSocketRoute)>,
    /// SSE and HTTP streams by path.
    pub streams: HashMap<String, StreamRoute>,
    /// Where clients of streams speak.
    pub emulation: Option<Emulation>,
    /// Pages by path.
    pub pages: HashMap<String, Page>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// The header that trusted proxies write the client's address into.
    pub forwarded: Option<ForwardedHeader>,
    /// Whose word about addresses counts.
    pub trusted: Arc<[IpNet]>,
    /// Headers of a client's request that the application is told when it is asked whether the client may come in; none,
    /// no header is kept of any.
    pub told: Arc<[Arc<str>]>,
    /// Who answers certificate authorities.
    pub challenges: Option<Challenges>,
    /// Who answers all other requests; without it they are 404.
    pub hand_over: Option<HandOver>,
}

impl HttpDoor {
    /// The client's address: the socket's, or the one that trusted proxies tell.
    pub(crate) fn client_address(&self, head: &Head<'_>, peer: IpAddr) -> IpAddr {
        match self.forwarded {
            Some(which) => forwarded::client_address(head, peer, which, &self.trusted),
            None => peer,
        }
    }

    /// The headers of a request that the application is to be told.
    pub(crate) fn told(&self, head: &Head<'_>) -> Vec<Header> {
        let found = self.told.iter().filter_map(|name| Some((Arc::clone(name), head.header(name)?.to_owned())));
        found.collect()
    }

    /// How many bytes of body a request may have; `None` where its body is not read here.
    pub(crate) fn body_limit(&self, head: &Head<'_>) -> Option<usize> {
        if head.method != "POST" {
            return None;
        }
        if let Some(emulation) = self.emulation.as_ref().filter(|emulation| emulation.path == head.path) {
            return Some(emulation.body_limit);
        }
        self.streams.get(head.path).map(|route| route.body_limit)
    }

    /// The answer to a body that cannot be read, with what a page needs to be shown it.
    pub(crate) fn bad_body(&self, head: &Head<'_>, error: &BodyError) -> Vec<u8> {
        let (status, reason) = error.status();
        answers::text(status, reason, &self.cors(head), &format!("{error}\n"))
    }

    /// Decides about a complete request.
    pub(crate) fn route(&self, head: &Head<'_>, body: &[u8], visit: &Visit<'_>, hub: &Hub) -> Way {
        if let Some(route) = self.websockets.get(head.path) {
            return self.websocket(route, head, visit);
        }
        if let Some((prefix, route)) = &self.documents
            && let Some(channel) = head.path_below(prefix)
        {
            return self.document(route, head, (&channel, visit));
        }
        if let Some(route) = self.streams.get(head.path) {
            return self.stream(route, head, body, visit);
        }
        if let Some(emulation) = self.emulation.as_ref().filter(|emulation| emulation.path == head.path) {
            return self.uplink(emulation, head, body, hub);
        }
        if let (Some(challenges), Some(token)) =
            (&self.challenges, head.path.strip_prefix("/.well-known/acme-challenge/"))
        {
            return match (challenges.0)(token) {
                Some(answer) => Way::Answer(answers::text(200, "OK", &[], &answer)),
                None => Way::Answer(answers::text(404, "Not Found", &[], "No certificate is being asked for.\n")),
            };
        }
        if let Some(page) = self.pages.get(head.path) {
            return page.answer(head);
        }
        if self.hand_over.is_some() {
            return Way::HandOver;
        }
        Way::Answer(answers::nothing_here(head))
    }
}

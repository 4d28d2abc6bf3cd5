//! What is behind the paths: WebSockets, streams, the uplink of streams, pages.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::centrifugo::emulation;
use jackfield_framing::http::{Head, Response, cors, stream_head};
use jackfield_framing::websocket::deflate::{Window, negotiate};
use jackfield_framing::websocket::handshake;
use jackfield_hub::{Hub, UplinkError};
use jackfield_model::Uuid;
use jackfield_session::{Dialect, Endpoint, Framing, Keepalive};

use super::answers::text;
use super::{Binding, HttpDoor, Visit};

/// Where a request leads.
#[derive(Debug)]
pub(crate) enum Way {
    /// This answer goes out, then the connection ends.
    Answer(Vec<u8>),
    /// This answer goes out, and the connection is kept for the next request.
    AnswerAndStay(Vec<u8>),
    /// Somebody else serves it.
    HandOver,
    /// This answer goes out, then the connection speaks a dialect, beginning with what the request brought.
    Open { answer: Vec<u8>, endpoint: Arc<Endpoint>, channel: Option<Arc<str>>, first: Vec<u8> },
}

/// A path that is a WebSocket: one endpoint for each way of speaking that clients may choose.
#[derive(Clone, Debug)]
pub struct WebSocketRoute {
    endpoints: Vec<Arc<Endpoint>>,
    binding: Option<Binding>,
    compresses: bool,
}

const WINDOWS: [Option<Window>; 3] = [None, Some(Window::Full), Some(Window::Small)];

impl WebSocketRoute {
    /// A path where `endpoint` is spoken; raw endpoints say which channel by `binding`.
    #[must_use]
    pub fn new(endpoint: &Endpoint, binding: Option<Binding>, compresses: bool) -> Self {
        let dialects: &[Dialect] = match endpoint.dialect {
            Dialect::CentrifugoJson => &[Dialect::CentrifugoJson, Dialect::CentrifugoProtobuf],
            _ => &[endpoint.dialect],
        };
        let mut endpoints = Vec::new();
        for &dialect in dialects {
            for keepalive in [endpoint.keepalive, Keepalive::Frames] {
                for window in WINDOWS {
                    let framing = Framing::WebSocket(window);
                    endpoints.push(Arc::new(Endpoint { dialect, framing, keepalive, ..endpoint.clone() }));
                }
            }
        }
        Self { endpoints, binding, compresses }
    }

    fn endpoint(&self, is_protobuf: bool, pings_frames: bool, window: Option<Window>) -> &Arc<Endpoint> {
        let has_both = self.endpoints.len() > 2 * WINDOWS.len();
        let dialect = usize::from(is_protobuf && has_both);
        let window = WINDOWS.iter().position(|one| *one == window).unwrap_or(0);
        &self.endpoints[(dialect * 2 + usize::from(pings_frames)) * WINDOWS.len() + window]
    }
}

/// How a stream is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamKind {
    /// For `EventSource`.
    Sse,
    /// Messages one after the other.
    Stream,
}

/// A path whose answer never ends.
#[derive(Clone, Debug)]
pub struct StreamRoute {
    /// How it is written.
    pub kind: StreamKind,
    /// What is spoken there.
    pub endpoint: Arc<Endpoint>,
    /// The same in Protobuf, where there is one.
    pub protobuf: Option<Arc<Endpoint>>,
    /// Bytes of a request's body.
    pub body_limit: usize,
}

/// The path by which clients of streams speak.
#[derive(Clone, Debug)]
pub struct Emulation {
    /// The path.
    pub path: String,
    /// Bytes of a request's body.
    pub body_limit: usize,
    /// The name of this node.
    pub node: Arc<str>,
}

/// A path that is a page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Bytes,
}

impl Page {
    pub(super) fn answer(&self, head: &Head<'_>) -> Way {
        if !matches!(head.method, "GET" | "HEAD") {
            return not_allowed("GET, HEAD", &[]);
        }
        let answer = Response::new(200, "OK")
            .content_type(self.content_type)
            .headers(&[("Cache-Control", "no-cache"), ("X-Frame-Options", "DENY")]);
        Way::Answer(if head.method == "HEAD" { answer.head(self.body.len()) } else { answer.body(&self.body) })
    }
}

const PROTOBUF: &str = "application/octet-stream";

fn is_protobuf(head: &Head<'_>) -> bool {
    let media_type = head.header("content-type").and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(PROTOBUF))
}

fn not_allowed(methods: &str, cors: &[(&str, &str)]) -> Way {
    let headers = [&[("Allow", methods)][..], cors].concat();
    Way::Answer(text(405, "Method Not Allowed", &headers, &format!("Only {methods} are answered here.\n")))
}

/// What a client wants to say first, in the query of its request.
fn first_words(head: &Head<'_>) -> Vec<u8> {
    head.query_value("cf_connect").map(|value| value.into_owned().into_bytes()).unwrap_or_default()
}

impl HttpDoor {
    /// What a page of another origin needs to read the answer.
    pub(super) fn cors<'h>(&self, head: &Head<'h>) -> Vec<(&'static str, &'h str)> {
        cors::simple(head.header("origin").filter(|origin| self.origins.allow(Some(origin))))
    }

    /// Refuses pages of foreign origins; answers what browsers ask beforehand.
    fn before(&self, head: &Head<'_>) -> Option<Way> {
        let origin = head.header("origin");
        if !self.origins.allow(origin) {
            return Some(Way::Answer(text(403, "Forbidden", &[("Vary", "Origin")], FOREIGN)));
        }
        if head.method == "OPTIONS" {
            let headers = cors::preflight(origin, head.header("access-control-request-headers"));
            let stays = head.keeps_alive() && !head.has_body();
            let answer = Response::new(204, "No Content").headers(&headers).keep_alive(stays).body(b"");
            return Some(if stays { Way::AnswerAndStay(answer) } else { Way::Answer(answer) });
        }
        None
    }

    pub(super) fn websocket(&self, route: &WebSocketRoute, head: &Head<'_>, visit: &Visit<'_>) -> Way {
        let shake = match handshake::check(head) {
            Ok(shake) => shake,
            Err(error) => return Way::Answer(error.response()),
        };
        if !self.origins.allow(head.header("origin")) {
            return Way::Answer(text(403, "Forbidden", &[], FOREIGN));
        }
        let agreed = match negotiate(head) {
            Ok(agreed) => agreed.filter(|_| route.compresses),
            Err(error) => return Way::Answer(error.response()),
        };
        let channel = match route.binding.as_ref().map(|binding| binding.0(visit)).transpose() {
            Ok(channel) => channel,
            Err(what) => return Way::Answer(text(400, "Bad Request", &[], &format!("{what}\n"))),
        };
        let speaks = |name: &str, value: &str| head.query_value(name).is_some_and(|given| given == value);
        let protocol = ["centrifuge-json", "centrifuge-protobuf"];
        let protocol = shake.protocols.iter().find(|name| protocol.contains(name)).copied();
        let is_protobuf = protocol == Some("centrifuge-protobuf")
            || (protocol.is_none() && (speaks("format", "protobuf") || speaks("cf_protocol", "protobuf")));
        let pings_frames = speaks("cf_ws_frame_ping_pong", "true");
        let endpoint = route.endpoint(is_protobuf, pings_frames, agreed.map(|agreed| agreed.window));
        let is_uni = endpoint.dialect == Dialect::CentrifugoUniJson;
        Way::Open {
            answer: handshake::response(shake.key, protocol, agreed),
            endpoint: Arc::clone(endpoint),
            channel,
            first: if is_uni { first_words(head) } else { Vec::new() },
        }
    }

    /// A document: y-websocket has its name in the path, and a token, if any, in the query.
    pub(super) fn document(
        &self,
        route: &WebSocketRoute,
        head: &Head<'_>,
        (channel, visit): (&str, &Visit<'_>),
    ) -> Way {
        let mut way = self.websocket(route, head, visit);
        if let Way::Open { channel: bound, first, .. } = &mut way {
            let token = head.query_value("token").unwrap_or_default();
            *bound = Some(channel.into());
            *first = format!("{{\"token\":{}}}", serde_json::Value::from(&*token)).into_bytes();
        }
        way
    }

    pub(super) fn stream(&self, route: &StreamRoute, head: &Head<'_>, body: &[u8], _visit: &Visit<'_>) -> Way {
        if let Some(way) = self.before(head) {
            return way;
        }
        let cors = self.cors(head);
        let first = match (head.method, route.kind) {
            ("POST", _) if !body.is_empty() => body.to_vec(),
            ("POST", _) | ("GET", StreamKind::Sse) => first_words(head),
            ("GET", StreamKind::Stream) => return not_allowed("POST, OPTIONS", &cors),
            _ => return not_allowed("GET, POST, OPTIONS", &cors),
        };
        let is_uni = route.endpoint.dialect == Dialect::CentrifugoUniJson;
        if first.is_empty() && !is_uni {
            let words = "The request must bring the connect command: in ?cf_connect= or in the body of a POST.\n";
            return Way::Answer(text(400, "Bad Request", &cors, words));
        }
        let is_protobuf = is_protobuf(head);
        let endpoint = route.protobuf.as_ref().filter(|_| is_protobuf).unwrap_or(&route.endpoint);
        let content_type = match route.kind {
            StreamKind::Sse => "text/event-stream; charset=utf-8",
            StreamKind::Stream if endpoint.dialect == Dialect::CentrifugoProtobuf => PROTOBUF,
            StreamKind::Stream => "text/plain; charset=utf-8",
        };
        let mut answer = stream_head(content_type, &cors);
        if route.kind == StreamKind::Sse {
            // Something to read at once, so that proxies pass the head on.
            answer.extend_from_slice(b"\r\n");
        }
        let first = if first.is_empty() { b"{}".to_vec() } else { first };
        Way::Open { answer, endpoint: Arc::clone(endpoint), channel: None, first }
    }

    pub(super) fn uplink(&self, emulation: &Emulation, head: &Head<'_>, body: &[u8], hub: &Hub) -> Way {
        if let Some(way) = self.before(head) {
            return way;
        }
        let cors = self.cors(head);
        if head.method != "POST" {
            return not_allowed("POST, OPTIONS", &cors);
        }
        let answer = |status, reason, words: &str| {
            let stays = head.keeps_alive();
            let answer = Response::new(status, reason)
                .content_type("text/plain; charset=utf-8")
                .headers(&cors)
                .headers(if status == 503 { &[("Retry-After", "1")] } else { &[] })
                .keep_alive(stays)
                .body(words.as_bytes());
            if stays { Way::AnswerAndStay(answer) } else { Way::Answer(answer) }
        };
        let request = if is_protobuf(head) { emulation::protobuf(body) } else { emulation::json(body) };
        let request = match request {
            Ok(request) => request,
            Err(error) => return answer(400, "Bad Request", &format!("{error}\n")),
        };
        let Ok(session) = Uuid::try_parse(&request.session) else {
            return answer(404, "Not Found", "No such session.\n");
        };
        let data = match request.data {
            Cow::Borrowed(data) => Bytes::copy_from_slice(data),
            Cow::Owned(data) => data.into(),
        };
        if request.node != *emulation.node {
            // The balancer knows nothing of sessions: the node that holds it gets it from here. What it does with it, the
            // client hears by its stream.
            return if hub.uplink_to(&request.node, session, data) {
                answer(204, "No Content", "")
            } else {
                answer(404, "Not Found", "No such node.\n")
            };
        }
        match hub.uplink(session, data) {
            Ok(()) => answer(204, "No Content", ""),
            Err(UplinkError::Unknown) => answer(404, "Not Found", "No such session.\n"),
            Err(UplinkError::Busy) => answer(503, "Service Unavailable", "Try again in a moment.\n"),
        }
    }
}

const FOREIGN: &str = "This Origin is not allowed. Add it to client.allowed_origins of the server's configuration.\n";

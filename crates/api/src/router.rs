//! From a request to a command and back: path, key, body, parser, hub.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jackfield_bridge::command::{self, METHODS, NOT_BUILT};
use jackfield_bridge::outcome::Node;
use jackfield_hub::Hub;

use crate::body;
use crate::commands::Commands;
use crate::key;
use crate::metrics::{self, Metrics};
use crate::openapi;
use crate::reply::{ErrorMode, json};

/// Where it is asked whether the server lives.
const HEALTH: &str = "/health";
const READY: &str = "/ready";

/// What may be set.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Whether commands are taken at all.
    pub commands: bool,
    /// The key that callers show; without one nobody is let in.
    pub key: String,
    /// Lets everybody in. For a machine of one's own.
    pub insecure: bool,
    /// Before the name of the method: `/api`.
    pub prefix: String,
    /// How errors of commands are told to who does not say how.
    pub error_mode: ErrorMode,
    /// Whether `/health` and `/ready` are answered.
    pub health: bool,
    /// Whether the node should get clients.
    pub ready: Ready,
    /// What is answered to those who ask for numbers.
    pub metrics: Option<Metrics>,
    /// Which node it is.
    pub node: Node,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            commands: true,
            key: String::new(),
            insecure: false,
            prefix: "/api".to_owned(),
            error_mode: ErrorMode::default(),
            health: true,
            ready: Ready::default(),
            metrics: None,
            node: Node::default(),
        }
    }
}

/// Tells whether the node should get clients now: it should not while it is cut off from the other nodes.
#[derive(Clone)]
pub struct Ready(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl Default for Ready {
    fn default() -> Self {
        Self(Arc::new(|| true))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Ready").field(&(self.0)()).finish()
    }
}

/// Where a request has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// At the port of the application and of operators.
    Internal,
    /// Among clients.
    Public,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place<'a> {
    /// Several commands as a list.
    Batch,
    /// The document that tells all of this to programs.
    Document,
    /// Several commands as lines.
    Lines,
    /// One method.
    One(&'a str),
}

#[derive(Debug)]
struct Api {
    hub: Arc<Hub>,
    options: ApiOptions,
}

/// The routes of the internal port.
pub fn router(hub: Arc<Hub>, mut options: ApiOptions) -> Router {
    // With exactly one slash before and after it, whatever the configuration has.
    options.prefix = match options.prefix.trim_matches('/') {
        "" => "/".to_owned(),
        prefix => format!("/{prefix}/"),
    };
    let api = Arc::new(Api { hub, options });
    // Why a fallback: the prefix is free text, and a route of it could be no route.
    Router::new().fallback(answer).with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    match request.uri().path() {
        HEALTH if api.options.health => {
            not_read(request.method()).unwrap_or_else(|| json(StatusCode::OK, b"{}".to_vec()))
        }
        READY if api.options.health => not_read(request.method()).unwrap_or_else(|| {
            if (api.options.ready.0)() {
                json(StatusCode::OK, b"{}".to_vec())
            } else {
                let text = "this node is cut off from the broker: publications of other nodes do not reach it\n";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
        }),
        path => match api.options.metrics.as_ref().filter(|metrics| metrics.path == path) {
            Some(metrics) => api.metrics(metrics, &request),
            None => api.command(request).await.unwrap_or_else(|refusal| refusal),
        },
    }
}

/// The refusal of a request that wants more than to read.
fn not_read(method: &Method) -> Option<Response> {
    let reads = method == Method::GET || method == Method::HEAD;
    let refused = || (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "this is asked for with GET\n");
    (!reads).then(|| refused().into_response())
}

impl Api {
    /// What was counted: for everyone at the internal port, elsewhere for who has the key.
    fn metrics(&self, metrics: &Metrics, request: &Request) -> Response {
        if let Some(refusal) = not_read(request.method()) {
            return refusal;
        }
        // A request of unknown origin counts as a stranger's.
        let is_internal = request.extensions().get::<Side>() == Some(&Side::Internal);
        if !is_internal && let Some(refusal) = self.stranger(request.headers(), request.uri()) {
            return refusal;
        }
        match metrics.text() {
            Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    /// The refusal of a request without the key.
    fn stranger(&self, headers: &HeaderMap, uri: &Uri) -> Option<Response> {
        if self.options.insecure || key::opens(&self.options.key, headers, uri) {
            return None;
        }
        let remedy = if self.options.key.is_empty() { key::NOT_CONFIGURED } else { key::WRONG };
        Some((StatusCode::UNAUTHORIZED, remedy).into_response())
    }

    /// Either way a response; the error is the one that ends it early.
    async fn command(&self, request: Request) -> Result<Response, Response> {
        let (parts, body) = request.into_parts();
        let place = self.place(parts.uri.path()).ok_or_else(|| self.not_found())?;
        if place != Place::Document && parts.method != Method::POST {
            let reason = "commands are sent with POST\n";
            return Err((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], reason).into_response());
        }
        if let Some(refusal) = self.stranger(&parts.headers, &parts.uri) {
            return Err(refusal);
        }
        let headers = &parts.headers;
        let commands = Commands { hub: &self.hub, node: &self.options.node, error_mode: self.options.error_mode };
        Ok(match place {
            Place::Batch => commands.batch(headers, &body::read(body).await?).await,
            Place::Document => {
                let document = || json(StatusCode::OK, openapi::document(&self.options.prefix));
                not_read(&parts.method).unwrap_or_else(document)
            }
            Place::Lines => commands.lines(&body::read(body).await?).await,
            Place::One(method) => commands.one(method, headers, &body::read(body).await?).await,
        })
    }

    /// What stands at a path below the prefix; the prefix itself is where lines come in.
    fn place<'a>(&self, path: &'a str) -> Option<Place<'a>> {
        if !self.options.commands {
            return None;
        }
        if path == self.options.prefix.trim_end_matches('/') {
            return Some(Place::Lines);
        }
        match path.strip_prefix(self.options.prefix.as_str())? {
            "" => Some(Place::Lines),
            "batch" => Some(Place::Batch),
            "openapi.json" => Some(Place::Document),
            method => {
                let is_known =
                    command::Method::of(method).is_some() || NOT_BUILT.iter().any(|(name, _)| *name == method);
                is_known.then_some(Place::One(method))
            }
        }
    }

    fn not_found(&self) -> Response {
        let mut here = Vec::new();
        if self.options.health {
            here.push(HEALTH.to_owned());
        }
        here.extend(self.options.metrics.as_ref().map(|metrics| metrics.path.clone()));
        if self.options.commands {
            let methods: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
            here.push(format!(
                "{0}METHOD with {1}, batch, and {0}openapi.json",
                self.options.prefix,
                methods.join(", ")
            ));
        }
        let reason = match here.join(" and ") {
            none if none.is_empty() => "nothing is here\n".to_owned(),
            here => format!("nothing is here; there is {here}\n"),
        };
        (StatusCode::NOT_FOUND, reason).into_response()
    }
}

//! From a request to a command and back: path, key, body, parser, hub.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jackfield_bridge::command::{self, METHODS};
use jackfield_bridge::outcome::{outcome_json, response_json};
use jackfield_hub::Hub;
use jackfield_hub::control::ControlError;
use jackfield_model::{ClientError, Millis};
use tokio::time::timeout;
use uuid::Uuid;

use crate::key;
use crate::metrics::{self, Metrics};

/// Where it is asked whether the server lives.
const HEALTH: &str = "/health";
/// Larger requests are refused. A broadcast into many channels is one payload, so this is plenty.
const MAX_BODY_BYTES: usize = 8 << 20;
/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Whether `/health` is answered.
    pub health: bool,
    /// What is answered to those who ask for numbers.
    pub metrics: Option<Metrics>,
    /// Name of this node.
    pub name: String,
    /// What tells this life of the node from any other.
    pub uid: String,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            commands: true,
            key: String::new(),
            insecure: false,
            prefix: "/api".to_owned(),
            health: true,
            metrics: None,
            name: "jackfield".to_owned(),
            uid: Uuid::new_v4().to_string(),
        }
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

#[derive(Debug)]
struct Api {
    hub: Arc<Hub>,
    options: ApiOptions,
    started: Instant,
}

/// The routes of the internal port.
pub fn router(hub: Arc<Hub>, mut options: ApiOptions) -> Router {
    // With exactly one slash before and after it, whatever the configuration has.
    options.prefix = match options.prefix.trim_matches('/') {
        "" => "/".to_owned(),
        prefix => format!("/{prefix}/"),
    };
    let api = Arc::new(Api { hub, options, started: Instant::now() });
    // Why a fallback: the prefix is free text, and a route of it could be no route.
    Router::new().fallback(answer).with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    match request.uri().path() {
        HEALTH if api.options.health => {
            not_read(request.method()).unwrap_or_else(|| json(StatusCode::OK, b"{}".to_vec()))
        }
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
        let method = self.method(parts.uri.path()).ok_or_else(|| self.not_found())?;
        if parts.method != Method::POST {
            let reason = "commands are sent with POST\n";
            return Err((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], reason).into_response());
        }
        if let Some(refusal) = self.stranger(&parts.headers, &parts.uri) {
            return Err(refusal);
        }
        let body = read(body).await?;
        if method == "info" {
            return Ok(json(StatusCode::OK, response_json(Ok(self.info()))));
        }
        let command = command::parse(method, &body)
            .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())?;
        match jackfield_bridge::apply(&self.hub, &command, millis()).await {
            Ok(outcome) => Ok(json(StatusCode::OK, response_json(Ok(outcome_json(&outcome))))),
            Err(ControlError::Refused(error)) => Ok(json(StatusCode::OK, response_json(Err(&error)))),
            Err(ControlError::Busy) => {
                let body = response_json(Err(&ClientError::TOO_MANY_REQUESTS));
                Err(([(RETRY_AFTER, "1")], json(StatusCode::SERVICE_UNAVAILABLE, body)).into_response())
            }
        }
    }

    fn method<'a>(&self, path: &'a str) -> Option<&'a str> {
        if !self.options.commands {
            return None;
        }
        let method = path.strip_prefix(self.options.prefix.as_str())?;
        (method == "info" || METHODS.contains(&method)).then_some(method)
    }

    fn not_found(&self) -> Response {
        let mut here = Vec::new();
        if self.options.health {
            here.push(HEALTH.to_owned());
        }
        here.extend(self.options.metrics.as_ref().map(|metrics| metrics.path.clone()));
        if self.options.commands {
            here.push(format!("{}METHOD with {}, info", self.options.prefix, METHODS.join(", ")));
        }
        let reason = match here.join(" and ") {
            none if none.is_empty() => "nothing is here\n".to_owned(),
            here => format!("nothing is here; there is {here}\n"),
        };
        (StatusCode::NOT_FOUND, reason).into_response()
    }

    /// What this node knows of itself.
    fn info(&self) -> Vec<u8> {
        let node = serde_json::json!({
            "uid": self.options.uid,
            "name": self.options.name,
            "version": env!("CARGO_PKG_VERSION"),
            "num_clients": self.hub.connections(),
            "num_channels": self.hub.channels(),
            "uptime": self.started.elapsed().as_secs(),
        });
        serde_json::json!({ "nodes": [node] }).to_string().into_bytes()
    }
}

async fn read(body: Body) -> Result<axum::body::Bytes, Response> {
    let too_large = || {
        let reason = format!("the body is larger than {MAX_BODY_BYTES} bytes\n");
        (StatusCode::PAYLOAD_TOO_LARGE, reason).into_response()
    };
    // What the head announces need not be waited for.
    if HttpBody::size_hint(&body).lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    match timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large()),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body ended early\n").into_response()),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 seconds\n").into_response()),
    }
}

/// Axum says it only through the source of the error.
fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit exceeded"))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

fn millis() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

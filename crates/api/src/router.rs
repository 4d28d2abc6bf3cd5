//! From a request to a command and back: path, key, body, parser, hub.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jackfield_bridge::command::{self, METHODS};
use jackfield_bridge::outcome::{outcome_json, response_json};
use jackfield_hub::Hub;
use jackfield_hub::control::{self, ControlError};
use jackfield_model::{ClientError, Millis};
use tokio::time::timeout;
use uuid::Uuid;

use crate::key;

/// Larger requests are refused. A broadcast into many channels is one payload, so this is plenty.
const MAX_BODY_BYTES: usize = 8 << 20;
/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What may be set.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// The key that callers show; without one nobody is let in.
    pub key: String,
    /// Lets everybody in. For a machine of one's own.
    pub insecure: bool,
    /// Before the name of the method: `/api`.
    pub prefix: String,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self { key: String::new(), insecure: false, prefix: "/api".to_owned() }
    }
}

#[derive(Debug)]
struct Api {
    hub: Arc<Hub>,
    options: ApiOptions,
    node: Uuid,
    started: Instant,
}

/// The routes of the internal port.
pub fn router(hub: Arc<Hub>, mut options: ApiOptions) -> Router {
    // With exactly one slash before and after it, whatever the configuration has.
    options.prefix = match options.prefix.trim_matches('/') {
        "" => "/".to_owned(),
        prefix => format!("/{prefix}/"),
    };
    let api = Arc::new(Api { hub, options, node: Uuid::new_v4(), started: Instant::now() });
    // Why a fallback: the prefix is free text, and a route of it could be no route.
    Router::new().route("/health", get(async || json(StatusCode::OK, b"{}".to_vec()))).fallback(answer).with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    api.answer(request).await.unwrap_or_else(|refusal| refusal)
}

impl Api {
    /// Either way a response; the error is the one that ends it early.
    async fn answer(&self, request: Request) -> Result<Response, Response> {
        let (parts, body) = request.into_parts();
        let method = self.method(parts.uri.path()).ok_or_else(|| self.not_found())?;
        if parts.method != Method::POST {
            let reason = "commands are sent with POST\n";
            return Err((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], reason).into_response());
        }
        if !self.options.insecure && !key::opens(&self.options.key, &parts) {
            let remedy = if self.options.key.is_empty() { key::NOT_CONFIGURED } else { key::WRONG };
            return Err((StatusCode::UNAUTHORIZED, remedy).into_response());
        }
        let body = read(body).await?;
        if method == "info" {
            return Ok(json(StatusCode::OK, response_json(Ok(self.info()))));
        }
        let command = command::parse(method, &body)
            .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())?;
        match control::apply(&self.hub, &command, millis()) {
            Ok(outcome) => Ok(json(StatusCode::OK, response_json(Ok(outcome_json(&outcome))))),
            Err(ControlError::Refused(error)) => Ok(json(StatusCode::OK, response_json(Err(&error)))),
            Err(ControlError::Busy) => {
                let body = response_json(Err(&ClientError::TOO_MANY_REQUESTS));
                Err(([(RETRY_AFTER, "1")], json(StatusCode::SERVICE_UNAVAILABLE, body)).into_response())
            }
        }
    }

    fn method<'a>(&self, path: &'a str) -> Option<&'a str> {
        let method = path.strip_prefix(self.options.prefix.as_str())?;
        (method == "info" || METHODS.contains(&method)).then_some(method)
    }

    fn not_found(&self) -> Response {
        let (prefix, methods) = (&self.options.prefix, METHODS.join(", "));
        let reason = format!("nothing is here; there are /health and {prefix}METHOD with {methods}, info\n");
        (StatusCode::NOT_FOUND, reason).into_response()
    }

    /// What this node knows of itself. The id is that of this life of the door.
    fn info(&self) -> Vec<u8> {
        let node = serde_json::json!({
            "uid": self.node,
            "name": "jackfield",
            "version": env!("CARGO_PKG_VERSION"),
            "num_clients": self.hub.connections(),
            "num_channels": self.hub.channels(),
            "uptime": self.started.elapsed().as_secs(),
        });
        serde_json::json!({ "nodes": [node] }).to_string().into_bytes()
    }
}

async fn read(body: Body) -> Result<axum::body::Bytes, Response> {
    match timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => {
            let reason = format!("the body is larger than {MAX_BODY_BYTES} bytes\n");
            Err((StatusCode::PAYLOAD_TOO_LARGE, reason).into_response())
        }
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

//! The body of a request: read whole, within bounds of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

/// Larger requests are refused. A broadcast into many channels is one payload, so this is plenty.
const MAX_BODY_BYTES: usize = 8 << 20;
/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes, or the refusal.
pub(crate) async fn read(body: Body) -> Result<Bytes, Response> {
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

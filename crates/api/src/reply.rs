//! What a caller reads: results, and errors in one of two ways.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jackfield_bridge::outcome::{error_json, response_json};
use jackfield_model::ClientError;

/// The header by which one request chooses [`ErrorMode::Transport`].
pub(crate) const ERROR_MODE: &str = "x-centrifugo-error-mode";

/// How errors of commands are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ErrorMode {
    /// With status 200 and `{"error":{"code":N,"message":".."}}`.
    #[default]
    Body,
    /// With a status of their own and `{"code":N,"message":".."}`.
    Transport,
}

impl ErrorMode {
    /// The mode of one request.
    pub(crate) fn of(self, headers: &HeaderMap) -> Self {
        let is_asked_for = headers.get(ERROR_MODE).is_some_and(|mode| mode == "transport");
        if is_asked_for { Self::Transport } else { self }
    }

    /// The response to a command.
    pub(crate) fn response(self, result: Result<Vec<u8>, &ClientError>) -> Response {
        match (self, result) {
            (Self::Transport, Err(error)) => json(status(error.code), error_json(error)),
            (_, result) => json(StatusCode::OK, response_json(result)),
        }
    }
}

/// The status that stands for an error.
pub(crate) fn status(code: u32) -> StatusCode {
    match code {
        102 | 104 => StatusCode::NOT_FOUND,
        103 => StatusCode::FORBIDDEN,
        106..=108 => StatusCode::BAD_REQUEST,
        111 => StatusCode::TOO_MANY_REQUESTS,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        113 => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Bytes that are no JSON are no command, so nobody can tell what they would have been answered with.
pub(crate) fn unreadable(reason: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response()
}

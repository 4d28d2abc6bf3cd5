//! Commands as they come by HTTP: one, several in a batch, or several as lines.

use std::future::Future;
use std::sync::Arc;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jackfield_bridge::command::{self, CommandError};
use jackfield_bridge::outcome::{Node, error_json, outcome_json, response_json};
use jackfield_hub::Hub;
use jackfield_hub::control::{ControlError, Outcome};
use jackfield_model::ClientError;
use jackfield_model::app::Command;

use crate::apply::begin;
use crate::batch::{self, Ask, BatchError};
use crate::reply::{ErrorMode, json, unreadable};

/// The hall that all ways of commands lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commands<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) node: &'a Node,
    pub(crate) error_mode: ErrorMode,
}

/// The JSON of a result.
type Done = Result<Vec<u8>, ClientError>;

impl Commands<'_> {
    /// One command.
    pub(crate) async fn one(self, method: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let mode = self.error_mode.of(headers);
        let command = match command::parse(method, body) {
            Ok(command) => command,
            Err(error @ CommandError::NoJson { .. }) => return unreadable(&error.to_string()),
            Err(error) => return mode.response(Err(&ClientError::from(&error))),
        };
        match begin(self.hub, &command).await {
            Ok(outcome) => mode.response(Ok(outcome_json(&outcome, self.node))),
            Err(ControlError::Refused(error)) => mode.response(Err(&error)),
            Err(ControlError::Busy) => {
                let body = response_json(Err(&ClientError::TOO_MANY_REQUESTS));
                ([(RETRY_AFTER, "1")], json(StatusCode::SERVICE_UNAVAILABLE, body)).into_response()
            }
        }
    }

    /// Several commands; the reply of each is in its place.
    pub(crate) async fn batch(self, headers: &HeaderMap, body: &[u8]) -> Response {
        let batch = match batch::read(body) {
            Ok(batch) => batch,
            Err(BatchError::NoJson(reason)) => return unreadable(&reason),
            Err(BatchError::Wrong(reason)) => {
                let error = ClientError { message: reason.into(), ..ClientError::BAD_REQUEST };
                return self.error_mode.of(headers).response(Err(&error));
            }
        };
        let read = |Ask(ask): &Ask<'_>| match ask {
            Ok((method, payload)) => parse(method, payload.get()),
            Err(error) => Err(error.clone()),
        };
        let results = self.all(batch.commands.iter().map(read), batch.parallel.unwrap_or_default()).await;
        let mut out = b"{\"replies\":[".to_vec();
        for (nth, (Ask(ask), result)) in batch.commands.iter().zip(results).enumerate() {
            out.extend_from_slice(if nth > 0 { b",{\"" } else { b"{\"" });
            let (name, json) = match (ask, result) {
                // What has a result has the name of a method, which needs no escape.
                (Ok((method, _)), Ok(result)) => (method.as_str(), result),
                (Err(error), _) => ("error", error_json(error)),
                (_, Err(error)) => ("error", error_json(&error)),
            };
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(&json);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        json(StatusCode::OK, out)
    }

    /// Several commands as lines; a line for each is the answer.
    pub(crate) async fn lines(self, body: &[u8]) -> Response {
        let lines = match batch::lines(body) {
            Ok(lines) => lines,
            Err(reason) => return unreadable(&reason),
        };
        let commands = lines.iter().map(|line| parse(&line.method, line.params.map_or("{}", |params| params.get())));
        let results = self.all(commands, false).await;
        let mut out = Vec::new();
        for (line, result) in lines.iter().zip(results) {
            let reply = match &result {
                Ok(result) => response_json(Ok(result.clone())),
                Err(error) => response_json(Err(error)),
            };
            match line.id {
                Some(id) => out.extend_from_slice(format!("{{\"id\":{id},").as_bytes()),
                None => out.push(b'{'),
            }
            out.extend_from_slice(&reply[1..]);
            out.push(b'\n');
        }
        json(StatusCode::OK, out)
    }

    /// Applies all in order. The next waits until the one before is done, unless they may be under way together.
    async fn all(self, commands: impl Iterator<Item = Result<Command, ClientError>>, together: bool) -> Vec<Done> {
        let mut results = Vec::new();
        let mut under_way = Vec::new();
        for command in commands {
            let begun = command.map(|command| begin(self.hub, &command));
            if together {
                under_way.push(begun);
            } else {
                results.push(self.done(begun).await);
            }
        }
        for begun in under_way {
            results.push(self.done(begun).await);
        }
        results
    }

    async fn done(self, begun: Result<impl Future<Output = Result<Outcome, ControlError>>, ClientError>) -> Done {
        match begun?.await {
            Ok(outcome) => Ok(outcome_json(&outcome, self.node)),
            Err(ControlError::Refused(error)) => Err(error),
            Err(ControlError::Busy) => Err(ClientError::TOO_MANY_REQUESTS),
        }
    }
}

fn parse(method: &str, payload: &str) -> Result<Command, ClientError> {
    command::parse(method, payload.as_bytes()).map_err(|error| ClientError::from(&error))
}

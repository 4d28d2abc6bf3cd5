//! A command, applied, and waited for: a publication into a durable channel is done when the log has it.

use std::future::Future;

use jackfield_hub::Hub;
use jackfield_hub::control::{self, ControlError, Outcome};
use jackfield_model::app::Command;
use jackfield_model::{ClientError, Millis};
use tokio::sync::oneshot;

/// Does what the application asks, now, for a command without an id.
///
/// # Errors
///
/// As [`control::apply`]; an internal error where the log ended before it answered.
pub fn apply(
    hub: &Hub,
    command: &Command,
    now: Millis,
) -> impl Future<Output = Result<Outcome, ControlError>> + Send + use<> {
    apply_named(hub, ("", command), now)
}

/// Does what the application asks, now; the future is for who wants to know what came of it.
///
/// # Errors
///
/// As [`control::apply`]; an internal error where the log ended before it answered.
pub(crate) fn apply_named(
    hub: &Hub,
    command: (&str, &Command),
    now: Millis,
) -> impl Future<Output = Result<Outcome, ControlError>> + Send + use<> {
    let (done, outcome) = oneshot::channel();
    // Whoever asked may have gone away meanwhile.
    control::apply_named(hub, command, now, Box::new(move |outcome| drop(done.send(outcome))));
    async { outcome.await.unwrap_or(Err(ControlError::Refused(ClientError::INTERNAL))) }
}

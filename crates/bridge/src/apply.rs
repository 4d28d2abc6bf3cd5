//! A command, applied, and waited for: a publication into a durable channel is done when the log has it.

use jackfield_hub::Hub;
use jackfield_hub::control::{self, ControlError, Outcome};
use jackfield_model::app::Command;
use jackfield_model::{ClientError, Millis};
use tokio::sync::oneshot;

/// Does what the application asks.
///
/// # Errors
///
/// As [`control::apply`]; an internal error where the log ended before it answered.
pub async fn apply(hub: &Hub, command: &Command, now: Millis) -> Result<Outcome, ControlError> {
    let (done, outcome) = oneshot::channel();
    // Whoever asked may have gone away meanwhile.
    control::apply(hub, command, now, Box::new(move |outcome| drop(done.send(outcome))));
    outcome.await.unwrap_or(Err(ControlError::Refused(ClientError::INTERNAL)))
}

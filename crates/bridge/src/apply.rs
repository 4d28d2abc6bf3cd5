//! A command, applied, and waited for: a publication into a durable channel is done when the log has it.

use std::future::Future;

use jackfield_hub::Hub;
use jackfield_hub::control::{self, ControlError, Outcome};
use jackfield_model::app::Command;
use jackfield_model::{ClientError, Millis};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

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
    let mut outcome = apply_named(hub, ("", command), now);
    async move { outcome.wait().await }
}

/// Does what the application asks, now; what came of it is for who wants to know.
pub(crate) fn apply_named(hub: &Hub, command: (&str, &Command), now: Millis) -> Awaited {
    let (done, outcome) = oneshot::channel();
    // Whoever asked may have gone away meanwhile.
    control::apply_named(hub, command, now, Box::new(move |outcome| drop(done.send(outcome))));
    Awaited(outcome)
}

/// What will come of a command.
#[derive(Debug)]
pub(crate) struct Awaited(oneshot::Receiver<Result<Outcome, ControlError>>);

impl Awaited {
    /// Waits for it: an internal error where the log ended before it answered.
    pub(crate) async fn wait(&mut self) -> Result<Outcome, ControlError> {
        (&mut self.0).await.unwrap_or_else(|_| unanswered())
    }

    /// What came of it, if that is known already.
    pub(crate) fn at_once(&mut self) -> Option<Result<Outcome, ControlError>> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(unanswered()),
        }
    }
}

fn unanswered() -> Result<Outcome, ControlError> {
    Err(ControlError::Refused(ClientError::INTERNAL))
}

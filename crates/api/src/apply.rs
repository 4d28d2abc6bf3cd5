//! A command on its way through the hub, which may answer at once or when a log has it.

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_bridge::apply;
use jackfield_hub::Hub;
use jackfield_hub::control::{ControlError, Outcome};
use jackfield_model::ClientError;
use jackfield_model::app::Command;
use tokio::time::{Duration, timeout};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Begins a command; commands are applied in the order in which they are begun. The future is for what comes of it.
pub(crate) fn begin(
    hub: &Hub,
    command: &Command,
) -> impl Future<Output = Result<Outcome, ControlError>> + Send + use<> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let outcome = apply(hub, command, u64::try_from(now).unwrap_or(u64::MAX));
    let patience = match command {
        // It tells itself when the time is up; a sweep may come a little later.
        Command::Call(call) => PATIENCE.max(Duration::from_millis(call.timeout) + Duration::from_secs(1)),
        _ => PATIENCE,
    };
    async move {
        timeout(patience, outcome).await.unwrap_or_else(|_| {
            let message = "the command was not done within 10 seconds and may yet be: to try again safely, publish with an \
                           idempotency key";
            Err(ClientError { message: message.into(), ..ClientError::INTERNAL }.into())
        })
    }
}

//! `rpc`: the application answers.

use jackfield_model::ClientError;
use jackfield_model::app::EventKind;
use jackfield_model::client::Rpc;

use super::Outcome;
use crate::calls::PendingKind;
use crate::session::{Session, bad};
use crate::turn::Turn;

/// Methods that the server itself serves, or calls.
const OWN: &str = "jackfield.";

pub(super) fn run(session: &mut Session, id: u32, rpc: &Rpc<'_>, turn: &mut Turn<'_>) -> Outcome {
    let timeout = turn.settings.rpc_call.ok_or(ClientError::NOT_AVAILABLE)?;
    let most = turn.hub.namespaces().max_length;
    if rpc.method.len() > most {
        return Err(bad(&format!("a method's name must have at most {most} bytes")));
    }
    if rpc.method.starts_with(OWN) {
        // The application takes them for the server's own.
        return Err(ClientError::METHOD_NOT_FOUND);
    }
    let mut event = session.event(EventKind::Rpc, rpc.method.clone().into_owned(), rpc.data.to_payload(), turn);
    event.deadline = Some(turn.now.millis + timeout);
    if session.ask(event, id, PendingKind::Rpc, turn) { Ok(None) } else { Err(ClientError::TOO_MANY_REQUESTS) }
}

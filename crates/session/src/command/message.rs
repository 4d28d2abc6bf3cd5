//! `send`: a word to the application. With an id it is acknowledged once the queue has it.

use jackfield_model::app::EventKind;
use jackfield_model::client::Data;
use jackfield_model::{ClientError, Disconnect};

use super::Outcome;
use crate::calls::PendingKind;
use crate::session::Session;
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, id: u32, data: Data<'_>, turn: &mut Turn<'_>) -> Outcome {
    if !turn.settings.tells.message {
        if id == 0 {
            session.close(Disconnect::NOT_AVAILABLE, turn);
            return Ok(None);
        }
        return Err(ClientError::NOT_AVAILABLE);
    }
    let event = session.event(EventKind::Message, "message".to_owned(), data.to_payload(), turn);
    if !session.ask(event, id, PendingKind::Send, turn) {
        if id == 0 {
            session.close(Disconnect::TOO_MANY_REQUESTS, turn);
            return Ok(None);
        }
        return Err(ClientError::TOO_MANY_REQUESTS);
    }
    Ok(None)
}

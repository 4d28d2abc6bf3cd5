//! `presence` and `presence_stats`: who is in a channel, and how many.

use jackfield_hub::namespace::Options;
use jackfield_model::ClientError;
use jackfield_model::app::Command;
use jackfield_model::client::Answer;

use super::{Outcome, entitled, options};
use crate::calls::PendingKind;
use crate::session::Session;
use crate::token::Right;
use crate::turn::Turn;

pub(super) fn members(session: &mut Session, id: u32, name: &str, turn: &mut Turn<'_>) -> Outcome {
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    allowed(session, name, options, turn)?;
    if turn.hub.has_peers() {
        return ask(session, id, Command::Presence(name.into()), turn);
    }
    Ok(Some(Answer::Presence(turn.hub.presence(name)?)))
}

pub(super) fn stats(session: &mut Session, id: u32, name: &str, turn: &mut Turn<'_>) -> Outcome {
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    allowed(session, name, options, turn)?;
    if turn.hub.has_peers() {
        return ask(session, id, Command::PresenceStats(name.into()), turn);
    }
    Ok(Some(Answer::PresenceStats(turn.hub.presence_stats(name)?)))
}

/// Members are on other nodes too, which are asked.
fn ask(session: &mut Session, id: u32, command: Command, turn: &mut Turn<'_>) -> Outcome {
    if session.pending.len() >= turn.settings.calls_in_flight {
        return Err(ClientError::TOO_MANY_REQUESTS);
    }
    let call = session.await_answer(id, PendingKind::Members);
    turn.hub.ask_peers(&command, (turn.address, call), turn.now.millis);
    Ok(None)
}

fn allowed(session: &Session, name: &str, options: &Options, turn: &Turn<'_>) -> Result<(), ClientError> {
    match (options.presence, entitled(session, options.read_presence, Right::Presence, name, turn)) {
        (false, _) => Err(ClientError::NOT_AVAILABLE),
        (true, false) => Err(ClientError::PERMISSION_DENIED),
        (true, true) => Ok(()),
    }
}

//! `presence` and `presence_stats`: who is in a channel, and how many.

use jackfield_hub::namespace::Options;
use jackfield_model::ClientError;
use jackfield_model::client::Answer;

use super::{Outcome, entitled, options};
use crate::session::Session;
use crate::token::Right;
use crate::turn::Turn;

pub(super) fn members(session: &mut Session, name: &str, turn: &mut Turn<'_>) -> Outcome {
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    allowed(session, name, options, turn)?;
    Ok(Some(Answer::Presence(turn.hub.presence(name)?)))
}

pub(super) fn stats(session: &mut Session, name: &str, turn: &mut Turn<'_>) -> Outcome {
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    allowed(session, name, options, turn)?;
    Ok(Some(Answer::PresenceStats(turn.hub.presence_stats(name)?)))
}

fn allowed(session: &Session, name: &str, options: &Options, turn: &Turn<'_>) -> Result<(), ClientError> {
    match (options.presence, entitled(session, options.read_presence, Right::Presence, name, turn)) {
        (false, _) => Err(ClientError::NOT_AVAILABLE),
        (true, false) => Err(ClientError::PERMISSION_DENIED),
        (true, true) => Ok(()),
    }
}

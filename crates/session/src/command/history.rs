//! `history`: what was published before.

use jackfield_model::ClientError;
use jackfield_model::client::{Answer, History};

use super::{Outcome, entitled, options};
use crate::session::Session;
use crate::token::Right;
use crate::turn::Turn;
use crate::waiting::Waiting;

pub(super) fn run(session: &mut Session, id: u32, history: History<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = &*history.channel;
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    if !options.has_history() {
        return Err(ClientError::NOT_AVAILABLE);
    }
    if !entitled(session, options.read_history, Right::History, name, turn) {
        return Err(ClientError::PERMISSION_DENIED);
    }
    read(session, id, history, turn)
}

/// Reads it, when the channel is there.
pub(crate) fn read(session: &mut Session, id: u32, history: History<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = &*history.channel;
    if !turn.hub.is_warm(name) {
        let own = History { channel: name.to_owned().into(), ..history.clone() };
        session.wait_for(name, id, Waiting::History(Box::new(own)), turn);
        return Ok(None);
    }
    let page =
        turn.hub.history(name, history.limit, (history.since, history.from), history.reverse, turn.now.millis)?;
    Ok(Some(Answer::History(page)))
}

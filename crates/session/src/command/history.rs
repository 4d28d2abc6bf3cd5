//! `history`: what was published before.

use jackfield_model::ClientError;
use jackfield_model::client::{Answer, History};

use super::{Outcome, entitled, options};
use crate::session::Session;
use crate::token::Right;
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, history: History<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = &*history.channel;
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    if !options.has_history() {
        return Err(ClientError::NOT_AVAILABLE);
    }
    if !entitled(session, options.read_history, Right::History, name, turn) {
        return Err(ClientError::PERMISSION_DENIED);
    }
    let page =
        turn.hub.history(name, history.limit, (history.since, history.from), history.reverse, turn.now.millis)?;
    Ok(Some(Answer::History(page)))
}

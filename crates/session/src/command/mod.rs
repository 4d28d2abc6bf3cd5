//! The commands of a client, one room each.

pub(crate) mod connect;
mod history;
mod message;
mod presence;
mod publish;
mod refresh;
mod rpc;
mod subscribe;

use jackfield_hub::namespace::{Options, Permission};
use jackfield_model::client::{Answer, Request};
use jackfield_model::{ClientError, channel};

use crate::session::{Session, bad_request, reply};
use crate::turn::Turn;

/// What came of a command: an answer, an error, or nothing yet because the reply comes later or the session ended.
type Outcome = Result<Option<Answer>, ClientError>;

/// Runs one command of a client whose state allows it.
pub(crate) fn run(session: &mut Session, id: u32, request: Request<'_>, turn: &mut Turn<'_>) {
    let outcome = match request {
        Request::Connect(connect) => connect::run(session, id, &connect, turn),
        Request::History(history) => history::run(session, history, turn),
        Request::Ping => Ok(Some(Answer::Ping)),
        // Answered before it comes here.
        Request::Pong => Ok(None),
        Request::Presence(name) => presence::members(session, &name, turn),
        Request::PresenceStats(name) => presence::stats(session, &name, turn),
        Request::Publish(publish) => publish::run(session, id, &publish, turn),
        Request::Refresh(token) => refresh::run(session, &token, turn),
        Request::Rpc(rpc) => rpc::run(session, id, &rpc, turn),
        Request::Send(data) => message::run(session, id, data, turn),
        Request::Subscribe(subscribe) => subscribe::run(session, &subscribe, turn),
        Request::SubRefresh(_) => Err(ClientError::NOT_AVAILABLE),
        Request::Unsubscribe(name) => subscribe::leave(session, &name, turn),
    };
    match outcome {
        Ok(Some(answer)) => reply(turn, id, Ok(answer)),
        Ok(None) => {}
        Err(error) => session.refuse(id, error, turn),
    }
}

/// The options of a channel that a client named; `None` after the session was closed for an empty name.
fn options<'t>(session: &mut Session, name: &str, turn: &mut Turn<'t>) -> Result<Option<&'t Options>, ClientError> {
    if name.is_empty() {
        session.close(bad_request("`channel` must not be empty"), turn);
        return Ok(None);
    }
    let namespaces = turn.hub.namespaces();
    let options = namespaces.of(name).ok_or(ClientError::UNKNOWN_CHANNEL)?;
    if !channel::valid(name, namespaces.max_length) {
        return Err(ClientError::BAD_REQUEST);
    }
    Ok(Some(options))
}

/// Whether this client may do what `permission` is about.
fn may(session: &Session, permission: Permission, channel: &str, turn: &Turn<'_>) -> bool {
    turn.settings.insecure || permission.allows(!session.user().is_empty(), session.is_in(channel))
}

//! The commands of a client, one room each.

mod admission;
mod answer;
pub(crate) mod connect;
pub(crate) mod history;
mod interest;
mod map;
mod message;
mod presence;
pub(crate) mod publish;
mod refresh;
mod rpc;
mod sub_refresh;
pub(crate) mod subscribe;

use jackfield_hub::namespace::{Options, Permission};
use jackfield_model::client::{Answer, Request};
use jackfield_model::{ClientError, channel};

pub(crate) use admission::Refusal;

use crate::extras;
use crate::session::{Session, bad, bad_request, reply};
use crate::token::Right;
use crate::turn::Turn;

/// What came of a command: an answer, an error, or nothing yet because the reply comes later or the session ended.
type Outcome = Result<Option<Answer>, ClientError>;

/// Runs one command of a client whose state allows it.
pub(crate) fn run(session: &mut Session, id: u32, request: Request<'_>, turn: &mut Turn<'_>) {
    let outcome = match request {
        Request::Connect(connect) => connect::run(session, id, &connect, turn),
        Request::History(history) => history::run(session, id, history, turn),
        Request::Ping => Ok(Some(Answer::Ping)),
        // Answered before it comes here.
        Request::Pong => Ok(None),
        Request::Presence(name) => presence::members(session, id, &name, turn),
        Request::PresenceStats(name) => presence::stats(session, id, &name, turn),
        Request::Publish(publish) => publish::run(session, id, &publish, turn),
        Request::Refresh(token) => refresh::run(session, &token, turn),
        Request::Rpc(rpc) if rpc.method == answer::METHOD => answer::run(&rpc, turn),
        Request::Rpc(rpc) if rpc.method == interest::METHOD => interest::run(session, id, &rpc, turn),
        Request::Rpc(rpc) => rpc::run(session, id, &rpc, turn),
        Request::Send(data) => message::run(session, id, data, turn),
        Request::Subscribe(subscribe) => subscribe::run(session, id, &subscribe, turn),
        Request::SubRefresh(refresh) => sub_refresh::run(session, &refresh, turn),
        Request::Unsubscribe(name) => subscribe::leave(session, &name, turn),
    };
    match outcome {
        Ok(Some(answer)) => reply(turn, id, Ok(answer)),
        Ok(None) => {}
        Err(error) => session.refuse(id, error, turn),
    }
}

/// The outcome of a command that was refused; the session ends where that is due.
fn refused(session: &mut Session, refusal: Refusal, turn: &mut Turn<'_>) -> Outcome {
    match refusal {
        Refusal::Error(error) => Err(error),
        Refusal::Close(disconnect) => {
            session.close(disconnect, turn);
            Ok(None)
        }
    }
}

/// The options of a channel that a client named; `None` after the session was closed for an empty name.
fn options<'t>(session: &mut Session, name: &str, turn: &mut Turn<'t>) -> Result<Option<&'t Options>, ClientError> {
    if name.is_empty() {
        session.close(bad_request("`channel` must not be empty"), turn);
        return Ok(None);
    }
    named(name, turn).map(Some)
}

/// The options of a channel with a name that is in order.
fn named<'t>(name: &str, turn: &Turn<'t>) -> Result<&'t Options, ClientError> {
    let namespaces = turn.hub.namespaces();
    let options = namespaces.of(name).ok_or(ClientError::UNKNOWN_CHANNEL)?;
    if !channel::valid(name, namespaces.max_length) {
        let most = namespaces.max_length;
        return Err(bad(&format!("a channel's name must have 1 to {most} bytes and no control characters")));
    }
    let Some(pattern) = &options.pattern else { return Ok(options) };
    let (prefix, boundary) = (namespaces.private_prefix.as_str(), namespaces.boundary.as_str());
    let public = if prefix.is_empty() { name } else { name.strip_prefix(prefix).unwrap_or(name) };
    let rest = match channel::namespace(public, boundary, "") {
        "" => public,
        namespace => &public[namespace.len() + boundary.len()..],
    };
    if pattern.is_match(rest) {
        Ok(options)
    } else {
        Err(bad("the channel's name must fit the channel_regex of its namespace"))
    }
}

/// Whether a channel needs a token, whatever its namespace allows.
fn private(name: &str, turn: &Turn<'_>) -> bool {
    let prefix = &turn.hub.namespaces().private_prefix;
    !prefix.is_empty() && name.starts_with(prefix.as_str())
}

/// Whether this client may do what `permission` is about.
fn may(session: &Session, permission: Permission, channel: &str, turn: &Turn<'_>) -> bool {
    turn.settings.insecure || permission.allows(!session.user().is_empty(), session.is_in(channel))
}

/// Whether the namespace lets this client do something, or its token does.
pub(crate) fn entitled(
    session: &Session,
    permission: Permission,
    right: Right,
    channel: &str,
    turn: &Turn<'_>,
) -> bool {
    may(session, permission, channel, turn) || extras::allows(session.extras.as_deref(), channel, right)
}

//! `subscribe` and `unsubscribe`: into a channel and out of it.

use std::borrow::Cow;
use std::sync::Arc;

use jackfield_model::app::{EventKind, Hello};
use jackfield_model::client::{Answer, Subscribe, Subscribed, Unsubscribed};
use jackfield_model::{ClientError, Grant, Payload};

use super::admission::{self, Admission, Refusal};
use super::{Outcome, map, refused};
use crate::aggregate;
use crate::calls::PendingKind;
use crate::entry::{self, Door};
use crate::session::{Session, bad_request};
use crate::turn::Turn;
use crate::waiting::Waiting;

pub(super) fn run(session: &mut Session, id: u32, subscribe: &Subscribe<'_>, turn: &mut Turn<'_>) -> Outcome {
    match begin(session, id, subscribe, turn) {
        Ok(subscribed) => Ok(subscribed.map(|subscribed| Answer::Subscribe(Box::new(subscribed)))),
        Err(refusal) => refused(session, refusal, turn),
    }
}

fn begin(
    session: &mut Session,
    id: u32,
    subscribe: &Subscribe<'_>,
    turn: &mut Turn<'_>,
) -> Result<Option<Subscribed>, Refusal> {
    let options = admission::sense(session, subscribe, turn)?;
    let subscribe = &*aggregate::read(subscribe, options).map_err(Refusal::Error)?;
    if options.is_map() {
        // Later pages go by the leave that was given to the first.
        if let Some(subscribed) = map::go_on(session, subscribe, options, turn)? {
            return Ok(Some(subscribed));
        }
    } else {
        admission::is_plain(subscribe)?;
    }
    admission::room(session, &subscribe.channel, turn)?;
    match admission::decide(session, subscribe, options, turn)? {
        Admission::Granted(grant, door) => enter(session, id, subscribe, (*grant, door), turn),
        Admission::Ask(timeout) => ask(session, id, subscribe, (timeout, turn)).map(|()| None).map_err(Refusal::Error),
    }
}

/// Lets the client in, or gives it the first page of a map; `None`: when the channel is there.
pub(crate) fn enter(
    session: &mut Session,
    id: u32,
    subscribe: &Subscribe<'_>,
    (grant, door): (Grant, Door),
    turn: &mut Turn<'_>,
) -> Result<Option<Subscribed>, Refusal> {
    let is_map = turn.hub.namespaces().of(&subscribe.channel).is_some_and(|options| options.is_map());
    if is_map {
        return map::first(session, subscribe, (grant, door), turn).map(Some);
    }
    let since = subscribe.recover.then_some(&subscribe.since);
    if !turn.hub.is_warm_at(&subscribe.channel, since) {
        let what = Waiting::Entry(Box::new(subscribe.to_owned()), Box::new(grant), door);
        session.wait_for_position((&subscribe.channel, since), id, what, turn);
        return Ok(None);
    }
    entry::enter(session, subscribe, (&grant, door), turn).map(Some).map_err(Refusal::Error)
}

/// The channel was read: where it does not go as far as the client says, nobody's does.
pub(crate) fn enter_again(
    session: &mut Session,
    id: u32,
    subscribe: &Subscribe<'_>,
    (grant, door): (Grant, Door),
    turn: &mut Turn<'_>,
) -> Result<Option<Subscribed>, Refusal> {
    if !turn.hub.is_warm(&subscribe.channel) {
        return enter(session, id, subscribe, (grant, door), turn);
    }
    entry::enter(session, subscribe, (&grant, door), turn).map(Some).map_err(Refusal::Error)
}

/// The application decides.
fn ask(
    session: &mut Session,
    id: u32,
    subscribe: &Subscribe<'_>,
    (timeout, turn): (u64, &mut Turn<'_>),
) -> Result<(), ClientError> {
    let data = subscribe.data.map_or_else(|| Payload::json("{}"), |data| data.to_payload());
    let mut event = session.event(EventKind::Subscribe, String::new(), data, turn);
    event.channel = Some(Arc::from(&*subscribe.channel));
    event.deadline = Some(turn.now.millis + timeout);
    event.hello = Some(Box::new(Hello { token: subscribe.token.clone().into_owned(), ..Hello::default() }));
    let kind = PendingKind::Subscribe(Some(Box::new(subscribe.to_owned())));
    if session.ask(event, id, kind, turn) { Ok(()) } else { Err(ClientError::TOO_MANY_REQUESTS) }
}

/// Lets the client into a channel that it named when it connected, if the options let it; no application is asked.
pub(super) fn join(
    session: &mut Session,
    subscribe: &Subscribe<'_>,
    turn: &mut Turn<'_>,
) -> Result<Subscribed, Refusal> {
    let options = admission::sense(session, subscribe, turn)?;
    if options.is_map() {
        return Err(ClientError::NOT_AVAILABLE.into());
    }
    admission::room(session, &subscribe.channel, turn)?;
    match admission::decide(session, subscribe, options, turn)? {
        // The client did not send a command for it: it is put there, as the protocol has it.
        Admission::Granted(grant, _) => {
            entry::enter(session, subscribe, (&grant, Door::Server), turn).map_err(Refusal::Error)
        }
        Admission::Ask(_) => Err(ClientError::PERMISSION_DENIED.into()),
    }
}

/// What the application is told; the client hears no code.
const BY_ITSELF: Unsubscribed = Unsubscribed { code: 0, reason: Cow::Borrowed("client unsubscribed") };

pub(super) fn leave(session: &mut Session, name: &str, turn: &mut Turn<'_>) -> Outcome {
    if name.is_empty() {
        session.close(bad_request("`channel` must not be empty"), turn);
        return Ok(None);
    }
    session.stop_entering(name);
    session.leave_channel(name, &BY_ITSELF, turn);
    Ok(Some(Answer::Unsubscribe))
}

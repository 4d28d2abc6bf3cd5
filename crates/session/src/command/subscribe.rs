//! `subscribe` and `unsubscribe`: into a channel and out of it.

use jackfield_hub::Membership;
use jackfield_model::ClientError;
use jackfield_model::client::{Answer, Subscribe, Subscribed};

use super::{Outcome, may, options};
use crate::session::{Session, Subscription, bad_request, reply};
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, id: u32, subscribe: &Subscribe<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = &*subscribe.channel;
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    if subscribe.kind != 0 {
        return Err(ClientError::NOT_AVAILABLE);
    }
    if !matches!(&*subscribe.delta, "" | "fossil") {
        session.close(bad_request("the only delta format is \"fossil\""), turn);
        return Ok(None);
    }
    let prefix = &turn.hub.namespaces().private_prefix;
    if !prefix.is_empty() && name.starts_with(prefix.as_str()) && subscribe.token.is_empty() {
        return Err(ClientError::PERMISSION_DENIED);
    }
    if !subscribe.token.is_empty() {
        return Err(ClientError::NOT_AVAILABLE);
    }
    if !may(session, options.subscribe, name, turn) {
        return Err(ClientError::PERMISSION_DENIED);
    }
    if session.is_in(name) {
        return Err(ClientError::ALREADY_SUBSCRIBED);
    }
    if session.subscriptions.len() >= turn.settings.channel_limit {
        return Err(ClientError::LIMIT_EXCEEDED);
    }
    let member = Membership { worker: turn.address.worker, info: &session.who };
    let joined = turn.hub.subscribe(name, member, turn.now.millis)?;
    let hears = joined.options.join_leave && (joined.options.force_push_join_leave || subscribe.join_leave);
    // The reply stands in the outbox before any push of this channel can: mail is looked at after the frames are read.
    let position = joined.position.clone();
    reply(turn, id, Ok(Answer::Subscribe(Subscribed { position, was_recovering: subscribe.recover, ..Subscribed::default() })));
    turn.shard.join(&joined, turn.address.slot, session.endpoint.encoding(), hears);
    if session.subscriptions.is_empty() {
        // Most clients have one or two channels; a vector's own first step is four.
        session.subscriptions.reserve_exact(1);
    }
    session.subscriptions.push(Subscription { key: joined.key, name: joined.name });
    Ok(None)
}

pub(super) fn leave(session: &mut Session, name: &str, turn: &mut Turn<'_>) -> Outcome {
    if name.is_empty() {
        session.close(bad_request("`channel` must not be empty"), turn);
        return Ok(None);
    }
    if let Some(place) = session.subscriptions.iter().position(|subscription| &*subscription.name == name) {
        let subscription = session.subscriptions.swap_remove(place);
        session.leave(&subscription, turn);
    }
    Ok(Some(Answer::Unsubscribe))
}

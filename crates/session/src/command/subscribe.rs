//! `subscribe` and `unsubscribe`: into a channel and out of it.

use jackfield_hub::{Joined, Membership, Options, Seat, Since};
use jackfield_model::client::{Answer, ERROR_IF_UNRECOVERED, Subscribe, Subscribed};
use jackfield_model::{ClientError, channel};

use super::{Outcome, may};
use crate::session::{Session, Subscription, bad_request};
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, subscribe: &Subscribe<'_>, turn: &mut Turn<'_>) -> Outcome {
    if subscribe.channel.is_empty() {
        session.close(bad_request("`channel` must not be empty"), turn);
        return Ok(None);
    }
    if !is_known_delta(&subscribe.delta) {
        session.close(bad_request("the only delta format is \"fossil\""), turn);
        return Ok(None);
    }
    join(session, subscribe, turn).map(|subscribed| Some(Answer::Subscribe(Box::new(subscribed))))
}

/// Lets a client into a channel, if it may; nothing has changed if it may not.
///
/// The reply that holds the result must be queued in the same turn: then it stands in the outbox before any push of
/// this channel can, because mail is looked at after the frames are read.
pub(super) fn join(
    session: &mut Session,
    subscribe: &Subscribe<'_>,
    turn: &mut Turn<'_>,
) -> Result<Subscribed, ClientError> {
    let options = check(session, subscribe, turn)?;
    let wish = Wish::of(session, subscribe, options, turn);
    let since =
        Since { position: &subscribe.since, or_nothing: subscribe.flag & ERROR_IF_UNRECOVERED != 0, latest: false };
    let (counted, announced) = (options.presence, options.join_leave);
    let member = Membership { worker: turn.address.worker, info: &session.who, counted, announced };
    let joined = turn.hub.subscribe(&subscribe.channel, member, wish.recovers.then_some(since), turn.now.millis)?;
    let hears = options.join_leave && (options.force_push_join_leave || subscribe.join_leave);
    let seat = Seat {
        slot: turn.address.slot,
        encoding: session.endpoint.encoding(),
        hears_members: hears,
        delivery: options.delivery,
        ..Seat::default()
    };
    turn.shard.join(&joined, seat);
    if session.subscriptions.is_empty() {
        // Most clients have one or two channels; a vector's own first step is four.
        session.subscriptions.reserve_exact(1);
    }
    let Joined { key, name, position, recovery, .. } = joined;
    session.subscriptions.push(Subscription { key, name });
    let recovery = recovery.unwrap_or_default();
    Ok(Subscribed {
        position,
        recoverable: wish.recoverable,
        positioned: wish.positioned,
        was_recovering: subscribe.recover,
        recovered: recovery.recovered,
        publications: recovery.publications,
        ..Subscribed::default()
    })
}

/// What a client gets of what it asked about positions.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    recoverable: bool,
    positioned: bool,
    /// It comes back, and may be told what it missed.
    recovers: bool,
}

impl Wish {
    fn of(session: &Session, subscribe: &Subscribe<'_>, options: &Options, turn: &Turn<'_>) -> Self {
        if !options.has_history() {
            return Self::default();
        }
        // It is about to be a subscriber, and recovery tells it no more than `history` would.
        let may_read = turn.settings.insecure || options.read_history.allows(!session.user().is_empty(), true);
        let asks = subscribe.recoverable || subscribe.recover;
        let recoverable = options.force_recovery || (asks && (options.allow_recovery || may_read));
        let positioned = options.force_positioning || (subscribe.positioned && (options.allow_positioning || may_read));
        // Who may recover must know where it is.
        Self { recoverable, positioned: positioned || recoverable, recovers: recoverable && subscribe.recover }
    }
}

/// Whether the client may come in; the options of the channel if so.
fn check<'t>(session: &Session, subscribe: &Subscribe<'_>, turn: &Turn<'t>) -> Result<&'t Options, ClientError> {
    let name = &*subscribe.channel;
    let namespaces = turn.hub.namespaces();
    let options = namespaces.of(name).ok_or(ClientError::UNKNOWN_CHANNEL)?;
    if !channel::valid(name, namespaces.max_length) || !is_known_delta(&subscribe.delta) {
        return Err(ClientError::BAD_REQUEST);
    }
    if subscribe.kind != 0 {
        return Err(ClientError::NOT_AVAILABLE);
    }
    let prefix = &namespaces.private_prefix;
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
    Ok(options)
}

/// Deltas are not built; whoever asks for the format that exists hears whole publications.
fn is_known_delta(delta: &str) -> bool {
    matches!(delta, "" | "fossil")
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

//! `jackfield.interest`: what a subscriber wants to hear from now on, as an `rpc` that never gets to the application.

use std::sync::Arc;

use jackfield_hub::Interest;
use jackfield_model::client::{Answer, Push, Rpc};
use jackfield_model::{Payload, Publication};
use serde::Deserialize;

use super::Outcome;
use crate::session::{Session, bad, reply};
use crate::turn::{Effect, Turn};

/// The method by which subscribers say it.
pub(super) const METHOD: &str = "jackfield.interest";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    channel: String,
    keys: Vec<String>,
}

/// The reply comes first, then the latest values of the keys that are new, where the namespace keeps any.
pub(super) fn run(session: &Session, id: u32, rpc: &Rpc<'_>, turn: &mut Turn<'_>) -> Outcome {
    let Wish { channel, keys } = serde_json::from_slice(rpc.data.bytes)
        .map_err(|error| bad(&format!("an interest is {{\"channel\":\"..\",\"keys\":[\"..\"]}}: {error}")))?;
    let interest = Arc::new(Interest::new(&keys).map_err(|error| bad(&error.to_string()))?);
    let Some(subscription) = session.subscription(&channel) else {
        return Err(bad(&format!("no subscription to {channel:?}; subscribe first")));
    };
    let options = turn.hub.namespaces().of(&channel).map(Arc::clone);
    let Some(by) = options.as_ref().and_then(|options| options.interest.as_ref()) else {
        return Err(bad("the channel's namespace has no interest keys"));
    };
    let slot = turn.address.slot;
    let Some((before, filter)) = turn.shard.turn_to(subscription.key, slot, Arc::clone(&interest)) else {
        return Err(bad("the subscription was made before the namespace had interest keys; subscribe again"));
    };
    reply(turn, id, Ok(Answer::Rpc(Payload::json(format!("{{\"keys\":{}}}", interest.len())))));
    let is_new = |one: &Publication| {
        interest.is_new_beside(&before, by, one) && filter.as_ref().is_none_or(|filter| filter.matches(one.tags()))
    };
    let values = turn.hub.latest(&channel, is_new);
    let pushes = values.into_iter().map(|value| {
        // Without a number: the client counts on from the last one of the stream, whatever it is shown of the past.
        let value = Arc::new(Publication { offset: 0, ..Publication::clone(&value) });
        Effect::Push(Push::Publication(Arc::clone(&subscription.name), value))
    });
    turn.effects.extend(pushes);
    Ok(None)
}

//! `publish`: into a channel, or through it to the application.

use std::sync::Arc;

use jackfield_hub::namespace::{ClientKey, Format, Kind, Options, PublishTo};
use jackfield_hub::{Publishing, Receipt, Ticket};
use jackfield_model::app::{EventKind, PublishAnswer, PublishMore};
use jackfield_model::client::{Answer, Publish};
use jackfield_model::{ClientError, Content, Payload};

use super::{Outcome, entitled, options};
use crate::calls::PendingKind;
use crate::limits::Verdict;
use crate::session::{Session, bad};
use crate::token::Right;
use crate::turn::Turn;

/// Bytes of a key.
const KEY_BYTES: usize = 255;

/// What a client publishes, kept while the application is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    channel: Arc<str>,
    data: Payload,
    key: String,
    removes: bool,
}

pub(super) fn run(session: &mut Session, id: u32, publish: &Publish<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = &*publish.channel;
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    if options.document.is_some() {
        let message = "not available: a document is edited by clients of y-websocket";
        return Err(ClientError { message: message.into(), ..ClientError::NOT_AVAILABLE });
    }
    let key = key(session, publish, options)?;
    let fits = match options.format {
        Format::Any => true,
        Format::Json => publish.data.content == Content::Json,
        Format::Binary => publish.data.content == Content::Binary,
    };
    if !fits && !publish.removed {
        return Err(bad("the channel takes data of another format; publish what publication_data_format says"));
    }
    let permission = match (options.is_map(), publish.removed) {
        (false, _) => options.publish,
        (true, false) => options.map.publish,
        (true, true) => options.map.remove,
    };
    let is_let = match session.publishes_in(name) {
        Some(is_let) => is_let,
        None => options.publish_call.is_some() || entitled(session, permission, Right::Publish, name, turn),
    };
    if !is_let {
        return Err(ClientError::PERMISSION_DENIED);
    }
    if options.publish_rate > 0 {
        let rate = &mut session.extras.get_or_insert_default().rare().publishes.of(&options.name);
        if rate.count(turn.now.tick, options.publish_rate) != Verdict::Admit {
            return Err(ClientError::TOO_MANY_REQUESTS);
        }
    }
    let draft = Draft { channel: name.into(), data: publish.data.to_payload(), key, removes: publish.removed };
    if let Some(timeout) = options.publish_call {
        return ask(session, id, draft, (timeout, turn));
    }
    match options.publish_to {
        PublishTo::Channel => put(session, id, draft, PublishAnswer::default(), turn),
        PublishTo::App => tell(session, id, draft, turn),
    }
}

/// The key that gets the value; empty where there is none.
fn key(session: &Session, publish: &Publish<'_>, options: &Options) -> Result<String, ClientError> {
    if (publish.kind != 0) != options.is_map() || publish.kind > 1 {
        return Err(bad("type must be 1 to publish into a map, and 0 else"));
    }
    if matches!(options.kind, Kind::Clients | Kind::Users) {
        // What stands there the server knows best.
        return Err(ClientError::PERMISSION_DENIED);
    }
    let key = match options.map.client_key {
        ClientKey::Client if options.is_map() => session.id().to_string(),
        ClientKey::User if options.is_map() && session.user().is_empty() => {
            return Err(ClientError::PERMISSION_DENIED);
        }
        ClientKey::User if options.is_map() => session.user().to_owned(),
        _ => publish.key.clone().into_owned(),
    };
    let is_needed = options.is_map() || publish.removed;
    if (is_needed && key.is_empty()) || key.len() > KEY_BYTES || key.chars().any(char::is_control) {
        return Err(bad("key must have 1 to 255 bytes and no control characters"));
    }
    Ok(key)
}

/// The application decides.
fn ask(session: &mut Session, id: u32, draft: Draft, (timeout, turn): (u64, &mut Turn<'_>)) -> Outcome {
    let mut event = session.event(EventKind::Publish, draft.key.clone(), draft.data.clone(), turn);
    event.channel = Some(Arc::clone(&draft.channel));
    event.deadline = Some(turn.now.millis + timeout);
    let kind = PendingKind::PublishCall(Box::new(draft));
    if session.ask(event, id, kind, turn) { Ok(None) } else { Err(ClientError::TOO_MANY_REQUESTS) }
}

/// Tells the application, and nobody else.
fn tell(session: &mut Session, id: u32, draft: Draft, turn: &mut Turn<'_>) -> Outcome {
    if !turn.settings.tells.message {
        return Err(ClientError::NOT_AVAILABLE);
    }
    let mut event = session.event(EventKind::Message, "message".to_owned(), draft.data, turn);
    event.channel = Some(draft.channel);
    if session.ask(event, id, PendingKind::Publish, turn) { Ok(None) } else { Err(ClientError::TOO_MANY_REQUESTS) }
}

/// Publishes, as the application wants it where it was asked.
pub(crate) fn put(session: &mut Session, id: u32, draft: Draft, answer: PublishAnswer, turn: &Turn<'_>) -> Outcome {
    let Draft { channel, data, key, removes } = draft;
    let options = turn.hub.namespaces().of(&channel).ok_or(ClientError::UNKNOWN_CHANNEL)?;
    let mut more = answer.more;
    if !key.is_empty() {
        let more: &mut PublishMore = more.get_or_insert_default();
        // The key is the client's word, and what it may be was checked; the application changes what stands there.
        more.key = key;
    }
    let publishing = Publishing {
        data: answer.data.unwrap_or(data),
        info: Some(session.who_in(&channel)),
        tags: answer.tags,
        skip_history: answer.skip_history,
        is_for_map: options.is_map(),
        removes,
        more,
        ..Publishing::default()
    };
    let is_late = options.durable || turn.hub.is_shared();
    if is_late && session.pending.len() >= turn.settings.calls_in_flight {
        return Err(ClientError::TOO_MANY_REQUESTS);
    }
    // Who publishes waits until the log has it, or the broker.
    let call = session.await_answer(id, PendingKind::Publish);
    let ticket = Some(Ticket::Session(turn.address, call));
    match turn.hub.publish(&channel, publishing, ticket, turn.now.millis) {
        Ok(Receipt::Later) => Ok(None),
        Ok(Receipt::Ready(_)) => {
            session.forget(call);
            Ok(Some(Answer::Publish))
        }
        Err(error) => {
            session.forget(call);
            Err(error.into())
        }
    }
}

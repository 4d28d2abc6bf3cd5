//! `publish`: into a channel, or through it to the application.

use std::sync::Arc;

use jackfield_hub::namespace::PublishTo;
use jackfield_hub::{Publishing, Receipt, Ticket};
use jackfield_model::ClientError;
use jackfield_model::app::EventKind;
use jackfield_model::client::{Answer, Publish};

use super::{Outcome, may, options};
use crate::session::{PendingKind, Session};
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, id: u32, publish: &Publish<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = &*publish.channel;
    let Some(options) = options(session, name, turn)? else { return Ok(None) };
    if publish.kind != 0 {
        return Err(ClientError::NOT_AVAILABLE);
    }
    if !may(session, options.publish, name, turn) {
        return Err(ClientError::PERMISSION_DENIED);
    }
    let data = publish.data.to_payload();
    match options.publish_to {
        PublishTo::Channel => {
            let publishing = Publishing { data, info: Some(Arc::clone(&session.who)), ..Publishing::default() };
            // Who publishes waits until the log has it, where the channel is durable.
            let call = session.await_publication(id);
            let ticket = Some(Ticket::Session(turn.address, call));
            match turn.hub.publish(name, publishing, ticket, turn.now.millis) {
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
        PublishTo::App if !turn.settings.tells.message => Err(ClientError::NOT_AVAILABLE),
        PublishTo::App => {
            let mut event = session.event(EventKind::Message, "message".to_owned(), data, turn);
            event.channel = Some(name.into());
            if session.ask(event, id, PendingKind::Publish, turn) {
                Ok(None)
            } else {
                Err(ClientError::TOO_MANY_REQUESTS)
            }
        }
    }
}

//! `publish`: into a channel, or through it to the application.

use std::sync::Arc;

use jackfield_hub::Publishing;
use jackfield_hub::namespace::PublishTo;
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
            turn.hub.publish(name, publishing, turn.now.millis)?;
            Ok(Some(Answer::Publish))
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

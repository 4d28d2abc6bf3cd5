//! What the application is told of a client's comings and goings, where it wants to hear of them.

use std::sync::Arc;

use jackfield_model::Payload;
use jackfield_model::app::EventKind;

use crate::session::Session;
use crate::turn::{Effect, Turn};

impl Session {
    /// The client is in a channel.
    pub(crate) fn tell_subscribed(&self, channel: &Arc<str>, turn: &mut Turn<'_>) {
        if turn.settings.tells.subscribe && wants(channel, turn) {
            self.tell(EventKind::Subscribe, (Some(channel), Payload::json("{}")), turn);
        }
    }

    /// The client is out of a channel.
    pub(crate) fn tell_unsubscribed(&self, channel: &Arc<str>, (code, reason): (u32, &str), turn: &mut Turn<'_>) {
        if turn.settings.tells.unsubscribe && wants(channel, turn) {
            self.tell(EventKind::Unsubscribe, (Some(channel), why(code, reason)), turn);
        }
    }

    /// The client is in.
    pub(crate) fn tell_connected(&self, data: Payload, turn: &mut Turn<'_>) {
        if turn.settings.tells.connect {
            self.tell(EventKind::Connect, (None, data), turn);
        }
    }

    /// The client is gone.
    pub(crate) fn tell_disconnected(&self, (code, reason): (u32, &str), turn: &mut Turn<'_>) {
        if turn.settings.tells.disconnect {
            self.tell(EventKind::Disconnect, (None, why(code, reason)), turn);
        }
    }

    fn tell(&self, kind: EventKind, (channel, data): (Option<&Arc<str>>, Payload), turn: &mut Turn<'_>) {
        let mut event = self.event(kind, String::new(), data, turn);
        event.channel = channel.cloned();
        turn.effects.push(Effect::Event(Box::new(event), None));
    }
}

/// Whether the namespace of a channel is one that the application hears of.
fn wants(channel: &str, turn: &Turn<'_>) -> bool {
    turn.hub.namespaces().of(channel).is_some_and(|options| options.subscribe_events)
}

fn why(code: u32, reason: &str) -> Payload {
    Payload::json(serde_json::json!({"code": code, "reason": reason}).to_string())
}

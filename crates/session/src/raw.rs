//! Clients that are in without a word. The raw dialect: a frame is a message, and the endpoint says where it goes.

use std::sync::Arc;

use jackfield_dialects::raw::{self, Mode};
use jackfield_hub::namespace::PublishTo;
use jackfield_hub::{Membership, Publishing, Seat};
use jackfield_model::app::EventKind;
use jackfield_model::{Disconnect, Payload};

use crate::calls::PendingKind;
use crate::declared::{Declared, Said};
use crate::endpoint::Feed;
use crate::session::{Session, bad_request};
use crate::subscription::Subscription;
use crate::turn::Turn;

impl Session {
    /// A raw client is in at once: connected as nobody, listening to the channel of its endpoint.
    pub(crate) fn open_raw(&mut self, turn: &mut Turn<'_>) {
        if !turn.hub.arrive(&self.who, turn.address, 0) {
            return self.close(Disconnect::CONNECTION_LIMIT, turn);
        }
        self.begin(turn);
        self.tell_connected(Payload::json("{}"), turn);
        let Some(channel) = self.binding.clone() else { return };
        let options = turn.hub.namespaces().of(&channel);
        let (counted, announced) = options.map_or((false, false), |options| (options.presence, options.join_leave));
        let member = Membership { worker: turn.address.worker, info: &self.who, counted, announced };
        match turn.hub.subscribe(&channel, member, None, turn.now.millis) {
            Ok(joined) => {
                let seat = Seat {
                    slot: turn.address.slot,
                    encoding: self.endpoint.encoding(),
                    delivery: joined.options.delivery,
                    ..Seat::default()
                };
                turn.shard.join(&joined, seat);
                let name = Arc::clone(&joined.name);
                self.keep_subscription(Subscription { key: joined.key, name: joined.name, more: None });
                self.tell_subscribed(&name, turn);
            }
            Err(_) => self.close(bad_request("the channel of this endpoint has no namespace"), turn),
        }
    }

    pub(crate) fn receive_raw(&mut self, frame: &[u8], is_text: bool, mode: Mode, turn: &mut Turn<'_>) {
        self.count(turn);
        let data = match raw::payload(frame, is_text, mode) {
            Ok(data) => data.to_payload(),
            Err(error) => return self.close(bad_request(&error.to_string()), turn),
        };
        let Some(feed) = self.endpoint.feed.clone() else { return };
        self.pass_on(feed, data, turn);
    }

    /// A frame whose fields are declared is the message that they make.
    pub(crate) fn receive_fields(&mut self, frame: &[u8], turn: &mut Turn<'_>) {
        self.count(turn);
        let endpoint = Arc::clone(&self.endpoint);
        let Some((_, Declared { said: Said::Fields(layout), .. })) = &endpoint.declared else { return };
        let Some(feed) = &endpoint.feed else { return };
        match layout.read(frame) {
            // The application hears the name of the message as that of the event, and its fields.
            Ok((event, fields)) if feed.publish_to == PublishTo::App => {
                self.pass_on(Feed { event: event.to_owned(), ..feed.clone() }, Payload::json(fields), turn);
            }
            Ok((event, fields)) => {
                let whole = format!("{{\"event\":{},\"data\":{fields}}}", serde_json::Value::from(event));
                self.pass_on(feed.clone(), Payload::json(whole), turn);
            }
            Err(error) => self.close(bad_request(&error.to_string()), turn),
        }
    }

    fn pass_on(&mut self, feed: Feed, data: Payload, turn: &mut Turn<'_>) {
        match (feed.publish_to, self.binding.clone()) {
            (PublishTo::Channel, Some(channel)) => {
                let publishing = Publishing { data, info: Some(Arc::clone(&self.who)), ..Publishing::default() };
                if turn.hub.publish_and_forget(&channel, publishing, turn.now.millis).is_err() {
                    self.close(Disconnect::TRY_AGAIN_LATER, turn);
                }
            }
            (PublishTo::App | PublishTo::Channel, channel) => {
                if !turn.settings.tells.message {
                    return self.close(Disconnect::NOT_AVAILABLE, turn);
                }
                let mut event = self.event(EventKind::Message, feed.event, data, turn);
                event.channel = channel;
                self.ask(event, 0, PendingKind::Raw, turn);
            }
        }
    }
}

//! Writes replies.

use std::sync::Arc;

use jackfield_model::client::{Answer, Connected, HistoryPage, PresenceStats, Refreshed, Reply, Subscribed};
use jackfield_model::{ClientError, ClientId, ClientInfo};

use super::push::{Only, Patched, Ttl, put_id, put_session, put_ttl};
use crate::protobuf::{Message, Sink, write_prefixed};

/// That a `send` with an id is acknowledged is our own word; the protocol's SDKs skip what they do not know.
const SEND: u32 = 101;

/// Writes a reply behind its length.
pub fn reply(reply: &Reply, out: &mut Vec<u8>) {
    write_prefixed(reply, out);
}

impl Message for Reply {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.id.into());
        match &self.outcome {
            Ok(answer) => put_answer(answer, sink),
            Err(error) => sink.message(2, error),
        }
    }
}

fn put_answer<S: Sink>(answer: &Answer, sink: &mut S) {
    match answer {
        Answer::Connect(connected) => sink.message(5, &**connected),
        Answer::History(page) => sink.message(11, page),
        Answer::Ping => sink.message(12, &Nothing),
        Answer::Presence(infos) => sink.message(9, &Presence(infos)),
        Answer::PresenceStats(stats) => sink.message(10, stats),
        Answer::Publish => sink.message(8, &Nothing),
        Answer::Refresh(refreshed) => sink.message(14, refreshed),
        Answer::Rpc(data) => sink.message(13, &Only(data)),
        Answer::Send => sink.message(SEND, &Nothing),
        Answer::Subscribe(subscribed) => sink.message(6, &**subscribed),
        Answer::SubRefresh(ttl) => sink.message(15, &Ttl(*ttl)),
        Answer::Unsubscribe => sink.message(7, &Nothing),
    }
}

/// A message without fields.
struct Nothing;

impl Message for Nothing {
    fn put<S: Sink>(&self, _: &mut S) {}
}

impl Message for ClientError {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.code.into());
        sink.text(2, &self.message);
        sink.flag(3, self.temporary);
    }
}

impl Message for Connected {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_id(1, self.client, sink);
        sink.text(2, self.version);
        put_ttl((3, 4), self.ttl, sink);
        sink.bytes(5, self.data.as_ref().map_or(&[], |data| &data.bytes));
        for (channel, subscribed) in &self.subs {
            sink.pair(6, channel, subscribed);
        }
        put_session(self, sink);
    }
}

impl Message for Refreshed {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_id(1, self.client, sink);
        sink.text(2, self.version);
        put_ttl((3, 4), self.ttl, sink);
    }
}

impl Message for Subscribed {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_ttl((1, 2), self.ttl, sink);
        sink.flag(3, self.recoverable);
        let (offset, epoch) = self.position.as_ref().map_or((0, ""), |position| (position.offset, &*position.epoch));
        sink.text(6, epoch);
        for (nth, publication) in self.publications.iter().enumerate() {
            let patch = self.patches.get(nth).and_then(Option::as_deref);
            sink.message(7, &Patched(publication, patch.filter(|_| self.delta)));
        }
        sink.flag(8, self.recovered);
        sink.number(9, offset);
        sink.flag(10, self.positioned);
        sink.bytes(11, self.data.as_ref().map_or(&[], |data| &data.bytes));
        sink.flag(12, self.was_recovering);
        sink.flag(13, self.delta);
        sink.number(15, self.kind.into());
        sink.number(16, self.phase.into());
        sink.text(17, &self.cursor);
        for publication in &self.state {
            sink.message(18, &**publication);
        }
    }
}

/// Who is in a channel, by id of connection.
struct Presence<'m>(&'m [Arc<ClientInfo>]);

impl Message for Presence<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        for info in self.0 {
            sink.pair(1, info.client.hyphenated().encode_lower(&mut ClientId::encode_buffer()), &**info);
        }
    }
}

impl Message for PresenceStats {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.num_clients.into());
        sink.number(2, self.num_users.into());
    }
}

impl Message for HistoryPage {
    fn put<S: Sink>(&self, sink: &mut S) {
        for publication in &self.publications {
            sink.message(1, &**publication);
        }
        sink.text(2, &self.position.epoch);
        sink.number(3, self.position.offset);
    }
}

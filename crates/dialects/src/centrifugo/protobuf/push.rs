//! Writes pushes, and the publications and client infos that replies hold as well.

use jackfield_model::client::{Connected, Push};
use jackfield_model::{ClientId, ClientInfo, Disconnect, Payload, Publication};

use crate::protobuf::{Message, Sink, write_prefixed};

/// Writes a push behind its length.
pub fn push(push: &Push, out: &mut Vec<u8>) {
    write_prefixed(&InReply(push), out);
}

/// As [`push`], without the envelope that tells pushes from replies: unidirectional transports have no replies.
pub fn bare_push(push: &Push, out: &mut Vec<u8>) {
    write_prefixed(push, out);
}

/// The envelope.
struct InReply<'m>(&'m Push);

impl Message for InReply<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(4, self.0);
    }
}

impl Message for Push {
    fn put<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Connect(connected) => sink.message(10, &Welcome(connected)),
            Self::Disconnect(disconnect) => sink.message(11, disconnect),
            Self::Join(channel, info) => {
                sink.text(2, channel);
                sink.message(5, &Only(&**info));
            }
            Self::Leave(channel, info) => {
                sink.text(2, channel);
                sink.message(6, &Only(&**info));
            }
            Self::Message(data) => sink.message(8, &Only(data)),
            Self::Publication(channel, publication) => {
                sink.text(2, channel);
                sink.message(4, &**publication);
            }
            // Nobody makes these yet.
            Self::Delta(..) | Self::Refresh(_) | Self::Subscribe(..) | Self::Unsubscribe(..) => {}
        }
    }
}

/// A message whose one field has number 1.
pub(super) struct Only<'m, T>(pub(super) &'m T);

impl Message for Only<'_, ClientInfo> {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.message(1, self.0);
    }
}

impl Message for Only<'_, Payload> {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.0.bytes);
    }
}

/// The push's numbers differ from those of the reply to `connect`.
struct Welcome<'m>(&'m Connected);

impl Message for Welcome<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        let connected = self.0;
        put_id(1, connected.client, sink);
        sink.text(2, connected.version);
        sink.bytes(3, connected.data.as_ref().map_or(&[], |data| &data.bytes));
        for (channel, subscribed) in &connected.subs {
            sink.pair(4, channel, subscribed);
        }
        put_ttl((5, 6), connected.ttl, sink);
        put_session(connected, sink);
    }
}

/// The fields that have the same numbers in the reply and in the push.
pub(super) fn put_session<S: Sink>(connected: &Connected, sink: &mut S) {
    sink.number(7, connected.ping_seconds.into());
    sink.flag(8, connected.pong);
    sink.text(9, connected.session.as_deref().unwrap_or_default());
    sink.text(10, connected.node.as_deref().unwrap_or_default());
    sink.number(11, connected.time.unwrap_or_default());
}

/// Whether something runs out, and in how many seconds; the protocol has 32 bits for them.
pub(super) fn put_ttl<S: Sink>(numbers: (u32, u32), ttl: Option<u64>, sink: &mut S) {
    if let Some(ttl) = ttl {
        sink.flag(numbers.0, true);
        sink.number(numbers.1, ttl.min(u32::MAX.into()));
    }
}

/// A connection's id as a string.
pub(super) fn put_id<S: Sink>(number: u32, client: ClientId, sink: &mut S) {
    sink.text(number, client.hyphenated().encode_lower(&mut ClientId::encode_buffer()));
}

impl Message for Disconnect {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.code.into());
        sink.text(2, &self.reason);
    }
}

impl Message for ClientInfo {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.text(1, &self.user);
        put_id(2, self.client, sink);
        sink.bytes(3, self.conn_info.as_deref().unwrap_or_default());
        sink.bytes(4, self.chan_info.as_deref().unwrap_or_default());
    }
}

impl Message for Publication {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.bytes(4, &self.data.bytes);
        if let Some(info) = &self.info {
            sink.message(5, &**info);
        }
        sink.number(6, self.offset);
        for (name, value) in self.tags.iter().flat_map(|tags| tags.iter()) {
            sink.pair(7, name, value);
        }
        sink.number(9, self.time);
    }
}

//! Writes pushes, and the publications and client infos that replies hold as well.

use jackfield_model::client::{Connected, Form, Push, Subscribed, Unsubscribed};
use jackfield_model::publication::Rare;
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
            Self::Delta(channel, publication, form) => {
                sink.text(2, channel);
                let patch = match form {
                    Form::Patch(patch) => Some(&**patch),
                    Form::Whole => None,
                };
                sink.message(4, &Patched(publication, patch));
            }
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
            Self::Refresh(ttl) => sink.message(12, &Ttl(*ttl)),
            Self::Subscribe(channel, subscribed) => {
                sink.text(2, channel);
                sink.message(9, &Subscription(subscribed));
            }
            Self::Unsubscribe(channel, unsubscribed) => {
                sink.text(2, channel);
                sink.message(7, unsubscribed);
            }
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

/// Whether something runs out, and when, and nothing else.
pub(super) struct Ttl(pub(super) Option<u64>);

impl Message for Ttl {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_ttl((1, 2), self.0, sink);
    }
}

/// A subscription that the client did not ask for; the numbers differ from those of the reply to `subscribe`.
struct Subscription<'m>(&'m Subscribed);

impl Message for Subscription<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        let subscribed = self.0;
        sink.flag(1, subscribed.recoverable);
        if let Some(position) = &subscribed.position {
            sink.text(4, &position.epoch);
            sink.number(5, position.offset);
        }
        sink.flag(6, subscribed.positioned);
        sink.bytes(7, subscribed.data.as_ref().map_or(&[], |data| &data.bytes));
    }
}

impl Message for Unsubscribed {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.number(2, self.code.into());
        sink.text(3, &self.reason);
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
        put_publication(self, None, sink);
    }
}

/// A publication, with a patch where that stands for its data.
pub(super) struct Patched<'m>(pub(super) &'m Publication, pub(super) Option<&'m [u8]>);

impl Message for Patched<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_publication(self.0, self.1, sink);
    }
}

#[inline]
fn put_publication<S: Sink>(publication: &Publication, patch: Option<&[u8]>, sink: &mut S) {
    sink.bytes(4, patch.unwrap_or(&publication.data.bytes));
    if let Some(info) = &publication.info {
        sink.message(5, &**info);
    }
    sink.number(6, publication.offset);
    for (name, value) in publication.tags.iter().flat_map(|tags| tags.iter()) {
        sink.pair(7, name, value);
    }
    sink.flag(8, patch.is_some());
    sink.number(9, publication.time);
    if let Some(rare) = &publication.rare {
        put_rare(rare, sink);
    }
}

/// What few publications have.
fn put_rare<S: Sink>(rare: &Rare, sink: &mut S) {
    sink.text(11, rare.key.as_deref().unwrap_or_default());
    sink.flag(12, rare.removed);
    sink.signed(13, rare.score);
    sink.text(14, rare.epoch.as_deref().unwrap_or_default());
    sink.number(16, rare.version);
}

//! The channels that a client is in, and how it leaves them.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::Membership;
use jackfield_hub::namespace::Options;
use jackfield_model::client::{Push, Unsubscribed};
use jackfield_model::{ClientInfo, Disconnect};

use crate::endpoint::Dialect;
use crate::session::Session;
use crate::turn::{Effect, Tick, Turn};

/// One subscription of the client.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) key: u64,
    pub(crate) name: Arc<str>,
    /// What few subscriptions have; without it everything is as the namespace has it.
    pub(crate) more: Option<Box<More>>,
}

/// What few subscriptions have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct More {
    /// Who the client is in this channel, where that differs.
    pub(crate) info: Option<Arc<ClientInfo>>,
    /// Counted among the members, where that differs.
    pub(crate) counted: Option<bool>,
    /// The others hear it come and go, where that differs.
    pub(crate) announced: Option<bool>,
    /// It may publish, where that differs.
    pub(crate) publishes: Option<bool>,
    /// The server put it there.
    pub(crate) is_server_side: bool,
    /// When its time is up; 0: never.
    pub(crate) due: Tick,
    /// The application is asked then; else it is over.
    pub(crate) is_renewed_by_app: bool,
}

impl Session {
    pub(crate) fn is_in(&self, channel: &str) -> bool {
        self.subscription(channel).is_some()
    }

    pub(crate) fn subscription(&self, channel: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| &*subscription.name == channel)
    }

    pub(crate) fn subscription_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| &*subscription.name == channel)
    }

    /// Who the client is in a channel.
    pub(crate) fn who_in(&self, channel: &str) -> Arc<ClientInfo> {
        let own = self.subscription(channel).and_then(|one| one.more.as_ref()).and_then(|more| more.info.as_ref());
        Arc::clone(own.unwrap_or(&self.who))
    }

    /// Whether the client may publish into a channel, where whoever let it in has said so.
    pub(crate) fn publishes_in(&self, channel: &str) -> Option<bool> {
        self.subscription(channel)?.more.as_ref()?.publishes
    }

    /// Keeps a subscription that has just been entered.
    pub(crate) fn keep_subscription(&mut self, subscription: Subscription) {
        if self.subscriptions.is_empty() {
            // Most clients have one or two channels; a vector's own first step is four.
            self.subscriptions.reserve_exact(1);
        }
        self.subscriptions.push(subscription);
        self.note_ends();
    }

    /// Takes the client out of a channel; `None` if it was not in.
    pub(crate) fn leave_channel(
        &mut self,
        channel: &str,
        why: &Unsubscribed,
        turn: &mut Turn<'_>,
    ) -> Option<Subscription> {
        let place = self.subscriptions.iter().position(|subscription| &*subscription.name == channel)?;
        let subscription = self.subscriptions.swap_remove(place);
        self.leave(&subscription, turn);
        self.tell_unsubscribed(&subscription.name, (why.code, &why.reason), turn);
        self.note_ends();
        Some(subscription)
    }

    /// Says to the hub what was said when the client came.
    pub(crate) fn leave(&self, subscription: &Subscription, turn: &mut Turn<'_>) {
        let last = turn.shard.leave(subscription.key, turn.address.slot);
        turn.hub.unsubscribe(&subscription.name, self.member(subscription, turn), last, turn.now.millis);
    }

    fn member<'s>(&'s self, subscription: &'s Subscription, turn: &Turn<'_>) -> Membership<'s> {
        let options = turn.hub.namespaces().of(&subscription.name);
        let more = subscription.more.as_deref();
        Membership {
            worker: turn.address.worker,
            info: more.and_then(|more| more.info.as_ref()).unwrap_or(&self.who),
            counted: counted(more, options.map(|options| &**options)),
            announced: announced(more, options.map(|options| &**options)),
        }
    }

    /// What others hear of the client from now on; `None`: as before.
    pub(crate) fn take_info(&mut self, info: Option<Bytes>, turn: &Turn<'_>) {
        if info.is_none() || info == self.who.conn_info {
            return;
        }
        self.who = Arc::new(ClientInfo { conn_info: info, ..ClientInfo::clone(&self.who) });
        for subscription in &mut self.subscriptions {
            if let Some(own) = subscription.more.as_mut().and_then(|more| more.info.as_mut()) {
                let chan_info = own.chan_info.clone();
                *own = Arc::new(ClientInfo { chan_info, ..ClientInfo::clone(&self.who) });
            }
        }
        for subscription in &self.subscriptions {
            self.tell_who(subscription, turn);
        }
    }

    /// Those who ask who is in a channel are told what the client is now.
    pub(crate) fn tell_who(&self, subscription: &Subscription, turn: &Turn<'_>) {
        turn.hub.renew_member(&subscription.name, self.member(subscription, turn), turn.now.millis);
    }

    /// What it knows of a channel is not enough, or void.
    pub fn lose(&mut self, key: u64, unsubscribed: &Unsubscribed, turn: &mut Turn<'_>) {
        let Some(subscription) = self.subscriptions.iter().find(|one| one.key == key) else { return };
        let name = Arc::clone(&subscription.name);
        if !subscription.is_server_side() {
            return self.unsubscribe(&name, unsubscribed.clone(), turn);
        }
        // The client cannot subscribe anew to what it did not subscribe to: it comes again, and recovers as it does.
        self.close(
            match unsubscribed.code {
                2502 => Disconnect::STATE_INVALIDATED,
                _ => Disconnect::INSUFFICIENT_STATE,
            },
            turn,
        );
    }

    /// Takes the client out of a channel and tells it why.
    pub(crate) fn unsubscribe(&mut self, channel: &str, why: Unsubscribed, turn: &mut Turn<'_>) {
        if self.endpoint.dialect == Dialect::Yjs && self.binding.as_deref() == Some(channel) {
            // Outside of its document it has nothing to do. It comes again by itself, and is decided about anew.
            let disconnect =
                if why.code < 2500 { Disconnect::PERMISSION_DENIED } else { Disconnect::STATE_INVALIDATED };
            return self.close(Disconnect { reason: why.reason, ..disconnect }, turn);
        }
        if let Some(subscription) = self.leave_channel(channel, &why, turn) {
            turn.effects.push(Effect::Push(Push::Unsubscribe(subscription.name, why)));
        }
    }

    /// Remembers when the first subscription's time is up.
    pub(crate) fn note_ends(&mut self) {
        let dues = self.subscriptions.iter().map(Subscription::due).filter(|due| *due != 0);
        self.subscription_due = dues.min().unwrap_or(0);
    }
}

impl Subscription {
    pub(crate) fn due(&self) -> Tick {
        self.more.as_ref().map_or(0, |more| more.due)
    }

    pub(crate) fn is_server_side(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.is_server_side)
    }

    pub(crate) fn is_renewed_by_app(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.is_renewed_by_app)
    }
}

/// Whether a subscription counts among the members.
pub(crate) fn counted(more: Option<&More>, options: Option<&Options>) -> bool {
    more.and_then(|more| more.counted).unwrap_or_else(|| options.is_some_and(|options| options.presence))
}

/// Whether the others hear it come and go.
pub(crate) fn announced(more: Option<&More>, options: Option<&Options>) -> bool {
    more.and_then(|more| more.announced).unwrap_or_else(|| options.is_some_and(|options| options.join_leave))
}

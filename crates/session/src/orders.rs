//! What the application does to a client that is in.

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_hub::{SessionOrder, TokenMarks, Void};
use jackfield_model::app::{ConnectionLine, Refresh, Subscribe as Order, Target};
use jackfield_model::client::{Push, Subscribe};
use jackfield_model::{ClientError, Disconnect};

use crate::endpoint::Dialect;
use crate::entry::{self, Door};
use crate::session::{Session, State};
use crate::turn::{Effect, Turn};
use crate::waiting::Waiting;

impl Session {
    /// Does what the application wants of it, if it is still the one that is meant.
    pub fn obey(&mut self, order: &SessionOrder, turn: &mut Turn<'_>) {
        if self.state != State::Connected {
            return;
        }
        match order {
            SessionOrder::Call(id, call) => self.be_called(*id, call, turn),
            SessionOrder::Describe(target, census) if self.is_meant(target) => census.write(|| self.line()),
            SessionOrder::Disconnect(ejection) => {
                if self.is_meant(&ejection.target) && !ejection.whitelist.contains(&self.id()) {
                    self.close(ejection.disconnect.clone(), turn);
                }
            }
            SessionOrder::Refresh(refresh) if self.is_meant(&refresh.target) => self.move_expiry(refresh, turn),
            SessionOrder::Subscribe(order) if self.is_meant(&order.target) => self.be_subscribed(order, turn),
            SessionOrder::Unsubscribe(order) if self.is_meant(&order.target) => {
                self.stop_entering(&order.channel);
                self.unsubscribe(&order.channel, order.unsubscribed.clone(), turn);
            }
            SessionOrder::VoidToken if self.is_revocable => {
                if let Some(void) = self.void(turn) {
                    self.close(revoked(void), turn);
                }
            }
            SessionOrder::Describe(..)
            | SessionOrder::Refresh(_)
            | SessionOrder::Subscribe(_)
            | SessionOrder::Unsubscribe(_)
            | SessionOrder::VoidToken => {}
        }
    }

    fn is_meant(&self, target: &Target) -> bool {
        let uplink = || self.extras.as_ref().and_then(|extras| extras.uplink);
        // A unidirectional client's session is named by its id.
        let is_session = |session| uplink() == Some(session) || (uplink().is_none() && session == self.id());
        target.user.as_ref().is_none_or(|user| **user == *self.user())
            && target.client.is_none_or(|client| client == self.id())
            && target.session.is_none_or(is_session)
    }

    /// How it is written down.
    fn line(&self) -> ConnectionLine {
        ConnectionLine {
            client: self.id(),
            user: Arc::clone(&self.who.user),
            transport: self.endpoint.transport().to_owned(),
            protocol: self.endpoint.dialect.name().to_owned(),
            listener: Arc::clone(&self.endpoint.listener),
            remote: SocketAddr::new(self.ip, self.port).to_string(),
            channels: self.subscriptions.iter().map(|subscription| Arc::clone(&subscription.name)).collect(),
        }
    }

    /// Whether and how the token that the client came by is void now.
    fn void(&self, turn: &Turn<'_>) -> Option<Void> {
        let rare = self.extras.as_ref().and_then(|extras| extras.rare.as_ref());
        let uid = rare.and_then(|rare| rare.token_id.as_deref()).unwrap_or_default();
        let issued_at =
            (self.issued_at != 0).then(|| u64::from(self.issued_at) * 1000 + u64::from(self.issued_at_millis));
        turn.hub.void(self.user(), TokenMarks { uid, issued_at }, turn.now.millis)
    }

    pub(crate) fn be_subscribed(&mut self, order: &Order, turn: &mut Turn<'_>) {
        if let Some(subscription) = self.subscription_mut(&order.channel) {
            // Who is in stays as it is, but for what it may say from now on.
            if let Some(may) = order.grant.overrides.publish {
                subscription.more.get_or_insert_default().publishes = Some(may);
            }
            return;
        }
        // What the client asked for itself it now has.
        self.stop_entering(&order.channel);
        if self.channels() >= turn.settings.channel_limit {
            return self.close(Disconnect::CHANNEL_LIMIT, turn);
        }
        if !turn.hub.is_warm(&order.channel) {
            return self.wait_for(&order.channel, 0, Waiting::Order(Box::new(order.clone())), turn);
        }
        let wish = Subscribe {
            channel: (*order.channel).into(),
            recover: order.recover_since.is_some(),
            since: order.recover_since.clone().unwrap_or_default(),
            ..Subscribe::default()
        };
        match entry::enter(self, &wish, (&order.grant, Door::Server), turn) {
            Ok(mut subscribed) => {
                let missed = std::mem::take(&mut subscribed.publications);
                let name = &order.channel;
                turn.effects.push(Effect::Push(Push::Subscribe(name.clone(), Box::new(subscribed))));
                // The push has no room for what was missed: it follows, as if it were published now.
                let pushes = missed.into_iter().map(|one| Effect::Push(Push::Publication(name.clone(), one)));
                turn.effects.extend(pushes);
            }
            Err(error) => {
                // Nobody waits for an answer; whoever gave the order was told how many it reached.
                let ClientError { code, message, .. } = error;
                tracing::debug!(channel = %order.channel, code, %message, "a client was not put into a channel");
            }
        }
    }

    fn move_expiry(&mut self, refresh: &Refresh, turn: &mut Turn<'_>) {
        let now = turn.now.millis / 1000;
        if refresh.expired || refresh.expire_at.is_some_and(|at| at <= now) {
            return self.close(Disconnect::CONNECTION_EXPIRED, turn);
        }
        let ttl = refresh.expire_at.map(|at| self.renew_by(at, turn));
        if ttl.is_none() {
            self.expire_due = 0;
        }
        self.take_info(refresh.info.clone(), turn);
        // The others have a timer of their own, which their token set.
        if self.endpoint.dialect == Dialect::CentrifugoUniJson {
            turn.effects.push(Effect::Push(Push::Refresh(ttl)));
        }
    }
}

/// The token is void, whatever it says. Who may come again is told what one is told whose token ran out: SDKs fetch a new one.
pub(crate) fn revoked(void: Void) -> Disconnect {
    match void {
        Void::ForGood => Disconnect { reason: "invalid token: it was revoked".into(), ..Disconnect::INVALID_TOKEN },
        Void::Renew => {
            Disconnect { reason: "connection expired: fetch a new token".into(), ..Disconnect::CONNECTION_EXPIRED }
        }
    }
}

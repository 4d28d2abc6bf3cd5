//! What time does to a session: pings, and the ends of patience, of tokens and of subscriptions.

use std::sync::Arc;

use jackfield_model::app::EventKind;
use jackfield_model::{Disconnect, Millis, Payload};

use crate::calls::PendingKind;
use crate::endpoint::Keepalive;
use crate::session::{Session, State};
use crate::turn::{Effect, Tick, Turn};

/// An application that had no answer is asked again after this; until then the client stays.
const ASK_AGAIN: Tick = 600;
/// Where too many questions wait, this one waits a second.
const WAIT: Tick = 10;

impl Session {
    /// When [`Self::on_time`] wants to be called.
    #[must_use]
    pub fn due(&self) -> Tick {
        let dues = [self.due, self.pong_due, self.expire_due, self.subscription_due];
        dues.into_iter().filter(|due| *due != 0).min().unwrap_or(Tick::MAX)
    }

    /// The client takes what it is sent more slowly than it comes, so a ping may be long under way: its time to answer
    /// begins now. Whether it takes anything at all is watched by whoever writes.
    pub fn excuse(&mut self, turn: &Turn<'_>) {
        if self.endpoint.idle_limit == 0 && self.pong_due != 0 {
            self.pong_due = turn.now.tick.saturating_add(turn.settings.pong_timeout).max(1);
        }
    }

    /// Does what is due: pings, and the ends of patience.
    pub fn on_time(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.tick;
        if self.state == State::Ended {
            self.due = Tick::MAX;
            return;
        }
        if self.expire_due != 0 && self.expire_due <= now {
            self.on_expiry(turn);
        }
        if self.subscription_due != 0 && self.subscription_due <= now && self.state != State::Ended {
            self.on_subscription_expiry(turn);
        }
        if self.pong_due != 0 && self.pong_due <= now {
            let disconnect = match self.endpoint.idle_limit {
                0 => Disconnect::NO_PONG,
                _ => Disconnect { reason: "nothing was heard for too long".into(), ..Disconnect::NO_PONG },
            };
            return self.close(disconnect, turn);
        }
        if self.due > now {
            return;
        }
        match self.state {
            // The call to the application has a deadline of its own.
            State::Connecting => self.due = now.saturating_add(turn.settings.stale_close_delay),
            State::Fresh | State::Refused => self.close(Disconnect::STALE, turn),
            State::Connected | State::Ended => {
                // One that is under way still is answered once; a second pong would be one too many.
                if self.endpoint.keepalive != Keepalive::Messages || self.pong_due == 0 {
                    turn.effects.push(Effect::Ping);
                }
                self.due = now.saturating_add(turn.settings.ping_interval);
                if matches!(self.endpoint.keepalive, Keepalive::Frames | Keepalive::Messages) && self.pong_due == 0 {
                    self.pong_due = now.saturating_add(turn.settings.pong_timeout).max(1);
                }
            }
        }
    }

    /// The connection's time is up: it ends, unless the application is asked whether it may stay.
    fn on_expiry(&mut self, turn: &mut Turn<'_>) {
        let Some(timeout) = turn.settings.refresh_call else {
            return self.close(Disconnect::CONNECTION_EXPIRED, turn);
        };
        let mut event = self.event(EventKind::Refresh, String::new(), Payload::json("{}"), turn);
        event.deadline = Some(turn.now.millis + timeout);
        let is_asked = self.ask(event, 0, PendingKind::Refresh, turn);
        self.expire_due = turn.now.tick.saturating_add(again(is_asked, timeout));
    }

    /// The time of some subscriptions is up.
    fn on_subscription_expiry(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.tick;
        let over = self.subscriptions.iter().filter(|one| one.due() != 0 && one.due() <= now);
        let over: Vec<Arc<str>> = over.map(|one| Arc::clone(&one.name)).collect();
        for channel in over {
            if self.state == State::Ended {
                return;
            }
            let is_renewed = self.subscription(&channel).is_some_and(|one| one.is_renewed_by_app());
            let timeout = turn.hub.namespaces().of(&channel).and_then(|options| options.sub_refresh_call);
            match timeout.filter(|_| is_renewed) {
                Some(timeout) => self.ask_to_renew(&channel, timeout, turn),
                None => self.expire(&channel, turn),
            }
        }
        self.note_ends();
    }

    fn ask_to_renew(&mut self, channel: &Arc<str>, timeout: Millis, turn: &mut Turn<'_>) {
        let mut event = self.event(EventKind::SubRefresh, String::new(), Payload::json("{}"), turn);
        event.channel = Some(Arc::clone(channel));
        event.deadline = Some(turn.now.millis + timeout);
        let is_asked = self.ask(event, 0, PendingKind::SubRefresh(Arc::clone(channel)), turn);
        let due = turn.now.tick.saturating_add(again(is_asked, timeout));
        if let Some(more) = self.subscription_mut(channel).and_then(|one| one.more.as_mut()) {
            more.due = due;
        }
    }

    /// The client is in: pings begin.
    ///
    /// The first falls at a random point between half an interval and a whole one, so that the pings of a herd that
    /// came together do not stay together.
    pub(crate) fn begin(&mut self, turn: &mut Turn<'_>) {
        self.state = State::Connected;
        if self.endpoint.idle_limit != 0 {
            self.pong_due = turn.now.tick.saturating_add(self.endpoint.idle_limit);
        }
        let interval = turn.settings.ping_interval;
        self.due = if self.endpoint.keepalive == Keepalive::Tcp || interval == 0 {
            Tick::MAX
        } else {
            let half = interval / 2;
            turn.now.tick.saturating_add(half + (turn.ids.random() % u64::from(half + 1)) as Tick)
        };
    }

    /// Sets the end of the connection's time; returns the seconds until then.
    pub(crate) fn renew_by(&mut self, at_seconds: u64, turn: &Turn<'_>) -> u64 {
        let ttl = at_seconds.saturating_sub(turn.now.millis / 1000).clamp(1, crate::entry::MOST_SECONDS);
        let due = Self::tick_of(at_seconds, (turn.now.tick, turn.now.millis));
        // A client is given time to bring a new token; the application is asked when the time is up.
        let delay = if turn.settings.refresh_call.is_some() { 0 } else { turn.settings.expired_close_delay };
        self.expire_due = due.saturating_add(delay).max(1);
        ttl
    }

    /// When a moment of the calendar comes, on the clock of deadlines.
    pub(crate) fn tick_of(at_seconds: u64, now: (Tick, Millis)) -> Tick {
        let wait = at_seconds.saturating_mul(1000).saturating_sub(now.1) / 100;
        now.0.saturating_add(Tick::try_from(wait).unwrap_or(Tick::MAX))
    }
}

/// After how long to ask again, if no answer comes.
fn again(is_asked: bool, timeout: Millis) -> Tick {
    if !is_asked {
        return WAIT;
    }
    let timeout = Tick::try_from(timeout.div_ceil(100)).unwrap_or(Tick::MAX);
    timeout.saturating_add(WAIT).max(ASK_AGAIN)
}

//! Questions to the application: asked, answered, and who waits for them.

use std::sync::Arc;

use jackfield_model::app::{self, Event, EventKind, Hello, Origin};
use jackfield_model::client::{Answer, Subscribe, Unsubscribed};
use jackfield_model::{ClientError, ClientInfo, Disconnect, Millis, Payload};

use crate::command;
use crate::command::publish::Draft;
use crate::entry::Door;
use crate::extras::Flow;
use crate::session::{Session, State, bad, reply};
use crate::turn::{Effect, Tick, Turn};
use crate::waiting::Waiting;

/// A question to the application that waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    call: u32,
    pub(crate) id: u32,
    pub(crate) kind: PendingKind,
}

#[derive(Debug)]
pub(crate) enum PendingKind {
    /// A channel is read from the broker; then this is done.
    Channel(Waiting),
    /// May the client come in? Asked at this time.
    Connect(Millis),
    /// The document is being loaded.
    Document,
    /// Other nodes are asked who is in a channel.
    Members,
    Publish,
    /// May the client publish this?
    PublishCall(Box<Draft>),
    Raw,
    /// May the connection stay?
    Refresh,
    Rpc,
    Send,
    /// May the client enter this channel? `None`: it does not want to any more.
    Subscribe(Option<Box<Subscribe<'static>>>),
    /// May the subscription stay?
    SubRefresh(Arc<str>),
}

impl Pending {
    pub(crate) fn new(call: u32, id: u32, kind: PendingKind) -> Self {
        Self { call, id, kind }
    }
}

impl Session {
    /// Asks the application; `false` (and nothing happened) when too many questions wait already.
    pub(crate) fn ask(&mut self, event: Event, id: u32, kind: PendingKind, turn: &mut Turn<'_>) -> bool {
        if !matches!(kind, PendingKind::Raw) && self.pending.len() >= turn.settings.calls_in_flight {
            return false;
        }
        let call = self.next_call();
        self.pending.push(Pending { call, id, kind });
        turn.effects.push(Effect::Event(Box::new(event), Some(call)));
        true
    }

    /// The number under which an answer comes.
    pub(crate) fn next_call(&mut self) -> u32 {
        self.calls = self.calls.wrapping_add(1);
        self.calls
    }

    /// The number under which the outcome of a publication comes, or who is in a channel.
    pub(crate) fn await_answer(&mut self, id: u32, kind: PendingKind) -> u32 {
        let call = self.next_call();
        self.pending.push(Pending { call, id, kind });
        call
    }

    /// It came at once.
    pub(crate) fn forget(&mut self, call: u32) {
        self.pending.retain(|pending| pending.call != call);
    }

    /// An event about this client. It gets its number when the queue's door takes it.
    pub(crate) fn event(&self, kind: EventKind, name: String, data: Payload, turn: &mut Turn<'_>) -> Event {
        Event {
            id: turn.ids.next(turn.now.millis),
            kind,
            origin: Origin {
                client: self.who.client,
                user: Arc::clone(&self.who.user),
                meta: self.extras.as_ref().and_then(|extras| extras.meta.clone()),
                transport: self.endpoint.transport(),
                protocol: self.endpoint.dialect.name(),
                remote: std::net::SocketAddr::new(self.ip, self.port).to_string(),
                listener: Arc::clone(&self.endpoint.listener),
            },
            channel: None,
            name,
            data,
            seq: 0,
            time: turn.now.millis,
            deadline: None,
            hello: None::<Box<Hello>>,
        }
    }

    /// Takes the answer to a question.
    pub fn resume(&mut self, call: u32, answer: app::Answer, turn: &mut Turn<'_>) {
        let Some(place) = self.pending.iter().position(|pending| pending.call == call) else { return };
        let pending = self.pending.swap_remove(place);
        if self.state == State::Ended {
            return;
        }
        let is_connect = matches!(pending.kind, PendingKind::Connect(_) | PendingKind::Channel(Waiting::Welcome(_)));
        self.settle(pending, answer, turn);
        self.follow_document(turn);
        if is_connect && self.state == State::Connected {
            let held = self.extras.as_mut().map(|extras| std::mem::take(&mut extras.held)).unwrap_or_default();
            if !held.is_empty() {
                self.commands(&held, turn);
            }
        }
    }

    fn settle(&mut self, pending: Pending, answer: app::Answer, turn: &mut Turn<'_>) {
        let Pending { id, kind, .. } = pending;
        match (answer, kind) {
            // What the client does not want any more cannot end it either.
            (_, PendingKind::Subscribe(None)) => {
                reply(turn, id, Err(bad("the client unsubscribed before the answer came")));
            }
            (app::Answer::Disconnect(disconnect), _) => self.close(disconnect, turn),
            (app::Answer::Error(error), PendingKind::Channel(what)) => self.give_up(id, &what, error, turn),
            (app::Answer::Error(error), kind) => self.failed(id, &kind, error, turn),
            (app::Answer::Connect(answer), PendingKind::Connect(asked)) => {
                command::connect::welcome(self, id, command::connect::Welcome::answered(answer, asked), turn);
            }
            (app::Answer::Published, PendingKind::Channel(what)) => self.go_on(id, what, turn),
            (app::Answer::Members(members), PendingKind::Members) => reply(turn, id, Ok(Answer::Presence(members))),
            (app::Answer::MemberCounts(stats), PendingKind::Members) => {
                reply(turn, id, Ok(Answer::PresenceStats(stats)));
            }
            (app::Answer::Rpc(payload), PendingKind::Rpc) => reply(turn, id, Ok(Answer::Rpc(payload))),
            (app::Answer::Published | app::Answer::Enqueued, PendingKind::Publish) => {
                reply(turn, id, Ok(Answer::Publish));
            }
            (app::Answer::Enqueued, PendingKind::Send) if id != 0 => reply(turn, id, Ok(Answer::Send)),
            (app::Answer::Enqueued, PendingKind::Send | PendingKind::Raw) => {}
            (app::Answer::Published, PendingKind::Raw) => {}
            (app::Answer::Published, PendingKind::Document) => self.greet(turn),
            (app::Answer::Publish(answer), PendingKind::PublishCall(draft)) => {
                match command::publish::put(self, id, *draft, *answer, turn) {
                    Ok(Some(answer)) => reply(turn, id, Ok(answer)),
                    Ok(None) => {}
                    Err(error) => reply(turn, id, Err(error)),
                }
            }
            (app::Answer::Subscribe(grant), PendingKind::Subscribe(Some(wish))) => {
                self.go_on(id, Waiting::Entry(wish, Box::new(grant), Door::Called), turn);
            }
            (app::Answer::Refresh(answer), PendingKind::Refresh) => self.refreshed(answer, turn),
            (app::Answer::Refresh(answer), PendingKind::SubRefresh(channel)) => {
                self.sub_refreshed(&channel, &answer, turn);
            }
            (_, kind) => self.failed(id, &kind, ClientError::INTERNAL, turn),
        }
    }

    fn failed(&mut self, id: u32, kind: &PendingKind, error: ClientError, turn: &mut Turn<'_>) {
        match kind {
            PendingKind::Connect(_) => {
                self.state = State::Refused;
                self.refuse(id, error, turn);
            }
            // Raw clients have no error frame; a message must not vanish in silence, so the connection says it.
            PendingKind::Raw => self.close(Disconnect::TRY_AGAIN_LATER, turn),
            PendingKind::Document => self.deny(&error, turn),
            PendingKind::Send if id == 0 => {}
            // An application that is down for a while must not cut off everybody; it is asked again soon.
            PendingKind::Refresh | PendingKind::SubRefresh(_) => {}
            PendingKind::Channel(what) => self.give_up(id, what, error, turn),
            PendingKind::Members
            | PendingKind::Publish
            | PendingKind::PublishCall(_)
            | PendingKind::Rpc
            | PendingKind::Send
            | PendingKind::Subscribe(_) => reply(turn, id, Err(error)),
        }
    }

    /// The application has said whether the connection may stay.
    fn refreshed(&mut self, answer: app::RefreshAnswer, turn: &mut Turn<'_>) {
        if answer.expired || answer.expire_at.is_some_and(|at| at <= turn.now.millis / 1000) {
            return self.close(Disconnect::CONNECTION_EXPIRED, turn);
        }
        self.expire_due = answer.expire_at.map_or(0, |at| Self::tick_of(at, (turn.now.tick, turn.now.millis)).max(1));
        self.take_info(answer.info, turn);
    }

    /// The application has said whether a subscription may stay.
    fn sub_refreshed(&mut self, channel: &str, answer: &app::RefreshAnswer, turn: &mut Turn<'_>) {
        let is_over = answer.expired || answer.expire_at.is_some_and(|at| at <= turn.now.millis / 1000);
        let who = Arc::clone(&self.who);
        let Some(subscription) = self.subscription_mut(channel) else { return };
        let Some(more) = subscription.more.as_mut().filter(|_| !is_over) else {
            return self.expire(channel, turn);
        };
        if answer.info.is_some() {
            let known = more.info.as_ref().unwrap_or(&who);
            more.info = Some(Arc::new(ClientInfo { chan_info: answer.info.clone(), ..ClientInfo::clone(known) }));
        }
        more.due = answer.expire_at.map_or(0, |at| Self::tick_of(at, (turn.now.tick, turn.now.millis)).max(1));
        self.note_ends();
        if answer.info.is_some()
            && let Some(subscription) = self.subscription(channel)
        {
            self.tell_who(subscription, turn);
        }
    }

    /// A subscription's time is up.
    pub(crate) fn expire(&mut self, channel: &str, turn: &mut Turn<'_>) {
        if self.subscription(channel).is_some_and(crate::subscription::Subscription::is_server_side) {
            return self.close(Disconnect::SUBSCRIPTION_EXPIRED, turn);
        }
        self.unsubscribe(channel, Unsubscribed::EXPIRED, turn);
    }
}

/// Channels that a client is on its way into.
impl Session {
    /// Channels that it is in or on its way into.
    pub(crate) fn channels(&self) -> usize {
        let asked = |pending: &&Pending| {
            matches!(pending.kind, PendingKind::Subscribe(Some(_)) | PendingKind::Channel(Waiting::Entry(..)))
        };
        self.subscriptions.len() + self.pending.iter().filter(asked).count() + self.flows().len()
    }

    /// Whether the application is asked about a channel.
    pub(crate) fn is_asking_for(&self, channel: &str) -> bool {
        self.pending.iter().any(|pending| pending.kind.is_about(channel))
    }

    /// Whether it is on its way into a channel.
    pub(crate) fn is_entering(&self, channel: &str) -> bool {
        self.is_asking_for(channel) || self.flows().iter().any(|flow| flow.wish.channel == channel)
    }

    /// It does not want to enter a channel any more.
    pub(crate) fn stop_entering(&mut self, channel: &str) {
        for pending in &mut self.pending {
            if pending.kind.is_about(channel) {
                pending.kind = PendingKind::Subscribe(None);
            }
        }
        self.take_flow(channel);
    }

    fn flows(&self) -> &[Flow] {
        self.extras.as_ref().and_then(|extras| extras.rare.as_ref()).map_or(&[], |rare| &rare.flows)
    }

    pub(crate) fn take_flow(&mut self, channel: &str) -> Option<Flow> {
        let flows = &mut self.extras.as_mut()?.rare.as_mut()?.flows;
        let place = flows.iter().position(|flow| flow.wish.channel == channel)?;
        Some(flows.swap_remove(place))
    }

    /// Forgets maps that the client gave up reading.
    pub(crate) fn drop_late_flows(&mut self, now: Tick) {
        if let Some(rare) = self.extras.as_mut().and_then(|extras| extras.rare.as_mut()) {
            rare.flows.retain(|flow| flow.until > now);
        }
    }

    pub(crate) fn put_flow(&mut self, flow: Flow) {
        self.extras.get_or_insert_default().rare().flows.push(flow);
    }
}

impl PendingKind {
    fn is_about(&self, channel: &str) -> bool {
        match self {
            Self::Subscribe(Some(wish)) => wish.channel == channel,
            Self::Channel(what) => what.enters(channel),
            _ => false,
        }
    }
}

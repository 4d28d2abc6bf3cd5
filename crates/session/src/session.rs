//! The session: one client's state, from its first frame to its last.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jackfield_dialects::centrifugo::json;
use jackfield_model::app::Header;
use jackfield_model::client::{Answer, Command, Reply, Request};
use jackfield_model::{ClientError, ClientId, ClientInfo, Disconnect, Uuid};

use crate::calls::Pending;
use crate::command;
use crate::commands::Commands;
use crate::endpoint::{Dialect, Endpoint, Keepalive};
use crate::extras::{Extras, Rare};
use crate::limits::{Rate, Verdict};
use crate::subscription::Subscription;
use crate::turn::{Effect, Tick, Turn};

/// How far a client has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// It has not said who it is.
    Fresh,
    /// The application is asked whether it may come in.
    Connecting,
    /// It is in.
    Connected,
    /// It was told an error when it said who it is; one more word and it is out.
    Refused,
    /// It is out.
    Ended,
}

/// Bytes of commands that may wait for the answer to `connect`.
const HELD: usize = 64 * 1024;

/// Whether the next frame may be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hold {
    /// Yes.
    No,
    /// Not before this time.
    Until(Tick),
    /// Not before an answer has come.
    UntilAnswer,
}

/// Who comes in, as far as its socket tells.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The connection's id.
    pub id: ClientId,
    /// Its address.
    pub remote: SocketAddr,
    /// Raw endpoints: the channel its frames are bound to.
    pub channel: Option<Arc<str>>,
    /// The name in its certificate, where it showed one.
    pub identity: Option<Arc<str>>,
    /// Emulated transports: a secret by which its requests find it.
    pub uplink: Option<Uuid>,
    /// Headers of its request that the application is told when it is asked whether the client may come in.
    pub headers: Vec<Header>,
}

/// One client.
#[derive(Debug)]
pub struct Session {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) who: Arc<ClientInfo>,
    /// Raw endpoints: the channel its frames are bound to.
    pub(crate) binding: Option<Arc<str>>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) extras: Option<Box<Extras>>,
    /// Where it speaks from; apart, because that takes less room than one address.
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    /// Number of its last event that was taken for the queue.
    seq: u64,
    pub(crate) calls: u32,
    rate: Rate,
    pub(crate) state: State,
    /// When the client must have said who it is, or gets its next ping.
    pub(crate) due: Tick,
    /// When the answer to a ping must be here; 0: no ping is out.
    pub(crate) pong_due: Tick,
    /// When its token must have been renewed; 0: never.
    pub(crate) expire_due: Tick,
    /// When the time of one of its subscriptions is up; 0: never.
    pub(crate) subscription_due: Tick,
    /// When its token was made, in seconds since 1970; 0: it does not say.
    pub(crate) issued_at: u32,
    /// And the part of the second.
    pub(crate) issued_at_millis: u16,
    /// It came by a token, or by something of the application's that can be revoked like one.
    pub(crate) is_revocable: bool,
}

impl Session {
    /// A client that has just come. A raw one is connected and in its channel at once.
    pub fn open(endpoint: &Arc<Endpoint>, visitor: Visitor, turn: &mut Turn<'_>) -> Self {
        let Visitor { id, remote, channel, identity, uplink, headers } = visitor;
        let identity = identity.filter(|_| endpoint.user_from_certificate);
        let mut who = ClientInfo { client: id, ..ClientInfo::default() };
        if endpoint.dialect.needs_no_connect()
            && let Some(name) = &identity
        {
            who.user = Arc::clone(name);
        }
        if let Some(uplink) = uplink {
            turn.hub.open_uplink(uplink, turn.address);
        }
        let rare = (!headers.is_empty()).then(|| Box::new(Rare { headers, ..Rare::default() }));
        let extras = (identity.is_some() || uplink.is_some() || rare.is_some())
            .then(|| Box::new(Extras { uplink, identity, rare, ..Extras::default() }));
        let mut session = Self {
            endpoint: Arc::clone(endpoint),
            who: Arc::new(who),
            binding: channel,
            subscriptions: Vec::new(),
            pending: Vec::new(),
            extras,
            ip: remote.ip(),
            port: remote.port(),
            seq: 0,
            calls: 0,
            rate: Rate::default(),
            state: State::Fresh,
            due: turn.now.tick.saturating_add(turn.settings.stale_close_delay),
            pong_due: 0,
            expire_due: 0,
            subscription_due: 0,
            issued_at: 0,
            issued_at_millis: 0,
            is_revocable: false,
        };
        if endpoint.dialect.needs_no_connect() {
            session.open_raw(turn);
        }
        session
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.who.client
    }

    /// The user; empty for an anonymous client.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.who.user
    }

    /// The number of its last event, for whoever hands out the next one.
    pub fn last_number(&mut self) -> &mut u64 {
        &mut self.seq
    }

    /// The door it came in by.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How it wants its frames.
    #[must_use]
    pub fn encoding(&self) -> jackfield_hub::EncodingId {
        self.endpoint.encoding()
    }

    /// Whether the next frame may be read.
    ///
    /// Why: a dialect with error replies is told that it is too fast; a raw one is read more slowly, and TCP tells it.
    #[must_use]
    pub fn hold(&self, turn: &Turn<'_>) -> Hold {
        if self.state == State::Connecting {
            return Hold::UntilAnswer;
        }
        if self.is_opening_document() {
            return Hold::UntilAnswer;
        }
        if self.endpoint.dialect.has_no_replies() {
            if self.pending.len() >= turn.settings.calls_in_flight {
                return Hold::UntilAnswer;
            }
            if let Some(until) = self.rate.pause(turn.now.tick, turn.settings.message_rate) {
                return Hold::Until(until);
            }
        }
        Hold::No
    }

    /// Takes one frame; of framings by length with the length, where the dialect is Protobuf.
    pub fn receive(&mut self, frame: &[u8], is_text: bool, turn: &mut Turn<'_>) {
        if self.endpoint.idle_limit != 0 && self.state == State::Connected {
            self.pong_due = turn.now.tick.saturating_add(self.endpoint.idle_limit);
        }
        self.rate.weigh(turn.now.tick, frame.len());
        match self.endpoint.dialect {
            Dialect::CentrifugoJson | Dialect::CentrifugoProtobuf => self.commands(frame, turn),
            Dialect::CentrifugoUniJson => self.receive_uni(frame, turn),
            // The worker sends it back; here it only counts.
            Dialect::Echo => self.count(turn),
            Dialect::Fields => self.receive_fields(frame, turn),
            Dialect::Raw(mode) => self.receive_raw(frame, is_text, mode, turn),
            Dialect::Yjs => self.receive_document(frame, turn),
        }
    }

    /// Takes what a request brought for this session.
    pub fn receive_uplink(&mut self, secret: Uuid, data: &[u8], turn: &mut Turn<'_>) {
        if self.extras.as_ref().is_some_and(|extras| extras.uplink == Some(secret)) {
            self.receive(data, true, turn);
        }
    }

    pub(crate) fn commands(&mut self, frame: &[u8], turn: &mut Turn<'_>) {
        // Who reads from a socket waits with the next frame; requests of an emulated transport come all the same.
        if self.state == State::Connecting {
            return self.keep(frame, turn);
        }
        let mut commands = Commands::read(self.endpoint.dialect, frame);
        while let Some(command) = commands.next() {
            match command {
                Ok(command) => self.command(command, turn),
                Err(error) => self.close(bad_request(&error.to_string()), turn),
            }
            match self.state {
                State::Ended => return,
                // Clients send what they want to do along with `connect`; it waits until they are in.
                State::Connecting if !commands.rest().is_empty() => return self.keep(commands.rest(), turn),
                _ => {}
            }
        }
    }

    /// Keeps commands until the application has said whether the client may come in.
    fn keep(&mut self, commands: &[u8], turn: &mut Turn<'_>) {
        let is_json = self.endpoint.dialect == Dialect::CentrifugoJson;
        let held = &mut self.extras.get_or_insert_default().held;
        if held.len() + commands.len() > HELD {
            return self.close(bad_request("too many commands before `connect` is answered"), turn);
        }
        if is_json && !held.is_empty() {
            held.push(b'\n');
        }
        held.extend_from_slice(commands);
    }

    /// A unidirectional client says one thing: who it is and what it wants to hear.
    fn receive_uni(&mut self, frame: &[u8], turn: &mut Turn<'_>) {
        if self.state == State::Fresh {
            match json::connect_request(frame) {
                Ok(connect) => command::run(self, 1, Request::Connect(connect), turn),
                Err(error) => self.close(bad_request(&error.to_string()), turn),
            }
        } else if self.rate.count(turn.now.tick, turn.settings.message_rate) == Verdict::End {
            self.close(Disconnect::TOO_MANY_REQUESTS, turn);
        }
    }

    fn command(&mut self, command: Command<'_>, turn: &mut Turn<'_>) {
        let id = command.id;
        if matches!(command.request, Request::Pong) {
            self.pong(turn);
            return;
        }
        if id == 0 && !matches!(command.request, Request::Send(_)) {
            self.close(bad_request("a command needs an id above 0"), turn);
            return;
        }
        let is_in_order = match self.state {
            State::Fresh => matches!(command.request, Request::Connect(_)),
            // Who a client is never changes: a second `connect` would carry its subscriptions over to another user.
            State::Connected => !matches!(command.request, Request::Connect(_)),
            State::Connecting | State::Refused | State::Ended => false,
        };
        if !is_in_order {
            self.close(bad_request("the first command must be `connect`, and no other may be"), turn);
            return;
        }
        match self.rate.count(turn.now.tick, turn.settings.message_rate) {
            Verdict::Admit => {}
            Verdict::Refuse if id != 0 => return reply(turn, id, Err(ClientError::TOO_MANY_REQUESTS)),
            Verdict::Refuse | Verdict::End => return self.close(Disconnect::TOO_MANY_REQUESTS, turn),
        }
        command::run(self, id, command.request, turn);
    }

    /// The client answered a ping in a command.
    fn pong(&mut self, turn: &mut Turn<'_>) {
        match self.endpoint.keepalive {
            Keepalive::MessagesUnanswered if self.state == State::Connected => {}
            Keepalive::Messages if self.pong_due != 0 => self.pong_due = 0,
            _ => self.close(bad_request("a pong without a ping"), turn),
        }
    }

    /// The client answered a ping with a frame of its own; RFC 6455 allows that unasked.
    pub fn pong_frame(&mut self) {
        if self.endpoint.keepalive == Keepalive::Frames {
            self.pong_due = 0;
        }
    }

    /// Answers a command with an error. A unidirectional client knows no replies: what it hears is why it must go.
    pub(crate) fn refuse(&mut self, id: u32, error: ClientError, turn: &mut Turn<'_>) {
        match self.endpoint.dialect {
            Dialect::CentrifugoUniJson => {}
            Dialect::Yjs => return self.deny(&error, turn),
            _ => return reply(turn, id, Err(error)),
        }
        let disconnect = match error.code {
            109 | 110 => Disconnect::CONNECTION_EXPIRED,
            111 => Disconnect::TOO_MANY_REQUESTS,
            103 => Disconnect::PERMISSION_DENIED,
            _ => Disconnect::INTERNAL,
        };
        self.close(disconnect, turn);
    }

    /// Ends the session for a reason; the worker sends the last words and closes the socket.
    pub(crate) fn close(&mut self, disconnect: Disconnect, turn: &mut Turn<'_>) {
        if self.state != State::Ended {
            self.end(&disconnect, turn);
            turn.effects.push(Effect::Close(disconnect));
        }
    }

    /// The connection is gone, or is about to be: leaves every channel and tells the application.
    pub fn end(&mut self, disconnect: &Disconnect, turn: &mut Turn<'_>) {
        let was_in = self.state == State::Connected;
        if self.state == State::Ended {
            return;
        }
        self.state = State::Ended;
        self.due = Tick::MAX;
        self.pong_due = 0;
        self.expire_due = 0;
        self.subscription_due = 0;
        if let Some(uplink) = self.extras.as_ref().and_then(|extras| extras.uplink) {
            turn.hub.close_uplink(uplink);
        }
        self.leave_document(turn);
        let why = (disconnect.code.into(), &*disconnect.reason);
        for subscription in std::mem::take(&mut self.subscriptions) {
            self.leave(&subscription, turn);
            if was_in {
                self.tell_unsubscribed(&subscription.name, why, turn);
            }
        }
        if was_in {
            turn.hub.depart(&self.who, turn.address);
            self.tell_disconnected(why, turn);
        }
    }

    /// The server or the application ends the session.
    pub fn disconnect(&mut self, disconnect: Disconnect, turn: &mut Turn<'_>) {
        self.close(disconnect, turn);
    }

    /// Counts one raw message.
    pub(crate) fn count(&mut self, turn: &Turn<'_>) {
        let _paused_by_hold = self.rate.count(turn.now.tick, turn.settings.message_rate);
    }
}

/// Queues a reply.
pub(crate) fn reply(turn: &mut Turn<'_>, id: u32, outcome: Result<Answer, ClientError>) {
    turn.effects.push(Effect::Reply(Reply { id, outcome }));
}

/// Close 3501 with what was wrong.
pub(crate) fn bad_request(what: &str) -> Disconnect {
    Disconnect { reason: format!("bad request: {what}").into(), ..Disconnect::BAD_REQUEST }
}

/// Error 107 with what was wrong.
pub(crate) fn bad(what: &str) -> ClientError {
    ClientError { message: format!("bad request: {what}").into(), ..ClientError::BAD_REQUEST }
}

//! A house with one worker, and clients whose every word is written down.

use std::sync::Arc;

use jackfield_hub::namespace::Permission;
use jackfield_hub::{
    Address, Encoder, EncodingId, Hub, Mail, Mailbox, Namespaces, Options, Outbox, SessionOrder, Shard, Wake,
};
use jackfield_model::app::{Answer, Event};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{Disconnect, Uuid};
use jackfield_session::wire::{self, Wires};
use jackfield_session::{
    Dialect, Effect, Endpoint, Feed, Framing, Hold, Ids, Keepalive, Now, Session, Settings, Tick, Turn, Verifier,
    Visitor,
};
use serde_json::Value;

pub(crate) const SECRET: &str = "a secret of the tests";
/// The moment at which every test begins.
pub(crate) const START: Now = Now { tick: 1, millis: 1_700_000_000_000 };

#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

pub(crate) const ANY: Permission = Permission { client: true, subscriber: false, anonymous: true };

/// Everything that has happened to a client and was not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Replies and pushes as the client reads them; `{}` is a ping.
    pub(crate) lines: Vec<String>,
    pub(crate) events: Vec<(Event, Option<u32>)>,
    pub(crate) closed: Option<Disconnect>,
}

pub(crate) struct House {
    pub(crate) hub: Hub,
    mailbox: Arc<Mailbox>,
    shard: Shard,
    outbox: Outbox,
    ids: Ids,
    pub(crate) settings: Settings,
    pub(crate) now: Now,
    clients: u32,
}

pub(crate) struct Client {
    pub(crate) session: Session,
    address: Address,
    heard: Heard,
}

impl House {
    pub(crate) fn new(settings: Settings, namespaces: Vec<(&str, Options)>) -> Self {
        let mailbox = Arc::new(Mailbox::new(Box::new(Nobody)));
        let mut all = Namespaces::default();
        for (name, options) in namespaces {
            if name.is_empty() {
                all.without = Some(Arc::new(options));
            } else {
                all.named.insert(name.to_owned(), Arc::new(options));
            }
        }
        Self {
            hub: Hub::new(all, vec![Arc::clone(&mailbox)], 300, 1),
            mailbox,
            shard: Shard::default(),
            outbox: Outbox::default(),
            ids: Ids::new(1),
            settings,
            now: START,
            clients: 0,
        }
    }

    /// Clients without a token are welcome, and a bare channel has all there is for anybody.
    pub(crate) fn open() -> Self {
        let all = Options {
            presence: true,
            join_leave: true,
            history_size: 10,
            history_ttl: 60_000,
            subscribe: ANY,
            publish: ANY,
            read_presence: ANY,
            read_history: ANY,
            ..Options::default()
        };
        Self::new(anonymous(), vec![("", all)])
    }

    pub(crate) fn visit(&mut self, endpoint: &Arc<Endpoint>, binding: Option<&str>) -> Client {
        self.visit_as(endpoint, |visitor| Visitor { channel: binding.map(Arc::from), ..visitor })
    }

    /// A visit by somebody of whom the socket tells more.
    pub(crate) fn visit_as(&mut self, endpoint: &Arc<Endpoint>, who: impl FnOnce(Visitor) -> Visitor) -> Client {
        self.clients += 1;
        let address = Address { worker: 0, slot: self.clients, generation: self.clients };
        self.outbox.open(address.slot);
        let id = Uuid::from_u128(u128::from(self.clients));
        let mut effects = Vec::new();
        let remote = "192.0.2.1:5000".parse().unwrap();
        let session = {
            let mut turn = turn(self, address, &mut effects);
            let visitor = Visitor { id, remote, channel: None, identity: None, uplink: None, headers: Vec::new() };
            Session::open(endpoint, who(visitor), &mut turn)
        };
        let mut client = Client { session, address, heard: Heard::default() };
        client.note(effects);
        client
    }

    /// A client of the Centrifugo dialect that has said nothing yet.
    pub(crate) fn guest(&mut self) -> Client {
        self.visit(&json(Keepalive::Messages), None)
    }

    /// A client that is in.
    pub(crate) fn member(&mut self) -> Client {
        let mut client = self.guest();
        client.say(self, r#"{"id":1,"connect":{}}"#);
        let heard = client.take();
        assert!(heard.lines[0].contains(r#""connect""#), "{heard:?}");
        client
    }

    /// A client with a name that is in; the house must have the secret.
    pub(crate) fn user(&mut self, user: &str) -> Client {
        let mut client = self.guest();
        let token = token(&serde_json::json!({"sub": user}));
        client.say(self, &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#));
        let heard = client.take();
        assert!(heard.lines[0].contains(r#""connect""#), "{heard:?}");
        client
    }

    /// Time goes by: what waited for its moment is delivered. Returns to how many.
    pub(crate) fn wait(&mut self, millis: u64) -> usize {
        self.now.millis += millis;
        self.shard.keep_time(self.now.millis, (&mut self.outbox, &Wires::default()))
    }

    /// Whether anything waits for its moment.
    pub(crate) fn waits(&self) -> bool {
        self.shard.next_due().is_some()
    }

    /// The orders that lie in the mailbox; other mail is thrown away.
    pub(crate) fn orders(&self) -> Vec<SessionOrder> {
        let mut mail = Vec::new();
        self.mailbox.take(&mut mail);
        let order = |letter| match letter {
            Mail::Order(_, order) => Some(SessionOrder::clone(&order)),
            _ => None,
        };
        mail.into_iter().filter_map(order).collect()
    }

    pub(crate) fn pass(&mut self, ticks: Tick) {
        self.now.tick += ticks;
        self.now.millis += u64::from(ticks) * 100;
    }
}

pub(crate) fn anonymous() -> Settings {
    Settings { version: "test", allow_anonymous_without_token: true, ..Settings::default() }
}

pub(crate) fn with_tokens() -> Settings {
    Settings { version: "test", verifier: Some(Verifier::hmac([SECRET])), ..Settings::default() }
}

pub(crate) fn token(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

pub(crate) fn json(keepalive: Keepalive) -> Arc<Endpoint> {
    let framing = if keepalive == Keepalive::MessagesUnanswered { Framing::Lines } else { Framing::WEBSOCKET };
    endpoint(Dialect::CentrifugoJson, framing, keepalive, None)
}

pub(crate) fn endpoint(dialect: Dialect, framing: Framing, keepalive: Keepalive, feed: Option<Feed>) -> Arc<Endpoint> {
    Arc::new(Endpoint { keepalive, feed, ..Endpoint::new("/door", dialect, framing) })
}

fn turn<'h>(house: &'h mut House, address: Address, effects: &'h mut Vec<Effect>) -> Turn<'h> {
    Turn {
        now: house.now,
        hub: &house.hub,
        shard: &mut house.shard,
        address,
        settings: &house.settings,
        ids: &mut house.ids,
        effects,
    }
}

impl Client {
    fn with(&mut self, house: &mut House, step: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let mut effects = Vec::new();
        step(&mut self.session, &mut turn(house, self.address, &mut effects));
        self.note(effects);
    }

    fn note(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            assert!(self.heard.closed.is_none() || matches!(effect, Effect::Event(..)), "after the end: {effect:?}");
            match effect {
                Effect::Close(disconnect) => self.heard.closed = Some(disconnect),
                Effect::Event(mut event, call) => {
                    // As the door of the queue does.
                    *self.session.last_number() += 1;
                    event.seq = *self.session.last_number();
                    self.heard.events.push((*event, call));
                }
                Effect::Push(push) => {
                    let line = Wires::default().encode(self.shown_in(), &push).unwrap();
                    self.heard.lines.push(self.shown(&line));
                }
                Effect::Ping => self.heard.lines.push("{}".to_owned()),
                Effect::Reply(reply) => {
                    let line = Wires::default().reply(self.shown_in(), &reply).unwrap();
                    self.heard.lines.push(self.shown(&line));
                }
            }
        }
    }

    /// How a test reads what the client is told: by lines, but where they would change its bytes.
    fn shown_in(&self) -> EncodingId {
        let dialect = self.session.endpoint().dialect;
        wire::encoding(dialect, if dialect == Dialect::Yjs { Framing::Varint } else { Framing::Lines })
    }

    fn shown(&self, frame: &[u8]) -> String {
        if self.session.endpoint().dialect == Dialect::Yjs {
            let last = frame.iter().position(|byte| *byte < 0x80).unwrap(); // of the length
            return hex(&frame[last + 1..]);
        }
        line_of(frame)
    }

    /// The client sends a frame.
    pub(crate) fn say(&mut self, house: &mut House, frame: &str) {
        self.with(house, |session, turn| session.receive(frame.as_bytes(), true, turn));
    }

    /// The client sends bytes.
    pub(crate) fn say_bytes(&mut self, house: &mut House, frame: &[u8]) {
        self.with(house, |session, turn| session.receive(frame, false, turn));
    }

    /// The client sends a frame and gets one reply.
    pub(crate) fn ask(&mut self, house: &mut House, frame: &str) -> String {
        self.say(house, frame);
        let heard = self.take();
        assert!(heard.lines.len() == 1 && heard.closed.is_none(), "{frame} got {heard:?}");
        heard.lines.into_iter().next().unwrap()
    }

    /// The client sends a frame and is thrown out.
    pub(crate) fn fall(&mut self, house: &mut House, frame: &str) -> Disconnect {
        self.say(house, frame);
        self.take().closed.unwrap_or_else(|| panic!("{frame} is suffered"))
    }

    /// A request brings what the client says.
    pub(crate) fn post(&mut self, house: &mut House, secret: Uuid, frame: &str) {
        self.with(house, |session, turn| session.receive_uplink(secret, frame.as_bytes(), turn));
    }

    pub(crate) fn answer(&mut self, house: &mut House, call: u32, answer: Answer) {
        self.with(house, |session, turn| session.resume(call, answer, turn));
    }

    pub(crate) fn obey(&mut self, house: &mut House, order: &SessionOrder) {
        self.with(house, |session, turn| session.obey(order, turn));
    }

    /// The mail that says that what it knows of a channel is void; the first channel of the house has number 1.
    pub(crate) fn lose(&mut self, house: &mut House, key: u64, unsubscribed: &Unsubscribed) {
        self.with(house, |session, turn| session.lose(key, unsubscribed, turn));
    }

    /// The one reply to a frame, read.
    pub(crate) fn read(&mut self, house: &mut House, frame: &Value) -> Value {
        serde_json::from_str(&self.ask(house, &frame.to_string())).unwrap()
    }

    /// Sends what makes the application be asked; the number of the question.
    pub(crate) fn provoke(&mut self, house: &mut House, frame: &str) -> (Event, u32) {
        self.say(house, frame);
        let heard = self.take();
        assert!(heard.lines.is_empty() && heard.closed.is_none(), "{frame} got {heard:?}");
        let (event, call) = heard.events.into_iter().next().unwrap();
        (event, call.unwrap())
    }

    pub(crate) fn time(&mut self, house: &mut House) {
        self.with(house, Session::on_time);
    }

    /// Lets time pass until the session wants to be called, and calls it.
    pub(crate) fn wait(&mut self, house: &mut House) -> Tick {
        let due = self.session.due();
        assert!(due != Tick::MAX && due >= house.now.tick, "due at {due}, it is {}", house.now.tick);
        house.pass(due - house.now.tick);
        self.time(house);
        due
    }

    /// As [`Self::wait`], for a client that does not take what it is sent as fast as it comes.
    pub(crate) fn wait_behind(&mut self, house: &mut House) {
        house.pass(self.session.due() - house.now.tick);
        self.with(house, |session, turn| {
            session.excuse(turn);
            session.on_time(turn);
        });
    }

    pub(crate) fn end(&mut self, house: &mut House) {
        self.with(house, |session, turn| session.end(&Disconnect::new(3000, "connection closed"), turn));
    }

    pub(crate) fn disconnect(&mut self, house: &mut House, disconnect: Disconnect) {
        self.with(house, |session, turn| session.disconnect(disconnect, turn));
    }

    pub(crate) fn hold(&self, house: &mut House) -> Hold {
        let mut effects = Vec::new();
        self.session.hold(&turn(house, self.address, &mut effects))
    }

    pub(crate) fn take(&mut self) -> Heard {
        std::mem::take(&mut self.heard)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.heard.closed.is_none()
    }
}

/// A line as text; as digits where it is none.
fn line_of(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => text.trim_end().to_owned(),
        _ => hex(line.strip_suffix(b"\n").unwrap_or(line)),
    }
}

/// Bytes for people.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Delivers all mail; what each slot hears, without the frame around it.
pub(crate) fn deliver(house: &mut House, to: &Client) -> Vec<String> {
    let mut mail = Vec::new();
    house.mailbox.take(&mut mail);
    for letter in mail {
        if let Mail::Channel { key, sequence, parcel } = letter {
            house.shard.deliver(key, sequence, &parcel, house.now.millis, (&mut house.outbox, &Wires::default()));
        }
    }
    let lane = house.outbox.take(to.address.slot);
    let frames = house.outbox.frames(lane).map(|frame| &frame.bytes);
    frames
        .map(|frame| {
            let body = match frame[0] {
                0x81 | 0x82 if frame[1] < 126 => &frame[2..],
                0x81 | 0x82 => &frame[4..],
                _ => &frame[..frame.len() - 1],
            };
            if to.session.endpoint().dialect == Dialect::Yjs { hex(body) } else { line_of(body) }
        })
        .collect()
}

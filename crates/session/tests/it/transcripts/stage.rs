//! The stage on which a transcript is played: one worker's world without sockets, under a time of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jackfield_hub::{Address, Encoder, Hub, Mail, Mailbox, Outbox, Shard, Wake, control};
use jackfield_model::app::EventKind;
use jackfield_model::client::Unsubscribed;
use jackfield_model::{Disconnect, Uuid};
use jackfield_session::wire::{self, Wires};
use jackfield_session::{Dialect, Effect, Endpoint, Framing, Ids, Now, Session, Settings, Tick, Turn, Visitor};
use serde_json::{Value, json};

use super::bag::duration;
use super::book::{Act, Step, Transcript};
use super::schema::Messages;
use super::{application, config};
use crate::client::{START, token};

/// What the clients of a transcript speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Words {
    Json,
    Protobuf,
}

#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// A client.
struct Actor {
    name: String,
    endpoint: Arc<Endpoint>,
    session: Session,
    address: Address,
    /// Questions to the application that it waits for.
    calls: VecDeque<(u32, EventKind)>,
    is_out: bool,
}

pub(super) struct Stage<'t> {
    transcript: &'t Transcript,
    words: Words,
    messages: &'t Messages,
    hub: Hub,
    mailbox: Arc<Mailbox>,
    shard: Shard,
    outbox: Outbox,
    wires: Wires,
    ids: Ids,
    settings: Settings,
    now: Now,
    actors: Vec<Actor>,
    /// Epochs are random; a transcript calls them `e1`, `e2` as they come.
    epochs: Vec<String>,
    heard: Vec<Step>,
}

/// Plays a transcript; each of its own steps, followed by what was heard.
pub(super) fn play(transcript: &Transcript, words: Words, messages: &Messages) -> Vec<Step> {
    let mut stage = Stage::new(transcript, words, messages);
    let mut steps = Vec::new();
    for step in transcript.steps.iter().filter(|step| !step.act.is_heard()) {
        stage.perform(step);
        steps.push(step.clone());
        steps.append(&mut stage.heard);
    }
    steps
}

impl<'t> Stage<'t> {
    fn new(transcript: &'t Transcript, words: Words, messages: &'t Messages) -> Self {
        let (settings, namespaces) = config::read(&transcript.config);
        let mailbox = Arc::new(Mailbox::new(Box::new(Nobody)));
        let hub = Hub::new(namespaces, vec![Arc::clone(&mailbox)], 300, 1);
        let mut stage = Self {
            transcript,
            words,
            messages,
            hub,
            mailbox,
            shard: Shard::default(),
            outbox: Outbox::default(),
            wires: Wires::default(),
            ids: Ids::new(1),
            settings,
            now: START,
            actors: Vec::new(),
            epochs: Vec::new(),
            heard: Vec::new(),
        };
        for (name, claims) in &transcript.here {
            let token = if *claims == json!({}) { String::new() } else { sign(claims) };
            let hello = json!({"id": 1, "connect": {"token": token}}).to_string();
            stage.perform(&Step { act: Act::In(hello), who: name.clone() });
            let welcome = std::mem::take(&mut stage.heard);
            let is_in = |step: &Step| format!("{:?}", step.act).contains("connect");
            assert!(welcome.iter().any(is_in), "{}: {name} is not let in: {welcome:?}", transcript.title);
        }
        stage
    }

    fn perform(&mut self, step: &Step) {
        match &step.act {
            Act::Answer(answer) => self.answer(&step.who, answer),
            Act::App(value) => {
                let mut text = value.to_string();
                self.name_epochs(&mut text);
                let command = application::command(&serde_json::from_str(&text).unwrap());
                let title = self.transcript.title.clone();
                let done = move |outcome: Result<_, _>| assert!(outcome.is_ok(), "{title}: {outcome:?}");
                control::apply(&self.hub, &command, self.now.millis, Box::new(done));
            }
            Act::Comes => drop(self.actor(&step.who)),
            Act::Gone => self.with(&step.who, |session, turn| {
                session.end(&Disconnect::new(3000, "connection closed"), turn);
            }),
            Act::In(frame) => self.receive(&step.who, frame),
            Act::Lost(channel, code) => {
                let what = [Unsubscribed::INSUFFICIENT_STATE, Unsubscribed::STATE_INVALIDATED];
                let why = what.into_iter().find(|why| u64::from(why.code) == *code).unwrap();
                self.hub.invalidate_state(channel, &why).unwrap();
            }
            Act::Shutdown => self.hub.shut_down(&Disconnect::SHUTDOWN),
            Act::Wait(time) => return self.wait(time.as_deref()),
            Act::Asked(_) | Act::Close(..) | Act::Out(_) | Act::Told(_) => unreachable!("the server's part"),
        }
        self.settle();
    }

    fn actor(&mut self, name: &str) -> usize {
        if let Some(at) = self.actors.iter().position(|actor| actor.name == name) {
            return at;
        }
        let number = u32::try_from(self.actors.len()).unwrap() + 1;
        let address = Address { worker: 0, slot: number, generation: number };
        self.outbox.open(number);
        let door = self.transcript.doors.iter().find(|(known, _)| known == name).and_then(|(_, door)| door.as_str());
        let dialect = match self.words {
            Words::Json => Dialect::CentrifugoJson,
            Words::Protobuf => Dialect::CentrifugoProtobuf,
        };
        let endpoint = Arc::new(match door {
            None => Endpoint::new("/connection/websocket", dialect, Framing::WEBSOCKET),
            Some("http_stream") => Endpoint::new("/connection/http_stream", dialect, Framing::Stream),
            Some("uni_http_stream") => {
                Endpoint::new("/connection/uni_http_stream", Dialect::CentrifugoUniJson, Framing::Stream)
            }
            Some(other) => panic!("no door is called {other:?}"),
        });
        let id = |of: u128| Uuid::from_u128(0x5e55_0000_0000_4000_8000_0000_0000_0000 + of);
        let visitor = Visitor {
            id: id(number.into()),
            remote: "192.0.2.1:5000".parse().unwrap(),
            channel: None,
            identity: None,
            uplink: endpoint.is_emulated().then(|| id(u128::from(number) + 0x100)),
            headers: Vec::new(),
        };
        let mut effects = Vec::new();
        let session = {
            let mut turn = self.turn(address, &mut effects);
            Session::open(&endpoint, visitor, &mut turn)
        };
        assert!(effects.is_empty());
        let name = name.to_owned();
        self.actors.push(Actor { name, endpoint, session, address, calls: VecDeque::new(), is_out: false });
        self.actors.len() - 1
    }

    fn turn<'s>(&'s mut self, address: Address, effects: &'s mut Vec<Effect>) -> Turn<'s> {
        Turn {
            now: self.now,
            hub: &self.hub,
            shard: &mut self.shard,
            address,
            settings: &self.settings,
            ids: &mut self.ids,
            effects,
        }
    }

    fn with(&mut self, name: &str, step: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let at = self.actor(name);
        self.with_actor(at, step);
    }

    fn with_actor(&mut self, at: usize, step: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let mut actor = self.actors.swap_remove(at);
        let mut effects = Vec::new();
        step(&mut actor.session, &mut self.turn(actor.address, &mut effects));
        for (channel, slot) in self.shard.take_left() {
            self.outbox.forget(slot, channel);
        }
        for effect in effects {
            self.carry_out(&mut actor, effect);
        }
        self.actors.push(actor);
        let last = self.actors.len() - 1;
        self.actors.swap(at, last);
    }

    /// As a worker does it.
    fn carry_out(&mut self, actor: &mut Actor, effect: Effect) {
        let encoding = actor.endpoint.encoding();
        let slot = actor.address.slot;
        let frame = match effect {
            Effect::Reply(reply) => self.wires.reply(encoding, &reply),
            Effect::Push(push) => self.wires.encode(encoding, &push),
            Effect::Ping => wire::ping(&actor.endpoint),
            Effect::Close(disconnect) => return self.close(actor, &disconnect),
            Effect::Event(event, call) => {
                if let Some(call) = call {
                    actor.calls.push_back((call, event.kind));
                }
                self.flush(actor);
                let shown = application::shown(&event);
                let act = if event.deadline.is_some() { Act::Asked(shown) } else { Act::Told(shown) };
                return self.hear(&actor.name, act);
            }
        };
        if let Some(frame) = frame {
            self.outbox.send(slot, frame);
        }
    }

    /// The last words: a Close frame, or a push where there are no codes.
    fn close(&mut self, actor: &mut Actor, disconnect: &Disconnect) {
        self.flush(actor);
        let words = self.wires.close(&actor.endpoint, disconnect).expect("this dialect has last words");
        let told = if matches!(actor.endpoint.framing, Framing::WebSocket(_)) {
            let (code, reason) = body(&words, actor.endpoint.framing, actor.endpoint.dialect).split_at(2);
            let reason = String::from_utf8(reason.to_vec()).unwrap();
            assert_eq!(reason, disconnect.reason, "a Close frame has room for 123 bytes");
            Act::Close(u16::from_be_bytes([code[0], code[1]]), reason)
        } else {
            self.outbox.send(actor.address.slot, words);
            self.flush(actor);
            Act::Close(disconnect.code, disconnect.reason.to_string())
        };
        actor.is_out = true;
        self.hear(&actor.name, told);
    }

    fn hear(&mut self, name: &str, act: Act) {
        self.heard.push(Step { act, who: name.to_owned() });
    }

    /// Writes what lies in a client's lane.
    fn flush(&mut self, actor: &Actor) {
        let lane = self.outbox.take(actor.address.slot);
        let frames: Vec<Bytes> = self.outbox.frames(lane).map(|frame| frame.bytes.clone()).collect();
        for frame in frames {
            assert!(!actor.is_out, "{}: {} hears something after its end", self.transcript.title, actor.name);
            let body = body(&frame, actor.endpoint.framing, actor.endpoint.dialect);
            let value = match actor.endpoint.dialect {
                Dialect::CentrifugoProtobuf => self.messages.read_framed("Reply", body),
                _ => Value::String(String::from_utf8(body.to_vec()).unwrap()),
            };
            let value = self.rename_epochs(value);
            self.hear(&actor.name, Act::Out(value));
        }
    }

    /// Takes all mail until there is none, then writes.
    fn settle(&mut self) {
        loop {
            let mut mail = Vec::new();
            self.mailbox.take(&mut mail);
            if mail.is_empty() {
                break;
            }
            for letter in mail {
                self.read_mail(letter);
            }
        }
        for at in 0..self.actors.len() {
            let actor = self.actors.swap_remove(at);
            self.flush(&actor);
            self.actors.push(actor);
            let last = self.actors.len() - 1;
            self.actors.swap(at, last);
        }
        self.outbox.finish();
    }

    fn read_mail(&mut self, letter: Mail) {
        match letter {
            Mail::Channel { key, sequence, parcel } => {
                let out = (&mut self.outbox, &self.wires as &dyn Encoder);
                self.shard.deliver(key, sequence, &parcel, self.now.millis, out);
            }
            Mail::Direct(address, parcel) => {
                let actor = self.actors.iter().find(|actor| actor.address == address).unwrap();
                if let Some(frame) = parcel.frame(actor.endpoint.encoding(), &self.wires) {
                    self.outbox.send(address.slot, frame.clone());
                }
            }
            Mail::Order(address, order) => self.at(address.slot, |session, turn| session.obey(&order, turn)),
            Mail::OrderAll(order) => self.everybody(|session, turn| session.obey(&order, turn)),
            Mail::Lost { key, unsubscribed } => {
                for slot in self.shard.slots(key) {
                    self.at(slot, |session, turn| session.lose(key, &unsubscribed, turn));
                }
            }
            Mail::Resume(address, call, answer) => {
                self.at(address.slot, |session, turn| session.resume(call, *answer, turn));
            }
            Mail::Shutdown(disconnect) => {
                self.everybody(|session, turn| session.disconnect(disconnect.clone(), turn));
            }
            Mail::Uplink(..) => unreachable!("nobody posts to an uplink here"),
        }
    }

    fn at(&mut self, slot: u32, step: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        if let Some(at) = self.actors.iter().position(|actor| actor.address.slot == slot) {
            self.with_actor(at, step);
        }
    }

    fn everybody(&mut self, step: impl Fn(&mut Session, &mut Turn<'_>)) {
        for at in 0..self.actors.len() {
            self.with_actor(at, &step);
        }
    }

    fn receive(&mut self, name: &str, frame: &str) {
        let mut frame = frame.to_owned();
        for (token, claims) in &self.transcript.tokens {
            frame = frame.replace(&format!("<{token}>"), &sign(claims));
        }
        self.name_epochs(&mut frame);
        let bytes = match self.words {
            Words::Json => frame.into_bytes(),
            Words::Protobuf => self.messages.write_frame(&frame),
        };
        self.with(name, |session, turn| session.receive(&bytes, true, turn));
    }

    fn answer(&mut self, name: &str, answer: &Value) {
        let at = self.actor(name);
        let (call, kind) = self.actors[at].calls.pop_front().expect("the application was asked");
        let answer = application::answer(kind, answer);
        self.with_actor(at, |session, turn| session.resume(call, answer, turn));
    }

    fn wait(&mut self, time: Option<&str>) {
        let end = time.map(|time| self.now.millis + duration(time));
        while let Some(next) = self.next_moment().filter(|next| end.is_none_or(|end| *next <= end)) {
            self.keep_time(next);
            if end.is_none() && !self.heard.is_empty() {
                return;
            }
        }
        self.keep_time(end.expect("nothing will ever be heard"));
    }

    /// The next moment at which something is due.
    fn next_moment(&self) -> Option<u64> {
        let ticks = self.actors.iter().map(|actor| actor.session.due()).filter(|due| *due != Tick::MAX);
        let millis = |due: Tick| self.now.millis + u64::from(due.saturating_sub(self.now.tick)) * 100;
        ticks.map(millis).chain(self.shard.next_due()).min()
    }

    fn keep_time(&mut self, millis: u64) {
        self.now.tick += u32::try_from((millis - self.now.millis) / 100).unwrap();
        self.now.millis = millis;
        self.hub.expire_values(millis);
        self.shard.keep_time(millis, (&mut self.outbox, &self.wires as &dyn Encoder));
        for at in 0..self.actors.len() {
            if self.actors[at].session.due() <= self.now.tick {
                self.with_actor(at, Session::on_time);
            }
        }
        self.settle();
    }

    /// Puts the real epochs into what a client or the application says.
    fn name_epochs(&self, text: &mut String) {
        for (nth, epoch) in self.epochs.iter().enumerate() {
            *text = text.replace(&format!("\"epoch\":\"e{}\"", nth + 1), &format!("\"epoch\":\"{epoch}\""));
        }
    }

    /// Calls the epochs in what is heard by their names.
    fn rename_epochs(&mut self, value: Value) -> Value {
        let is_text = value.is_string();
        let mut text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for part in text.split("\"epoch\":\"").skip(1) {
            let epoch = part.split('"').next().unwrap_or_default().to_owned();
            if !epoch.is_empty() && !self.epochs.contains(&epoch) {
                self.epochs.push(epoch);
            }
        }
        for (nth, epoch) in self.epochs.iter().enumerate() {
            text = text.replace(&format!("\"epoch\":\"{epoch}\""), &format!("\"epoch\":\"e{}\"", nth + 1));
        }
        if is_text { Value::String(text) } else { serde_json::from_str(&text).unwrap() }
    }
}

/// Signs claims; `_secret` is another key than the server's, `_kid` names one that it does not have.
fn sign(claims: &Value) -> String {
    let mut claims = claims.clone();
    let map = claims.as_object_mut().unwrap();
    if let Some(kid) = map.remove("_kid") {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "ES256", "kid": kid});
        return format!("{}.{}.{}", part(&header), part(&claims), part(&json!("by nobody here")));
    }
    let Some(secret) = map.remove("_secret") else { return token(&claims) };
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_str().unwrap().as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// What a frame carries.
fn body(frame: &[u8], framing: Framing, dialect: Dialect) -> &[u8] {
    match framing {
        Framing::WebSocket(_) => match frame[1] {
            126 => &frame[4..],
            127 => &frame[10..],
            _ => &frame[2..],
        },
        // Lines end in a newline.
        _ if dialect != Dialect::CentrifugoProtobuf => &frame[..frame.len() - 1],
        _ => frame,
    }
}

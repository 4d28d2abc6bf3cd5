//! One life of a node without threads and sockets: a hub, and workers as they are but for the sockets, which are lines of
//! bytes with little room. What a socket refuses goes into the worker's own backlog.

use std::collections::VecDeque;
use std::sync::Arc;

use jackfield_hub::{Address, Encoder, Hub, Mail, Mailbox, Namespaces, Outbox, Shard, Wake};
use jackfield_model::client::Push;
use jackfield_model::{ClientId, Disconnect, Uuid};
use jackfield_session::wire::Wires;
use jackfield_session::{Dialect, Effect, Endpoint, Framing, Ids, Keepalive, Now, Session, Settings, Turn, Visitor};

use super::channels::CAP;
use super::frames::Carrier;
use crate::backlog::Backlog;

/// Bytes that may wait for a connection.
pub(super) const BACKLOG: usize = 2_500;
const GONE: Disconnect = Disconnect::new(3000, "connection closed");

/// Wakes nobody: the schedule says who looks when.
#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// What a worker has done to a connection that the model must know of.
#[derive(Debug)]
pub(super) enum Note {
    /// Its session is over.
    Ended(ClientId),
    /// It was taken out of a channel.
    Lost(ClientId, Arc<str>),
    /// Its socket is full.
    Blocked(ClientId),
}

/// A connection as its worker has it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: ClientId,
    session: Session,
    address: Address,
    backlog: Option<Box<Backlog>>,
    is_closing: bool,
    /// Everything is out, the last words too.
    pub(super) is_shut: bool,
    /// What the socket has taken and the client has not read.
    pub(super) line: VecDeque<u8>,
    /// How much of that there may be.
    room: usize,
}

/// Where a connection is.
pub(super) type Place = (usize, usize);

#[derive(Debug)]
struct Worker {
    shard: Shard,
    outbox: Outbox,
    ids: Ids,
    wires: Wires,
    mail: VecDeque<Mail>,
    links: Vec<Option<Link>>,
}

/// The node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) hub: Hub,
    boxes: Vec<Arc<Mailbox>>,
    workers: Vec<Worker>,
    settings: Settings,
    doors: [Arc<Endpoint>; 2],
    generation: u32,
    pub(super) now: Now,
    pub(super) notes: Vec<Note>,
}

/// What is known of who comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    pub(super) id: ClientId,
    pub(super) user: &'static str,
    pub(super) carrier: Carrier,
    pub(super) room: usize,
}

impl Node {
    pub(super) fn new(namespaces: Namespaces, workers: usize, (seed, now): (u64, Now)) -> Self {
        let boxes: Vec<_> = (0..workers).map(|_| Arc::new(Mailbox::new(Box::new(Nobody)))).collect();
        let mut hub = Hub::new(namespaces, boxes.clone(), CAP.count, seed);
        hub.set_recovery_cap(CAP);
        let worker = |nth| Worker {
            shard: Shard::default(),
            outbox: Outbox::default(),
            ids: Ids::new(seed ^ nth as u64),
            wires: Wires::default(),
            mail: VecDeque::new(),
            links: Vec::new(),
        };
        let door = |framing| {
            let endpoint = Endpoint::new("/door", Dialect::CentrifugoJson, framing);
            Arc::new(Endpoint { keepalive: Keepalive::Messages, user_from_certificate: true, ..endpoint })
        };
        let settings = Settings {
            version: "sim",
            allow_anonymous_without_token: true,
            ping_interval: 0,
            message_rate: 0,
            calls_in_flight: 1_000,
            ..Settings::default()
        };
        Self {
            hub,
            boxes,
            workers: (0..workers).map(worker).collect(),
            settings,
            doors: [door(Framing::Lines), door(Framing::WEBSOCKET)],
            generation: 0,
            now,
            notes: Vec::new(),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let of = |(nth, worker): (usize, &Worker)| {
            let slots = worker.links.iter().enumerate().filter(|(_, link)| link.is_some());
            slots.map(|(slot, _)| (nth, slot)).collect::<Vec<_>>()
        };
        self.workers.iter().enumerate().flat_map(of).collect()
    }

    pub(super) fn link(&mut self, (nth, slot): Place) -> Option<&mut Link> {
        self.workers[nth].links.get_mut(slot)?.as_mut()
    }

    /// Somebody comes.
    pub(super) fn accept(&mut self, nth: usize, guest: Guest) -> Place {
        let worker = &mut self.workers[nth];
        // The last slot that was given up is the first that is taken again, as in a slab.
        let slot = worker.links.iter().rposition(Option::is_none).unwrap_or_else(|| {
            worker.links.push(None);
            worker.links.len() - 1
        });
        self.generation += 1;
        let address = Address { worker: nth as u16, slot: slot as u32, generation: self.generation };
        worker.outbox.open(address.slot);
        let identity = (!guest.user.is_empty()).then(|| Arc::from(guest.user));
        let remote = std::net::SocketAddr::from(([192, 0, 2, 1], 5000));
        let visitor = Visitor { id: guest.id, remote, channel: None, identity, uplink: None, headers: Vec::new() };
        let door = &self.doors[usize::from(guest.carrier == Carrier::WebSocket)];
        let mut turn = Turn {
            now: self.now,
            hub: &self.hub,
            shard: &mut worker.shard,
            address,
            settings: &self.settings,
            ids: &mut worker.ids,
            effects: &mut Vec::new(),
        };
        let session = Session::open(door, visitor, &mut turn);
        worker.links[slot] = Some(Link {
            id: guest.id,
            session,
            address,
            backlog: None,
            is_closing: false,
            is_shut: false,
            line: VecDeque::new(),
            room: guest.room,
        });
        (nth, slot)
    }

    /// Lets a session do something, and does what it left.
    fn with(&mut self, (nth, slot): Place, step: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let worker = &mut self.workers[nth];
        let Some(link) = worker.links.get_mut(slot).and_then(Option::as_mut).filter(|link| !link.is_closing) else {
            return;
        };
        let mut effects = Vec::new();
        let mut turn = Turn {
            now: self.now,
            hub: &self.hub,
            shard: &mut worker.shard,
            address: link.address,
            settings: &self.settings,
            ids: &mut worker.ids,
            effects: &mut effects,
        };
        step(&mut link.session, &mut turn);
        for (channel, left) in worker.shard.take_left() {
            worker.outbox.forget(left, channel);
            if let Some(backlog) = link.backlog.as_mut().filter(|_| left as usize == slot) {
                backlog.forget(channel);
            }
        }
        let encoding = link.session.encoding();
        for effect in effects {
            let frame = match effect {
                Effect::Reply(reply) => worker.wires.reply(encoding, &reply),
                Effect::Push(push) => {
                    if let Push::Unsubscribe(channel, _) = &push {
                        self.notes.push(Note::Lost(link.id, Arc::clone(channel)));
                    }
                    worker.wires.encode(encoding, &push)
                }
                Effect::Close(disconnect) => {
                    self.notes.push(Note::Ended(link.id));
                    if let Some(backlog) = &mut link.backlog {
                        if disconnect.code == Disconnect::SLOW.code {
                            backlog.cut_short();
                        }
                        backlog.close();
                    }
                    link.is_closing = true;
                    worker.wires.close(link.session.endpoint(), &disconnect)
                }
                Effect::Ping | Effect::Event(..) => None,
            };
            worker.outbox.send(slot as u32, frame.unwrap_or_default());
        }
    }

    /// A client says something.
    pub(super) fn say(&mut self, place: Place, frame: &str) {
        self.with(place, |session, turn| session.receive(frame.as_bytes(), true, turn));
    }

    /// The node finds out that a client is gone.
    pub(super) fn part(&mut self, (nth, slot): Place) {
        let worker = &mut self.workers[nth];
        let Some(mut link) = worker.links.get_mut(slot).and_then(Option::take) else { return };
        let mut turn = Turn {
            now: self.now,
            hub: &self.hub,
            shard: &mut worker.shard,
            address: link.address,
            settings: &self.settings,
            ids: &mut worker.ids,
            effects: &mut Vec::new(),
        };
        link.session.end(&GONE, &mut turn);
        for (channel, left) in worker.shard.take_left() {
            worker.outbox.forget(left, channel);
        }
        if !link.is_closing {
            self.notes.push(Note::Ended(link.id));
        }
        worker.outbox.open(slot as u32);
    }

    /// A worker takes its mail.
    pub(super) fn take_mail(&mut self, nth: usize) {
        let mut mail = Vec::new();
        self.boxes[nth].take(&mut mail);
        self.workers[nth].mail.extend(mail);
    }

    /// A worker gets some way through its mail.
    pub(super) fn work(&mut self, nth: usize, portion: usize) {
        for _ in 0..portion {
            let Some(letter) = self.workers[nth].mail.pop_front() else { return };
            self.deliver(nth, letter);
        }
    }

    fn deliver(&mut self, nth: usize, letter: Mail) {
        let worker = &mut self.workers[nth];
        match letter {
            Mail::Channel { key, sequence, parcel } => {
                let out = (&mut worker.outbox, &worker.wires as &dyn Encoder);
                worker.shard.deliver(key, sequence, &parcel, self.now.millis, out);
            }
            Mail::Resume(address, call, answer) => {
                let place = (nth, address.slot as usize);
                if self.link(place).is_some_and(|link| link.address == address) {
                    self.with(place, |session, turn| session.resume(call, *answer, turn));
                }
            }
            Mail::Lost { key, unsubscribed } => {
                for slot in self.workers[nth].shard.slots(key) {
                    self.with((nth, slot as usize), |session, turn| session.lose(key, &unsubscribed, turn));
                }
            }
            other => panic!("mail that nobody wrote: {other:?}"),
        }
    }

    /// What waits for its moment goes out.
    pub(super) fn keep_time(&mut self, nth: usize) {
        let Worker { shard, outbox, wires, .. } = &mut self.workers[nth];
        shard.keep_time(self.now.millis, (outbox, wires));
    }

    /// A worker writes for some of those who have something to be told.
    pub(super) fn flush(&mut self, nth: usize, portion: usize) {
        for _ in 0..portion {
            let Some(slot) = self.workers[nth].outbox.next_dirty() else { break };
            self.write((nth, slot as usize));
        }
        let outbox = &mut self.workers[nth].outbox;
        if !outbox.is_dirty() {
            outbox.finish();
        }
    }

    fn write(&mut self, place: Place) {
        let (nth, slot) = place;
        let now = self.now.millis as u32;
        let Worker { outbox, links, .. } = &mut self.workers[nth];
        let lane = outbox.take(slot as u32);
        let Some(link) = links.get_mut(slot).and_then(Option::as_mut) else { return };
        if let Some(backlog) = &mut link.backlog {
            backlog.extend(outbox.frames(lane), 0, now);
            return self.watch(place);
        }
        let mut written = 0;
        let mut is_all = true;
        for frame in outbox.frames(lane) {
            let sent = link.send(&frame.bytes);
            written += sent;
            is_all &= sent == frame.bytes.len();
            if !is_all {
                break;
            }
        }
        if is_all {
            link.is_shut = link.is_closing;
            return;
        }
        let mut backlog = Backlog::new(self.now.tick, now);
        if link.is_closing {
            backlog.close();
        }
        backlog.extend(outbox.frames(lane), written, now);
        link.backlog = Some(Box::new(backlog));
        outbox.block(slot as u32);
        self.notes.push(Note::Blocked(link.id));
        self.watch(place);
    }

    /// Ends a connection whose backlog is too long, unless something in it may give way.
    fn watch(&mut self, place: Place) {
        let Some(backlog) = self.link(place).and_then(|link| link.backlog.as_mut()) else { return };
        backlog.give_way(BACKLOG);
        if backlog.bytes() > BACKLOG {
            self.with(place, |session, turn| session.disconnect(Disconnect::SLOW, turn));
        }
    }

    /// A socket takes bytes again.
    pub(super) fn unblock(&mut self, place: Place) {
        let (nth, slot) = place;
        let now = self.now.millis as u32;
        let Worker { outbox, links, .. } = &mut self.workers[nth];
        let Some(link) = links.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(mut backlog) = link.backlog.take() else { return };
        let mut cork = Vec::new();
        while !backlog.is_empty() {
            backlog.fill(&mut cork, 4096);
            let sent = link.send(&cork);
            backlog.advance(sent, now);
            if sent < cork.len() {
                link.backlog = Some(backlog);
                return;
            }
        }
        outbox.unblock(slot as u32);
        link.is_shut = link.is_closing;
    }
}

impl Link {
    /// What the socket takes of some bytes.
    fn send(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room.saturating_sub(self.line.len()));
        self.line.extend(&bytes[..taken]);
        taken
    }

    /// Its session is over; what is left to be said is being said.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Its socket has more room from now on.
    pub(super) fn widen(&mut self) {
        self.room = usize::MAX;
    }
}

/// The id of the nth connection.
pub(super) fn id(nth: u64) -> ClientId {
    Uuid::from_u128(u128::from(nth))
}

//! A node without threads and sockets: a hub, the shards and outboxes of its workers, and clients that read.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::{
    Address, Encoder, EncodingId, Hub, Joined, Mail, Mailbox, Membership, Namespaces, Options, Outbox, Publishing,
    Receipt, Seat, SessionOrder, Shard, Since, SubscribeError,
};
use jackfield_model::app::{Ejection, Target};
use jackfield_model::client::Push;
use jackfield_model::{ClientId, ClientInfo, Disconnect, Millis, Payload, Position, Uuid};

use crate::mailboxes;
use crate::model::{Channel, Heard};

const HISTORY: (usize, Millis) = (20, 500);
/// Publications that may be read at once.
const CAP: usize = 15;
const USERS: u64 = 6;
/// Frames that are no channel's.
const DIRECT: u8 = u8::MAX;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Writes a push as: encoding, channel, kind, two numbers.
#[derive(Debug, Default)]
struct Letters {
    /// Each parcel may be encoded once per encoding, however many workers and subscribers it has.
    encoded: Cell<u64>,
}

fn frame(encoding: EncodingId, channel: u8, kind: u8, numbers: (u64, u64)) -> Bytes {
    let mut out = Vec::with_capacity(19);
    out.extend_from_slice(&[encoding.0, channel, kind]);
    out.extend_from_slice(&numbers.0.to_le_bytes());
    out.extend_from_slice(&numbers.1.to_le_bytes());
    out.into()
}

fn serial(payload: &Payload) -> u64 {
    u64::from_le_bytes(payload.bytes[..].try_into().unwrap())
}

impl Encoder for Letters {
    fn encode(&self, encoding: EncodingId, push: &Push) -> Option<Bytes> {
        self.encoded.set(self.encoded.get() + 1);
        // The last character of a channel's name is its place in the list.
        let place = |name: &str| name.as_bytes()[name.len() - 1] - b'0';
        Some(match push {
            Push::Publication(name, publication) | Push::Delta(name, publication, _) => {
                frame(encoding, place(name), b'p', (serial(&publication.data), publication.offset))
            }
            Push::Join(name, info) => frame(encoding, place(name), b'j', (info.client.as_u128() as u64, 0)),
            Push::Leave(name, info) => frame(encoding, place(name), b'l', (info.client.as_u128() as u64, 0)),
            Push::Message(data) => frame(encoding, DIRECT, b'm', (serial(data), 0)),
            _ => return None,
        })
    }
}

#[derive(Debug)]
struct Client {
    info: Arc<ClientInfo>,
    address: Address,
    encoding: EncodingId,
    joined: Vec<(u8, Joined)>,
    /// Serials of messages outside of channels.
    messages: VecDeque<u64>,
    ejected: bool,
}

#[derive(Debug, Default)]
struct Worker {
    shard: Shard,
    outbox: Outbox,
    taken: VecDeque<Mail>,
    /// Clients by slot.
    slots: Vec<Option<Client>>,
}

/// The node, and what must come of it.
#[derive(Debug)]
pub(crate) struct World {
    hub: Hub,
    boxes: Vec<Arc<Mailbox>>,
    workers: Vec<Worker>,
    letters: Letters,
    channels: Vec<Channel>,
    now: Millis,
    serials: u64,
    clients: u64,
    parcels: u64,
    /// Clients per worker.
    crowd: usize,
    pub(crate) dice: Dice,
    pub(crate) heard: u64,
    /// Publications that were recovered, and clients that stayed out because theirs were not.
    pub(crate) recoveries: (u64, u64),
}

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

impl World {
    pub(crate) fn new(workers: usize, seed: u64) -> Self {
        let kept = || Options { history_size: HISTORY.0, history_ttl: HISTORY.1, ..Options::default() };
        let seen = Options { presence: true, join_leave: true, ..Options::default() };
        let both = Options { presence: true, join_leave: true, ..kept() };
        let named = [("kept", kept()), ("seen", seen), ("both", both)];
        let namespaces = Namespaces {
            named: named.into_iter().map(|(name, options)| (name.to_owned(), Arc::new(options))).collect(),
            ..Namespaces::default()
        };
        let boxes = mailboxes(workers);
        Self {
            hub: Hub::new(namespaces, boxes.clone(), CAP, seed),
            boxes,
            workers: (0..workers).map(|_| Worker::default()).collect(),
            letters: Letters::default(),
            channels: vec![
                Channel::new("0", None, false, false),
                Channel::new("kept:1", Some(HISTORY), false, false),
                Channel::new("seen:2", None, true, true),
                Channel::new("both:3", Some(HISTORY), true, true),
                Channel::new("4", None, false, false),
                Channel::new("kept:5", Some(HISTORY), false, false),
            ],
            now: 1_000_000,
            serials: 0,
            clients: 0,
            parcels: 0,
            // Few clients make many kinds of schedules in little time; a crowd makes long lists of subscribers.
            crowd: if seed.is_multiple_of(16) { 60 } else { 4 },
            dice: Dice(seed),
            heard: 0,
            recoveries: (0, 0),
        }
    }

    /// One step of the schedule.
    pub(crate) fn step(&mut self) -> Checked {
        match self.dice.below(100) {
            0..30 => self.publish(),
            30..55 => self.deliver(),
            55..75 => self.flush(),
            75..83 => self.subscribe(),
            83..89 => self.unsubscribe(),
            89..91 => self.arrive(),
            91 => self.depart(),
            92 => self.send(),
            93 => self.eject(),
            94..96 => self.check_presence(),
            96..98 => self.check_history(),
            98 => {
                self.now += self.dice.below(100);
                Ok(())
            }
            _ => {
                let round = self.dice.below(64) as usize;
                self.hub.sweep(round, self.now);
                Ok(())
            }
        }
    }

    fn publish(&mut self) -> Checked {
        let place = self.dice.below(self.channels.len() as u64) as usize;
        let skip_history = self.dice.below(8) == 0;
        let channel = &mut self.channels[place];
        self.serials += 1;
        let data = Payload { bytes: Bytes::copy_from_slice(&self.serials.to_le_bytes()), ..Payload::default() };
        let publishing = Publishing { data, skip_history, ..Publishing::default() };
        let published = self.hub.publish(&channel.name, publishing, None, self.now);
        let Receipt::Ready(published) = published.map_err(|error| format!("{error:?}"))? else {
            return Err("a publication that waits for no log".to_owned());
        };
        let keeps = channel.history.is_some() && !skip_history;
        let offset = if keeps { channel.keep(self.now, self.serials) } else { 0 };
        channel.happens(Heard::Publication(self.serials, offset));
        self.parcels += 1;
        ensure(published.position.as_ref().map(|position| position.offset) == keeps.then_some(offset), || {
            format!("published at {published:?} where {offset} was due")
        })?;
        if let Some(position) = published.position {
            let epoch = channel.epoch.get_or_insert_with(|| Arc::clone(&position.epoch));
            ensure(*epoch == position.epoch, || format!("epoch {epoch} became {}", position.epoch))?;
        }
        Ok(())
    }

    /// A worker takes its mail, and gets some way through it.
    fn deliver(&mut self) -> Checked {
        let nth = self.dice.below(self.workers.len() as u64) as usize;
        if self.dice.below(2) == 0 {
            self.take(nth);
        }
        let portion = 1 + self.dice.below(24) as usize;
        self.work(nth, portion)
    }

    fn take(&mut self, nth: usize) {
        let mut mail = Vec::new();
        self.boxes[nth].take(&mut mail);
        self.workers[nth].taken.extend(mail);
    }

    fn work(&mut self, nth: usize, portion: usize) -> Checked {
        let Worker { shard, outbox, taken, slots } = &mut self.workers[nth];
        let portion = portion.min(taken.len());
        for mail in taken.drain(..portion) {
            match mail {
                Mail::Channel { key, sequence, parcel } => {
                    shard.deliver(key, sequence, &parcel, self.now, (outbox, &self.letters));
                }
                Mail::Direct(address, parcel) => {
                    if let Some(client) = tenant(slots, address) {
                        outbox.send(address.slot, parcel.frame(client.encoding, &self.letters).unwrap().clone());
                    }
                }
                Mail::Order(address, order) => {
                    let SessionOrder::Disconnect(ejection) = &*order else { return Err(format!("{order:?}")) };
                    if let Some(client) = tenant(slots, address) {
                        let fits = ejection.target.client.is_none_or(|id| id == client.info.client)
                            && ejection.target.user.as_ref().is_none_or(|user| *user == client.info.user);
                        ensure(fits, || format!("{ejection:?} came to {client:?}"))?;
                        client.ejected = true;
                    }
                }
                _ => {
                    return Err("mail that nobody wrote".to_owned());
                }
            }
        }
        Ok(())
    }

    /// A worker writes for some of those who have something to say.
    fn flush(&mut self) -> Checked {
        let nth = self.dice.below(self.workers.len() as u64) as usize;
        let portion = 1 + self.dice.below(12);
        self.write(nth, portion)
    }

    fn write(&mut self, nth: usize, portion: u64) -> Checked {
        let Worker { outbox, slots, .. } = &mut self.workers[nth];
        for _ in 0..portion {
            let Some(slot) = outbox.next_dirty() else { break };
            let lane = outbox.take(slot);
            for frame in outbox.frames(lane) {
                let frame = &frame.bytes;
                let client =
                    slots[slot as usize].as_mut().ok_or_else(|| format!("slot {slot} is empty and hears {frame:?}"))?;
                let number = |at: usize| u64::from_le_bytes(frame[at..at + 8].try_into().unwrap());
                ensure(frame[0] == client.encoding.0, || format!("a frame of another encoding: {frame:?}"))?;
                let place = usize::from(frame[1]);
                let what = match frame[2] {
                    b'+' => Heard::In,
                    b'-' => Heard::Out,
                    b'j' => Heard::Join(Uuid::from_u128(u128::from(number(3)))),
                    b'l' => Heard::Leave(Uuid::from_u128(u128::from(number(3)))),
                    b'p' => Heard::Publication(number(3), number(11)),
                    _ => {
                        let due = client.messages.pop_front();
                        ensure(due == Some(number(3)), || format!("message {} where {due:?} was due", number(3)))?;
                        continue;
                    }
                };
                let Channel { name, listeners, .. } = &mut self.channels[place];
                let id = client.info.client;
                let fail = |what: String| format!("client {id} of worker {nth} in {name}: {what}");
                let listener = listeners.get_mut(&id);
                listener.ok_or_else(|| fail("never joined".to_owned()))?.hear(what).map_err(fail)?;
                self.heard += 1;
            }
        }
        if !outbox.is_dirty() {
            outbox.finish();
        }
        Ok(())
    }

    fn arrive(&mut self) -> Checked {
        let nth = self.dice.below(self.workers.len() as u64) as usize;
        let slots = &mut self.workers[nth].slots;
        if slots.iter().flatten().count() >= self.crowd {
            return Ok(());
        }
        // The last slot that was given up is the first that is taken again, as in a slab.
        let slot = slots.iter().rposition(Option::is_none).unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        self.clients += 1;
        let user = match self.dice.below(USERS) {
            0 => String::new(),
            n => format!("user-{n}"),
        };
        let client = Uuid::from_u128(u128::from(self.clients));
        let info = Arc::new(ClientInfo { user: user.into(), client, ..ClientInfo::default() });
        let address = Address { worker: nth as u16, slot: slot as u32, generation: self.clients as u32 };
        ensure(self.hub.arrive(&info, address, 0), || "refused without a limit".to_owned())?;
        self.workers[nth].outbox.open(address.slot);
        let encoding = EncodingId(self.dice.below(3) as u8);
        self.workers[nth].slots[slot] =
            Some(Client { info, address, encoding, joined: Vec::new(), messages: VecDeque::new(), ejected: false });
        Ok(())
    }

    fn someone(&mut self) -> Option<(usize, usize)> {
        let nth = self.dice.below(self.workers.len() as u64) as usize;
        let slots = &self.workers[nth].slots;
        let first = self.dice.below(slots.len().max(1) as u64) as usize;
        let slot = (first..slots.len()).chain(0..first).find(|slot| slots[*slot].is_some())?;
        Some((nth, slot))
    }

    fn depart(&mut self) -> Checked {
        let Some((nth, slot)) = self.someone() else { return Ok(()) };
        self.remove(nth, slot);
        Ok(())
    }

    fn remove(&mut self, nth: usize, slot: usize) {
        while let Some(place) = self.workers[nth].slots[slot].as_ref().unwrap().joined.last().map(|(place, _)| *place) {
            self.leave(nth, slot, place);
        }
        let client = self.workers[nth].slots[slot].take().unwrap();
        self.hub.depart(&client.info, client.address);
        self.workers[nth].outbox.open(slot as u32);
        for channel in &mut self.channels {
            channel.listeners.remove(&client.info.client);
        }
    }

    fn subscribe(&mut self) -> Checked {
        let Some((nth, slot)) = self.someone() else { return Ok(()) };
        let place = self.dice.below(self.channels.len() as u64) as u8;
        let hears = self.dice.below(2) == 0;
        let Worker { shard, outbox, slots, .. } = &mut self.workers[nth];
        let client = slots[slot].as_mut().unwrap();
        if client.joined.iter().any(|(joined, _)| *joined == place) {
            return Ok(());
        }
        let channel = &mut self.channels[usize::from(place)];
        let member = Membership {
            worker: nth as u16,
            info: &client.info,
            counted: channel.presence,
            announced: channel.join_leave,
        };
        let seen = seen(channel, &mut self.dice);
        let or_nothing = self.dice.below(4) == 0;
        let since = seen.as_ref().map(|position| Since { position, or_nothing, latest: false });
        let joined = self.hub.subscribe(&channel.name, member, since, self.now);
        let Some(joined) = came_in(channel, since, joined, self.now)? else {
            self.recoveries.1 += 1;
            return Ok(());
        };
        self.recoveries.0 += joined.recovery.as_ref().map_or(0, |recovery| recovery.publications.len() as u64);
        outbox.send(slot as u32, frame(client.encoding, place, b'+', (0, 0)));
        let seat = Seat {
            slot: slot as u32,
            encoding: client.encoding,
            hears_members: hears && channel.join_leave,
            ..Seat::default()
        };
        shard.join(&joined, seat);
        client.joined.push((place, joined));
        channel.listeners.entry(client.info.client).or_default().join(hears && channel.join_leave);
        if channel.presence {
            channel.members.insert(client.info.client);
        }
        if channel.join_leave {
            channel.happens(Heard::Join(client.info.client));
            self.parcels += 1;
        }
        Ok(())
    }

    fn unsubscribe(&mut self) -> Checked {
        let Some((nth, slot)) = self.someone() else { return Ok(()) };
        let joined = &self.workers[nth].slots[slot].as_ref().unwrap().joined;
        if !joined.is_empty() {
            let (place, _) = joined[self.dice.below(joined.len() as u64) as usize];
            self.leave(nth, slot, place);
        }
        Ok(())
    }

    fn leave(&mut self, nth: usize, slot: usize, place: u8) {
        let Worker { shard, outbox, slots, .. } = &mut self.workers[nth];
        let client = slots[slot].as_mut().unwrap();
        let at = client.joined.iter().position(|(joined, _)| *joined == place).unwrap();
        let (_, joined) = client.joined.swap_remove(at);
        let channel = &self.channels[usize::from(place)];
        let last = shard.leave(joined.key, slot as u32);
        let member = Membership {
            worker: nth as u16,
            info: &client.info,
            counted: channel.presence,
            announced: channel.join_leave,
        };
        self.hub.unsubscribe(&joined.name, member, last, self.now);
        outbox.send(slot as u32, frame(client.encoding, place, b'-', (0, 0)));
        let channel = &mut self.channels[usize::from(place)];
        channel.listeners.get_mut(&client.info.client).unwrap().leave();
        channel.members.remove(&client.info.client);
        if channel.join_leave {
            channel.happens(Heard::Leave(client.info.client));
            self.parcels += 1;
        }
    }

    fn send(&mut self) -> Checked {
        self.serials += 1;
        let user = format!("user-{}", self.dice.below(USERS));
        let data = Payload { bytes: Bytes::copy_from_slice(&self.serials.to_le_bytes()), ..Payload::default() };
        let reached = self.hub.send(&user, data);
        let mut due = 0;
        for client in self.workers.iter_mut().flat_map(|worker| worker.slots.iter_mut().flatten()) {
            if *client.info.user == *user {
                client.messages.push_back(self.serials);
                due += 1;
            }
        }
        self.parcels += 1;
        ensure(reached == due, || format!("sent to {reached} of {due} connections of {user}"))
    }

    /// The application names a user, a connection, or both.
    fn eject(&mut self) -> Checked {
        let Some((nth, slot)) = self.someone() else { return Ok(()) };
        let id = self.workers[nth].slots[slot].as_ref().unwrap().info.client;
        let way = self.dice.below(3);
        let user: Option<Arc<str>> = (way != 0).then(|| format!("user-{}", self.dice.below(USERS)).into());
        let client = (way != 1).then_some(id);
        let told = self.hub.eject(Ejection {
            target: Target { user: user.clone(), client, session: None },
            whitelist: Vec::new(),
            disconnect: Disconnect::FORCE,
        });
        let clients = self.workers.iter().flat_map(|worker| worker.slots.iter().flatten());
        let due = clients
            .filter(|one| {
                client.is_none_or(|id| id == one.info.client) && user.as_ref().is_none_or(|user| *user == one.info.user)
            })
            .count();
        ensure(told == due, || format!("{told} connections were told of an end that is meant for {due}"))
    }

    fn check_presence(&mut self) -> Checked {
        let place = self.dice.below(self.channels.len() as u64) as usize;
        let channel = &self.channels[place];
        if !channel.presence {
            return ensure(self.hub.presence(&channel.name).is_err(), || "presence of a channel without".to_owned());
        }
        let mut members: Vec<_> = self.hub.presence(&channel.name).unwrap();
        members.sort_by_key(|info| info.client);
        let ids: Vec<ClientId> = members.iter().map(|info| info.client).collect();
        ensure(ids.iter().eq(channel.members.iter()), || format!("present {ids:?}, due {:?}", channel.members))?;
        let stats = self.hub.presence_stats(&channel.name).unwrap();
        let mut users: Vec<_> = members.iter().map(|info| &info.user).collect();
        users.sort();
        users.dedup();
        ensure(stats.num_clients as usize == ids.len() && stats.num_users as usize == users.len(), || {
            format!("{stats:?}")
        })
    }

    fn check_history(&mut self) -> Checked {
        let place = self.dice.below(self.channels.len() as u64) as usize;
        let channel = &self.channels[place];
        let page = self.hub.history(&channel.name, -1, (None, None), false, self.now);
        if channel.history.is_none() {
            return ensure(page.is_err(), || "history of a channel without".to_owned());
        }
        let page = page.unwrap();
        let offsets: Vec<u64> = page.publications.iter().map(|publication| publication.offset).collect();
        let mut due = channel.offsets(self.now);
        due.truncate(CAP);
        ensure(offsets == due && page.position.offset == channel.top, || format!("kept {offsets:?}, due {due:?}"))
    }

    /// All mail arrives, everybody has heard everything, everybody goes, and nothing is left.
    pub(crate) fn finish(&mut self) -> Checked {
        for nth in 0..self.workers.len() {
            self.take(nth);
            self.work(nth, usize::MAX)?;
            self.write(nth, u64::MAX)?;
        }
        for channel in &self.channels {
            for (id, listener) in &channel.listeners {
                listener.settled().map_err(|what| format!("client {id} in {}: {what}", channel.name))?;
                let is_in = self.workers.iter().flat_map(|worker| worker.slots.iter().flatten()).any(|client| {
                    client.info.client == *id && client.joined.iter().any(|(_, joined)| *joined.name == channel.name)
                });
                ensure(listener.is_subscribed() == is_in, || format!("client {id} in {}: {is_in}", channel.name))?;
            }
        }
        for client in self.workers.iter().flat_map(|worker| worker.slots.iter().flatten()) {
            ensure(client.messages.is_empty(), || format!("{client:?} missed messages"))?;
        }
        ensure(self.letters.encoded.get() <= 3 * self.parcels, || "something was encoded twice".to_owned())?;
        let mut keys = Vec::new();
        for nth in 0..self.workers.len() {
            for slot in 0..self.workers[nth].slots.len() {
                if let Some(client) = &self.workers[nth].slots[slot] {
                    keys.extend(client.joined.iter().map(|(_, joined)| joined.key));
                    self.remove(nth, slot);
                }
            }
        }
        let left: usize = self.workers.iter().flat_map(|worker| keys.iter().map(|key| worker.shard.count(*key))).sum();
        ensure(left == 0, || format!("{left} subscribers without a client"))?;
        ensure(self.hub.connections() == 0, || format!("{} connections without a client", self.hub.connections()))?;
        let with_history = self.channels.iter().filter(|channel| channel.history.is_some()).count();
        ensure(self.hub.channels() <= with_history, || format!("{} channels are left", self.hub.channels()))?;
        // Even what has a history goes when nobody can remember it.
        for round in 0..64 {
            self.hub.sweep(round, self.now + 31 * 24 * 3600 * 1000);
        }
        ensure(self.hub.channels() == 0, || format!("{} channels are left for ever", self.hub.channels()))
    }
}

/// Where a client says that it has been: somewhere near the top, or where nobody can have been.
fn seen(channel: &Channel, dice: &mut Dice) -> Option<Position> {
    let offset = match dice.below(8) {
        0..3 => return None,
        3 => channel.top + dice.below(3),
        4 => dice.below(channel.top + 1),
        _ => channel.top.saturating_sub(dice.below(25)),
    };
    let epoch = match dice.below(6) {
        0 => Arc::from("_"),
        1 => Arc::default(),
        _ => channel.epoch.clone().unwrap_or_default(),
    };
    Some(Position { offset, epoch })
}

/// Holds what a subscriber is told against what must be; `None` if it rightly stays out.
fn came_in(
    channel: &Channel,
    since: Option<Since<'_>>,
    joined: Result<Joined, SubscribeError>,
    now: Millis,
) -> Result<Option<Joined>, String> {
    let due = since.filter(|_| channel.history.is_some()).map(|since| channel.missed(since.position, now, CAP));
    let stays_out = since.is_some_and(|since| since.or_nothing) && !matches!(due, Some(Some(_)));
    let joined = match joined {
        Err(SubscribeError::Unrecoverable) if stays_out => return Ok(None),
        Ok(joined) if !stays_out => joined,
        other => return Err(format!("{since:?} became {other:?} where {due:?} was due")),
    };
    let got = joined.recovery.as_ref().map(|recovery| {
        let publications = recovery.publications.iter();
        let publications: Vec<_> = publications.map(|one| (serial(&one.data), one.offset)).collect();
        if recovery.recovered { Ok(publications) } else { Err(publications) }
    });
    let due = due.map(|missed| missed.ok_or(Vec::new()));
    ensure(got == due, || format!("recovered {got:?} since {since:?} where {due:?} was due"))?;
    let place = match (&due, since) {
        (Some(Ok(_)), Some(since)) => since.position.offset,
        _ => channel.top,
    };
    let offset = joined.position.as_ref().map(|position| position.offset);
    ensure(offset == channel.history.map(|_| place), || format!("joined at {joined:?}, top {}", channel.top))?;
    Ok(Some(joined))
}

/// Who lives at an address, if it is still the same.
fn tenant(slots: &mut [Option<Client>], address: Address) -> Option<&mut Client> {
    slots[address.slot as usize].as_mut().filter(|client| client.address == address)
}

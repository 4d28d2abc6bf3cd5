//! A client as an SDK has it: it remembers where it was in each channel, comes again, and says what the dice say.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_hub::namespace::Delivery;
use jackfield_model::{ClientError, ClientId};

use super::Checked;
use super::channels::CAP;
use super::ear::{Due, Ear, Entry, Heard};
use super::frames::Carrier;
use super::logging::{Asked, Ordered};
use super::maps::Map;
use super::node::{Guest, Place, id};
use super::truth::Made;
use super::world::{KEYS, TAGS, World};

const USERS: [&str; 4] = ["", "ann", "bob", "cid"];
/// Bytes that a socket holds before it is full.
const ROOMS: [usize; 5] = [usize::MAX, usize::MAX, 4_000, 900, 200];

/// How far a client has come with a channel, as far as it knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Entering,
    In,
    Leaving,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) user: &'static str,
    pub(super) link: Option<Place>,
    pub(super) id: ClientId,
    pub(super) is_welcome: bool,
    pub(super) commands: u32,
    pub(super) carrier: Carrier,
    /// What it has read and not understood yet.
    pub(super) bytes: Vec<u8>,
    pub(super) states: BTreeMap<usize, State>,
    /// Where it was last: offset, epoch, and whether every number comes in turn.
    pub(super) positions: BTreeMap<usize, Position>,
    /// What it has of maps.
    pub(super) maps: BTreeMap<usize, Map>,
}

/// Where a client was.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) offset: u64,
    pub(super) epoch: Arc<str>,
    /// It must hear every number.
    pub(super) is_dense: bool,
}

impl Client {
    pub(super) fn new(nth: usize) -> Self {
        Self {
            user: USERS[nth % USERS.len()],
            link: None,
            id: id(0),
            is_welcome: false,
            commands: 0,
            carrier: if nth.is_multiple_of(2) { Carrier::Lines } else { Carrier::WebSocket },
            bytes: Vec::new(),
            states: BTreeMap::new(),
            positions: BTreeMap::new(),
            maps: BTreeMap::new(),
        }
    }

    /// It is not connected any more.
    pub(super) fn hang_up(&mut self) {
        self.link = None;
        self.is_welcome = false;
        self.bytes.clear();
        self.states.clear();
        self.maps.retain(|_, map| map.rest());
    }
}

/// Says a few words, and what must come of them.
type Spoken = (String, Option<Due>);

impl World {
    pub(super) fn someone(&mut self, is_wanted: impl Fn(&Client) -> bool) -> Option<usize> {
        let first = self.dice.below(self.clients.len());
        (first..self.clients.len()).chain(0..first).find(|nth| is_wanted(&self.clients[*nth]))
    }

    /// A client connects.
    pub(super) fn come(&mut self) -> Checked {
        let Some(nth) = self.someone(|client| client.link.is_none()) else { return Ok(()) };
        self.arrivals += 1;
        let client = &mut self.clients[nth];
        let guest =
            Guest { id: id(self.arrivals), user: client.user, carrier: client.carrier, room: self.dice.of(&ROOMS) };
        let worker = self.dice.below(self.node.workers());
        let place = self.node.accept(worker, guest);
        client.link = Some(place);
        client.id = guest.id;
        client.commands = 1;
        self.users.insert(guest.id, client.user);
        self.ears.insert(guest.id, Ear { awaited: vec![(1, Due::Connect)], ..Ear::default() });
        self.note(|_| format!("client {nth} comes as {} to {place:?} with {} bytes", guest.id, guest.room));
        self.node.say(place, r#"{"id":1,"connect":{}}"#);
        self.hark()
    }

    /// A client is gone without a word.
    pub(super) fn go(&mut self) -> Checked {
        let Some(nth) = self.someone(|client| client.link.is_some()) else { return Ok(()) };
        let portion = self.dice.below(3) * 300;
        self.read(nth, portion)?;
        self.note(|_| format!("client {nth} is gone"));
        let client = &mut self.clients[nth];
        if let Some(place) = client.link {
            self.orphans.push((place, client.id));
            client.hang_up();
        }
        Ok(())
    }

    /// The node finds out that somebody is gone.
    pub(super) fn notice(&mut self) -> Checked {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.orphans.len());
        let (place, id) = self.orphans.swap_remove(at);
        self.note(|_| format!("the node finds {id} gone"));
        self.part(place, id)
    }

    pub(super) fn part(&mut self, place: Place, id: ClientId) -> Checked {
        self.node.part(place);
        self.hark()?;
        self.ears.remove(&id);
        Ok(())
    }

    /// A client says something.
    pub(super) fn command(&mut self) -> Checked {
        let Some(nth) = self.someone(|client| client.is_welcome) else { return Ok(()) };
        let Some(place) = self.clients[nth].link else { return Ok(()) };
        if self.node.link(place).is_none_or(|link| link.is_closing()) {
            // Nobody listens any more.
            return Ok(());
        }
        let channel = self.dice.below(self.truths.len());
        let (words, due) = match self.dice.below(24) {
            0..13 if self.truths[channel].options.is_map() => return self.step_into_map(nth, channel, place),
            0..13 => match self.clients[nth].states.get(&channel) {
                None => return self.subscribe(nth, channel, place),
                Some(State::In) if self.dice.once_in(5) => self.unsubscribe(nth, channel),
                Some(_) if self.dice.once_in(10) => return self.subscribe(nth, channel, place),
                Some(_) => return Ok(()),
            },
            13..19 => return self.say_publish(nth, channel, place),
            19..22 => self.ask_history(nth, channel),
            _ => self.ask_presence(channel),
        };
        self.say(nth, place, &words, due);
        if words.starts_with(r#""unsub"#) {
            self.leave(self.clients[nth].id, channel, false);
        }
        self.hark()
    }

    pub(super) fn say(&mut self, nth: usize, place: Place, words: &str, due: Option<Due>) -> u32 {
        let client = &mut self.clients[nth];
        client.commands += 1;
        let id = client.commands;
        let ear = self.ears.get_mut(&client.id).unwrap();
        ear.awaited.extend(due.map(|due| (id, due)));
        self.note(|_| format!("client {nth} says {id}: {words}"));
        self.node.say(place, &format!(r#"{{"id":{id},{words}}}"#));
        id
    }

    /// Words by which a client enters a channel, and what must come of it.
    fn subscribe(&mut self, nth: usize, channel: usize, place: Place) -> Checked {
        let mut words = format!(r#""subscribe":{{"channel":"{}""#, self.truths[channel].name);
        let mut entry = Entry { delivery: self.truths[channel].options.delivery, ..Entry::default() };
        let options = Arc::clone(&self.truths[channel].options);
        if self.dice.once_in(2) {
            words.push_str(r#","join_leave":true"#);
            entry.hears_members = options.join_leave;
        }
        if options.tags_filter && self.dice.once_in(2) {
            let tag = self.dice.of(&TAGS[1..]);
            words.push_str(&format!(r#","tf":{{"key":"t","cmp":"eq","val":"{tag}"}}"#));
            entry.filter = Some(tag);
        }
        if options.delta && self.dice.once_in(2) {
            words.push_str(r#","delta":"fossil""#);
            entry.is_delta = entry.filter.is_none();
        }
        if self.dice.once_in(6) {
            let gentler = self.dice.of(&[Delivery::Latest, Delivery::DropOldest, Delivery::Sampled(20)]);
            if gentler.is_gentler_than(options.delivery) {
                let word = match gentler {
                    Delivery::Latest => "latest",
                    Delivery::DropOldest => "drop_oldest",
                    _ => "sampled:20",
                };
                words.push_str(&format!(r#","delivery":"{word}""#));
                entry.delivery = gentler;
            }
        }
        let since = self.since(nth, channel);
        if let Some((offset, epoch)) = &since {
            words.push_str(&format!(r#","recover":true,"offset":{offset},"epoch":"{epoch}""#));
        }
        let is_strict = self.dice.once_in(5);
        words.push_str(if is_strict { r#","flag":2}"# } else { "}" });
        self.enter(nth, (channel, place), words, (entry, since, is_strict))
    }

    /// Where a client says that it has been.
    fn since(&mut self, nth: usize, channel: usize) -> Option<(u64, Arc<str>)> {
        let known = self.clients[nth].positions.get(&channel);
        let known = known.map(|position| (position.offset, Arc::clone(&position.epoch)));
        match (self.dice.below(20), known) {
            (0 | 1, _) => None,
            (2, _) => Some((self.truths[channel].top() + self.dice.below(3) as u64, self.dice_epoch(channel))),
            (3, _) => Some((self.dice.below(self.truths[channel].top() as usize + 1) as u64, self.dice_epoch(channel))),
            (_, known) => known,
        }
    }

    fn dice_epoch(&mut self, channel: usize) -> Arc<str> {
        let epochs = &self.truths[channel].epochs;
        match self.dice.below(6) {
            0 => "_".into(),
            1 => "".into(),
            2 if !epochs.is_empty() => epochs[self.dice.below(epochs.len())].clone().unwrap_or_default(),
            _ => self.truths[channel].epoch().cloned().unwrap_or_default(),
        }
    }

    fn enter(
        &mut self,
        nth: usize,
        (channel, place): (usize, Place),
        words: String,
        (mut entry, since, is_strict): (Entry, Option<(u64, Arc<str>)>, bool),
    ) -> Checked {
        let id = self.clients[nth].id;
        let now = self.node.now.millis;
        if self.ears[&id].stay(channel).is_some() {
            let due = Due::Subscribe(channel, Err(ClientError::ALREADY_SUBSCRIBED.code));
            self.say(nth, place, &words, Some(due));
            return self.hark();
        }
        let truth = &mut self.truths[channel];
        let options = Arc::clone(&truth.options);
        truth.begin(now);
        entry.life = truth.number();
        entry.recoverable = options.can_recover(entry.delivery);
        entry.was_recovering = since.is_some();
        let since = since.as_ref().filter(|_| entry.recoverable).map(|(offset, epoch)| (*offset, &**epoch));
        entry.told = truth.tell(&self.items, since, entry.delivery.skips(), now);
        if since.is_some() {
            self.tally.recovered += u64::from(entry.told.recovered);
            self.tally.refused += u64::from(!entry.told.recovered);
        }
        if is_strict && since.is_some() && !entry.told.recovered {
            let due = Due::Subscribe(channel, Err(ClientError::UNRECOVERABLE_POSITION.code));
            self.clients[nth].states.insert(channel, State::Entering);
            self.say(nth, place, &words, Some(due));
            return self.hark();
        }
        if let Some(tag) = entry.filter {
            let items = &self.items;
            entry.told.serials.retain(|serial| items[*serial].tag == tag);
        }
        truth.subscribers += 1;
        self.clients[nth].states.insert(channel, State::Entering);
        self.ears.get_mut(&id).unwrap().enter(channel, entry);
        self.say(nth, place, &words, Some(Due::Subscribe(channel, Ok(()))));
        if options.join_leave {
            self.happens(channel, Heard::Join(id));
        }
        self.hark()
    }

    pub(super) fn unsubscribe(&mut self, nth: usize, channel: usize) -> Spoken {
        let id = self.clients[nth].id;
        let was_in = self.ears[&id].stay(channel).is_some();
        self.clients[nth].states.insert(channel, State::Leaving);
        let words = format!(r#""unsubscribe":{{"channel":"{}"}}"#, self.truths[channel].name);
        (words, Some(Due::Unsubscribe(channel, was_in)))
    }

    fn say_publish(&mut self, nth: usize, channel: usize, place: Place) -> Checked {
        let has_state = self.truths[channel].options.has_state();
        let key = if has_state || self.dice.once_in(8) { self.dice.of(&KEYS) } else { "" };
        let removes = self.may_remove(channel, key);
        let serial = self.make(channel, key, removes);
        self.items[serial].tag = "";
        let what =
            if removes { r#""removed":true"#.to_owned() } else { format!(r#""data":{}"#, self.items[serial].text) };
        let key_words = if key.is_empty() { String::new() } else { format!(r#""key":"{key}","#) };
        let kind = if self.truths[channel].options.is_map() { r#""type":1,"# } else { "" };
        let words = format!(r#""publish":{{"channel":"{}",{kind}{key_words}{what}}}"#, self.truths[channel].name);
        let made = Made { serial, key, removes, ..Made::default() };
        if !self.truths[channel].options.durable {
            let due = Due::Publish(Some(Ok(())));
            self.say(nth, place, &words, Some(due));
            self.take_and_show(channel, &made);
            return self.hark();
        }
        let is_busy = self.is_log_full();
        let due = if is_busy { Some(Err(ClientError::TOO_MANY_REQUESTS.code)) } else { None };
        let command = self.say(nth, place, &words, Some(Due::Publish(due)));
        if !is_busy {
            self.orders.push_back(Ordered::Publish(channel, made, Asked::Client(self.clients[nth].id, command)));
        }
        self.hark()
    }

    fn ask_history(&mut self, nth: usize, channel: usize) -> Spoken {
        let now = self.node.now.millis;
        let limit = self.dice.of(&[-1, -1, 0, 1, 3, 50]);
        let is_reverse = self.dice.once_in(2);
        let since = if self.dice.once_in(2) { self.since(nth, channel) } else { None };
        let truth = &mut self.truths[channel];
        let mut words = format!(r#""history":{{"channel":"{}","limit":{limit},"reverse":{is_reverse}"#, truth.name);
        if let Some((offset, epoch)) = &since {
            words.push_str(&format!(r#","since":{{"offset":{offset},"epoch":"{epoch}"}}"#));
        }
        words.push('}');
        if !truth.options.has_history() {
            return (words, Some(Due::Error(ClientError::NOT_AVAILABLE.code)));
        }
        truth.begin(now);
        let is_known = |epoch: &str| epoch.is_empty() || truth.epoch().is_some_and(|known| **known == *epoch);
        if since.as_ref().is_some_and(|(_, epoch)| !is_known(epoch)) {
            return (words, Some(Due::Error(ClientError::UNRECOVERABLE_POSITION.code)));
        }
        let items = &self.items;
        let mut serials = truth.kept(items, now);
        if is_reverse {
            serials.reverse();
        }
        serials.retain(|serial| match &since {
            Some((offset, _)) if is_reverse => items[*serial].offset < *offset,
            Some((offset, _)) => items[*serial].offset > *offset,
            None => true,
        });
        serials.truncate(usize::try_from(limit).unwrap_or(CAP.count).min(CAP.count));
        (words, Some(Due::History((channel, truth.number()), serials, truth.top())))
    }

    fn ask_presence(&mut self, channel: usize) -> Spoken {
        let is_short = self.dice.once_in(2);
        let name = if is_short { "presence_stats" } else { "presence" };
        let words = format!(r#""{name}":{{"channel":"{}"}}"#, self.truths[channel].name);
        if !self.truths[channel].options.presence {
            return (words, Some(Due::Error(ClientError::NOT_AVAILABLE.code)));
        }
        let members = self.members(channel);
        if !is_short {
            return (words, Some(Due::Presence(members)));
        }
        let mut users: Vec<&str> = members.iter().map(|id| self.user_of(*id)).collect();
        users.sort_unstable();
        users.dedup();
        (words, Some(Due::Stats(members.len() as u32, users.len() as u32)))
    }

    fn user_of(&self, id: ClientId) -> &'static str {
        self.users.get(&id).copied().unwrap_or("")
    }
}

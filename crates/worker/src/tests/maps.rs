//! Maps: read page by page while they change, followed live, and taken up again where they were left.

use std::sync::Arc;

use jackfield_hub::Page;
use jackfield_hub::namespace::Delivery;
use jackfield_model::ClientError;

use super::client::State;
use super::ear::{Due, Entry, Heard, Step, View};
use super::frames::{Publication, Subscribed, text};
use super::logging::Ordered;
use super::node::Place;
use super::truth::Item;
use super::world::{KEYS, World};
use super::{Checked, ensure};

/// What a client has of a map, and how far it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    view: View,
    offset: u64,
    epoch: Arc<str>,
    /// It was live when it was last here, and may take the map up again.
    is_whole: bool,
    /// It is on its way in.
    flow: Option<Flow>,
}

/// A map on its way in.
#[derive(Clone, Debug)]
struct Flow {
    /// How it was asked for; the same for all pages.
    words: String,
    entry: Entry,
    limit: usize,
    recovers: bool,
    cursor: String,
    /// It has all pages of the state.
    is_stream: bool,
    /// A step was asked for.
    is_asked: bool,
    /// The position of the first page.
    first: Option<(u64, Arc<str>)>,
}

impl Map {
    /// The connection is gone; whether anything is left that can be taken up again.
    pub(super) fn rest(&mut self) -> bool {
        self.flow = None;
        self.is_whole
    }
}

impl World {
    /// A client goes a step further with a map: in, through it, or out.
    pub(super) fn step_into_map(&mut self, nth: usize, channel: usize, place: Place) -> Checked {
        let state = self.clients[nth].states.get(&channel).copied();
        match state {
            None => self.begin_map(nth, channel),
            Some(State::Entering) if self.dice.once_in(30) => {}
            Some(State::Entering) => {
                let flow = self.clients[nth].maps.get(&channel).and_then(|map| map.flow.as_ref());
                return if flow.is_some_and(|flow| !flow.is_asked) {
                    self.ask_map(nth, channel, place)
                } else {
                    Ok(())
                };
            }
            Some(State::In) if self.dice.once_in(5) => {}
            Some(_) => return Ok(()),
        }
        if state.is_none() {
            return self.ask_map(nth, channel, place);
        }
        // It wants no more of it, wherever it is.
        if let Some(map) = self.clients[nth].maps.get_mut(&channel) {
            if map.flow.as_ref().is_some_and(|flow| flow.is_asked) {
                return Ok(());
            }
            map.flow = None;
        }
        let (words, due) = self.unsubscribe(nth, channel);
        self.say(nth, place, &words, due);
        self.leave(self.clients[nth].id, channel, false);
        self.hark()
    }

    fn begin_map(&mut self, nth: usize, channel: usize) {
        let options = Arc::clone(&self.truths[channel].options);
        let mut words = format!(r#""subscribe":{{"channel":"{}","type":1,"flag":1"#, self.truths[channel].name);
        let mut entry = Entry { is_map: true, ..Entry::default() };
        if self.dice.once_in(2) {
            words.push_str(r#","delta":"fossil""#);
            entry.is_delta = true;
        }
        if self.dice.once_in(2) {
            words.push_str(r#","join_leave":true"#);
            entry.hears_members = options.join_leave;
        }
        match self.dice.below(4) {
            0 => {
                words.push_str(r#","delivery":"latest""#);
                entry.delivery = Delivery::Latest;
            }
            1 => {
                words.push_str(r#","delivery":"sampled:20""#);
                entry.delivery = Delivery::Sampled(20);
            }
            _ => {}
        }
        entry.recoverable = options.can_recover(entry.delivery);
        let limit = 1 + self.dice.below(5);
        words.push_str(&format!(r#","limit":{limit}"#));
        let known = self.clients[nth].maps.remove(&channel).filter(|map| map.is_whole && options.has_history());
        let known = known.filter(|_| !self.dice.once_in(5));
        let recovers = known.is_some();
        let mut map = known.unwrap_or_default();
        let first = recovers.then(|| (map.offset, Arc::clone(&map.epoch)));
        entry.was_recovering = recovers;
        let flow =
            Flow { words, entry, limit, recovers, cursor: String::new(), is_stream: recovers, is_asked: false, first };
        map.flow = Some(flow);
        self.clients[nth].maps.insert(channel, map);
    }

    /// Asks for the next page.
    fn ask_map(&mut self, nth: usize, channel: usize, place: Place) -> Checked {
        let now = self.node.now.millis;
        let client = &mut self.clients[nth];
        client.states.insert(channel, State::Entering);
        let map = client.maps.get_mut(&channel).unwrap();
        let flow = map.flow.as_mut().unwrap();
        flow.is_asked = true;
        let mut words = flow.words.clone();
        words.push_str(if flow.is_stream { r#","phase":1"# } else { r#","phase":2"# });
        let since = match &flow.first {
            Some(_) if flow.is_stream => Some((map.offset, Arc::clone(&map.epoch))),
            first => first.clone(),
        };
        if let Some((offset, epoch)) = &since {
            words.push_str(&format!(r#","offset":{offset},"epoch":"{epoch}""#));
        }
        if !flow.cursor.is_empty() {
            words.push_str(&format!(r#","cursor":"{}""#, flow.cursor));
        }
        words.push_str(if flow.recovers { r#","recover":true}"# } else { "}" });
        let flow = flow.clone();
        self.truths[channel].begin(now);
        let due = self.next_step(channel, &flow, since);
        let is_live = due.as_ref().is_ok_and(|step| step.live.is_some());
        let id = self.clients[nth].id;
        if is_live {
            let life = self.truths[channel].number();
            self.truths[channel].subscribers += 1;
            self.ears.get_mut(&id).unwrap().enter(channel, Entry { life, ..flow.entry });
        }
        self.say(nth, place, &words, Some(Due::Map(channel, due)));
        if is_live && self.truths[channel].options.join_leave {
            self.happens(channel, Heard::Join(id));
        }
        self.hark()
    }

    /// What must come of a step.
    fn next_step(&self, channel: usize, flow: &Flow, since: Option<(u64, Arc<str>)>) -> Result<Step, u32> {
        let truth = &self.truths[channel];
        let gone = Err(ClientError::UNRECOVERABLE_POSITION.code);
        let mut step = Step {
            live: Some(truth.state.clone()),
            has_cursor: false,
            is_delta: flow.entry.is_delta,
            recovers: flow.recovers,
            recoverable: flow.entry.recoverable,
            life: truth.number(),
        };
        if !truth.options.has_history() {
            return Ok(step);
        }
        if flow.recovers && !flow.entry.recoverable {
            // What has passed it by is nowhere to be found.
            return gone;
        }
        let offset = match &since {
            Some((_, epoch)) if truth.epoch() != Some(epoch) => return gone,
            Some((offset, _)) if *offset > truth.top() => return gone,
            Some((offset, _)) => *offset,
            None => truth.top(),
        };
        if !flow.is_stream {
            let rest = truth.state.keys().filter(|key| flow.cursor.is_empty() || **key > &*flow.cursor).count();
            step.has_cursor = rest > flow.limit;
            if step.has_cursor || truth.top() - offset > flow.limit as u64 {
                step.live = None;
                return Ok(step);
            }
        }
        let missed = truth.kept(&self.items, self.node.now.millis);
        let missed = missed.into_iter().filter(|serial| self.items[*serial].offset > offset).count();
        if missed as u64 != truth.top() - offset {
            return gone;
        }
        if missed > flow.limit {
            step.live = None;
        }
        Ok(step)
    }

    /// A step failed: the client begins anew.
    pub(super) fn fail_map(&mut self, nth: usize, channel: usize) {
        self.clients[nth].maps.remove(&channel);
        self.clients[nth].states.remove(&channel);
    }

    /// A page is read.
    pub(super) fn step_in_map(
        &mut self,
        nth: usize,
        channel: usize,
        (step, reply): (&Step, &Subscribed<'_>),
    ) -> Checked {
        let is_live = reply.phase == 0;
        ensure(is_live == step.live.is_some() && reply.cursor.is_empty() != step.has_cursor, || format!("{step:?}"))?;
        ensure(reply.delta == step.is_delta && (!is_live || reply.recovered == step.recovers), || format!("{step:?}"))?;
        ensure(!is_live || reply.recoverable == step.recoverable, || format!("{step:?}"))?;
        if self.truths[channel].options.has_history() {
            self.truths[channel].learn(step.life, reply.epoch)?;
        }
        let items = &self.items;
        let map = self.clients[nth].maps.get_mut(&channel).ok_or("nobody asked for this map")?;
        let flow = map.flow.as_mut().ok_or("nobody asked for this page")?;
        flow.is_asked = false;
        for publication in &reply.state {
            ensure(!publication.delta, || "a delta in a page of the state".to_owned())?;
            take(&mut map.view, publication, step.is_delta, items)?;
        }
        for publication in &reply.publications {
            take(&mut map.view, publication, step.is_delta, items)?;
        }
        (map.offset, map.epoch) = (reply.offset, reply.epoch.into());
        flow.first.get_or_insert((reply.offset, reply.epoch.into()));
        if !is_live {
            flow.is_stream |= reply.cursor.is_empty();
            flow.cursor = reply.cursor.to_owned();
            return Ok(());
        }
        map.flow = None;
        map.is_whole = reply.recoverable;
        ensure(Some(&map.view) == step.live.as_ref(), || {
            format!("the client has {:?} and the map was {:?}", map.view, step.live)
        })?;
        let view = map.view.clone();
        self.clients[nth].states.insert(channel, State::In);
        self.ears.get_mut(&self.clients[nth].id).unwrap().come_into_map(channel, view, &self.items)
    }

    /// A change is read.
    pub(super) fn follow_map(&mut self, nth: usize, channel: usize, publication: &Publication<'_>) -> Checked {
        let view = self.ears.get_mut(&self.clients[nth].id).unwrap().view(channel)?.clone();
        let Some(map) = self.clients[nth].maps.get_mut(&channel) else { return Ok(()) };
        map.view = view;
        map.offset = publication.offset;
        Ok(())
    }

    /// The application empties a map.
    pub(super) fn clear_map(&mut self, channel: usize) -> Checked {
        let truth = &mut self.truths[channel];
        let name = Arc::clone(&truth.name);
        self.node.hub.clear_map(&name).map_err(|error| format!("{error:?}"))?;
        if truth.options.durable {
            self.orders.push_back(Ordered::Forget(channel));
        } else {
            truth.end();
            truth.clear();
        }
        self.note(|_| format!("{name} is cleared"));
        Ok(())
    }

    /// The application reads a map.
    pub(super) fn look_at_map(&mut self, channel: usize) -> Checked {
        let limit = 1 + self.dice.below(4);
        let truth = &self.truths[channel];
        let (mut keys, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = Page { cursor: &cursor, limit, asc: false };
            let page = self.node.hub.map_page(&truth.name, (page, None), None, self.node.now.millis);
            let page = page.map_err(|error| format!("{error:?}"))?;
            keys.extend(page.entries.iter().map(|one| (one.key().map_or("", |key| key).to_owned(), one.offset)));
            if page.cursor.is_empty() {
                break;
            }
            cursor = page.cursor;
        }
        let due = truth.state.iter().map(|(key, serial)| (*key, self.items[*serial].offset));
        ensure(keys.iter().map(|(key, offset)| (&**key, *offset)).eq(due), || {
            format!("{} is {keys:?} and not {:?}", truth.name, truth.state)
        })
    }
}

/// A client puts what it reads into its map.
fn take(view: &mut View, publication: &Publication<'_>, is_delta: bool, items: &[Item]) -> Checked {
    let key = KEYS.iter().find(|key| **key == publication.key).ok_or("a publication without a key")?;
    if publication.removed {
        view.remove(key);
        return Ok(());
    }
    let before = view.get(key).map(|serial| items[*serial].text.as_str());
    let text = text(publication, is_delta, before)?;
    let digits: String =
        text.chars().skip_while(|one| !one.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let serial: usize = digits.parse().map_err(|_| format!("{text} has no number"))?;
    let item = items.get(serial).ok_or_else(|| format!("{text} was never published"))?;
    ensure(item.text == text && item.key == *key && item.offset == publication.offset, || format!("{text}: {item:?}"))?;
    view.insert(key, serial);
    Ok(())
}

//! What clients read, held against what they must.

use std::collections::BTreeSet;
use std::sync::Arc;

use jackfield_hub::namespace::RecoveryMode;
use jackfield_model::ClientId;

use super::client::{Position, State};
use super::ear::{Due, Heard};
use super::frames::{Frame, Publication, Push, Said, Subscribed};
use super::world::World;
use super::{Checked, ensure};

impl World {
    /// Somebody reads something.
    pub(super) fn read_some(&mut self) -> Checked {
        let nth = self.dice.below(self.clients.len());
        let portion = 50 + self.dice.below(1_500);
        self.read(nth, portion)?;
        if let Some(place) = self.clients[nth].link
            && self.dice.once_in(2)
        {
            self.node.unblock(place);
        }
        self.hark()
    }

    /// A client reads so many bytes, if there are any.
    pub(super) fn read(&mut self, nth: usize, portion: usize) -> Checked {
        let client = &mut self.clients[nth];
        let Some(place) = client.link else { return Ok(()) };
        let Some(link) = self.node.link(place) else { return Err(format!("client {nth} is in no slot")) };
        let portion = portion.min(link.line.len());
        client.bytes.extend(link.line.drain(..portion));
        let is_over = link.line.is_empty() && link.is_shut;
        let bytes = std::mem::take(&mut client.bytes);
        let mut at = 0;
        let carrier = client.carrier;
        while let Some(frame) = carrier.first(&bytes[at..]) {
            match frame {
                Frame::Text(text, length) => {
                    at += length;
                    if !text.is_empty() {
                        self.understand(nth, text).map_err(|what| self.blame(nth, text, &what))?;
                    }
                }
                Frame::Close(code) => {
                    at = bytes.len();
                    self.note(|_| format!("client {nth} reads that it is closed with {code}"));
                    break;
                }
            }
            if self.clients[nth].link.is_none() {
                return Ok(());
            }
        }
        let client = &mut self.clients[nth];
        client.bytes = bytes[at..].to_vec();
        if is_over {
            let id = client.id;
            client.hang_up();
            self.note(|_| format!("client {nth} reads the end"));
            return self.part(place, id);
        }
        Ok(())
    }

    fn blame(&self, nth: usize, text: &[u8], what: &str) -> String {
        format!("client {nth} ({}) reads {}: {what}", self.clients[nth].id, String::from_utf8_lossy(text))
    }

    fn understand(&mut self, nth: usize, text: &[u8]) -> Checked {
        let said: Said<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        self.note(|_| format!("client {nth} reads {}", String::from_utf8_lossy(text)));
        match said {
            Said { push: Some(push), .. } => self.hear(nth, &push),
            said => self.take_reply(nth, said),
        }
    }

    fn hear(&mut self, nth: usize, push: &Push<'_>) -> Checked {
        if push.disconnect.is_some() {
            return Ok(());
        }
        let place = self.truths.iter().position(|truth| *truth.name == *push.channel);
        let Some(channel) = place else { return Err("a push of no channel".to_owned()) };
        self.tally.heard += 1;
        let ear = self.ears.get_mut(&self.clients[nth].id).unwrap();
        match push {
            Push { publication: Some(publication), .. } => {
                self.tally.deltas += u64::from(publication.delta);
                ear.read(channel, publication, &self.items)?;
                if self.truths[channel].options.is_map() {
                    return self.follow_map(nth, channel, publication);
                }
                if !publication.epoch.is_empty() {
                    let life = ear.life(channel)?;
                    self.truths[channel].learn(life, publication.epoch)?;
                }
                self.advance(nth, channel, publication)
            }
            Push { join: Some(member), .. } => ear.hear(channel, Heard::Join(named(member.info.client)?)),
            Push { leave: Some(member), .. } => ear.hear(channel, Heard::Leave(named(member.info.client)?)),
            Push { unsubscribe: Some(_), .. } => {
                self.clients[nth].states.remove(&channel);
                ear.go_out(channel, true)
            }
            _ => Err("a push of nothing".to_owned()),
        }
    }

    /// A client counts on from what it reads: by its own book no number is missing, and none comes twice.
    fn advance(&mut self, nth: usize, channel: usize, publication: &Publication<'_>) -> Checked {
        let Some(position) = self.clients[nth].positions.get_mut(&channel) else { return Ok(()) };
        if publication.offset == 0 {
            return Ok(());
        }
        let is_next = publication.offset == position.offset + 1;
        // Of different keys an older one may come later, where not all come.
        ensure(is_next || !position.is_dense, || format!("number {} after {position:?}", publication.offset))?;
        position.offset = position.offset.max(publication.offset);
        Ok(())
    }

    fn take_reply(&mut self, nth: usize, said: Said<'_>) -> Checked {
        let ear = self.ears.get_mut(&self.clients[nth].id).unwrap();
        let due = ear.answer(said.id)?;
        let code = said.error.as_ref().map(|error| error.code);
        let is_right = match (&due, &said) {
            (Due::Error(due), _) | (Due::Publish(Some(Err(due))), _) => code == Some(*due),
            (Due::Subscribe(channel, Err(due)), _) => {
                // Whoever is in stays in; who is not stays out.
                if self.clients[nth].states.get(channel) == Some(&State::Entering) && ear.stay(*channel).is_none() {
                    self.clients[nth].states.remove(channel);
                }
                code == Some(*due)
            }
            (Due::Connect, Said { connect: Some(welcome), .. }) => {
                self.clients[nth].is_welcome = true;
                named(welcome.client)? == self.clients[nth].id
            }
            (Due::Publish(Some(Ok(()))), Said { publish: Some(_), .. }) => true,
            (Due::Subscribe(channel, Ok(())), Said { subscribe: Some(reply), .. }) => {
                return self.come_in(nth, *channel, reply);
            }
            (Due::Map(channel, Err(due)), _) => {
                self.fail_map(nth, *channel);
                code == Some(*due)
            }
            (Due::Map(channel, Ok(step)), Said { subscribe: Some(reply), .. }) => {
                return self.step_in_map(nth, *channel, (step, reply));
            }
            (Due::Unsubscribe(channel, was_in), Said { unsubscribe: Some(_), .. }) => {
                // It may have been taken out before, and have come again since.
                let states = &mut self.clients[nth].states;
                if states.get(channel) == Some(&State::Leaving) {
                    states.remove(channel);
                }
                return if *was_in { ear.go_out(*channel, false) } else { Ok(()) };
            }
            (Due::History((channel, life), serials, top), Said { history: Some(page), .. }) => {
                self.truths[*channel].learn(*life, page.epoch)?;
                let texts = page.publications.iter().map(|one| (one.offset, one.data.map_or("", |data| data.get())));
                let due = serials.iter().map(|serial| &self.items[*serial]);
                let due = due.map(|item| (item.offset, if item.removes { "" } else { &*item.text }));
                page.offset == *top && texts.eq(due)
            }
            (Due::Presence(members), Said { presence: Some(page), .. }) => {
                let present: Result<BTreeSet<_>, _> = page.presence.keys().map(|id| named(id)).collect();
                present? == *members
            }
            (Due::Stats(clients, users), Said { presence_stats: Some(stats), .. }) => {
                (stats.num_clients, stats.num_users) == (*clients, *users)
            }
            _ => false,
        };
        ensure(is_right, || format!("{due:?} was due"))
    }

    fn come_in(&mut self, nth: usize, channel: usize, reply: &Subscribed<'_>) -> Checked {
        let ear = self.ears.get_mut(&self.clients[nth].id).unwrap();
        ear.come_in(channel, reply, &self.items)?;
        let life = ear.life(channel)?;
        let is_dense = ear.is_dense(channel)?;
        self.truths[channel].learn(life, reply.epoch)?;
        let is_cache = self.truths[channel].options.recovery_mode == RecoveryMode::Cache;
        let client = &mut self.clients[nth];
        client.states.insert(channel, State::In);
        client.positions.remove(&channel);
        if !reply.recoverable {
            return Ok(());
        }
        let epoch: Arc<str> = reply.epoch.into();
        client.positions.insert(channel, Position { offset: reply.offset, epoch, is_dense });
        // The latest values say nothing of what was before them.
        if is_dense && reply.recovered && !is_cache {
            for publication in &reply.publications {
                self.advance(nth, channel, publication)?;
            }
        }
        Ok(())
    }
}

fn named(id: &str) -> Result<ClientId, String> {
    id.parse().map_err(|_| format!("{id} is no id"))
}

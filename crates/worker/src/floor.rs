//! The floor: what sessions touch, and how their effects are carried out.

use std::net::IpAddr;
use std::sync::Arc;

use jackfield_framing::forwarded::is_trusted;
use jackfield_framing::websocket::deflate::Inflater;
use jackfield_hub::{Address, Encoder, Hub, Outbox, Shard};
use jackfield_model::app::Answer;
use jackfield_model::{ClientError, Disconnect, Millis};
use jackfield_session::wire::{self, Wires};
use jackfield_session::{Effect, Ids, Now, Settings, Tick, Turn};

use crate::addresses::{Addresses, Counted};
use crate::backlog::ANSWERS;
use crate::connection::{Connection, Phase};
use crate::crew::Plan;

/// Ticks for the peer to read our last words.
pub(crate) const GOODBYE: Tick = 50;

/// Bytes of answers that are made and not yet on their way to the socket: of the connection whose commands are being read,
/// since all of them are read before those of another.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    slot: usize,
    bytes: usize,
}

impl Answered {
    pub(crate) fn of(&self, slot: usize) -> usize {
        if self.slot == slot { self.bytes } else { 0 }
    }

    fn add(&mut self, slot: usize, bytes: usize) {
        *self = Self { slot, bytes: self.of(slot) + bytes };
    }

    /// They are on their way, or nobody waits for them any more.
    pub(crate) fn clear(&mut self, slot: usize) {
        if self.slot == slot {
            self.bytes = 0;
        }
    }
}

/// What sessions touch: everything of a worker but its connections.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) index: u16,
    pub(crate) hub: Arc<Hub>,
    pub(crate) shard: Shard,
    settings: Arc<Settings>,
    ids: Ids,
    effects: Vec<Effect>,
    pub(crate) wires: Wires,
    pub(crate) inflater: Inflater,
    /// What the connection in each slot counts as, where addresses are counted.
    counted: Vec<Option<Counted>>,
    addresses: Arc<Addresses>,
    pub(crate) outbox: Outbox,
    pub(crate) answered: Answered,
    pub(crate) now: Now,
    /// Milliseconds since the server started; never jumps.
    pub(crate) fine: Millis,
    pub(crate) plan: Plan,
}

impl Floor {
    pub(crate) fn new(index: usize, plan: &Plan, addresses: Arc<Addresses>, now: Now) -> Self {
        Self {
            index: index as u16,
            hub: Arc::clone(&plan.hub),
            shard: Shard::default(),
            settings: Arc::clone(&plan.settings),
            ids: Ids::new(plan.seed.wrapping_add((index as u64) << 32)),
            effects: Vec::new(),
            wires: Wires::new(plan.compression.level, plan.compression.min_size, Arc::clone(&plan.declared)),
            inflater: Inflater::new(),
            counted: Vec::new(),
            addresses,
            outbox: Outbox::default(),
            answered: Answered::default(),
            now,
            fine: 0,
            plan: plan.clone(),
        }
    }

    /// Counts a connection in under the address that its client is now known to have; false if that has too many.
    pub(crate) fn enter(&mut self, slot: usize, address: IpAddr) -> bool {
        self.leave(slot);
        let Some(counted) = Counted::of(address).filter(|_| !is_trusted(address, &self.plan.trusted)) else {
            return true;
        };
        if !self.addresses.enter(counted) {
            self.plan.counters.refused.add(1);
            return false;
        }
        if self.counted.len() <= slot {
            self.counted.resize(slot + 1, None);
        }
        self.counted[slot] = Some(counted);
        true
    }

    /// Counts it out.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.answered.clear(slot);
        if let Some(counted) = self.counted.get_mut(slot).and_then(Option::take) {
            self.addresses.leave(counted);
        }
    }

    pub(crate) fn address(&self, slot: usize, generation: u32) -> Address {
        Address { worker: self.index, slot: slot as u32, generation }
    }

    pub(crate) fn turn(&mut self, slot: usize, generation: u32) -> Turn<'_> {
        Turn {
            now: self.now,
            hub: &self.hub,
            shard: &mut self.shard,
            address: Address { worker: self.index, slot: slot as u32, generation },
            settings: &self.settings,
            ids: &mut self.ids,
            effects: &mut self.effects,
        }
    }

    /// Carries out what a session left in its turn.
    pub(crate) fn carry_out(&mut self, at: usize, connection: &mut Connection) {
        for (channel, slot) in self.shard.take_left() {
            self.outbox.forget(slot, channel);
            if let Some(backlog) = connection.backlog.as_mut().filter(|_| slot as usize == at) {
                backlog.forget(channel);
            }
        }
        let mut effects = std::mem::take(&mut self.effects);
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                self.carry_out_one(at, connection, effect);
            }
            // A full door answers at once, and the answer may have effects of its own.
            std::mem::swap(&mut effects, &mut self.effects);
        }
        self.effects = effects;
    }

    fn carry_out_one(&mut self, slot: usize, connection: &mut Connection, effect: Effect) {
        // Its last words are said, and the application was told before that.
        let Phase::Open(session, _) = &mut connection.phase else { return };
        let encoding = session.encoding();
        match effect {
            Effect::Reply(_) if self.answered.of(slot) > self.plan.backlog_bytes.saturating_mul(ANSWERS) => {
                // One frame may ask for more than anybody's memory holds. What is not made yet never is.
                session.disconnect(Disconnect::SLOW, &mut self.turn(slot, connection.generation));
            }
            Effect::Reply(reply) => {
                if let Some(frame) = self.wires.reply(encoding, &reply) {
                    self.answered.add(slot, frame.len());
                    self.outbox.answer(slot as u32, frame);
                }
            }
            Effect::Push(push) => {
                if let Some(frame) = self.wires.encode(encoding, &push) {
                    self.outbox.send(slot as u32, frame);
                }
            }
            Effect::Ping => {
                if let Some(frame) = wire::ping(session.endpoint()) {
                    self.outbox.send(slot as u32, frame);
                }
            }
            Effect::Close(disconnect) => {
                tracing::debug!(code = disconnect.code, reason = ?disconnect.reason, "a connection is closed");
                if disconnect.code == Disconnect::SLOW.code {
                    self.plan.counters.slow.add(1);
                    if let Some(backlog) = &mut connection.backlog {
                        backlog.cut_short();
                    }
                }
                if let Some(backlog) = &mut connection.backlog {
                    backlog.close();
                }
                if let Some(frame) = self.wires.close(session.endpoint(), &disconnect) {
                    self.outbox.send(slot as u32, frame);
                } else {
                    self.outbox.send(slot as u32, bytes::Bytes::new());
                }
                connection.phase = Phase::Closing;
                connection.patience = self.now.tick + GOODBYE;
                connection.partial = None;
            }
            Effect::Event(event, call) => {
                let from = self.address(slot, connection.generation);
                let request = jackfield_bridge::Request { from, call, event: *event };
                // A notice that is not taken is counted at the door.
                if let (Err(error), Some(call)) = (self.plan.door.submit(request, session.last_number()), call) {
                    let answer = Answer::Error(refusal(error));
                    session.resume(call, answer, &mut self.turn(slot, connection.generation));
                }
            }
        }
    }
}

/// What a client hears whose event the door does not take.
fn refusal(error: jackfield_bridge::DoorError) -> ClientError {
    match error {
        jackfield_bridge::DoorError::Full => ClientError::TOO_MANY_REQUESTS,
        jackfield_bridge::DoorError::NotAvailable => ClientError::NOT_AVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use jackfield_dialects::raw::Mode;
    use jackfield_model::client::{Answer as Outcome, Reply};
    use jackfield_session::{Dialect, Framing};

    use super::*;

    #[test]
    fn raw_clients_hear_no_replies() {
        let reply = Reply { id: 1, outcome: Ok(Outcome::Ping) };
        let wires = Wires::default();
        let reply = |dialect| wires.reply(wire::encoding(dialect, Framing::Lines), &reply);
        assert!(reply(Dialect::Raw(Mode::Text)).is_none());
        assert!(reply(Dialect::CentrifugoJson).is_some());
    }
}

//! The log's part of the schedule: numbering, writing or failing to, showing, and forgetting in turn.

use jackfield_hub::{Forgetting, Order};
use jackfield_model::ClientId;
use jackfield_model::app::KeyMode;

use super::ear::{Due, Heard, View};
use super::journal::{Job, QUEUE};
use super::truth::{Decided, Life, Made};
use super::world::{World, is_told};
use super::{Checked, ensure};

/// Who waits for a publication to be safe.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    App,
    /// A client, by the number of its command.
    Client(ClientId, u32),
}

/// What waits for the log.
#[derive(Clone, Debug)]
pub(super) enum Ordered {
    Publish(usize, Made, Asked),
    Forget(usize),
}

/// What was decided about a publication that is on its way to the disk.
#[derive(Debug)]
pub(super) struct Taken {
    channel: usize,
    made: Made,
    asked: Asked,
    decided: Decided,
    /// The version before it.
    version: (u64, &'static str),
    time: u64,
}

/// What is on the disk of a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Filed {
    pub(super) life: Life,
    pub(super) version: (u64, &'static str),
    pub(super) state: View,
}

impl World {
    pub(super) fn is_log_full(&self) -> bool {
        self.orders.len() >= QUEUE
    }

    pub(super) fn log_step(&mut self) -> Checked {
        if self.is_written {
            let portion = 1 + self.dice.below(6);
            return self.reveal(portion);
        }
        if !self.batch.is_empty() && self.dice.once_in(3) {
            return if self.dice.once_in(8) { self.fail() } else { self.write() };
        }
        let portion = 1 + self.dice.below(6);
        self.number(portion)
    }

    /// Whether something waits for the log, or in it.
    pub(super) fn is_logging(&self) -> bool {
        !self.orders.is_empty() || self.held.is_some() || !self.batch.is_empty()
    }

    fn number(&mut self, portion: usize) -> Checked {
        for _ in 0..portion {
            let next = self.held.take().or_else(|| Some((self.inbox.next()?, self.orders.pop_front()?)));
            let Some((job, ordered)) = next else { return Ok(()) };
            match (job, ordered) {
                (Job::Publish(order), ordered) if self.depends(&order) => {
                    self.held = Some((Job::Publish(order), ordered));
                    return Ok(());
                }
                (Job::Publish(order), Ordered::Publish(channel, made, asked)) => {
                    self.number_one(*order, (channel, made, asked))?;
                }
                (job @ Job::Forget(..), ordered) if !self.batch.is_empty() => {
                    self.held = Some((job, ordered));
                    return Ok(());
                }
                (Job::Forget(name, Forgetting::Publications), Ordered::Forget(channel)) => {
                    self.note(|_| format!("the log forgets {name}"));
                    let forgotten = self.node.hub.forget_now(&name, Forgetting::Publications);
                    ensure(forgotten.is_ok(), || format!("{forgotten:?}"))?;
                    self.disk.forget(&name);
                    self.truths[channel].forget();
                    if let Some(filed) = self.files.get_mut(&channel) {
                        filed.life.kept.clear();
                    }
                }
                (Job::Forget(name, Forgetting::Life), Ordered::Forget(channel)) => {
                    self.note(|_| format!("the log clears {name}"));
                    let forgotten = self.node.hub.forget_now(&name, Forgetting::Life);
                    ensure(forgotten.is_ok(), || format!("{forgotten:?}"))?;
                    self.disk.clear(&name);
                    self.files.remove(&channel);
                    self.truths[channel].end();
                    self.truths[channel].clear();
                }
                other => return Err(format!("the inbox has {other:?}")),
            }
        }
        Ok(())
    }

    /// Whether an order is decided by what the batch before it changes.
    fn depends(&self, order: &Order) -> bool {
        let more = order.publishing.more.as_ref().filter(|more| !more.key.is_empty());
        let is_decided = more
            .is_some_and(|more| order.publishing.removes || more.version > 0 || more.key_mode != KeyMode::default());
        is_decided && self.batch.iter().any(|(numbered, _)| numbered.channel == order.channel)
    }

    fn number_one(&mut self, order: Order, (channel, made, asked): (usize, Made, Asked)) -> Checked {
        let time = self.node.now.millis;
        let truth = &mut self.truths[channel];
        let version = truth.version;
        let decided = truth.decide(&made, time);
        let life = truth.number();
        let Some(numbered) = self.node.hub.number(order, time) else { return Err("an order was refused".to_owned()) };
        let offset = numbered.publication.as_ref().map(|publication| publication.offset);
        let due = match decided {
            Decided::Suppressed(..) | Decided::Unheard => None,
            Decided::Taken(offset, _) => Some(offset.unwrap_or(0)),
        };
        ensure(offset == due, || {
            format!("numbered {offset:?} where {due:?} was due in {}", self.truths[channel].name)
        })?;
        if due.is_some_and(|offset| offset > 0) {
            self.truths[channel].learn(life, &numbered.epoch)?;
        }
        self.note(|world| format!("the log numbers {made:?} of {}: {decided:?}", world.truths[channel].name));
        self.batch.push_back((numbered, Taken { channel, made, asked, decided, version, time }));
        Ok(())
    }

    fn write(&mut self) -> Checked {
        let batch = self.batch.make_contiguous();
        self.disk.write(&self.node.hub, batch.iter().map(|(numbered, _)| numbered));
        for (_, taken) in &self.batch {
            let Decided::Taken(Some(offset), _) = taken.decided else { continue };
            let truth = &self.truths[taken.channel];
            let filed = self.files.entry(taken.channel).or_default();
            if filed.life.number != truth.number() || filed.life.top == 0 {
                *filed = Filed { life: Life { number: truth.number(), ..Life::default() }, ..Filed::default() };
            }
            filed.life.top = offset;
            filed.life.touched = taken.time;
            filed.life.kept.push_back(taken.made.serial);
            while filed.life.kept.len() > truth.options.history_size() {
                filed.life.kept.pop_front();
            }
            if taken.made.version.0 > 0 {
                filed.version = taken.made.version;
            }
            if truth.options.has_state() {
                if taken.made.removes {
                    filed.state.remove(taken.made.key);
                } else {
                    filed.state.insert(taken.made.key, taken.made.serial);
                }
            }
            // Whether or not it is ever shown in this life of the node, in the next one it has happened.
            let item = &mut self.items[taken.made.serial];
            (item.offset, item.time, item.life) = (offset, taken.time, truth.number());
        }
        self.is_written = true;
        self.note(|world| format!("the log writes {}", world.batch.len()));
        Ok(())
    }

    fn reveal(&mut self, portion: usize) -> Checked {
        for _ in 0..portion {
            let Some((numbered, taken)) = self.batch.pop_front() else { break };
            self.node.hub.reveal(numbered);
            if let Decided::Taken(offset, holds) = taken.decided {
                let truth = &mut self.truths[taken.channel];
                truth.show(&mut self.items, &taken.made, (offset, holds), taken.time);
                self.happens(taken.channel, Heard::Item(taken.made.serial));
            }
            self.note(|_| format!("the log shows {:?}", taken.made));
            self.settle(&taken, true)?;
        }
        self.is_written = !self.batch.is_empty();
        Ok(())
    }

    /// The disk is full, or worse.
    fn fail(&mut self) -> Checked {
        self.note(|world| format!("the log fails to write {}", world.batch.len()));
        let (numbered, taken): (Vec<_>, Vec<_>) = self.batch.drain(..).unzip();
        self.tally.taken_back += numbered.len() as u64;
        self.node.hub.take_back(numbered.into_iter());
        for taken in taken.iter().rev() {
            if let Decided::Taken(offset, _) = taken.decided {
                let truth = &mut self.truths[taken.channel];
                // Only its own: what was counted before may be of a life that is over by now.
                if taken.made.version.0 > 0 && truth.is_there() {
                    truth.version = taken.version;
                }
                truth.results.remove(taken.made.idempotency);
                if let Some(life) = truth.life.as_mut().filter(|_| offset.is_some()) {
                    life.under_way -= 1;
                }
            }
            self.settle(taken, false)?;
        }
        Ok(())
    }

    /// Whoever waits is told.
    fn settle(&mut self, taken: &Taken, is_safe: bool) -> Checked {
        match taken.asked {
            Asked::App => {
                let outcome = self.outcomes.lock().unwrap().iter().position(|(serial, _)| *serial == taken.made.serial);
                let Some(at) = outcome else { return Err(format!("nobody was told of {taken:?}")) };
                let (_, outcome) = self.outcomes.lock().unwrap().remove(at);
                let is_right = match &outcome {
                    Ok(published) => is_safe && is_told(published, &taken.decided),
                    Err(error) => !is_safe && *error == jackfield_hub::PublishError::NotWritten,
                };
                ensure(is_right, || format!("{taken:?} was told {outcome:?}"))
            }
            Asked::Client(id, command) => {
                let awaited = self.ears.get_mut(&id).map(|ear| &mut ear.awaited);
                let due = awaited.and_then(|all| all.iter_mut().find(|(known, _)| *known == command));
                if let Some((_, due)) = due {
                    *due = Due::Publish(Some(if is_safe { Ok(()) } else { Err(100) }));
                }
                Ok(())
            }
        }
    }
}

//! The world: a node that lives and dies, a disk that stays, clients that come again, and a schedule thrown by dice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use jackfield_hub::{Numbered, PublishError, Published, Publishing, Receipt, Ticket};
use jackfield_model::app::{KeyMode, PublishMore};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientId, Content, Payload};
use jackfield_session::Now;

use super::channels;
use super::client::Client;
use super::ear::{Ear, Heard};
use super::journal::{Disk, Inbox, Job};
use super::logging::{Asked, Filed, Ordered};
use super::node::{Node, Note, Place};
use super::truth::{Decided, Item, Made, Truth};
use super::{Checked, ensure};

pub(super) const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
pub(super) const TAGS: [&str; 3] = ["", "x", "y"];
const IDEMPOTENCY: [&str; 3] = ["i1", "i2", "i3"];
const FILLER: &str =
    "the quick brown fox jumps over the lazy dog and the dog sleeps on, as it did on all the days before this one";
const START: Now = Now { tick: 1, millis: 1_700_000_000_000 };

/// SplitMix64.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// Once in so many throws.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What has been done in all worlds, so that a schedule that does nothing is found out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) heard: u64,
    pub(super) recovered: u64,
    pub(super) refused: u64,
    pub(super) restarts: u64,
    pub(super) closed: u64,
    pub(super) taken_back: u64,
    pub(super) deltas: u64,
}

pub(super) type Outcomes = Arc<Mutex<Vec<(usize, Result<Published, PublishError>)>>>;

/// Everything.
pub(super) struct World {
    pub(super) node: Node,
    pub(super) truths: Vec<Truth>,
    pub(super) items: Vec<Item>,
    pub(super) ears: BTreeMap<ClientId, Ear>,
    pub(super) clients: Vec<Client>,
    /// Who every connection is.
    pub(super) users: BTreeMap<ClientId, &'static str>,
    /// Connections whose clients are gone, which the node does not know yet.
    pub(super) orphans: Vec<(Place, ClientId)>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) disk: Disk,
    /// What the disk holds of each channel.
    pub(super) files: BTreeMap<usize, Filed>,
    /// What waits for the log, as the inbox has it.
    pub(super) orders: VecDeque<Ordered>,
    /// The job that must wait until the batch is shown.
    pub(super) held: Option<(Job, Ordered)>,
    pub(super) batch: VecDeque<(Numbered, super::logging::Taken)>,
    pub(super) is_written: bool,
    pub(super) outcomes: Outcomes,
    pub(super) arrivals: u64,
    pub(super) seed: u64,
    pub(super) dice: Dice,
    pub(super) tally: Tally,
    /// The last steps, where anybody wants to know.
    pub(super) trace: Option<VecDeque<String>>,
}

impl World {
    pub(super) fn new(workers: usize, seed: u64, is_traced: bool) -> Self {
        let all = channels::all();
        let mut node = Node::new(channels::namespaces(&all), workers, (seed, START));
        let inbox = Arc::new(Inbox::default());
        node.hub.set_journal(inbox.clone());
        // Few clients make many kinds of schedules in little time; a crowd makes long lists of subscribers.
        let clients = if seed.is_multiple_of(8) { 30 } else { 8 };
        Self {
            node,
            truths: all.into_iter().map(|(name, options)| Truth::new(name, options)).collect(),
            items: vec![Item::default()],
            ears: BTreeMap::new(),
            clients: (0..clients).map(Client::new).collect(),
            users: BTreeMap::new(),
            orphans: Vec::new(),
            inbox,
            disk: Disk::default(),
            files: BTreeMap::new(),
            orders: VecDeque::new(),
            held: None,
            batch: VecDeque::new(),
            is_written: false,
            outcomes: Outcomes::default(),
            arrivals: 0,
            seed,
            dice: Dice(seed),
            tally: Tally::default(),
            trace: is_traced.then(VecDeque::new),
        }
    }

    pub(super) fn note(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_none() {
            return;
        }
        let what = what(self);
        if let Some(trace) = &mut self.trace {
            trace.push_back(what);
            if trace.len() > super::TRACE {
                trace.pop_front();
            }
        }
    }

    /// One event of the schedule.
    pub(super) fn step(&mut self) -> Checked {
        match self.dice.below(2000) {
            0..400 => self.publish(),
            400..760 => self.work(),
            760..1060 => self.flush(),
            1060..1420 => self.read_some(),
            1420..1720 => self.command(),
            1720..1830 => self.log_step(),
            1830..1900 => self.come(),
            1900..1912 => self.go(),
            1912..1932 => self.notice(),
            1932..1935 => self.lose_state(),
            1935..1938 => self.forget(),
            1938..1968 => self.pass(60),
            1968..1969 => self.pass(4_000),
            1969..1981 => self.sweep(),
            1981..1999 => self.look(),
            _ if self.dice.once_in(2) => self.restart(),
            _ => Ok(()),
        }
    }

    /// Something happens in a channel.
    pub(super) fn happens(&mut self, channel: usize, what: Heard) {
        for ear in self.ears.values_mut() {
            ear.owe(channel, what, &self.items);
        }
    }

    /// Whether a key loses its value.
    pub(super) fn may_remove(&mut self, channel: usize, key: &str) -> bool {
        let options = &self.truths[channel].options;
        let (is_map, is_numbered) = (options.is_map(), options.has_history());
        let removes = !key.is_empty() && (is_numbered || is_map) && self.dice.once_in(6);
        if removes && !is_numbered {
            // Removals without a number are told apart by their time.
            self.node.now.millis += 1;
        }
        removes
    }

    /// A new text, and what stands beside it.
    pub(super) fn make(&mut self, channel: usize, key: &'static str, removes: bool) -> usize {
        let serial = self.items.len();
        let tag = if self.truths[channel].options.tags_filter { self.dice.of(&TAGS) } else { "" };
        // Lengths that add up to the caps exactly, now and then; alike enough for deltas.
        let length = self.dice.of(&[0, 50, 100, 100, 100, 150, 300]);
        let text = match length {
            _ if removes => String::new(),
            0 => serial.to_string(),
            length => {
                let mut text = format!(r#"{{"n":{serial},"t":""#);
                text.extend(FILLER.chars().cycle().take(length - text.len() - 2));
                text.push_str("\"}");
                text
            }
        };
        self.items.push(Item { key, tag, removes, text, ..Item::default() });
        serial
    }

    /// The application publishes.
    fn publish(&mut self) -> Checked {
        let channel = self.dice.below(self.truths.len());
        let has_state = self.truths[channel].options.has_state();
        let is_map = self.truths[channel].options.is_map();
        let key = if has_state || self.dice.once_in(8) { self.dice.of(&KEYS) } else { "" };
        let removes = self.may_remove(channel, key);
        let serial = self.make(channel, key, removes);
        let key_mode = if is_map && !removes && self.dice.once_in(4) {
            self.dice.of(&[KeyMode::IfNew, KeyMode::IfExists])
        } else {
            KeyMode::Replace
        };
        let made = Made {
            key_mode,
            serial,
            key,
            removes,
            skips_history: !removes && !is_map && self.dice.once_in(10),
            idempotency: if self.dice.once_in(60) { self.dice.of(&IDEMPOTENCY) } else { "" },
            version: if !is_map && self.dice.once_in(20) {
                (1 + self.dice.below(40) as u64, self.dice.of(&["", "v"]))
            } else {
                (0, "")
            },
        };
        let publishing = self.publishing(&made, is_map);
        let outcomes = Arc::clone(&self.outcomes);
        let ticket = Ticket::Then(Box::new(move |outcome| outcomes.lock().unwrap().push((serial, outcome))));
        let name = Arc::clone(&self.truths[channel].name);
        self.note(|_| format!("the application publishes {made:?} into {name}"));
        let now = self.node.now.millis;
        let published = self.node.hub.publish(&name, publishing, Some(ticket), now);
        if self.truths[channel].options.durable {
            let is_busy = self.is_log_full();
            return match published {
                Ok(Receipt::Later) if !is_busy => {
                    self.orders.push_back(Ordered::Publish(channel, made, Asked::App));
                    Ok(())
                }
                Err(PublishError::Busy) if is_busy => Ok(()),
                other => Err(format!("an order became {other:?}; {} wait", self.orders.len())),
            };
        }
        match published {
            Ok(Receipt::Ready(published)) => {
                let decided = self.take_and_show(channel, &made);
                ensure(is_told(&published, &decided), || format!("{published:?} where {decided:?} was due"))
            }
            other => Err(format!("a publication became {other:?}")),
        }
    }

    pub(super) fn publishing(&self, made: &Made, is_for_map: bool) -> Publishing {
        let item = &self.items[made.serial];
        let more = PublishMore {
            key: made.key.to_owned(),
            idempotency_key: made.idempotency.to_owned(),
            version: made.version.0,
            version_epoch: made.version.1.to_owned(),
            key_mode: made.key_mode,
            ..PublishMore::default()
        };
        let tags = (!item.tag.is_empty()).then(|| Arc::new(BTreeMap::from([("t".to_owned(), item.tag.to_owned())])));
        let data = Payload { bytes: item.text.clone().into(), content: Content::Json };
        Publishing {
            data: if made.removes { Payload::default() } else { data },
            tags,
            skip_history: made.skips_history,
            removes: made.removes,
            is_for_map,
            more: (more != PublishMore::default()).then(|| Box::new(more)),
            ..Publishing::default()
        }
    }

    /// A publication that needs no log has happened.
    pub(super) fn take_and_show(&mut self, channel: usize, made: &Made) -> Decided {
        let now = self.node.now.millis;
        let decided = self.truths[channel].decide(made, now);
        if let Decided::Taken(offset, holds) = decided {
            self.truths[channel].show(&mut self.items, made, (offset, holds), now);
            self.happens(channel, Heard::Item(made.serial));
        }
        decided
    }

    fn work(&mut self) -> Checked {
        let nth = self.dice.below(self.node.workers());
        if self.dice.once_in(2) {
            self.node.take_mail(nth);
        }
        let portion = 1 + self.dice.below(24);
        self.note(|_| format!("worker {nth} delivers {portion}"));
        self.node.work(nth, portion);
        if self.dice.once_in(4) {
            self.node.keep_time(nth);
        }
        self.hark()
    }

    fn flush(&mut self) -> Checked {
        let nth = self.dice.below(self.node.workers());
        let portion = 1 + self.dice.below(8);
        self.note(|_| format!("worker {nth} writes for {portion}"));
        self.node.flush(nth, portion);
        self.hark()
    }

    /// What the node has done to connections has happened.
    pub(super) fn hark(&mut self) -> Checked {
        for note in std::mem::take(&mut self.node.notes) {
            match note {
                Note::Blocked(id) => {
                    if let Some(ear) = self.ears.get_mut(&id) {
                        ear.was_blocked = true;
                    }
                }
                Note::Lost(id, name) => {
                    let channel = self.truths.iter().position(|truth| truth.name == name).unwrap();
                    let was_in = self.leave(id, channel, true);
                    ensure(was_in, || format!("{id} was taken out of {name} and was not in"))?;
                }
                Note::Ended(id) => {
                    self.tally.closed += 1;
                    for channel in 0..self.truths.len() {
                        self.leave(id, channel, false);
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection is out of a channel; whether it was in.
    pub(super) fn leave(&mut self, id: ClientId, channel: usize, is_lost: bool) -> bool {
        let was_in = self.ears.get_mut(&id).is_some_and(|ear| ear.leave(channel, is_lost));
        if was_in {
            self.truths[channel].leave();
            if self.truths[channel].options.join_leave {
                self.happens(channel, Heard::Leave(id));
            }
        }
        was_in
    }

    fn lose_state(&mut self) -> Checked {
        let channel = self.dice.below(self.truths.len());
        let name = Arc::clone(&self.truths[channel].name);
        self.note(|_| format!("subscribers of {name} are told to come again"));
        let lost = self.node.hub.invalidate_state(&name, &Unsubscribed::INSUFFICIENT_STATE);
        lost.map_err(|error| format!("{error:?}"))
    }

    fn forget(&mut self) -> Checked {
        let channel = self.dice.below(self.truths.len());
        let truth = &mut self.truths[channel];
        let name = Arc::clone(&truth.name);
        if truth.options.is_map() {
            return self.clear_map(channel);
        }
        let forgotten = self.node.hub.forget_history(&name);
        ensure(forgotten.is_ok() == truth.options.has_history(), || format!("{forgotten:?}"))?;
        if truth.options.durable {
            self.orders.push_back(Ordered::Forget(channel));
        } else {
            truth.forget();
        }
        self.note(|_| format!("the history of {name} is removed"));
        Ok(())
    }

    fn pass(&mut self, most: usize) -> Checked {
        self.node.now.millis += 1 + self.dice.below(most) as u64;
        self.node.now.tick = 1 + ((self.node.now.millis - START.millis) / 100) as u32;
        self.note(|world| format!("it is {}", world.node.now.millis));
        Ok(())
    }

    fn sweep(&mut self) -> Checked {
        let now = self.node.now.millis;
        // Which part a channel lies in is nobody's business, so all of them are swept at once.
        for round in 0..64 {
            self.node.hub.sweep(round, now);
        }
        for channel in 0..self.truths.len() {
            for key in self.truths[channel].run_out(now) {
                let serial = self.make(channel, key, true);
                let made = Made { serial, key, removes: true, ..Made::default() };
                self.take_and_show(channel, &made);
            }
            self.truths[channel].sweep(&self.items, now);
        }
        self.note(|_| "what is old is swept away".to_owned());
        Ok(())
    }

    /// The application looks at a channel.
    fn look(&mut self) -> Checked {
        let channel = self.dice.below(self.truths.len());
        let now = self.node.now.millis;
        let due: BTreeSet<ClientId> = self.members(channel);
        let truth = &mut self.truths[channel];
        let name = Arc::clone(&truth.name);
        if truth.options.presence {
            let present = self.node.hub.presence(&name).map_err(|error| format!("{error:?}"))?;
            let present: BTreeSet<ClientId> = present.iter().map(|info| info.client).collect();
            ensure(present == due, || format!("in {name} are {present:?} and not {due:?}"))?;
        }
        if truth.options.is_map() {
            return self.look_at_map(channel);
        }
        if !truth.options.has_history() {
            return Ok(());
        }
        truth.begin(now);
        let page = self.node.hub.history(&name, -1, (None, None), false, now).map_err(|error| format!("{error:?}"))?;
        let offsets: Vec<u64> = page.publications.iter().map(|publication| publication.offset).collect();
        let kept = truth.kept(&self.items, now);
        let due: Vec<u64> = kept.iter().take(channels::CAP.count).map(|serial| self.items[*serial].offset).collect();
        ensure(offsets == due && page.position.offset == truth.top(), || {
            format!("{name} keeps {offsets:?} up to {} and not {due:?} up to {}", page.position.offset, truth.top())
        })?;
        let number = truth.number();
        truth.learn(number, &page.position.epoch)
    }

    /// Who is in a channel.
    pub(super) fn members(&self, channel: usize) -> BTreeSet<ClientId> {
        let is_in = |(id, ear): (&ClientId, &Ear)| ear.stay(channel).map(|_| *id);
        self.ears.iter().filter_map(is_in).collect()
    }

    /// The node dies at once, and another one takes its place, with the disk of the old one or with an empty one.
    fn restart(&mut self) -> Checked {
        let has_log = !self.dice.once_in(3);
        self.note(|_| format!("the node dies; the next one has its log: {has_log}"));
        for nth in 0..self.clients.len() {
            // Some of what was on its way arrives.
            let portion = self.dice.below(800);
            self.read(nth, portion)?;
            self.clients[nth].hang_up();
        }
        self.tally.restarts += 1;
        self.orphans.clear();
        self.ears.clear();
        self.orders.clear();
        self.held = None;
        self.batch.clear();
        self.is_written = false;
        self.outcomes.lock().unwrap().clear();
        self.inbox = Arc::new(Inbox::default());
        if !has_log {
            self.disk = Disk::default();
            self.files.clear();
        }
        let workers = self.node.workers();
        let lives = self.seed.wrapping_add(self.tally.restarts.wrapping_mul(0x1_0000_0001));
        let namespaces = self.node.hub.namespaces().clone();
        self.node = Node::new(namespaces, workers, (lives, self.node.now));
        self.node.hub.set_journal(self.inbox.clone());
        self.disk.restore(&self.node.hub);
        for (channel, truth) in self.truths.iter_mut().enumerate() {
            truth.end();
            truth.subscribers = 0;
            truth.clear();
            truth.results.clear();
            if let Some(filed) = self.files.get(&channel) {
                truth.life = Some(filed.life.clone());
                truth.version = filed.version;
                truth.state.clone_from(&filed.state);
            }
        }
        Ok(())
    }
}

/// Whether a publisher is told what was decided.
pub(super) fn is_told(published: &Published, decided: &Decided) -> bool {
    let offset = published.position.as_ref().map(|position| position.offset);
    match decided {
        Decided::Suppressed(why, due) => published.suppressed == Some(why) && offset == *due,
        Decided::Taken(due, _) => published.suppressed.is_none() && offset == *due,
        Decided::Unheard => *published == Published::default(),
    }
}

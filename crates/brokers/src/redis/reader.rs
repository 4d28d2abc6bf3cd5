//! Reads the commands of the partitions this node holds: first what was left unsettled, then what is new.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::AHashSet;
use jackfield_bridge::{Delivery, QueueError, Receipt};
use redis::{Pipeline, Value, cmd};
use tokio::time::Instant;

use super::lines::Lines;
use super::link::refusal;
use super::place::slot;
use super::values::{self, Entry};
use crate::batch::{self, BATCH_BYTES, BATCH_COMMANDS, WAIT};
use crate::keys::{COMMAND_GROUP, Keys};

/// How often a look is taken for commands that were handed to a reader which is gone.
const PATROL: Duration = Duration::from_secs(30);
/// How long such a command was with it.
const PATROL_IDLE: Duration = Duration::from_secs(30);
/// Claims come with whole payloads and know no limit of bytes, so a few at a time.
const CLAIM_COUNT: usize = 16;
/// Takes a partition over: 0 where the lease is not this node's, else up to where a group before had handed out.
///
/// Each node reads by a group of its own, and the other groups go. Why: a read is sent and answered later than the lease was
/// looked at, and a node that stood still in between (stopped, or cut off) would take commands from under the next owner,
/// which would come late. Without its group Redis refuses such a read. The new group begins at the beginning: what is still
/// in the stream is not settled.
const TAKE_OVER: &str = "\
if redis.call('get',KEYS[2])~=ARGV[1] then return 0 end
local groups,mine,last=redis.pcall('xinfo','groups',KEYS[1]),false,{0,0}
if groups.err then
 if not string.find(groups.err,'no such key') then return groups end
 groups={}
end
local others={}
for _,group in ipairs(groups) do
 local of={}
 for at=1,#group,2 do of[group[at]]=group[at+1] end
 if of.name==ARGV[2] then mine=true
 elseif string.sub(of.name,1,#ARGV[3])==ARGV[3] then
  others[#others+1]=of.name
  local ms,number=string.match(of['last-delivered-id'],'(%d+)-(%d+)')
  ms,number=tonumber(ms),tonumber(number)
  if ms>last[1] or ms==last[1] and number>last[2] then last={ms,number,of['last-delivered-id']} end
 end
end
if mine and #others==0 then return '0-0' end
if mine then redis.call('xgroup','destroy',KEYS[1],ARGV[2]) end
for _,name in ipairs(others) do redis.call('xgroup','destroy',KEYS[1],name) end
redis.call('xgroup','create',KEYS[1],ARGV[2],'0','MKSTREAM')
return last[3] or '0-0'";

/// Where the reading of a partition is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// The group may not be there, and another node's may.
    Prepare,
    /// Takes over what is pending from this id on and idle so long.
    Claim { from: (u64, u64), idle: Duration },
    /// Reads what is new.
    News,
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    number: u32,
    term: u64,
    step: Step,
    /// Up to where another node had been handed what lies here.
    before: (u64, u64),
}

/// What was handed out and is not settled. Why: claims would hand it out again.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    receipts: Mutex<AHashSet<Receipt>>,
    /// Since when each reader reads that does, by its first partition.
    reading: Mutex<HashMap<u32, Instant>>,
}

impl Outstanding {
    fn set(&self) -> MutexGuard<'_, AHashSet<Receipt>> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, HashMap<u32, Instant>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader begins to read.
    pub(super) fn begin(&self, reader: u32, now: Instant) {
        self.reading().insert(reader, now);
    }

    /// It has read.
    pub(super) fn end(&self, reader: u32) {
        self.reading().remove(&reader);
    }

    /// Whether something of a partition that was given up then is not settled, or may still come.
    pub(super) fn is_busy(&self, partition: u32, since: Instant) -> bool {
        self.reading().values().any(|begun| *begun <= since)
            || self.set().iter().any(|receipt| receipt.partition == partition)
    }

    pub(super) fn settle(&self, receipts: &[Receipt]) {
        let mut set = self.set();
        for receipt in receipts {
            set.remove(receipt);
        }
    }
}

/// The reader's memory between calls.
///
/// What it reads lies on one server, and in a cluster in one slot: there a server takes no request for several.
#[derive(Debug)]
pub(super) struct Reader {
    /// Who reads, and by which group.
    node: String,
    group: String,
    /// The partitions that it may read, and a slot of them.
    range: Range<u32>,
    slot: u16,
    partitions: Vec<Partition>,
    buffer: VecDeque<Delivery>,
    /// A read was sent whose reply was not seen: what it took is claimed.
    unseen: bool,
    /// The largest command of late, which says how many are fetched.
    largest_bytes: usize,
    patrol: Instant,
}

impl Reader {
    pub(super) fn new(node: &str, range: Range<u32>, keys: &Keys, max_payload_bytes: usize) -> Self {
        // From above: the first reads are small, until it is known what commands weigh.
        let largest_bytes = max_payload_bytes.max(1);
        let patrol = Instant::now() + PATROL;
        let slot = slot(&keys.commands(range.start));
        let (node, group) = (node.to_owned(), group(node));
        let (partitions, buffer) = (Vec::new(), VecDeque::new());
        Self { node, group, range, slot, partitions, buffer, unseen: false, largest_bytes, patrol }
    }

    /// Follows the leases: what is no longer held is not read, and what is new is taken over first.
    pub(super) fn follow(&mut self, held: &[(u32, u64)]) {
        let old = std::mem::take(&mut self.partitions);
        for (number, term) in held.iter().filter(|(number, _)| self.range.contains(number)) {
            let same = old.iter().find(|one| one.number == *number && one.term == *term);
            let fresh = Partition { number: *number, term: *term, step: Step::Prepare, before: (0, 0) };
            self.partitions.push(same.copied().unwrap_or(fresh));
        }
        let kept = &self.partitions;
        self.buffer.retain(|delivery| {
            let number = delivery.receipt.partition;
            let term = |list: &[Partition]| list.iter().find(|one| one.number == number).map(|one| one.term);
            term(kept).is_some() && term(kept) == term(&old)
        });
        if std::mem::take(&mut self.unseen) {
            self.restart();
        }
        if Instant::now() >= self.patrol {
            self.patrol = Instant::now() + PATROL;
            for partition in &mut self.partitions {
                if partition.step == Step::News {
                    partition.step = Step::Claim { from: (0, 0), idle: PATROL_IDLE };
                }
            }
        }
    }

    /// The first of its partitions, which names it.
    pub(super) fn first(&self) -> u32 {
        self.range.start
    }

    /// What is there already.
    pub(super) fn take(&mut self, outstanding: &Outstanding) -> Vec<Delivery> {
        let taken = batch::take(&mut self.buffer);
        outstanding.set().extend(taken.iter().map(|delivery| delivery.receipt));
        taken
    }

    /// Whether there is nothing that it may read.
    pub(super) fn is_idle(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Whether it may read while what it handed out last is not settled. Not while something is taken over: what is
    /// settled meanwhile would be handed out again.
    pub(super) fn is_ready_ahead(&self) -> bool {
        let reads_news = self.partitions.iter().all(|partition| partition.step == Step::News);
        self.buffer.is_empty() && !self.unseen && !self.partitions.is_empty() && reads_news
    }

    /// Reads once; what came is in the buffer. Waits for news only where nothing is left to be taken over, and all is still
    /// this node's: what a node is handed of a partition that another one reads by now is missing there, and comes late.
    pub(super) async fn read(
        &mut self,
        lines: &Lines,
        keys: &Keys,
        outstanding: &Outstanding,
        held: impl Fn() -> Vec<(u32, u64)>,
    ) -> Result<(), QueueError> {
        // Until the reply is digested; also where this call is given up half-way.
        self.unseen = true;
        self.prepare(lines, keys).await?;
        self.claim(lines, keys, outstanding).await?;
        let settled = self.partitions.iter().all(|partition| partition.step == Step::News);
        if self.buffer.is_empty() && settled && self.holds_all(&held()) {
            self.news(lines, keys, outstanding).await?;
        }
        self.unseen = false;
        Ok(())
    }

    fn holds_all(&self, held: &[(u32, u64)]) -> bool {
        self.partitions.iter().all(|one| held.contains(&(one.number, one.term)))
    }

    async fn prepare(&mut self, lines: &Lines, keys: &Keys) -> Result<(), QueueError> {
        let wanting = self.partitions.iter_mut().filter(|one| one.step == Step::Prepare);
        let wanting: Vec<&mut Partition> = wanting.collect();
        if wanting.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::new();
        for partition in &wanting {
            let mut eval = cmd("EVAL");
            eval.arg(TAKE_OVER).arg(2).arg(keys.commands(partition.number)).arg(keys.lease(partition.number));
            eval.arg(&self.node).arg(&self.group).arg(COMMAND_GROUP);
            pipeline.add_command(eval);
        }
        let replies = lines.run_at(self.slot, &pipeline).await?;
        for (partition, reply) in wanting.into_iter().zip(replies) {
            if let Some(error) = refusal(&reply) {
                return Err(error);
            }
            let Some(before) = values::number(&reply) else {
                let number = partition.number;
                return Err(QueueError::Unreachable(format!("the lease of partition {number} is not this node's")));
            };
            partition.before = partition.before.max(before);
            partition.step = Step::Claim { from: (0, 0), idle: Duration::ZERO };
        }
        Ok(())
    }

    async fn claim(&mut self, lines: &Lines, keys: &Keys, outstanding: &Outstanding) -> Result<(), QueueError> {
        let mut pipeline = Pipeline::new();
        let mut claiming = Vec::new();
        for partition in &mut self.partitions {
            let Step::Claim { from, idle } = partition.step else {
                continue;
            };
            let claim = pipeline.cmd("XAUTOCLAIM").arg(keys.commands(partition.number));
            claim.arg(&self.group).arg(COMMAND_GROUP).arg(idle.as_millis() as u64);
            claim.arg(values::id(from)).arg("COUNT").arg(CLAIM_COUNT);
            claiming.push((partition, idle));
        }
        if claiming.is_empty() {
            return Ok(());
        }
        let replies = lines.run_at(self.slot, &pipeline).await?;
        if let Some(error) = replies.iter().find_map(refusal) {
            return Err(error);
        }
        let known: HashSet<Receipt> = self.buffer.iter().map(|delivery| delivery.receipt).collect();
        for ((partition, idle), reply) in claiming.into_iter().zip(replies) {
            let (cursor, entries) = values::claimed(reply);
            partition.step = cursor.map_or(Step::News, |from| Step::Claim { from, idle });
            let deliveries = entries.into_iter().filter_map(|entry| entry.delivery(partition.number));
            // Whoever had them may have done them.
            let deliveries = deliveries.map(|delivery| Delivery { again: true, ..delivery });
            let outstanding = outstanding.set();
            self.buffer.extend(
                deliveries
                    .filter(|delivery| !outstanding.contains(&delivery.receipt) && !known.contains(&delivery.receipt)),
            );
        }
        Ok(())
    }

    async fn news(&mut self, lines: &Lines, keys: &Keys, outstanding: &Outstanding) -> Result<(), QueueError> {
        let streams: Vec<String> = self.partitions.iter().map(|partition| keys.commands(partition.number)).collect();
        let count = (BATCH_BYTES / self.largest_bytes).clamp(1, BATCH_COMMANDS);
        let mut pipeline = Pipeline::new();
        let read = pipeline.cmd("XREADGROUP").arg("GROUP").arg(&self.group).arg(COMMAND_GROUP);
        read.arg("COUNT").arg((count / streams.len().max(1)).max(1));
        read.arg("BLOCK").arg(WAIT.as_millis() as u64).arg("STREAMS").arg(&streams);
        for _ in &streams {
            read.arg(">");
        }
        let reply = lines.run_at(self.slot, &pipeline).await?.pop().unwrap_or(Value::Nil);
        // The error is never inside, and looking for it there costs as much as reading.
        if let Some(error) = Some(&reply).filter(|reply| matches!(reply, Value::ServerError(_))).and_then(refusal) {
            // The group is gone: with the whole database, or because another node has the partition.
            self.restart();
            return Err(error);
        }
        for (key, entries) in values::streams(reply) {
            let place = streams.iter().position(|stream| stream.as_bytes() == key);
            let Some(partition) = place.and_then(|place| self.partitions.get(place)) else {
                continue;
            };
            let mut deliveries = deliveries(entries, partition.number);
            if deliveries.first().is_some_and(|first| first.receipt.number <= partition.before) {
                // Whoever had them may have done them; this node itself, where its lease was away for a moment, does.
                let outstanding = outstanding.set();
                deliveries.retain(|delivery| !outstanding.contains(&delivery.receipt));
                for delivery in &mut deliveries {
                    delivery.again = delivery.receipt.number <= partition.before;
                }
            }
            let largest = deliveries.iter().map(|delivery| delivery.payload.len()).max();
            // Falls by steps and rises at once.
            let lately = self.largest_bytes / 2;
            self.largest_bytes = lately.max(largest.unwrap_or(0)).max(64);
            self.buffer.extend(deliveries);
        }
        Ok(())
    }

    fn restart(&mut self) {
        for partition in &mut self.partitions {
            partition.step = Step::Prepare;
        }
    }
}

/// The group by which a node reads.
pub(super) fn group(node: &str) -> String {
    format!("{COMMAND_GROUP}-{node}")
}

fn deliveries(entries: Vec<Entry>, partition: u32) -> Vec<Delivery> {
    entries.into_iter().filter_map(|entry| entry.delivery(partition)).collect()
}

//! Dead letters in Redis, and in the embedded queue, which speaks the same: two streams for each partition.

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::QueueError;
use redis::{Pipeline, Value};

use super::lines::Lines;
use super::link::refusal;
use super::place::{Place, slot};
use super::values;
use crate::dead::{self, DeadLetters, Done, Job, Letter, Wanted};
use crate::keys::Keys;
use crate::registry::{OpenError, Options};

/// Letters that are read together.
const PAGE: usize = 100;

/// The dead letters of a Redis.
pub(crate) struct RedisDead {
    place: Place,
    lines: Lines,
    keys: Keys,
    partitions: u32,
}

/// One of the streams.
struct Heap {
    partition: u32,
    is_event: bool,
    key: String,
    /// Where its letters came from.
    source: String,
}

impl RedisDead {
    pub(crate) fn open(url: &str, options: &Options) -> Result<Self, OpenError> {
        let place = Place::parse(url, options.ca_file.as_deref())?;
        let lines = Lines::new(place.clone(), std::time::Duration::ZERO);
        Ok(Self { place, lines, keys: Keys::new(&options.prefix), partitions: options.partitions })
    }

    fn heaps(&self) -> impl Iterator<Item = Heap> + '_ {
        (0..self.partitions).flat_map(|partition| {
            let (keys, heap) = (&self.keys, |is_event, key, source| Heap { partition, is_event, key, source });
            [
                heap(false, keys.dead(partition), keys.commands(partition)),
                heap(true, keys.dead_events(partition), keys.events(partition)),
            ]
        })
    }

    /// Runs requests about one stream; the first error counts.
    async fn run(&self, heap: &Heap, pipeline: &Pipeline) -> Result<Vec<Value>, QueueError> {
        let replies = self.lines.run_at(slot(&heap.key), pipeline).await?;
        replies.iter().find_map(refusal).map_or(Ok(replies), Err)
    }

    async fn walk(
        &self,
        heap: &Heap,
        (wanted, job): (&Wanted, Job),
        done: &mut Vec<(Letter, Done)>,
    ) -> Result<(), QueueError> {
        let (mut from, mut count) = ("-".to_owned(), 0);
        loop {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("XRANGE").arg(&heap.key).arg(&from).arg("+").arg("COUNT").arg(PAGE);
            let reply = self.run(heap, &pipeline).await?.into_iter().next().unwrap_or(Value::Nil);
            let page = values::entries(reply);
            let is_last = page.len() < PAGE;
            for entry in page {
                // Of a listing each stream may have the oldest.
                if wanted.is_full(if job == Job::List { count } else { done.len() }) {
                    return Ok(());
                }
                let number = values::id(entry.number);
                from = format!("({number}");
                let (time, fields) = (entry.number.0, entry.fields());
                let letter = Letter::read(heap.is_event, self.partitions, &fields);
                let letter = Letter { time, partition: heap.partition, ..letter };
                if !wanted.fits(&letter) {
                    continue;
                }
                let verdict = job.verdict(&letter);
                self.settle_one(heap, &number, verdict, (&fields, job.id_of(&letter))).await?;
                done.push((letter, verdict));
                count += 1;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn settle_one(
        &self,
        heap: &Heap,
        number: &str,
        verdict: Done,
        (fields, id): (&[(String, Bytes)], String),
    ) -> Result<(), QueueError> {
        if !matches!(verdict, Done::Dropped | Done::Replayed) {
            return Ok(());
        }
        // As one: what is put back must not stay behind, and what leaves must be back.
        let mut pipeline = Pipeline::new();
        pipeline.atomic();
        if verdict == Done::Replayed {
            let add = pipeline.cmd("XADD").arg(&heap.source).arg("*").arg("v").arg("1").arg("id").arg(id);
            for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "reason" | "v")) {
                add.arg(name).arg(value.as_ref());
            }
        }
        pipeline.cmd("XDEL").arg(&heap.key).arg(number);
        self.run(heap, &pipeline).await.map(drop)
    }
}

#[async_trait]
impl DeadLetters for RedisDead {
    fn describe(&self) -> String {
        self.place.to_string()
    }

    async fn settle(&self, wanted: &Wanted, job: Job, done: &mut Vec<(Letter, Done)>) -> Result<(), QueueError> {
        for heap in self.heaps() {
            if wanted.partition.is_none_or(|partition| partition == heap.partition) {
                self.walk(&heap, (wanted, job), done).await?;
            }
        }
        if job == Job::List {
            dead::sort(done, wanted);
        }
        Ok(())
    }
}

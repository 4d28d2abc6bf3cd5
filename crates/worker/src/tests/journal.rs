//! A log that lives in the test: it takes orders, numbers them, writes them or fails to, and shows them; and after a crash it
//! knows what was written, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use jackfield_hub::{Forgetting, Hub, Journal, Numbered, Order, Restored, RestoredValue};
use jackfield_model::{Millis, Position, Publication};

/// Orders that may wait.
pub(super) const QUEUE: usize = 24;

/// What waits for its turn.
#[derive(Debug)]
pub(super) enum Job {
    Publish(Box<Order>),
    Forget(Arc<str>, Forgetting),
}

/// Where orders wait.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<VecDeque<Job>>);

impl Journal for Inbox {
    fn take(&self, order: Order) -> Result<(), Order> {
        let mut jobs = self.0.lock().unwrap();
        if jobs.len() >= QUEUE {
            return Err(order);
        }
        jobs.push_back(Job::Publish(Box::new(order)));
        Ok(())
    }

    fn forget(&self, channel: &str, what: Forgetting) {
        self.0.lock().unwrap().push_back(Job::Forget(channel.into(), what));
    }
}

impl Inbox {
    pub(super) fn next(&self) -> Option<Job> {
        self.0.lock().unwrap().pop_front()
    }
}

/// What is on the disk of one channel.
#[derive(Clone, Debug, Default)]
struct File {
    epoch: Arc<str>,
    top: u64,
    touched: Millis,
    version: (u64, Arc<str>),
    publications: VecDeque<Arc<Publication>>,
    values: BTreeMap<Arc<str>, RestoredValue>,
}

/// The disk.
#[derive(Debug, Default)]
pub(super) struct Disk(BTreeMap<Arc<str>, File>);

impl Disk {
    /// Writes a batch, the whole of it.
    pub(super) fn write<'b>(&mut self, hub: &Hub, batch: impl Iterator<Item = &'b Numbered>) {
        for numbered in batch {
            let Some(publication) = numbered.publication.as_ref().filter(|one| one.offset > 0) else { continue };
            let size = hub.namespaces().of(&numbered.channel).map_or(0, |options| options.history_size());
            let file = self.0.entry(Arc::clone(&numbered.channel)).or_default();
            if file.epoch != numbered.epoch {
                *file = File { epoch: Arc::clone(&numbered.epoch), ..File::default() };
            }
            file.top = publication.offset;
            file.touched = publication.time;
            if let Some(key) = publication.key() {
                if publication.is_removal() {
                    file.values.remove(key);
                } else {
                    let version = numbered.version.clone().unwrap_or_else(|| (0, "".into()));
                    let publication = Arc::clone(publication);
                    file.values.insert(Arc::clone(key), RestoredValue { publication, version });
                }
            }
            file.publications.push_back(Arc::clone(publication));
            while file.publications.len() > size {
                file.publications.pop_front();
            }
            if let Some(version) = &numbered.version {
                file.version = version.clone();
            }
        }
    }

    pub(super) fn forget(&mut self, channel: &str) {
        if let Some(file) = self.0.get_mut(channel) {
            file.publications.clear();
            file.values.clear();
        }
    }

    /// The channel begins a new life.
    pub(super) fn clear(&mut self, channel: &str) {
        self.0.remove(channel);
    }

    /// A new node learns what is there.
    pub(super) fn restore(&self, hub: &Hub) {
        for (channel, file) in &self.0 {
            let restored = Restored {
                position: Position { offset: file.top, epoch: Arc::clone(&file.epoch) },
                touched: file.touched,
                version: file.version.clone(),
                publications: file.publications.iter().cloned().collect(),
                values: file.values.values().cloned().collect(),
            };
            hub.restore(channel, restored);
        }
    }
}

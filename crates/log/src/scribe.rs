//! The scribe: the one thread that numbers what waits, writes it, makes it safe as the policy says, and only then shows it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jackfield_hub::{Forgetting, Hub, Numbered, Order};
use jackfield_model::Millis;
use jackfield_model::app::KeyMode;

use crate::inbox::{Inbox, Job};
use crate::log::Log;
use crate::record::{Kept, Retention, Version};
use crate::syncer::Syncer;

/// When what is written is made safe from a power cut. A process that is killed loses nothing in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fsync {
    /// Before anybody sees it: once for all that waited.
    Always,
    /// This often, beside the writing.
    Interval(Duration),
    /// When a segment is full, and at the end; in between as the system likes.
    Never,
}

/// Bytes after which a frame is written although more waits: it bounds how long the first of them waits.
const FRAME: usize = 4 << 20;
/// How often old publications are looked for.
const TEND: Duration = Duration::from_millis(500);
/// How often a trouble that lasts is told.
const REPEAT: Duration = Duration::from_secs(10);

/// The thread that writes.
#[derive(Debug)]
pub struct Scribe {
    inbox: Arc<Inbox>,
    thread: JoinHandle<()>,
}

impl Scribe {
    /// Begins to write what comes into the inbox.
    pub fn start(log: Log, inbox: Arc<Inbox>, hub: Arc<Hub>, fsync: Fsync) -> io::Result<Self> {
        let syncer = match fsync {
            Fsync::Interval(every) => Some(Syncer::start(every)?),
            Fsync::Always | Fsync::Never => None,
        };
        let desk = Desk { log, hub, inbox: Arc::clone(&inbox), syncer, tended: Instant::now(), trouble: None };
        let thread = Builder::new().name("log".to_owned()).spawn(move || desk.work())?;
        Ok(Self { inbox, thread })
    }

    /// Writes what waits, closes the log, and ends.
    pub fn stop(self) {
        self.inbox.close();
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes the log has panicked; the next start looks at what is there");
        }
    }
}

/// What the scribe has at hand.
#[derive(Debug)]
struct Desk {
    log: Log,
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    syncer: Option<Syncer>,
    tended: Instant,
    /// When a trouble that lasts was told last.
    trouble: Option<Instant>,
}

/// Whether an order is decided by what the channel's keys have once the batch is shown: then it must be shown first.
fn depends(order: &Order, batch: &[Numbered]) -> bool {
    let publishing = &order.publishing;
    let Some(more) = publishing.more.as_ref().filter(|more| !more.key.is_empty()) else { return false };
    let is_decided = publishing.removes || more.version > 0 || more.key_mode != KeyMode::default();
    is_decided && batch.iter().any(|numbered| numbered.channel == order.channel)
}

/// Whatever ends the scribe, nobody waits for it in vain.
struct Closing(Arc<Inbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Desk {
    fn work(mut self) {
        let _closing = Closing(Arc::clone(&self.inbox));
        let mut jobs = Vec::new();
        while self.inbox.wait(&mut jobs, self.patience()) {
            self.write(&mut jobs);
            self.inbox.finished();
            self.sync();
            if self.tended.elapsed() >= TEND {
                self.tended = Instant::now();
                let tended = self.log.tend(now());
                self.tell(tended, 0);
            }
            let counters = &self.inbox.counters;
            counters.bytes.store(self.log.usage().total, Ordering::Relaxed);
            counters.syncs.store(self.log.syncs(), Ordering::Relaxed);
        }
        match self.log.close() {
            Ok(()) => tracing::info!("the log is closed"),
            Err(error) => {
                tracing::error!(%error, "the log could not be closed in order; the next start looks at what is there")
            }
        }
    }

    /// How long it may wait for publications before it has something else to do.
    fn patience(&self) -> Duration {
        let sync = self.syncer.as_ref().filter(|_| !self.log.is_safe());
        sync.map_or(TEND, |syncer| syncer.every().min(TEND))
    }

    fn write(&mut self, jobs: &mut Vec<Job>) {
        let mut batch = Vec::new();
        let now = now();
        for job in jobs.drain(..) {
            let order = match job {
                Job::Publish(order) => order,
                Job::Forget(channel, what) => {
                    self.finish(&mut batch);
                    self.forget(&channel, what);
                    continue;
                }
            };
            if depends(&order, &batch) {
                self.finish(&mut batch);
            }
            let Some(numbered) = self.hub.number(order, now) else { continue };
            self.add(&numbered);
            batch.push(numbered);
            if self.log.waiting() >= FRAME {
                self.finish(&mut batch);
            }
        }
        self.finish(&mut batch);
    }

    fn add(&mut self, numbered: &Numbered) {
        let Some(publication) = &numbered.publication else { return };
        // What is kept out of the history has no number.
        if publication.offset == 0 {
            return;
        }
        let Some(options) = self.hub.namespaces().of(&numbered.channel) else { return };
        let version = numbered.version.as_ref();
        let version = version.map(|(number, epoch)| Version { number: *number, epoch: Arc::clone(epoch) });
        let kept = Kept { publication: Arc::clone(publication), version, value: numbered.value().cloned() };
        self.log.add(&numbered.channel, &numbered.epoch, Retention::of(options), &kept);
    }

    fn forget(&mut self, channel: &Arc<str>, what: Forgetting) {
        // A channel that nobody knows has nothing to forget.
        let _ = self.hub.forget_now(channel, what);
        match what {
            Forgetting::Publications => self.log.forget(channel),
            Forgetting::Life => {
                let position = self.hub.history(channel, 0, (None, None), false, now());
                let options = self.hub.namespaces().of(channel);
                if let (Ok(page), Some(options)) = (position, options) {
                    self.log.renew(channel, &page.position.epoch, Retention::of(options), now());
                }
            }
        }
        let forgotten = self.log.commit();
        self.tell(forgotten, 0);
    }

    /// Writes what was added, and shows it.
    fn finish(&mut self, batch: &mut Vec<Numbered>) {
        if batch.is_empty() {
            return;
        }
        let written = self.log.commit();
        let count = batch.len() as u64;
        let is_written = written.is_ok();
        // Counted before anybody is answered, so that who looks then finds it.
        self.tell(written, count);
        if is_written {
            self.inbox.counters.publications.fetch_add(count, Ordering::Relaxed);
            batch.drain(..).for_each(|numbered| self.hub.reveal(numbered));
        } else {
            self.hub.take_back(batch.drain(..));
        }
    }

    /// Tells operators about a trouble: when it begins, now and then, and when it ends.
    fn tell(&mut self, outcome: io::Result<()>, lost: u64) {
        match (outcome, self.trouble) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                // Tending an idle log proves nothing.
                if lost > 0 {
                    self.trouble = None;
                    tracing::info!("the log can be written again");
                }
            }
            (Err(error), told) => {
                self.inbox.counters.failures.fetch_add(lost.max(1), Ordering::Relaxed);
                if told.is_none_or(|told| told.elapsed() >= REPEAT) {
                    self.trouble = Some(Instant::now());
                    tracing::error!(
                        %error,
                        "the log cannot be written: publications into durable channels fail with code 100 until it can, \
                         everything else goes on; make room, or look after the disk"
                    );
                }
            }
        }
    }

    /// Makes safe what is written, if it is time.
    fn sync(&mut self) {
        let Some(syncer) = &mut self.syncer else { return };
        if let Some((outcome, sequence)) = syncer.finished() {
            if outcome.is_ok() {
                self.log.has_synced(sequence);
            }
            self.tell(outcome, 0);
        }
        let Some(syncer) = self.syncer.as_mut().filter(|syncer| syncer.is_due()) else { return };
        match self.log.sync() {
            Ok(Some(sync)) => syncer.begin(sync),
            Ok(None) => {}
            Err(error) => self.tell(Err(error), 0),
        }
    }
}

/// The calendar's time.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

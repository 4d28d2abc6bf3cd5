//! The syncer: tells the disk now and then to make safe what it has, beside the scribe, which goes on writing.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::disk::Sync;

/// What makes something safe, and up to which sequence.
pub(crate) type Job = (Sync, u64);
/// What came of it.
pub(crate) type Done = (io::Result<()>, u64);

/// A thread that waits for the disk, so that publications do not.
#[derive(Debug)]
pub(crate) struct Syncer {
    every: Duration,
    begun: Instant,
    is_busy: bool,
    jobs: Sender<Job>,
    done: Receiver<Done>,
}

impl Syncer {
    pub(crate) fn start(every: Duration) -> io::Result<Self> {
        let (jobs, todo) = channel::<Job>();
        let (tell, done) = channel();
        let work = move || {
            // It ends when the scribe does.
            for (sync, sequence) in todo {
                if tell.send((sync(), sequence)).is_err() {
                    return;
                }
            }
        };
        Builder::new().name("log-sync".to_owned()).spawn(work)?;
        Ok(Self { every, begun: Instant::now(), is_busy: false, jobs, done })
    }

    /// How often it is to be done.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    pub(crate) fn is_due(&self) -> bool {
        !self.is_busy && self.begun.elapsed() >= self.every
    }

    pub(crate) fn begin(&mut self, job: Job) {
        self.begun = Instant::now();
        self.is_busy = self.jobs.send(job).is_ok();
    }

    pub(crate) fn finished(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok()?;
        self.is_busy = false;
        Some(done)
    }
}

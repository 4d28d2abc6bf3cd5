//! The way out: one task, so that what goes into a channel keeps its order, also over a broker that was away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jackfield_hub::{Forgetting, Hub, PublishError, Published, Ticket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::engine::{Engine, EngineError, Outgoing, Placed};
use crate::frame::{Body, encode};

/// Publications in one exchange with the broker.
const BATCH: usize = 256;
/// How long a client or a request waits while the broker is away; a command of a queue waits for as long as it takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long a command of a queue may have gone to another node, which has sent it.
const STALE: Duration = Duration::from_secs(2);
/// Pauses between attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// Something to be sent.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are publications, and none is worth an allocation")]
pub(crate) enum Job {
    /// A publication.
    Publish {
        /// What is sent.
        outgoing: Outgoing,
        /// Who waits.
        ticket: Option<Ticket>,
        /// It waits for as long as it takes.
        patient: bool,
        /// Since when.
        since: Instant,
    },
    /// What is kept of a channel is forgotten.
    Forget(Arc<str>, Forgetting, Option<Ticket>),
}

/// The task that sends.
pub(crate) struct Publisher {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) jobs: mpsc::Receiver<Job>,
}

impl Publisher {
    pub(crate) async fn run(mut self) {
        let mut waiting: VecDeque<Job> = VecDeque::new();
        let mut down: Option<(Instant, Duration)> = None;
        loop {
            if waiting.is_empty() {
                let Some(job) = self.jobs.recv().await else { return };
                waiting.push_back(job);
            }
            // While the broker is away the rest waits here, where who has no patience is told.
            let room = if down.is_some() { usize::MAX } else { BATCH };
            while waiting.len() < room
                && let Ok(job) = self.jobs.try_recv()
            {
                waiting.push_back(job);
            }
            if let Some((since, _)) = down {
                self.send_away(&mut waiting, since);
            }
            let is_up = self.send(&mut waiting).await;
            match (is_up, &mut down) {
                (true, None) => {}
                (true, Some((since, _))) => {
                    let (broker, seconds) = (self.engine.describe(), since.elapsed().as_secs_f32());
                    tracing::info!(broker, seconds, "publications go out again");
                    down = None;
                }
                (false, None) => {
                    down = Some((Instant::now(), FIRST_PAUSE));
                    sleep(FIRST_PAUSE).await;
                }
                (false, Some((_, pause))) => {
                    *pause = (*pause * 2).min(LAST_PAUSE);
                    sleep(*pause).await;
                }
            }
        }
    }

    /// Sends the first of those that wait; false if the broker does not answer, and what it did not confirm waits on.
    async fn send(&self, waiting: &mut VecDeque<Job>) -> bool {
        if let Some(Job::Forget(..)) = waiting.front() {
            return self.forget(waiting).await;
        }
        let is_publication = |job: &&Job| matches!(job, Job::Publish { .. });
        let batch: Vec<Outgoing> = waiting
            .iter()
            .take(BATCH)
            .take_while(is_publication)
            .map(|job| match job {
                // Whoever stood still for so long may find that another node has sent it since.
                Job::Publish { outgoing, patient: true, since, .. } => {
                    let fresh_for = STALE.checked_sub(since.elapsed()).filter(|left| !left.is_zero());
                    Outgoing { again: outgoing.again || fresh_for.is_none(), fresh_for, ..outgoing.clone() }
                }
                Job::Publish { outgoing, .. } => outgoing.clone(),
                Job::Forget(..) => Outgoing::default(),
            })
            .collect();
        if batch.is_empty() {
            return true;
        }
        let results = self.engine.publish(&batch).await;
        let mut again = VecDeque::new();
        for result in results {
            let Some(Job::Publish { mut outgoing, ticket, patient, since }) = waiting.pop_front() else { break };
            match result {
                Ok(Placed { position, suppressed }) => {
                    self.hub.settle(ticket, Ok(Published { position, suppressed }));
                }
                Err(EngineError::Refused(reason)) => {
                    let channel = &outgoing.channel;
                    tracing::warn!(%channel, reason, "the broker does not take a publication");
                    self.hub.settle(ticket, Err(PublishError::NotWritten));
                }
                Err(EngineError::Unreachable(reason)) => {
                    if again.is_empty() {
                        tracing::debug!(reason, "a publication is sent again");
                    }
                    outgoing.again = true;
                    again.push_back(Job::Publish { outgoing, ticket, patient, since });
                }
            }
        }
        let is_up = again.is_empty();
        again.append(waiting);
        *waiting = again;
        is_up
    }

    async fn forget(&self, waiting: &mut VecDeque<Job>) -> bool {
        let Some(Job::Forget(channel, what, ticket)) = waiting.pop_front() else { return true };
        match self.engine.forget(&channel, what).await {
            Ok(()) => {
                // The nodes hear it in its place among the publications.
                let outgoing = Outgoing { body: encode(&Body::Forgotten(what), 0), channel, ..Outgoing::default() };
                waiting.push_front(Job::Publish { outgoing, ticket, patient: false, since: Instant::now() });
                true
            }
            Err(EngineError::Refused(reason)) => {
                tracing::warn!(%channel, reason, "the broker does not forget a channel");
                self.hub.settle(ticket, Err(PublishError::NotWritten));
                true
            }
            Err(EngineError::Unreachable(_)) => {
                self.hub.settle(ticket, Err(PublishError::Unreachable));
                false
            }
        }
    }

    /// Tells those that have waited long enough, or that came while the broker was away for longer than anybody waits.
    fn send_away(&self, waiting: &mut VecDeque<Job>, down_since: Instant) {
        let now = Instant::now();
        let is_long = now.duration_since(down_since) >= PATIENCE;
        for job in std::mem::take(waiting) {
            match job {
                Job::Publish { ticket, patient: false, since, .. } if is_long || now - since >= PATIENCE => {
                    self.hub.settle(ticket, Err(PublishError::Unreachable));
                }
                job => waiting.push_back(job),
            }
        }
    }
}

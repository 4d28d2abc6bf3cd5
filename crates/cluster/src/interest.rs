//! Which channels this node hears: opened and closed in batches, and all opened again when the broker was away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jackfield_hub::{Hub, PublishError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::engine::{Engine, EngineError, Interest};
use crate::outbound::{keep, kept};

/// Channels in one exchange with the broker. A node that comes back opens all of its channels; in pieces, so that the
/// broker serves others in between.
const CHUNK: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What is wanted of a channel.
#[derive(Debug)]
pub(crate) enum Wish {
    Close(Arc<str>),
    Open(Arc<str>),
    /// Something was missed.
    Repair(Arc<str>),
    /// All of them.
    Reopen,
}

/// The task that opens and closes.
pub(crate) struct Keeper {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) wishes: mpsc::UnboundedReceiver<Wish>,
}

/// Channels that are to be opened, with those that have subscribers already.
#[derive(Default)]
struct Work {
    /// `true`: it was open before.
    open: Vec<(Arc<str>, bool)>,
    close: Vec<Arc<str>>,
}

impl Keeper {
    pub(crate) async fn run(mut self) {
        // Channels that were open and must be again, however long it takes.
        let mut owed: HashMap<Arc<str>, ()> = HashMap::new();
        let mut pause: Option<(Instant, Duration)> = None;
        loop {
            let mut work = Work::default();
            let wish = match pause {
                None if owed.is_empty() => self.wishes.recv().await.map(Some),
                None => Some(self.wishes.try_recv().ok()),
                Some((until, _)) => tokio::select! {
                    wish = self.wishes.recv() => wish.map(Some),
                    () = sleep_until(until) => Some(None),
                },
            };
            let Some(wish) = wish else { return };
            let mut next = wish;
            while let Some(wish) = next {
                self.sort(wish, &mut work, &mut owed);
                next = if work.open.len() + work.close.len() < CHUNK { self.wishes.try_recv().ok() } else { None };
            }
            self.close(&work.close).await;
            for channel in &work.close {
                owed.remove(channel);
            }
            let is_due = pause.is_none_or(|(until, _)| until <= Instant::now());
            if is_due {
                let room = CHUNK.saturating_sub(work.open.len());
                work.open.extend(owed.keys().take(room).map(|channel| (Arc::clone(channel), true)));
            } else if !work.open.is_empty() {
                // The broker is away: nobody waits for it.
                for (channel, _) in &work.open {
                    self.hub.opened(channel, Err(PublishError::Unreachable));
                }
                continue;
            }
            let is_up = self.open(work.open, &mut owed).await;
            pause = match (is_up, pause) {
                (true, _) => None,
                (false, None) => Some((Instant::now() + FIRST_PAUSE, FIRST_PAUSE)),
                (false, Some((until, last))) if until > Instant::now() => Some((until, last)),
                (false, Some((_, last))) => {
                    let next = (last * 2).min(LAST_PAUSE);
                    Some((Instant::now() + next, next))
                }
            };
        }
    }

    fn sort(&self, wish: Wish, work: &mut Work, owed: &mut HashMap<Arc<str>, ()>) {
        match wish {
            Wish::Open(channel) => {
                work.close.retain(|one| *one != channel);
                work.open.push((channel, false));
            }
            Wish::Repair(channel) => {
                owed.insert(channel, ());
            }
            Wish::Close(channel) => work.close.push(channel),
            Wish::Reopen => {
                let names = self.hub.interrupted();
                tracing::info!(channels = names.len(), "channels are opened again at the broker");
                owed.extend(names.into_iter().map(|name| (name, ())));
            }
        }
    }

    async fn close(&self, channels: &[Arc<str>]) {
        if channels.is_empty() {
            return;
        }
        if let Err(error) = self.engine.close(channels).await {
            // Without a connection there is nothing to be closed.
            tracing::debug!(%error, "channels are not closed at the broker");
        }
    }

    /// False if the broker does not answer; what was open before is owed then.
    async fn open(&self, channels: Vec<(Arc<str>, bool)>, owed: &mut HashMap<Arc<str>, ()>) -> bool {
        if channels.is_empty() {
            return true;
        }
        let interest = |(channel, again): &(Arc<str>, bool)| Interest {
            channel: Arc::clone(channel),
            keep: self.hub.namespaces().of(channel).and_then(|options| keep(options)),
            after: again.then(|| self.hub.mirror_position(channel)).flatten(),
        };
        let interests: Vec<_> = channels.iter().map(interest).collect();
        let results = self.engine.open(&interests).await;
        let mut is_up = true;
        for ((channel, again), result) in channels.into_iter().zip(results) {
            match result {
                Ok(snapshot) => {
                    owed.remove(&channel);
                    self.hub.opened(&channel, Ok(snapshot.map(kept)));
                }
                Err(error) => {
                    if let EngineError::Refused(reason) = &error {
                        tracing::warn!(%channel, reason, "the broker does not open a channel");
                    } else {
                        is_up = false;
                    }
                    if again {
                        owed.insert(channel, ());
                        is_up = false;
                    } else {
                        self.hub.opened(&channel, Err(PublishError::Unreachable));
                    }
                }
            }
        }
        is_up
    }
}

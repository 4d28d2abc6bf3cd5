//! The way of a foreign message into the hub: its channel, its content, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jackfield_bridge::Seldom;
use jackfield_hub::{Hub, PublishError, Published, Publishing, Receipt, Ticket};
use jackfield_model::app::{PublishMore, Stamp};
use jackfield_model::channel;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::calendar;
use crate::content;
use crate::members::Members;
use crate::message::Message;
use crate::source::SourceOptions;
use crate::template::Blank;

/// How long a message waits for a worker or a log that is behind, before it is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// The same for a log that cannot be written.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// What a source has done so far.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Messages that became publications.
    pub published: AtomicU64,
    /// Messages that could not become publications.
    pub refused: AtomicU64,
    /// Messages that the hub had taken before.
    pub repeated: AtomicU64,
    /// Messages that came faster than they could be taken, by a way that cannot be held back.
    pub lost: AtomicU64,
    /// Whether the engine is connected.
    pub up: AtomicBool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It can never be published.
    Refused,
    /// The hub has it; where the channel is durable, the log too.
    Taken,
}

/// Where the messages of one source enter.
pub(crate) struct Intake {
    pub(crate) hub: Arc<Hub>,
    pub(crate) options: Arc<SourceOptions>,
    pub(crate) counters: Arc<SourceCounters>,
    /// What names take out of bodies.
    pub(crate) members: Option<Members>,
    pub(crate) refusals: Mutex<Seldom>,
}

/// A publication that has its place in the order.
enum Begun {
    Over(Result<Published, PublishError>),
    UnderWay(oneshot::Receiver<Result<Published, PublishError>>),
}

impl Intake {
    /// Publishes messages in their order and waits until each has found its fate: while the hub is behind, so is the source.
    pub(crate) async fn take(&self, messages: Vec<Message>) -> Vec<Fate> {
        let mut ways = Vec::with_capacity(messages.len());
        for message in messages {
            let way = match self.prepared(&message) {
                Ok((channel, publishing)) => {
                    let begun = self.begin(&channel, &publishing).await;
                    Ok((channel, publishing, begun))
                }
                Err(reason) => Err(reason),
            };
            ways.push(way);
        }
        let mut fates = Vec::with_capacity(ways.len());
        for way in ways {
            let outcome = match way {
                Ok((channel, publishing, begun)) => self.end(&channel, &publishing, begun).await,
                Err(reason) => Err(reason),
            };
            fates.push(self.noted(outcome));
        }
        fates
    }

    /// The channel and the publication of a message, or why it has none.
    fn prepared(&self, message: &Message) -> Result<(String, Publishing), String> {
        let (options, names) = (&self.options, self.hub.namespaces());
        let found = match (&self.members, &message.body) {
            (Some(members), Some(body)) => Some(members.find(body)?),
            _ => None,
        };
        let value = |blank: &_| match (blank, &found) {
            (Blank::Field(path), Some(found)) => found.value(path),
            _ => message.value(blank),
        };
        let channel = options.channel.channel(&names.boundary, value).map_err(|unfit| unfit.0)?;
        if !channel::valid(&channel, names.max_length) {
            return Err(format!("{channel:?} is no name of a channel"));
        }
        let body = message.body.clone().ok_or("there is no body that could be published")?;
        if body.len() > options.max_bytes {
            return Err(format!("the body has {} bytes; the limit is {}", body.len(), options.max_bytes));
        }
        let data = content::payload(body, options.form)?;
        let key = options.key.as_ref().map(|key| key.name(value)).transpose().map_err(|unfit| unfit.0)?;
        let idempotency_key = if options.idempotency { message.id.clone() } else { String::new() };
        let more = (key.is_some() || !idempotency_key.is_empty())
            .then(|| Box::new(PublishMore { key: key.unwrap_or_default(), idempotency_key, ..PublishMore::default() }));
        let is_for_map = names.of(&channel).is_some_and(|options| options.is_map());
        let stamp = Some(self.stamp(message));
        Ok((channel, Publishing { data, is_for_map, more, stamp, ..Publishing::default() }))
    }

    /// By what a broker between nodes knows the message again, whichever node has had it before.
    fn stamp(&self, message: &Message) -> Stamp {
        let is_known = !message.id.is_empty() && (message.is_unique || self.options.idempotency);
        // FNV-1a: names and ids may be any text.
        let bytes = message.origin.bytes().chain([0]).chain(message.id.bytes());
        let id = bytes.fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |id, byte| {
            (id ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        Stamp { id: if is_known { id } else { 0 }, again: message.again, since: 0 }
    }

    /// Gives a publication its place, as soon as whoever must take it is not behind.
    async fn begin(&self, channel: &str, publishing: &Publishing) -> Begun {
        loop {
            let (sender, outcome) = oneshot::channel();
            // Whoever waits may have been told to stop meanwhile.
            let ticket = Ticket::Then(Box::new(move |outcome| drop(sender.send(outcome))));
            match self.hub.publish(channel, publishing.clone(), Some(ticket), calendar::now()) {
                Ok(Receipt::Ready(published)) => return Begun::Over(Ok(published)),
                Ok(Receipt::Later) => return Begun::UnderWay(outcome),
                Err(PublishError::Busy) => sleep(BUSY_PAUSE).await,
                Err(error) => return Begun::Over(Err(error)),
            }
        }
    }

    async fn end(&self, channel: &str, publishing: &Publishing, mut begun: Begun) -> Result<Published, String> {
        loop {
            let outcome = match begun {
                Begun::Over(outcome) => outcome,
                Begun::UnderWay(outcome) => outcome.await.unwrap_or(Err(PublishError::NotWritten)),
            };
            let pause = match outcome {
                Ok(published) => return Ok(published),
                Err(PublishError::Busy) => BUSY_PAUSE,
                Err(PublishError::Full) => return Err(format!("{channel:?} has as many keys as it may have")),
                Err(PublishError::Misfit) => {
                    return Err(format!(
                        "{channel:?} takes no such publication; a map needs `key`, a format its content"
                    ));
                }
                Err(PublishError::UnknownChannel) => {
                    return Err(format!("the namespace of {channel:?} is not configured"));
                }
                // Whatever keeps publications cannot do so now.
                Err(_) => FAILED_PAUSE,
            };
            sleep(pause).await;
            begun = self.begin(channel, publishing).await;
        }
    }

    fn noted(&self, outcome: Result<Published, String>) -> Fate {
        let counters = &self.counters;
        match outcome {
            Ok(Published { suppressed: Some(_), .. }) => {
                counters.repeated.fetch_add(1, Ordering::Relaxed);
                Fate::Taken
            }
            Ok(_) => {
                counters.published.fetch_add(1, Ordering::Relaxed);
                Fate::Taken
            }
            Err(reason) => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                if let Some(unsaid) = self.seldom() {
                    tracing::warn!(source = self.options.name, reason, unsaid, "a message cannot be published");
                }
                Fate::Refused
            }
        }
    }

    /// Counts messages that nobody could wait for.
    pub(crate) fn lost(&self) {
        self.counters.lost.fetch_add(1, Ordering::Relaxed);
        if let Some(unsaid) = self.seldom() {
            let source = &self.options.name;
            tracing::warn!(source, unsaid, "messages come faster than they can be published; some are lost");
        }
    }

    fn seldom(&self) -> Option<u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).ask(Instant::now())
    }
}

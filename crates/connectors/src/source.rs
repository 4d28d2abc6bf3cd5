//! A source: what is read, into which channels, and the task that reads it again and again.

mod feed;
mod frames;
mod pattern;
mod rabbitmq;
mod relay;
mod stream;
mod subject;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_bridge::{Backoff, Seldom};
use jackfield_hub::Hub;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

pub use self::feed::{FeedAddress, FeedSource, address as feed_address};
pub use self::frames::FeedFraming;
pub use self::pattern::PatternSource;
pub use self::rabbitmq::RabbitSource;
pub use self::stream::StreamSource;
pub use self::subject::{SubjectSource, address as nats_address};
use crate::content::Form;
use crate::intake::Intake;
use crate::members::Members;
use crate::template::{Blank, Template};
use crate::trouble::Trouble;

pub use crate::intake::SourceCounters;

/// Pauses between attempts to connect grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What is read, and what becomes of it.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Its name, for log lines and metrics.
    pub name: String,
    /// What is read.
    pub kind: SourceKind,
    /// The channel of each message.
    pub channel: Template,
    /// The key of each message, where the channel has keys.
    pub key: Option<Template>,
    /// What bodies are taken for.
    pub form: Form,
    /// A message with an id that was taken in the last five minutes is not taken again.
    pub idempotency: bool,
    /// Larger bodies are refused; of a feed they end the connection.
    pub max_bytes: usize,
}

impl SourceOptions {
    /// What names take out of the bodies, where bodies are all there is.
    fn members(&self) -> Option<Members> {
        let blanks = self.channel.blanks().chain(self.key.iter().flat_map(Template::blanks));
        Members::of(blanks.filter(|_| matches!(self.kind, SourceKind::Feed(_))))
    }
}

/// What is read.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// A feed on a TCP port.
    Feed(FeedSource),
    /// Channels of PUB/SUB in Redis.
    Pattern(PatternSource),
    /// An exchange or a queue of RabbitMQ.
    Rabbit(RabbitSource),
    /// A stream in Redis.
    Stream(StreamSource),
    /// Subjects of NATS.
    Subject(SubjectSource),
}

impl SourceKind {
    /// Whether its messages have a value for a blank.
    #[must_use]
    pub fn knows(&self, blank: &Blank) -> bool {
        match self {
            Self::Feed(_) => matches!(blank, Blank::Field(_)),
            Self::Pattern(_) => *blank == Blank::Channel,
            Self::Rabbit(_) => matches!(blank, Blank::Header(_) | Blank::RoutingKey),
            Self::Stream(_) => matches!(blank, Blank::Field(_) | Blank::Stream),
            Self::Subject(_) => matches!(blank, Blank::Header(_) | Blank::Subject),
        }
    }
}

/// A source of messages.
#[derive(Clone, Debug)]
pub struct Source {
    options: Arc<SourceOptions>,
    counters: Arc<SourceCounters>,
}

impl Source {
    /// A source that is not read yet.
    #[must_use]
    pub fn new(options: SourceOptions) -> Self {
        Self { options: Arc::new(options), counters: Arc::default() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> &Arc<SourceCounters> {
        &self.counters
    }

    /// Whether every node that reads it gets every message, so that only one of several nodes may.
    #[must_use]
    pub fn needs_one_node(&self) -> bool {
        match &self.options.kind {
            SourceKind::Feed(_) | SourceKind::Pattern(_) => true,
            SourceKind::Rabbit(rabbit) => rabbit.queue.is_empty(),
            SourceKind::Stream(_) => false,
            SourceKind::Subject(subject) => subject.group.is_empty(),
        }
    }
}

/// Sources that are read. Dropping it ends them at once; [`Reading::stop`] is gentler.
#[derive(Debug)]
pub struct Reading {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Reading {
    /// Starts to read sources.
    #[must_use]
    pub fn start(sources: &[Source], hub: &Arc<Hub>, runtime: &Handle) -> Self {
        let (stop, stopped) = watch::channel(false);
        let start = |source: &Source| {
            let intake = Intake {
                hub: Arc::clone(hub),
                options: Arc::clone(&source.options),
                counters: Arc::clone(&source.counters),
                members: source.options.members(),
                refusals: Mutex::new(Seldom::default()),
            };
            let backoff = Backoff::new(PAUSES.0, PAUSES.1);
            runtime.spawn(Reader { intake, stopped: stopped.clone(), backoff, was_up: false }.run())
        };
        Self { tasks: sources.iter().map(start).collect(), stop }
    }

    /// Finishes what is under way; what was not acknowledged comes again to whoever reads next.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(true);
        let until = Instant::now() + grace;
        for task in std::mem::take(&mut self.tasks) {
            let abort = task.abort_handle();
            if timeout_at(until, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// The task of one source.
pub(crate) struct Reader {
    pub(crate) intake: Intake,
    stopped: watch::Receiver<bool>,
    backoff: Backoff,
    /// It has been read at least once.
    pub(crate) was_up: bool,
}

impl Reader {
    async fn run(mut self) {
        let options = Arc::clone(&self.intake.options);
        while !self.is_stopped() {
            let read = match &options.kind {
                SourceKind::Feed(from) => from.read(&mut self).await,
                SourceKind::Pattern(from) => from.read(&mut self).await,
                SourceKind::Rabbit(from) => from.read(&mut self).await,
                SourceKind::Stream(from) => from.read(&mut self).await,
                SourceKind::Subject(from) => from.read(&mut self).await,
            };
            let was_read = self.intake.counters.up.swap(false, Ordering::Relaxed);
            let Err(error) = read else { return };
            if was_read || self.backoff.is_fresh() {
                warn!(source = options.name, %error, "the source cannot be read, retrying");
            }
            let pause = self.backoff.pause();
            tokio::select! {
                () = sleep(pause) => {}
                () = told(&mut self.stopped) => {}
            }
        }
    }

    /// All is set up: messages come.
    pub(crate) fn is_up(&mut self) {
        self.is_connected();
        self.backoff.reset();
    }

    /// Messages may come, from somebody who may yet turn out to be of no use.
    pub(crate) fn is_connected(&mut self) {
        self.intake.counters.up.store(true, Ordering::Relaxed);
        info!(source = self.intake.options.name, "the source is read");
        self.was_up = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits for something, or for the order to stop: then there is nothing.
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<Option<T>, Trouble> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            done = work => done.map(Some),
            () = told(&mut stopped) => Ok(None),
        }
    }
}

/// Waits for the order to stop.
pub(crate) async fn told(stopped: &mut watch::Receiver<bool>) {
    // Whoever could give the order is gone: nobody waits for us any more.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

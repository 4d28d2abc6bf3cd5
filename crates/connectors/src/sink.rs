//! A sink: which channels go out, where to, and the tap that hears them.

mod dead;
mod event;
mod exchange;
mod inbox;
mod lanes;
mod line;
mod stream;
mod webhook;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_bridge::Seldom;
use jackfield_fetch::FetchError;
use jackfield_hub::{Tap, glob};
use jackfield_model::{Position, Publication, Uuid};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::exchange::ExchangeSink;
use self::inbox::{Inbox, Item};
pub use self::stream::StreamSink;
pub use self::webhook::Webhook;

/// Grace beyond that of a stop, for what is written down of what was not sent.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Which channels go out, and where to.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Its name, for log lines and metrics.
    pub name: String,
    /// Patterns of channels.
    pub channels: Vec<String>,
    /// Where to.
    pub kind: SinkKind,
    /// Publications that may wait, those under way among them.
    pub most: usize,
    /// Bytes that may wait.
    pub most_bytes: usize,
    /// A file for what is given up, one JSON object a line.
    pub dead_letters: Option<PathBuf>,
    /// Who we are, in events.
    pub origin: String,
}

/// Where publications go.
#[derive(Clone, Debug)]
pub enum SinkKind {
    /// An exchange of RabbitMQ.
    Exchange(ExchangeSink),
    /// A stream in Redis.
    Stream(StreamSink),
    /// An HTTP endpoint.
    Webhook(Webhook),
}

/// What a sink has done so far.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Publications that the other side has.
    pub delivered: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Publications that are not tried any more.
    pub given_up: AtomicU64,
    /// Publications for which there was no room.
    pub overflowed: AtomicU64,
    /// Whether the last attempt worked.
    pub up: AtomicBool,
}

/// One sink, with what waits for it.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) options: SinkOptions,
    pub(crate) counters: SinkCounters,
    pub(crate) inbox: Inbox,
    /// The other side wants nothing more.
    pub(crate) is_disabled: AtomicBool,
    pub(crate) complaints: Mutex<Seldom>,
}

impl Outlet {
    fn new(options: SinkOptions) -> Self {
        Self {
            inbox: Inbox::new(options.most, options.most_bytes),
            options,
            counters: SinkCounters::default(),
            is_disabled: AtomicBool::new(false),
            complaints: Mutex::default(),
        }
    }

    fn wants(&self, channel: &str) -> bool {
        self.options.channels.iter().any(|pattern| glob::fits(pattern, channel))
    }

    fn hear(&self, item: Item) {
        // The log is told by the task of the sink: nothing here may take time.
        if self.is_disabled.load(Ordering::Relaxed) {
            self.counters.given_up.fetch_add(1, Ordering::Relaxed);
        } else if !self.inbox.put(item) {
            self.counters.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes how it went; true where it is another way than before.
    pub(crate) fn is_up(&self, up: bool) -> bool {
        self.counters.up.swap(up, Ordering::Relaxed) != up
    }

    /// How many lines were left out, if one may be written.
    pub(crate) fn complain(&self) -> Option<u64> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).ask(Instant::now())
    }

    /// Notes that the other side has publications.
    pub(crate) fn delivered(&self, item: &Item) {
        self.inbox.finished(item);
        self.counters.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells once in a while that there was no room.
    pub(crate) fn tell_overflow(&self, told: &mut u64) {
        let lost = self.counters.overflowed.load(Ordering::Relaxed);
        if lost > *told
            && let Some(unsaid) = self.complain()
        {
            let (sink, lost) = (&self.options.name, lost - *told);
            tracing::warn!(sink, lost, unsaid, "publications are lost: more wait for the sink than may");
            *told += lost;
        }
    }
}

/// All sinks; the tap of the hub.
#[derive(Debug)]
pub struct Sinks(Vec<Arc<Outlet>>);

impl Sinks {
    /// Nothing is sent before [`Sinks::start`].
    #[must_use]
    pub fn new(sinks: Vec<SinkOptions>) -> Self {
        Self(sinks.into_iter().map(|options| Arc::new(Outlet::new(options))).collect())
    }

    /// The name of each sink, what it has done, and how many publications and bytes wait for it.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &SinkCounters, (usize, usize))> {
        self.0.iter().map(|outlet| (outlet.options.name.as_str(), &outlet.counters, outlet.inbox.fill()))
    }

    /// Begins to send.
    ///
    /// # Errors
    ///
    /// Where authorities cannot be read.
    pub fn start(&self, runtime: &Handle) -> Result<Sending, FetchError> {
        let (stop, stopped) = watch::channel(None);
        let mut tasks = Vec::new();
        for outlet in &self.0 {
            let (outlet, stopped) = (Arc::clone(outlet), stopped.clone());
            tasks.push(match outlet.options.kind.clone() {
                SinkKind::Exchange(exchange) => {
                    runtime.spawn(line::run(outlet, line::Engine::Exchange(exchange), stopped))
                }
                SinkKind::Stream(stream) => runtime.spawn(line::run(outlet, line::Engine::Stream(stream), stopped)),
                SinkKind::Webhook(hook) => runtime.spawn(webhook::Desk::new(outlet, hook)?.run(stopped)),
            });
        }
        Ok(Sending { stop, tasks })
    }
}

impl Tap for Sinks {
    fn wants(&self, channel: &str) -> bool {
        self.0.iter().any(|outlet| outlet.wants(channel))
    }

    fn heard(&self, channel: &Arc<str>, publication: &Arc<Publication>, position: Option<Position>) {
        for outlet in self.0.iter().filter(|outlet| outlet.wants(channel)) {
            outlet.hear(Item {
                id: Uuid::now_v7(),
                channel: Arc::clone(channel),
                publication: Arc::clone(publication),
                position: position.clone(),
            });
        }
    }
}

/// When a stop has to be over, once it is ordered.
pub(crate) type Stopped = watch::Receiver<Option<Instant>>;

/// Sinks that send. Dropping it ends them at once; [`Sending::stop`] is gentler.
#[derive(Debug)]
pub struct Sending {
    stop: watch::Sender<Option<Instant>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Sending {
    /// Sends what waits, each once; what the grace is too short for is given up.
    pub async fn stop(mut self, grace: Duration) {
        let until = Instant::now() + grace;
        self.stop.send_replace(Some(until));
        for task in std::mem::take(&mut self.tasks) {
            let abort = task.abort_handle();
            if tokio::time::timeout_at(until + LAST_WORDS, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// Waits until a stop is over; not before one is ordered.
pub(crate) async fn over(stopped: &mut Stopped) {
    let until = stopped.wait_for(Option::is_some).await.ok().and_then(|until| *until);
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        // Whoever could give the order is gone, and ends us by itself.
        None => std::future::pending().await,
    }
}

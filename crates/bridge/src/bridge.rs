//! Assembles the tasks of the bridge, and takes them down again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_hub::Hub;
use jackfield_model::Millis;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout_at};
use tracing::warn;

use crate::answers::Answers;
use crate::breaker::Backoff;
use crate::calls::Calls;
use crate::counters::Counters;
use crate::door::Door;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::queue::Queue;
use crate::recent::Recent;
use crate::seldom::Seldom;

/// What may be set; the defaults are the specification's.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// Larger commands are dead letters.
    pub max_payload_bytes: usize,
    /// Events that may wait for the next batch; beyond that the door is full.
    pub door_capacity: usize,
    /// Notices that may wait while the queue is down.
    pub held_notices: usize,
    /// Shortest pause before the queue is tried again.
    pub least_retry: Duration,
    /// Longest pause before the queue is tried again.
    pub most_retry: Duration,
    /// How long the queue may take for a batch.
    pub send_timeout: Duration,
    /// How long the id of a command is known at least.
    pub recent: Duration,
    /// How many ids are known at most, twice over.
    pub recent_bound: usize,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            max_payload_bytes: 1 << 20,
            door_capacity: 16_384,
            held_notices: 65_536,
            least_retry: Duration::from_millis(500),
            most_retry: Duration::from_secs(5),
            send_timeout: Duration::from_secs(15),
            recent: Duration::from_secs(300),
            recent_bound: 1 << 20,
        }
    }
}

/// The tasks between one queue and one hub. Dropping it ends them at once; [`Bridge::stop`] is gentler.
#[derive(Debug)]
pub struct Bridge {
    queue: DescribedQueue,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    outbound: Task,
    inbound: Task,
    /// Ended last, and never waited for.
    readers: [Task; 2],
}

struct DescribedQueue(Arc<dyn Queue>);

impl std::fmt::Debug for DescribedQueue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.describe())
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bridge {
    /// Starts the tasks on a runtime; the door is for the workers.
    pub fn start(queue: Arc<dyn Queue>, hub: Arc<Hub>, options: BridgeOptions, runtime: &Handle) -> (Door, Self) {
        let counters = Arc::new(Counters::default());
        let calls = Arc::new(Calls::default());
        let (stop, stopped) = watch::channel(false);
        let (door, receiver) = Door::open(options.door_capacity.max(1), Arc::clone(&counters));
        let retry = || Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let shared = (Arc::clone(&calls), Arc::clone(&counters));
        let outbound = Outbound::new(Arc::clone(&queue), Arc::clone(&hub), shared, receiver, &options, stopped.clone());
        let inbound = Inbound {
            queue: Arc::clone(&queue),
            hub: Arc::clone(&hub),
            counters: Arc::clone(&counters),
            stop: stopped,
            recent: Recent::new(options.recent, options.recent_bound, Instant::now()),
            backoff: retry(),
            buried: Seldom::default(),
            max_payload_bytes: options.max_payload_bytes,
            done: Vec::new(),
        };
        let answers = Answers {
            queue: Arc::clone(&queue),
            hub: Arc::clone(&hub),
            calls: Arc::clone(&calls),
            counters: Arc::clone(&counters),
            backoff: retry(),
            spoilt: Seldom::default(),
        };
        let watcher = Arc::clone(&counters);
        let watch = async move { calls.watch(&hub, &watcher).await };
        let spawn = |task| Task(task);
        let bridge = Self {
            queue: DescribedQueue(queue),
            counters,
            stop,
            outbound: spawn(runtime.spawn(outbound.run())),
            inbound: spawn(runtime.spawn(inbound.run())),
            readers: [spawn(runtime.spawn(answers.run())), spawn(runtime.spawn(watch))],
        };
        (door, bridge)
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Closes the door, sends what waits, settles what is done, closes the queue. What the grace is too short for is
    /// lost, and told.
    pub async fn stop(mut self, grace: Duration) {
        let until = Instant::now() + grace;
        // Nobody listens any more if both tasks ended already.
        let _ = self.stop.send(true);
        for task in [&mut self.inbound, &mut self.outbound] {
            // A task that panicked has nothing left to wait for.
            let _ = timeout_at(until, &mut task.0).await;
            task.0.abort();
        }
        let waiting = self.counters.notices_waiting.load(Ordering::Relaxed);
        if waiting > 0 {
            warn!(waiting, "notices to the application are lost; its queue was not back before the end");
        }
        for task in &self.readers {
            task.0.abort();
        }
        let least = Instant::now() + Duration::from_secs(1);
        if timeout_at(until.max(least), self.queue.0.close()).await.is_err() {
            warn!(queue = ?self.queue, "application queue could not be closed in time");
        }
    }
}

/// Waits until the bridge is to stop; its end without a word is one too.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The time of the day; the control plane may look at the clock.
pub(crate) fn millis() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

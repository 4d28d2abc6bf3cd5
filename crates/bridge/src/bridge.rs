//! Assembles the tasks of the bridge, and takes them down again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_hub::{Hub, Occupancy};
use jackfield_model::Millis;
use jackfield_model::app::Command;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout_at};
use tracing::warn;

use crate::answers::Answers;
use crate::breaker::Backoff;
use crate::counters::Counters;
use crate::courier::{Courier, Office};
use crate::door::{Door, Ends};
use crate::gauges;
use crate::herald::{Herald, HeraldOptions};
use crate::inbound::Inbound;
use crate::lease::Keeper;
use crate::outbound::{Outbound, Shared};
use crate::outcome::Node;
use crate::proxy::Proxy;
use crate::queue::Queue;
use crate::recent::Recent;
use crate::room::Room;
use crate::routes::Routes;
use crate::seldom::Seldom;

/// What may be set; the defaults are the specification's.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// Which node it is, for who asks.
    pub node: Node,
    /// Larger commands are dead letters.
    pub max_payload_bytes: usize,
    /// Events that may wait for the next batch; beyond that the door is full.
    pub door_capacity: usize,
    /// Notices that may wait until the queue takes them; the last places are for those that tell an end, so it should be
    /// no less than the number of connections that may be.
    pub notice_capacity: usize,
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
    /// How often to look how much lies in the queue, for the metrics; `None`: never.
    pub look_every: Option<Duration>,
    /// What the application hears of channels and users.
    pub herald: HeraldOptions,
    /// Which way each call goes.
    pub routes: Routes,
    /// What answers calls over HTTP.
    pub proxies: Vec<Proxy>,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            node: Node::default(),
            max_payload_bytes: 1 << 20,
            door_capacity: 16_384,
            notice_capacity: 65_536,
            least_retry: Duration::from_millis(500),
            most_retry: Duration::from_secs(5),
            send_timeout: Duration::from_secs(15),
            recent: Duration::from_secs(300),
            recent_bound: 1 << 20,
            look_every: None,
            herald: HeraldOptions::default(),
            routes: Routes::default(),
            proxies: Vec::new(),
        }
    }
}

/// The tasks between the application and one hub. Dropping it ends them at once; [`Bridge::stop`] is gentler.
#[derive(Debug)]
pub struct Bridge {
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    link: Option<Link>,
    /// Never waited for: whoever asked is gone before the bridge is.
    courier: Task,
}

/// The tasks of the queue.
#[derive(Debug)]
struct Link {
    queue: DescribedQueue,
    outbound: Task,
    inbound: Task,
    herald: Arc<Herald>,
    /// Ended last, and never waited for.
    readers: Vec<Task>,
    /// Keeps this node's lease; ended before the queue is closed, which gives it back.
    keeper: Task,
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
    /// Starts the tasks on a runtime; the door is for the workers. Without a queue only calls over HTTP go through it.
    pub fn start(
        queue: Option<Arc<dyn Queue>>,
        hub: Arc<Hub>,
        options: BridgeOptions,
        runtime: &Handle,
    ) -> (Door, Self) {
        let shared = Shared {
            hub,
            calls: Arc::default(),
            counters: Arc::default(),
            routes: Arc::new(options.routes.clone()),
            remembered: Arc::default(),
        };
        let capacity = options.door_capacity.max(1);
        let counters = Arc::clone(&shared.counters);
        let remembered = Arc::clone(&shared.remembered);
        if !shared.hub.listen(Box::new(move |command: &Command| remembered.hear(command))) {
            warn!("two bridges share one hub; only the first hears what makes its answers forgotten");
        }
        let (stop, stopped) = watch::channel(false);
        let (courier, calls) = mpsc::channel(capacity);
        counters.notice_capacity.store(options.notice_capacity.max(1) as u64, Ordering::Relaxed);
        let room = Arc::new(Room::new(capacity, Arc::clone(&shared.hub), Arc::clone(&counters)));
        let ends = Ends {
            hub: Arc::clone(&shared.hub),
            routes: Arc::clone(&shared.routes),
            link: queue.is_some().then(|| Arc::clone(&room)),
            courier,
        };
        let office = Office {
            hub: Arc::clone(&shared.hub),
            counters: Arc::clone(&counters),
            remembered: Arc::clone(&shared.remembered),
            routes: Arc::clone(&shared.routes),
        };
        let courier = Task(runtime.spawn(Courier::new(office, &options, calls).run()));
        let link = queue.map(|queue| Link::start(queue, shared, &options, (room, stopped), runtime));
        (Door::open(ends), Self { counters, stop, link, courier })
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
        if let Some(link) = &self.link {
            link.herald.finish();
        }
        // Nobody listens any more if both tasks ended already.
        let _ = self.stop.send(true);
        self.courier.0.abort();
        let Some(link) = &mut self.link else { return };
        for task in [&mut link.inbound, &mut link.outbound] {
            // A task that panicked has nothing left to wait for.
            let _ = timeout_at(until, &mut task.0).await;
            task.0.abort();
        }
        let waiting = self.counters.notices_waiting.load(Ordering::Relaxed);
        if waiting > 0 {
            warn!(waiting, "notices to the application are lost; its queue was not back before the end");
        }
        for task in link.readers.iter().chain([&link.keeper]) {
            task.0.abort();
        }
        let least = Instant::now() + Duration::from_secs(1);
        if timeout_at(until.max(least), link.queue.0.close()).await.is_err() {
            warn!(queue = ?link.queue, "application queue could not be closed in time");
        }
    }
}

impl Link {
    fn start(
        queue: Arc<dyn Queue>,
        shared: Shared,
        options: &BridgeOptions,
        (room, stopped): (Arc<Room>, watch::Receiver<bool>),
        runtime: &Handle,
    ) -> Self {
        let retry = || Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let (hub, calls, counters) = (Arc::clone(&shared.hub), Arc::clone(&shared.calls), Arc::clone(&shared.counters));
        let inbound = Inbound {
            queue: Arc::clone(&queue),
            hub: Arc::clone(&hub),
            counters: Arc::clone(&counters),
            stop: stopped.clone(),
            recent: Recent::new(options.recent, options.recent_bound, Instant::now()),
            backoff: retry(),
            buried: Seldom::default(),
            max_payload_bytes: options.max_payload_bytes,
            node: options.node.clone(),
            done: Vec::new(),
        };
        let answers = Answers {
            queue: Arc::clone(&queue),
            hub: Arc::clone(&hub),
            calls: Arc::clone(&calls),
            remembered: Arc::clone(&shared.remembered),
            counters: Arc::clone(&counters),
            backoff: retry(),
            spoilt: Seldom::default(),
        };
        let herald = heralding(&hub, &room, &options.herald);
        let gauges = options.look_every.map(|every| {
            runtime.spawn(gauges::look(Arc::clone(&queue), Arc::clone(&calls), Arc::clone(&counters), every))
        });
        let watch = async move { calls.watch(&hub, &counters).await };
        let vacating = Arc::clone(&herald);
        let outbound = Outbound::new(Arc::clone(&queue), shared, room, options, stopped);
        let keeper = Keeper { queue: Arc::clone(&queue), node: options.node.clone() };
        Self {
            queue: DescribedQueue(queue),
            outbound: Task(runtime.spawn(outbound.run())),
            inbound: Task(runtime.spawn(inbound.run())),
            herald,
            readers: vec![
                Task(runtime.spawn(answers.run())),
                Task(runtime.spawn(watch)),
                Task(runtime.spawn(async move { vacating.run().await })),
            ]
            .into_iter()
            .chain(gauges.map(Task))
            .collect(),
            keeper: Task(runtime.spawn(keeper.run())),
        }
    }
}

/// Has the hub tell what the application wants to hear of channels and users; what nobody asked for costs nothing.
fn heralding(hub: &Hub, room: &Arc<Room>, options: &HeraldOptions) -> Arc<Herald> {
    let herald = Arc::new(Herald::new(Arc::clone(room), options.clone()));
    let mut is_first = true;
    if options.occupied || options.vacated {
        is_first &= hub.watch_occupancy(Arc::clone(&herald) as Arc<dyn Occupancy>);
    }
    if options.undelivered {
        let teller = Arc::clone(&herald);
        is_first &= hub.regret(options.personal.clone(), Arc::new(move |word| teller.undelivered(word)));
    }
    if !is_first {
        warn!("two bridges share one hub; only the first hears of its channels");
    }
    herald
}

/// Waits until the bridge is to stop; its end without a word is one too.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The time of the day; the control plane may look at the clock.
pub(crate) fn millis() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

//! The way out: batches of events to the queue, in order, with a breaker in front of it.
//!
//! Two rules keep the order of a connection's events. Batches go one after another. And while a notice of a connection
//! is held back, its later notices queue up behind it and its messages are refused at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_hub::{Address, Hub};
use jackfield_model::app::{Answer, Event, EventKind, Origin};
use jackfield_model::{ClientError, ClientId, Payload, Uuid};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::breaker::Breaker;
use crate::bridge::{BridgeOptions, millis, told};
use crate::calls::{Calls, Pending};
use crate::counters::{Counters, count};
use crate::door::Request;
use crate::numbers::Numbers;
use crate::queue::{Queue, QueueError};
use crate::remembered::{Asked, Remembered};
use crate::room::Room;
use crate::routes::Routes;
use crate::seldom::Seldom;

/// What a client hears whose event the queue does not take.
pub(crate) const UNAVAILABLE: ClientError =
    ClientError::temporary(111, "the queue to the application is not available");

const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// What the way out shares with the other tasks.
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) remembered: Arc<Remembered>,
}

/// The task that owns the way out.
pub(crate) struct Outbound {
    queue: Arc<dyn Queue>,
    hub: Arc<Hub>,
    calls: Arc<Calls>,
    counters: Arc<Counters>,
    room: Arc<Room>,
    stop: watch::Receiver<bool>,
    routes: Arc<Routes>,
    remembered: Arc<Remembered>,
    breaker: Breaker,
    held: VecDeque<Request>,
    /// How many notices of each connection are held back.
    holding: HashMap<ClientId, usize>,
    numbers: Numbers,
    send_timeout: Duration,
    lost_before: u64,
    /// Losses that the application has been told of.
    lost_told: u64,
    lost: Seldom,
    refused: Seldom,
}

impl Outbound {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        shared: Shared,
        room: Arc<Room>,
        options: &BridgeOptions,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let Shared { hub, calls, counters, routes, remembered } = shared;
        Self {
            queue,
            hub,
            calls,
            counters,
            room,
            stop,
            routes,
            remembered,
            breaker: Breaker::new(options.least_retry, options.most_retry, Instant::now()),
            held: VecDeque::new(),
            holding: HashMap::new(),
            numbers: Numbers::default(),
            send_timeout: options.send_timeout,
            lost_before: 0,
            lost_told: 0,
            lost: Seldom::default(),
            refused: Seldom::default(),
        }
    }

    /// Runs until it is told to stop and nothing waits any more.
    pub(crate) async fn run(mut self) {
        let mut incoming = Vec::with_capacity(BATCH_EVENTS);
        let mut stop = self.stop.clone();
        loop {
            if !self.held.is_empty() && Instant::now() >= self.breaker.until() {
                let batch = self.take_held();
                self.transmit(batch).await;
                self.tell_losses();
                continue;
            }
            let holds = !self.held.is_empty();
            let open = !self.room.is_closed();
            if !open && !holds && self.room.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = told(&mut stop), if open => self.room.close(),
                // Closed, it hands out what it has and then nothing; what is held back alone is waited for then.
                () = self.room.filled(), if open || !self.room.is_empty() => {
                    self.room.take(&mut incoming, BATCH_EVENTS);
                    self.accept(&mut incoming).await;
                }
                () = sleep_until(self.breaker.until()), if holds => {}
            }
            self.tell_losses();
        }
    }

    /// Sends what may go, holds back or refuses the rest.
    async fn accept(&mut self, incoming: &mut Vec<Request>) {
        let mut batch = Vec::with_capacity(incoming.len());
        let mut bytes = 0;
        for request in incoming.drain(..) {
            if !batch.is_empty() && bytes + size(&request.event) > BATCH_BYTES {
                self.transmit(std::mem::take(&mut batch)).await;
                bytes = 0;
            }
            if !self.is_blocked(&request) {
                bytes += size(&request.event);
                batch.push(request);
            } else if request.is_notice() {
                self.hold(request);
            } else {
                self.numbers.skip(request.event.origin.client, request.event.seq);
                if self.recall(&request).is_err() {
                    self.refuse(&request);
                }
            }
        }
        if !batch.is_empty() {
            self.transmit(batch).await;
        }
    }

    /// While the breaker is open and something is held back, that is the trial; else any event is.
    fn is_blocked(&self, request: &Request) -> bool {
        let down = self.breaker.is_open() && (!self.held.is_empty() || !self.breaker.lets_through(Instant::now()));
        down || self.holding.contains_key(&request.event.origin.client)
    }

    /// One batch to the queue, and what came of it to whoever waits.
    async fn transmit(&mut self, batch: Vec<Request>) {
        let (mut waiting, mut events) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for request in batch {
            let (client, seq) = (request.event.origin.client, request.event.seq);
            let Some(Request { from, call, mut event }) = self.register(request) else {
                self.numbers.skip(client, seq);
                continue;
            };
            event.seq -= self.numbers.before(client, seq);
            waiting.push((from, call, seq));
            events.push(event);
        }
        if events.is_empty() {
            return;
        }
        let sent = timeout(self.send_timeout, self.queue.send(&events)).await;
        let mut results =
            sent.unwrap_or_else(|_| vec![Err(QueueError::Unreachable("no word in time".to_owned())); events.len()]);
        results.resize_with(events.len(), || Err(QueueError::Refused("nothing said".to_owned())));
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            self.counters.event_failures.count(error.into());
        }
        let worked = self.judge(&results);
        let mut failed = Vec::new();
        for request in unsaid(&events, &waiting, &results) {
            self.numbers.skip(request.0, request.1);
        }
        for (((from, call, seq), mut event), result) in waiting.into_iter().zip(events).zip(results) {
            event.seq = seq;
            let request = Request { from, call, event };
            match result {
                Ok(()) => self.confirm(&request),
                Err(QueueError::Refused(reason)) if worked && request.is_notice() => self.lose(&reason),
                Err(_) if request.is_notice() => failed.push(request),
                Err(_) => self.fail(&request),
            }
        }
        self.hold_again(failed);
    }

    /// What is to be sent; a call is put among those that wait, unless its answer is known or it is too late for it.
    fn register(&self, mut request: Request) -> Option<Request> {
        let (Some(call), Some(latest)) = (request.call, request.event.deadline) else { return Some(request) };
        let asked = self.recall(&request).err()?;
        let now = millis();
        let timeout = self.routes.way(&request.event, self.hub.namespaces()).map_or(Duration::MAX, |way| way.timeout);
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline = latest.min(now.saturating_add(timeout));
        request.event.deadline = Some(deadline);
        let left = deadline.saturating_sub(now);
        let pending = Pending {
            from: request.from,
            call,
            kind: request.event.kind,
            deadline: Instant::now() + Duration::from_millis(left),
            asked,
        };
        if left == 0 {
            count(&self.counters.calls_timed_out);
            self.hub.resume(request.from, call, Answer::Error(ClientError::INTERNAL));
            return None;
        }
        if !self.calls.insert(request.event.id, pending) {
            count(&self.counters.events_refused);
            self.hub.resume(request.from, call, Answer::Error(UNAVAILABLE));
            return None;
        }
        Some(request)
    }

    /// Answers a call whose answer is remembered; else what to keep its answer by.
    fn recall(&self, request: &Request) -> Result<(), Option<Asked>> {
        let Some(call) = request.call.filter(|_| request.is_call()) else { return Err(None) };
        let answer = self.remembered.recall(&request.event, Instant::now())?;
        count(&self.counters.answers_remembered);
        self.hub.resume(request.from, call, answer);
        Ok(())
    }

    /// Sets the breaker by the results of a batch; returns whether the queue took anything.
    fn judge(&mut self, results: &[Result<(), QueueError>]) -> bool {
        let now = Instant::now();
        let worked = results.iter().any(Result::is_ok);
        let full = results.iter().any(|result| matches!(result, Err(QueueError::Full(_))));
        let error = results.iter().find_map(|result| match result {
            Err(error @ QueueError::Unreachable(_)) => Some(error),
            Err(error @ QueueError::Refused(_)) if !worked && !full => Some(error),
            _ => None,
        });
        if let Some(error) = error {
            if self.breaker.failed(now) {
                let queue = self.queue.describe();
                warn!(queue, %error, "application queue is not reachable; clients get temporary errors, retrying");
            }
        } else if self.breaker.worked(now) {
            info!(queue = self.queue.describe(), held = self.held.len(), "application queue is back");
        }
        self.counters.breaker_open.store(u64::from(self.breaker.is_open()), Ordering::Relaxed);
        worked
    }

    fn confirm(&mut self, request: &Request) {
        count(&self.counters.events_sent);
        let (event, is_notice) = (&request.event, request.is_notice());
        self.numbers.said(event.origin.client, event.seq, event.kind == EventKind::Disconnect);
        if is_notice {
            self.settle_notice();
        }
        if let (Some(call), None) = (request.call, request.event.deadline) {
            self.hub.resume(request.from, call, Answer::Enqueued);
        }
    }

    /// The queue did not take it after all; a call whose answer came nevertheless is left alone.
    fn fail(&mut self, request: &Request) {
        if request.event.deadline.is_none() || self.calls.take(request.event.id).is_some() {
            self.refuse(request);
        }
    }

    fn refuse(&mut self, request: &Request) {
        let Some(call) = request.call else { return };
        count(&self.counters.events_refused);
        self.hub.resume(request.from, call, Answer::Error(UNAVAILABLE));
        if let Some(unsaid) = self.refused.ask(Instant::now()) {
            warn!(unsaid, "application queue does not take events; clients get temporary errors");
        }
    }

    fn hold(&mut self, request: Request) {
        *self.holding.entry(request.event.origin.client).or_default() += 1;
        self.held.push_back(request);
    }

    /// Puts notices of a batch back where they were: in front. With the queue working they wait for a pause.
    fn hold_again(&mut self, failed: Vec<Request>) {
        if !failed.is_empty() && !self.breaker.is_open() {
            self.breaker.wait(Instant::now());
        }
        for request in failed.into_iter().rev() {
            *self.holding.entry(request.event.origin.client).or_default() += 1;
            self.held.push_front(request);
        }
    }

    fn take_held(&mut self) -> Vec<Request> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_EVENTS {
            let fits = |next: &Request| bytes == 0 || bytes + size(&next.event) <= BATCH_BYTES;
            if !self.held.front().is_some_and(fits) {
                break;
            }
            let Some(request) = self.held.pop_front() else { break };
            bytes += size(&request.event);
            let client = request.event.origin.client;
            if let Some(count) = self.holding.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    self.holding.remove(&client);
                }
            }
            batch.push(request);
        }
        batch
    }

    fn lose(&mut self, reason: &str) {
        count(&self.counters.notices_lost);
        self.settle_notice();
        warn!(reason, "application queue refused a notice that is lost");
    }

    /// A notice waits no more, whatever became of it.
    fn settle_notice(&mut self) {
        if self.counters.notices_waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            let hub = &self.hub;
            self.numbers.sweep(|client| hub.is_connected(client));
        }
    }

    /// Losses happen at the door too, so they are told from the count: to the log at once, to the application when its
    /// queue takes something again.
    fn tell_losses(&mut self) {
        let all = self.counters.notices_lost.load(Ordering::Relaxed);
        if all > self.lost_before && self.lost.ask(Instant::now()).is_some() {
            let lost = all - self.lost_before;
            self.lost_before = all;
            warn!(lost, "notices to the application are lost; more waited than may wait");
        }
        if all > self.lost_told && !self.breaker.is_open() && self.room_for_one_more() {
            let data = format!("{{\"count\":{}}}", all - self.lost_told);
            self.lost_told = all;
            self.counters.notices_waiting.fetch_add(1, Ordering::Relaxed);
            self.hold(Request { from: Address::default(), call: None, event: lost_event(data) });
        }
    }

    /// One word about losses at a time.
    fn room_for_one_more(&self) -> bool {
        !self.holding.contains_key(&ClientId::nil())
    }
}

/// Tells the application that there are things which it was not told.
fn lost_event(data: String) -> Event {
    Event {
        id: Uuid::now_v7(),
        kind: EventKind::NoticesLost,
        origin: Origin::default(),
        channel: None,
        name: String::new(),
        data: Payload::json(data),
        seq: 0,
        time: millis(),
        deadline: None,
        hello: None,
    }
}

/// The numbers of a batch that are given to nothing: of messages and calls that the queue surely does not have, where it
/// has nothing of that connection behind them. What may have arrived keeps its number.
fn unsaid(
    events: &[Event],
    waiting: &[(Address, Option<u32>, u64)],
    results: &[Result<(), QueueError>],
) -> Vec<(ClientId, u64)> {
    if results.iter().all(Result::is_ok) {
        return Vec::new();
    }
    let (mut found, mut said) = (Vec::new(), HashSet::new());
    for ((event, (_, call, seq)), result) in events.iter().zip(waiting).zip(results).rev() {
        let client = event.origin.client;
        match result {
            Ok(()) | Err(QueueError::Unreachable(_)) => {
                said.insert(client);
            }
            Err(QueueError::Full(_) | QueueError::Refused(_)) if call.is_some() && !said.contains(&client) => {
                found.push((client, *seq));
            }
            Err(QueueError::Full(_) | QueueError::Refused(_)) => {}
        }
    }
    found
}

/// About how much of a batch's bytes an event takes.
fn size(event: &Event) -> usize {
    256 + event.data.bytes.len() + event.origin.meta.as_ref().map_or(0, |meta| meta.len())
}

//! Calls over HTTP: each goes its own way, so that none waits for another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_fetch::FetchError;
use jackfield_hub::Hub;
use jackfield_model::ClientError;
use jackfield_model::app::Answer;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use crate::answer::{self, Read};
use crate::breaker::Breaker;
use crate::bridge::{BridgeOptions, millis};
use crate::counters::{Counters, count};
use crate::door::Request;
use crate::proxy::{Proxy, Response, TransformTo};
use crate::remembered::{Asked, Remembered};
use crate::routes::{Carrier, Routes, Way, nowhere};
use crate::seldom::Seldom;

/// What a client hears whose call an endpoint does not take.
const UNAVAILABLE: ClientError = ClientError::temporary(111, "the application is not available");

/// Calls of one endpoint that wait or are under way, as a multiple of those that may be under way.
const WAITING: usize = 16;
/// Failures in a row after which an endpoint is given a rest.
///
/// Why more than one: a single slow request says nothing of the next, and a rest refuses everybody's calls.
const FAILURES: u32 = 5;

/// What all calls share.
pub(crate) struct Office {
    pub(crate) hub: Arc<Hub>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) routes: Arc<Routes>,
}

/// The task that hands out calls.
pub(crate) struct Courier {
    office: Arc<Office>,
    lines: Vec<Arc<Line>>,
    receiver: Receiver<Request>,
}

/// One endpoint and how it fares.
struct Line {
    proxy: Proxy,
    most: usize,
    calls: AtomicUsize,
    health: Mutex<Health>,
}

struct Health {
    breaker: Breaker,
    /// In a row.
    failures: u32,
    complaints: Seldom,
    refusals: Seldom,
}

/// One call of a line; counts as long as it lives.
struct Call {
    line: Arc<Line>,
    request: Request,
    number: u32,
    asked: Option<Asked>,
    until: Instant,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.line.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Courier {
    pub(crate) fn new(office: Office, options: &BridgeOptions, receiver: Receiver<Request>) -> Self {
        let line = |proxy: &Proxy| {
            let health = Health {
                breaker: Breaker::new(options.least_retry, options.most_retry, Instant::now()),
                failures: 0,
                complaints: Seldom::default(),
                refusals: Seldom::default(),
            };
            Arc::new(Line {
                proxy: proxy.clone(),
                most: proxy.options.in_flight.max(1).saturating_mul(WAITING),
                calls: AtomicUsize::new(0),
                health: Mutex::new(health),
            })
        };
        Self { office: Arc::new(office), lines: options.proxies.iter().map(line).collect(), receiver }
    }

    /// Runs until nobody hands in calls any more; ends what is under way with itself.
    pub(crate) async fn run(mut self) {
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                request = self.receiver.recv() => match request {
                    Some(request) => if let Some(call) = self.office.admit(request, &self.lines) {
                        calls.spawn(Arc::clone(&self.office).ask(call));
                    },
                    None => return,
                },
                Some(_) = calls.join_next() => {}
            }
        }
    }
}

impl Office {
    /// A call that has to be asked; all others are answered at once.
    fn admit(&self, request: Request, lines: &[Arc<Line>]) -> Option<Call> {
        let number = request.call?;
        let refuse = |error: ClientError| {
            count(&self.counters.events_refused);
            self.hub.resume(request.from, number, Answer::Error(error));
            None
        };
        let Some(Way { by: Carrier::Proxy(nth), timeout }) = self.routes.way(&request.event, self.hub.namespaces())
        else {
            return refuse(nowhere(request.event.kind));
        };
        let Some(line) = lines.get(nth) else { return refuse(nowhere(request.event.kind)) };
        let now = Instant::now();
        let asked = match self.remembered.recall(&request.event, now) {
            Ok(answer) => {
                count(&self.counters.answers_remembered);
                self.hub.resume(request.from, number, answer);
                return None;
            }
            Err(asked) => asked,
        };
        let left =
            request.event.deadline.map_or(Duration::MAX, |at| Duration::from_millis(at.saturating_sub(millis())));
        if left.is_zero() {
            count(&self.counters.calls_timed_out);
            return refuse(ClientError::INTERNAL);
        }
        if line.calls.load(Ordering::Relaxed) >= line.most || !line.lets_through(timeout, now) {
            line.told_refusal();
            return refuse(UNAVAILABLE);
        }
        line.calls.fetch_add(1, Ordering::Relaxed);
        Some(Call { line: Arc::clone(line), request, number, asked, until: now + timeout.min(left) })
    }

    /// Asks, and brings home what came of it.
    async fn ask(self: Arc<Self>, mut call: Call) {
        let left = call.until.saturating_duration_since(Instant::now());
        let answered = call.line.proxy.ask(&call.request.event, millis(), left).await;
        let answer = match answered {
            Ok(response) => {
                call.line.worked();
                self.read(&mut call, &response)
            }
            Err(error) => {
                if matches!(error, FetchError::TimedOut { .. }) {
                    count(&self.counters.calls_timed_out);
                }
                call.line.failed(&error);
                Answer::Error(ClientError::INTERNAL)
            }
        };
        self.hub.resume(call.request.from, call.number, answer);
    }

    fn read(&self, call: &mut Call, response: &Response) -> Answer {
        let kind = call.request.event.kind;
        let spoilt = |reason: &str| {
            count(&self.counters.answers_spoilt);
            call.line.complain(reason);
            Answer::Error(ClientError::INTERNAL)
        };
        if response.status != 200 {
            return match call.line.proxy.meaning(response.status) {
                Some(TransformTo::Disconnect(disconnect)) => Answer::Disconnect(disconnect.clone()),
                Some(TransformTo::Error(error)) => Answer::Error(error.clone()),
                None => spoilt(&format!("the status is {}; an answer has 200", response.status)),
            };
        }
        let read: Read = match answer::parse_response(&response.body).and_then(|verdict| verdict.read(kind)) {
            Ok(read) => read,
            Err(reason) => return spoilt(&reason),
        };
        count(&self.counters.answers);
        self.remembered.keep(call.asked.take(), &read, (Instant::now(), millis()));
        read.answer
    }
}

impl Line {
    /// While the endpoint rests one call at a time tries whether it is back.
    fn lets_through(&self, timeout: Duration, now: Instant) -> bool {
        self.health().breaker.tries(now, timeout)
    }

    fn worked(&self) {
        let mut health = self.health();
        health.failures = 0;
        if health.breaker.worked(Instant::now()) {
            info!(proxy = self.proxy.options.name, url = %self.proxy.options.url, "the application answers calls again");
        }
    }

    fn failed(&self, error: &FetchError) {
        let mut health = self.health();
        health.failures = health.failures.saturating_add(1);
        let rests = health.failures >= FAILURES && health.breaker.failed(Instant::now());
        let unsaid = health.complaints.ask(Instant::now());
        drop(health);
        let proxy = &self.proxy.options.name;
        if rests {
            warn!(proxy, %error, "the application does not answer calls; clients get temporary errors, retrying");
        } else if let Some(unsaid) = unsaid {
            warn!(proxy, %error, unsaid, "a call has failed");
        }
    }

    fn complain(&self, reason: &str) {
        if let Some(unsaid) = self.health().complaints.ask(Instant::now()) {
            warn!(proxy = self.proxy.options.name, ?reason, unsaid, "answer of the application makes no sense");
        }
    }

    fn told_refusal(&self) {
        if let Some(unsaid) = self.health().refusals.ask(Instant::now()) {
            warn!(
                proxy = self.proxy.options.name,
                unsaid, "the application is behind with calls; clients get temporary errors"
            );
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Nothing between its changes can panic.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Publications as signed requests, tried again and again (Standard Webhooks, CloudEvents).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_bridge::proxy::Secret;
use jackfield_fetch::{Fetch, FetchError, HeaderMap, HeaderValue, Options, Response, Url, header};
use jackfield_model::Uuid;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::calendar;
use crate::sink::inbox::Item;
use crate::sink::lanes::{Job, Lanes};
use crate::sink::{Outlet, Stopped, event, over};

/// The form of the body.
const CLOUD_EVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json");
/// Longest that a receiver may ask us to wait.
const MOST_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Nobody reads what a receiver answers, but it has to be read to keep the connection.
const ANSWER_BYTES: usize = 1024 * 1024;

/// Where publications go.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where.
    pub url: Url,
    /// Sign each request, all of them.
    pub secrets: Vec<Secret>,
    /// Sent with each request.
    pub headers: HeaderMap,
    /// How long a request may take.
    pub timeout: Duration,
    /// Pauses before the second and all further attempts; after the last it is given up.
    pub retry: Vec<Duration>,
    /// Requests at a time.
    pub parallel: usize,
    /// A publication waits for the one before it in its channel.
    pub is_ordered: bool,
    /// This machine, its network and its cloud may be asked too.
    pub allow_private: bool,
    /// A file with authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// What came of an attempt.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// It failed; the receiver may have said how long to wait.
    Again { reason: String, after: Option<Duration>, unreached: bool },
    /// The receiver has it.
    Done,
    /// The receiver wants nothing more.
    Gone,
}

/// The task of one webhook.
pub(crate) struct Desk {
    outlet: Arc<Outlet>,
    hook: Arc<Webhook>,
    fetch: Fetch,
    lanes: Lanes,
    attempts: JoinSet<(Job, Verdict)>,
    is_stopping: bool,
}

impl Desk {
    pub(crate) fn new(outlet: Arc<Outlet>, hook: Webhook) -> Result<Self, FetchError> {
        let fetch = Fetch::new(&Options {
            body_limit_bytes: ANSWER_BYTES,
            in_flight: hook.parallel,
            ca_file: hook.ca_file.clone(),
            public_only: !hook.allow_private,
        })?;
        outlet.is_up(true);
        let lanes = Lanes::new(hook.is_ordered);
        Ok(Self { outlet, hook: Arc::new(hook), fetch, lanes, attempts: JoinSet::new(), is_stopping: false })
    }

    /// Runs until it is told to stop, and then until all has been tried once more or the time is up.
    pub(crate) async fn run(mut self, mut stopped: Stopped) {
        let mut end = stopped.clone();
        let outlet = Arc::clone(&self.outlet);
        let mut told = 0;
        loop {
            outlet.tell_overflow(&mut told);
            for item in outlet.inbox.take(usize::MAX) {
                self.lanes.admit(item);
            }
            if !self.is_stopping && stopped.borrow().is_some() {
                self.is_stopping = true;
                for job in self.lanes.take_paused() {
                    self.end(&job, "the server went down between two attempts").await;
                }
            }
            self.begin();
            if self.is_stopping && self.attempts.is_empty() && self.lanes.is_empty() {
                return;
            }
            let wake = self.lanes.next_wake();
            tokio::select! {
                () = outlet.inbox.arrival() => {}
                Some(attempt) = self.attempts.join_next() => if let Ok((job, verdict)) = attempt {
                    self.settle(job, verdict).await;
                },
                () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => {
                    self.lanes.wake(Instant::now());
                }
                ordered = stopped.changed(), if !self.is_stopping => if ordered.is_err() { return },
                () = over(&mut end) => return self.give_up_all().await,
            }
        }
    }

    /// Begins as many attempts as may be under way.
    fn begin(&mut self) {
        while self.attempts.len() < self.hook.parallel.max(1)
            && let Some(job) = self.lanes.next()
        {
            let (hook, fetch, outlet) = (Arc::clone(&self.hook), self.fetch.clone(), Arc::clone(&self.outlet));
            self.attempts.spawn(async move {
                let verdict = hook.attempt(&fetch, &job.item, &outlet.options.origin).await;
                (job, verdict)
            });
        }
    }

    async fn settle(&mut self, mut job: Job, verdict: Verdict) {
        job.tries += 1;
        match verdict {
            Verdict::Done => {
                if self.outlet.is_up(true) {
                    info!(sink = self.outlet.options.name, "the receiver takes publications again");
                    self.lanes.hurry();
                }
                self.outlet.delivered(&job.item);
                self.lanes.finished(&job.item.channel);
            }
            Verdict::Gone => self.disable(&job).await,
            Verdict::Again { reason, after, unreached } => {
                self.outlet.counters.failed.fetch_add(1, Ordering::Relaxed);
                if self.outlet.is_up(false) {
                    let sink = &self.outlet.options.name;
                    warn!(sink, url = %self.hook.url, reason, "the receiver does not take a publication, retrying");
                }
                match self.hook.retry.get(job.tries - 1).filter(|_| !self.is_stopping) {
                    Some(pause) => {
                        let pause = jittered(*pause).max(after.unwrap_or_default());
                        self.lanes.pause(Job { unreached, ..job }, Instant::now() + pause);
                    }
                    None => self.end(&job, &reason).await,
                }
            }
        }
    }

    /// Gives one up; the next of its channel has its turn.
    async fn end(&mut self, job: &Job, reason: &str) {
        self.outlet.give_up(&job.item, reason, job.tries).await;
        self.lanes.finished(&job.item.channel);
    }

    /// The receiver said 410: until the next start it is not asked again.
    async fn disable(&mut self, job: &Job) {
        self.outlet.is_disabled.store(true, Ordering::Relaxed);
        self.outlet.is_up(false);
        let sink = &self.outlet.options.name;
        error!(sink, url = %self.hook.url, "the receiver wants nothing more (410): the sink is off until the server is started again");
        self.outlet.give_up(&job.item, GONE, job.tries).await;
        for job in self.all() {
            self.outlet.give_up(&job.item, GONE, job.tries).await;
        }
    }

    async fn give_up_all(mut self) {
        self.attempts.shutdown().await;
        for job in self.all() {
            self.outlet.give_up(&job.item, "the server went down before it was sent", job.tries).await;
        }
    }

    fn all(&mut self) -> Vec<Job> {
        for item in self.outlet.inbox.take(usize::MAX) {
            self.lanes.admit(item);
        }
        self.lanes.take_all()
    }
}

/// Why what waits for a receiver that said 410 is given up.
const GONE: &str = "the receiver wants nothing more (410)";

impl Webhook {
    async fn attempt(&self, fetch: &Fetch, item: &Item, origin: &str) -> Verdict {
        let body = event::event(item, origin);
        let mut headers = self.headers.clone();
        headers.insert(header::CONTENT_TYPE, CLOUD_EVENT);
        let seconds = calendar::now() / 1000;
        Secret::sign_with(&self.secrets, &item.id.to_string(), (seconds, &body), &mut headers);
        match fetch.post(&self.url, headers, body, self.timeout).await {
            Ok(response) => verdict(&response, seconds),
            Err(error) => {
                let unreached = error.is_unsent() || matches!(error, FetchError::TimedOut { .. });
                Verdict::Again { reason: error.to_string(), after: None, unreached }
            }
        }
    }
}

fn verdict(response: &Response, now: u64) -> Verdict {
    match response.status {
        200..=299 => Verdict::Done,
        410 => Verdict::Gone,
        status => {
            let says = response.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = says.filter(|_| matches!(status, 429 | 503)).and_then(|text| retry_after(text, now));
            Verdict::Again { reason: format!("the status is {status}"), after, unreached: false }
        }
    }
}

/// Seconds, or a date.
fn retry_after(text: &str, now: u64) -> Option<Duration> {
    let seconds = text.trim().parse().ok().or_else(|| calendar::http_date(text).map(|at| at.saturating_sub(now)))?;
    Some(Duration::from_secs(seconds).min(MOST_PATIENCE))
}

/// A fifth more or less, so that what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = f64::from(u16::from_be_bytes([Uuid::new_v4().as_bytes()[0], Uuid::new_v4().as_bytes()[1]]));
    pause.mul_f64(0.8 + 0.4 * random / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, retry_after: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        verdict(&Response { status, headers, body: bytes::Bytes::new() }, 784_111_770)
    }

    #[test]
    fn statuses_are_understood() {
        assert_eq!((said(200, "1"), said(204, "1"), said(410, "1")), (Verdict::Done, Verdict::Done, Verdict::Gone));
        let again = |status: u16, seconds: Option<u64>| Verdict::Again {
            reason: format!("the status is {status}"),
            after: seconds.map(Duration::from_secs),
            unreached: false,
        };
        assert_eq!(said(503, "120"), again(503, Some(120)));
        assert_eq!(said(429, "Sun, 06 Nov 1994 08:49:37 GMT"), again(429, Some(7)));
        assert_eq!(said(429, "Sun, 06 Nov 1994 08:49:20 GMT"), again(429, Some(0)));
        assert_eq!(said(429, "999999999"), again(429, Some(24 * 3600)));
        assert_eq!(said(503, "soon"), again(503, None));
        for status in [301, 302, 400, 401, 404, 500] {
            assert_eq!(said(status, "120"), again(status, None));
        }
    }

    #[test]
    fn pauses_differ_a_little() {
        let pause = Duration::from_secs(100);
        let some: Vec<Duration> = (0..100).map(|_| jittered(pause)).collect();
        assert!(some.iter().all(|one| (80..=120).contains(&one.as_secs())));
        assert!(some.iter().any(|one| *one != some[0]));
    }
}

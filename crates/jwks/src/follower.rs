//! Fetches the keys of one identity provider, again and again.

use std::sync::Arc;
use std::time::Duration;

use jackfield_fetch::{Fetch, FetchError, HeaderMap, HeaderValue, Url, header};
use jackfield_session::{KeySet, KeySetError, Keys};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::freshness::max_age;

/// Bytes of a set; honest ones have some thousand.
const BODY_BYTES: usize = 64 * 1024;

/// When a provider is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// Between two good answers, where the provider does not say itself.
    pub every: Duration,
    /// Between any two questions, whatever unknown keys tokens name: whoever can connect can name one.
    pub at_most_every: Duration,
    /// Until the next question after failures: doubled from `at_most_every` up to this.
    pub at_worst_every: Duration,
    /// For one answer.
    pub timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(600),
            at_most_every: Duration::from_secs(5),
            at_worst_every: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }
}

/// The keys that are published at an address, empty at first, and who fills them. `option` is where the configuration
/// names the address, for log lines.
#[must_use]
pub fn follow(fetch: &Fetch, url: Url, option: &'static str, pace: Pace) -> (Arc<Keys>, Follower) {
    let unknown = Arc::new(Notify::new());
    let told = Arc::clone(&unknown);
    let keys = Arc::new(Keys::new(move || told.notify_one()));
    let fetch = fetch.with_body_limit(BODY_BYTES);
    let follower = Follower { fetch, url, option, pace, keys: Arc::clone(&keys), unknown, failures: 0 };
    (keys, follower)
}

/// Fetches the keys of one identity provider, again and again.
#[derive(Debug)]
pub struct Follower {
    fetch: Fetch,
    url: Url,
    option: &'static str,
    pace: Pace,
    keys: Arc<Keys>,
    /// Somebody named a key that is not here.
    unknown: Arc<Notify>,
    /// In a row, since the last good answer.
    failures: u32,
}

/// Why there is no new set.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    #[error("the answer has the status {0} instead of 200")]
    Status(u16),
}

impl Follower {
    /// Fetches and waits, until it is dropped.
    pub async fn run(mut self) {
        loop {
            let asked = Instant::now();
            let wait = match self.ask().await {
                Ok((set, age)) => {
                    self.take(set);
                    age.unwrap_or(self.pace.every)
                }
                Err(failure) => self.fail(&failure),
            };
            let (earliest, due) = (asked + self.pace.at_most_every, Instant::now() + wait);
            tokio::select! {
                () = sleep_until(due) => {}
                () = async {
                    // The pause first: what is named meanwhile is answered by the same question.
                    sleep_until(earliest).await;
                    self.unknown.notified().await;
                } => {}
            }
        }
    }

    async fn ask(&self) -> Result<(KeySet, Option<Duration>), Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, application/jwk-set+json"));
        let response = self.fetch.get(&self.url, headers, self.pace.timeout).await?;
        if response.status != 200 {
            return Err(Failure::Status(response.status));
        }
        Ok((KeySet::parse(&response.body)?, max_age(&response.headers)))
    }

    /// An empty set is taken at its word, too: so a provider takes back its last key.
    fn take(&mut self, set: KeySet) {
        let (before, keys, passed_over) = (self.keys.current().len(), set.len(), set.passed_over());
        let (option, url) = (self.option, &self.url);
        self.keys.replace(set);
        if keys == 0 {
            tracing::warn!(option, %url, passed_over, "the identity provider publishes no key that can be used");
        } else if before != keys || self.failures > 0 {
            tracing::info!(option, %url, keys, passed_over, "the keys of the identity provider are here");
        }
        self.failures = 0;
    }

    /// Notes a failure; returns the time until the next question.
    fn fail(&mut self, failure: &Failure) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let (option, url, keys) = (self.option, &self.url, self.keys.current().len());
        // The 1st, 2nd, 4th, 8th: a provider that stays down does not fill the log.
        if self.failures.is_power_of_two() {
            let failures = self.failures;
            tracing::warn!(option, %url, %failure, failures, keys, "the keys of the identity provider were not fetched; those that are here count on");
        }
        let doubled = self.pace.at_most_every.saturating_mul(1 << (self.failures - 1).min(16));
        doubled.min(self.pace.at_worst_every)
    }
}

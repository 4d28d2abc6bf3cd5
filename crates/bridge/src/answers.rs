//! Brings the answers of the application home to the sessions that asked.

use std::sync::Arc;

use jackfield_hub::Hub;
use jackfield_model::app::Answer;
use jackfield_model::{ClientError, Uuid};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::answer::{self, Said};
use crate::breaker::Backoff;
use crate::bridge::millis;
use crate::calls::Calls;
use crate::counters::{Counters, count};
use crate::queue::Queue;
use crate::remembered::Remembered;
use crate::seldom::Seldom;

/// The task that reads answers.
pub(crate) struct Answers {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) backoff: Backoff,
    pub(crate) spoilt: Seldom,
}

impl Answers {
    /// Runs until it is aborted: an answer lost with the node has nobody to go to.
    pub(crate) async fn run(mut self) {
        loop {
            match self.queue.answers().await {
                Ok(bodies) => {
                    if !self.backoff.is_fresh() {
                        info!(queue = self.queue.describe(), "answers of the application are read again");
                        self.backoff.reset();
                    }
                    for body in bodies {
                        self.bring_home(&body);
                    }
                }
                Err(error) => {
                    if self.backoff.is_fresh() {
                        let queue = self.queue.describe();
                        warn!(queue, %error, "answers of the application cannot be read, retrying");
                    }
                    sleep(self.backoff.pause()).await;
                }
            }
        }
    }

    fn bring_home(&mut self, body: &[u8]) {
        match answer::parse(body) {
            Ok(Said { id, verdict }) => {
                let Some(pending) = self.calls.take(id) else {
                    count(&self.counters.answers_late);
                    return;
                };
                let answer = match verdict.read(pending.kind) {
                    Ok(read) => {
                        count(&self.counters.answers);
                        self.remembered.keep(pending.asked, &read, (Instant::now(), millis()));
                        read.answer
                    }
                    Err(reason) => {
                        self.complain(Some(id), &reason);
                        Answer::Error(ClientError::INTERNAL)
                    }
                };
                self.hub.resume(pending.from, pending.call, answer);
            }
            Err(error) => {
                self.complain(error.id, &error.reason);
                if let Some(pending) = error.id.and_then(|id| self.calls.take(id)) {
                    self.hub.resume(pending.from, pending.call, Answer::Error(ClientError::INTERNAL));
                }
            }
        }
    }

    fn complain(&mut self, id: Option<Uuid>, reason: &str) {
        count(&self.counters.answers_spoilt);
        if let Some(unsaid) = self.spoilt.ask(Instant::now()) {
            warn!(?id, ?reason, unsaid, "answer of the application makes no sense");
        }
    }
}

//! The way in: commands are applied in order and settled, each either done or buried.

use std::sync::Arc;

use jackfield_hub::Hub;
use jackfield_hub::control::{ControlError, Outcome};
use jackfield_model::ClientError;
use jackfield_model::app::Command;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};
use tracing::{info, warn};

use crate::apply::apply;
use crate::breaker::Backoff;
use crate::bridge::{millis, told};
use crate::command;
use crate::counters::{Counters, count};
use crate::outcome::{outcome_json, reply_json};
use crate::queue::{Delivery, Queue, Receipt};
use crate::recent::Recent;
use crate::seldom::Seldom;

/// How long a command waits for a worker that is behind, before it is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Tries to bury a command; after that it stays where it is and comes again with the next owner of its partition.
const BURIALS: usize = 3;
/// Receipts whose acknowledgement failed and is tried again; beyond that they are left to the next redelivery.
const MOST_UNSETTLED: usize = 4096;

/// The task that owns the way in.
pub(crate) struct Inbound {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) recent: Recent,
    pub(crate) backoff: Backoff,
    pub(crate) buried: Seldom,
    pub(crate) max_payload_bytes: usize,
    /// Done, and not yet acknowledged.
    pub(crate) done: Vec<Receipt>,
}

/// What became of one command.
enum Fate {
    /// It is settled with the batch.
    Done,
    /// It goes to the dead letters.
    Hopeless(String),
    /// The server goes down before it could be done; it stays in the queue.
    Interrupted,
}

impl Inbound {
    /// Runs until it is told to stop, then settles what is done.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            let received = tokio::select! {
                received = self.queue.receive() => received,
                () = told(&mut stop) => break,
            };
            match received {
                Ok(deliveries) => {
                    if !self.backoff.is_fresh() {
                        info!(queue = self.queue.describe(), "commands of the application are read again");
                        self.backoff.reset();
                    }
                    self.work(&deliveries).await;
                    self.acknowledge().await;
                }
                Err(error) => {
                    if self.backoff.is_fresh() {
                        let queue = self.queue.describe();
                        warn!(queue, %error, "commands of the application cannot be read, retrying");
                    }
                    tokio::select! {
                        () = sleep(self.backoff.pause()) => {}
                        () = told(&mut stop) => break,
                    }
                }
            }
        }
        self.acknowledge().await;
    }

    async fn work(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            match self.fate(delivery).await {
                Fate::Done => self.settle(delivery),
                Fate::Hopeless(reason) => self.bury(delivery, &reason).await,
                Fate::Interrupted => return,
            }
        }
    }

    async fn fate(&self, delivery: &Delivery) -> Fate {
        if self.recent.knows(&delivery.id) {
            count(&self.counters.commands_repeated);
            return Fate::Done;
        }
        let result = match self.parse(delivery) {
            Ok(command) => match self.apply(&command).await {
                Some(Ok(outcome)) => Ok(outcome),
                Some(Err(error)) => Err((explained(&command, &error), error)),
                None => return Fate::Interrupted,
            },
            Err(reason) => {
                let message = reason.clone().into();
                Err((reason, ClientError { message, ..ClientError::BAD_REQUEST }))
            }
        };
        if delivery.reply_to.is_empty() {
            match result {
                Err((reason, _)) => return Fate::Hopeless(reason),
                Ok(Outcome::Broadcast(results)) if results.iter().all(Result::is_err) => {
                    return Fate::Hopeless("unknown channels: none of their namespaces is configured".to_owned());
                }
                Ok(_) => {}
            }
        } else {
            self.reply(delivery, result.map_err(|(_, error)| error)).await;
        }
        count(&self.counters.commands_applied);
        Fate::Done
    }

    fn parse(&self, delivery: &Delivery) -> Result<Command, String> {
        let (size, most) = (delivery.payload.len(), self.max_payload_bytes);
        if size > most {
            return Err(format!("the payload has {size} bytes; the limit max_payload_bytes is {most}"));
        }
        command::parse(&delivery.method, &delivery.payload).map_err(|error| error.to_string())
    }

    /// Waits for workers that are behind, and everything after this command with it: order goes before speed.
    async fn apply(&self, command: &Command) -> Option<Result<Outcome, ClientError>> {
        loop {
            match apply(&self.hub, command, millis()).await {
                Ok(outcome) => return Some(Ok(outcome)),
                Err(ControlError::Refused(error)) => return Some(Err(error)),
                Err(ControlError::Busy) if *self.stop.borrow() => return None,
                Err(ControlError::Busy) => sleep(BUSY_PAUSE).await,
            }
        }
    }

    async fn reply(&self, delivery: &Delivery, result: Result<Outcome, ClientError>) {
        let result = result.as_ref().map(outcome_json);
        let body = reply_json(&delivery.id, result);
        if let Err(error) = self.queue.reply(delivery, body).await {
            let (id, reply_to) = (&delivery.id, &delivery.reply_to);
            warn!(?id, ?reply_to, %error, "reply to the application is lost");
        }
    }

    fn settle(&mut self, delivery: &Delivery) {
        self.recent.insert(&delivery.id, Instant::now());
        self.done.push(delivery.receipt);
    }

    async fn bury(&mut self, delivery: &Delivery, reason: &str) {
        count(&self.counters.commands_buried);
        if let Some(unsaid) = self.buried.ask(Instant::now()) {
            let (id, method) = (&delivery.id, &delivery.method);
            warn!(?id, ?method, ?reason, unsaid, "command of the application goes to the dead letters");
        }
        for attempt in 1..=BURIALS {
            match self.queue.bury(delivery, reason).await {
                Ok(()) => return self.recent.insert(&delivery.id, Instant::now()),
                Err(error) if attempt == BURIALS => {
                    let id = &delivery.id;
                    warn!(?id, %error, "dead letter cannot be written; the command stays in the queue");
                }
                Err(_) => sleep(BUSY_PAUSE * 20).await,
            }
        }
    }

    /// What is not acknowledged comes again after a restart or from another connection, and is then known by its id.
    async fn acknowledge(&mut self) {
        if self.done.is_empty() {
            return;
        }
        match self.queue.acknowledge(&self.done).await {
            Ok(()) => self.done.clear(),
            Err(error) => {
                warn!(count = self.done.len(), %error, "commands cannot be acknowledged, retrying");
                self.done.truncate(MOST_UNSETTLED);
            }
        }
    }
}

/// A refusal with the name that it is about.
fn explained(command: &Command, error: &ClientError) -> String {
    let Some(channel) = command.channel() else { return error.message.to_string() };
    if *error == ClientError::UNKNOWN_CHANNEL {
        format!("unknown channel `{channel}`: its namespace is not configured")
    } else {
        format!("{} for channel `{channel}`", error.message)
    }
}

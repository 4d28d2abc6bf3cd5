//! The way in: commands are applied in order and settled, each either done or buried.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::Hub;
use jackfield_hub::control::{ControlError, Outcome};
use jackfield_model::app::{Command, Stamp};
use jackfield_model::{ClientError, Millis};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};
use tracing::{info, warn};

use crate::apply::{Awaited, apply_named};
use crate::breaker::Backoff;
use crate::bridge::{millis, told};
use crate::command;
use crate::counters::{Counters, count};
use crate::failure::CommandFailure;
use crate::outcome::{Node, outcome_json, reply_json};
use crate::queue::{Delivery, Queue, Receipt};
use crate::recent::Recent;
use crate::seldom::Seldom;

/// How long a command waits for a worker that is behind, before it is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Commands that wait for the log at once.
const MOST_UNDER_WAY: usize = 1024;
/// Tries to bury a command; after that it stays where it is and comes again with the next owner of its partition.
const BURIALS: usize = 3;
/// A node that stood still for so long may find that another one has done since what it was handed.
const STALE: Duration = Duration::from_millis(2500);
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
    pub(crate) node: Node,
    /// Done, and not yet acknowledged.
    pub(crate) done: Vec<Receipt>,
}

/// A command that has its place in the order, and is done when the log has it.
struct UnderWay<'d> {
    delivery: &'d Delivery,
    command: Command,
    outcome: Awaited,
}

/// What became of one command at once.
enum Begun {
    /// It is done, or cannot be.
    Over(Result<Outcome, ClientError>),
    /// It waits for the log; why not wait with it: the log makes many safe as quickly as one.
    UnderWay(Awaited),
    /// The server goes down before it could be done; it stays in the queue.
    Interrupted,
}

/// Why a command was not done: for the metrics, for the dead letters, for whoever asked.
struct Failed {
    kind: CommandFailure,
    reason: String,
    error: ClientError,
}

impl Failed {
    fn new(command: &Command, error: ClientError) -> Self {
        Self { kind: (&error).into(), reason: explained(command, &error), error }
    }
}

impl Inbound {
    /// Runs until it is told to stop, then settles what is done.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            let asked = Instant::now();
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
                    self.work(&deliveries, asked).await;
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

    async fn work(&mut self, deliveries: &[Delivery], asked: Instant) {
        let mut under_way: Vec<UnderWay<'_>> = Vec::new();
        for delivery in deliveries {
            let is_doubled = !delivery.id.is_empty() && under_way.iter().any(|one| one.delivery.id == delivery.id);
            if is_doubled {
                self.finish(&mut under_way).await;
            }
            if self.recent.knows(&delivery.id) {
                count(&self.counters.commands_repeated);
                self.settle(delivery);
                continue;
            }
            let looked = millis();
            let is_stale = asked.elapsed() >= STALE;
            if is_stale && !self.queue.is_ours(&delivery.receipt) {
                continue;
            }
            let command = match self.parse(delivery) {
                Ok(mut command) => {
                    if self.hub.is_shared() {
                        stamp(&mut command, delivery, (is_stale, looked));
                    }
                    command
                }
                Err((kind, error)) => {
                    let reason = error.message.to_string();
                    self.end(delivery, Err(Failed { kind, reason, error })).await;
                    continue;
                }
            };
            if let Command::Call(_) = command {
                self.call(delivery, &command).await;
                continue;
            }
            // What asks about publications, or takes them away, comes after those before it.
            if !command.publishes() || under_way.len() == MOST_UNDER_WAY {
                self.finish(&mut under_way).await;
            }
            match self.begin(&delivery.id, &command).await {
                Begun::Over(outcome) => {
                    self.end(delivery, outcome.map_err(|error| Failed::new(&command, error))).await;
                }
                Begun::UnderWay(outcome) => under_way.push(UnderWay { delivery, command, outcome }),
                Begun::Interrupted => break,
            }
        }
        self.finish(&mut under_way).await;
    }

    /// A question to a client is done when it is asked, so that nothing behind it waits; a task of its own brings the
    /// answer to whoever asked. A node that dies leaves it without one.
    async fn call(&mut self, delivery: &Delivery, command: &Command) {
        if delivery.reply_to.is_empty() {
            self.counters.command_failures.count(CommandFailure::NoReplyTo);
            return self.bury(delivery, "a call needs a place for the answer, `reply_to`").await;
        }
        let mut outcome = apply_named(&self.hub, (&delivery.id, command), millis());
        let (queue, delivery_kept) = (Arc::clone(&self.queue), Delivery { payload: Bytes::new(), ..delivery.clone() });
        let (node, counters) = (self.node.clone(), Arc::clone(&self.counters));
        tokio::spawn(async move {
            let outcome = outcome.wait().await.map_err(|error| refusal(&error));
            count(if outcome.is_ok() { &counters.client_answers } else { &counters.client_failures });
            reply(&*queue, &delivery_kept, outcome, &node).await;
        });
        count(&self.counters.commands_applied);
        self.settle(delivery);
    }

    /// Waits for the log, which answers in the order in which it was asked.
    async fn finish(&mut self, under_way: &mut Vec<UnderWay<'_>>) {
        for UnderWay { delivery, command, mut outcome } in under_way.drain(..) {
            let outcome = outcome.wait().await.map_err(|error| Failed::new(&command, refusal(&error)));
            self.end(delivery, outcome).await;
        }
    }

    /// Tells whoever asked, and settles.
    async fn end(&mut self, delivery: &Delivery, result: Result<Outcome, Failed>) {
        if let Err(failed) = &result {
            self.counters.command_failures.count(failed.kind);
        }
        if delivery.reply_to.is_empty() {
            match result {
                Err(failed) => return self.bury(delivery, &failed.reason).await,
                Ok(Outcome::Broadcast(results)) if results.iter().all(Result::is_err) => {
                    let reason = "unknown channels: none of their namespaces is configured";
                    self.counters.command_failures.count(CommandFailure::UnknownChannel);
                    return self.bury(delivery, reason).await;
                }
                Ok(_) => {}
            }
        } else {
            self.reply(delivery, result.map_err(|failed| failed.error)).await;
        }
        count(&self.counters.commands_applied);
        self.settle(delivery);
    }

    fn parse(&self, delivery: &Delivery) -> Result<Command, (CommandFailure, ClientError)> {
        let (size, most) = (delivery.payload.len(), self.max_payload_bytes);
        if size > most {
            let message = format!("the payload has {size} bytes; the limit max_payload_bytes is {most}").into();
            return Err((CommandFailure::TooLarge, ClientError { message, ..ClientError::BAD_REQUEST }));
        }
        command::parse(&delivery.method, &delivery.payload).map_err(|error| ((&error).into(), (&error).into()))
    }

    /// Waits for workers that are behind, and everything after this command with it: order goes before speed.
    async fn begin(&self, id: &str, command: &Command) -> Begun {
        loop {
            let mut outcome = apply_named(&self.hub, (id, command), millis());
            match outcome.at_once() {
                None => return Begun::UnderWay(outcome),
                Some(Ok(outcome)) => return Begun::Over(Ok(outcome)),
                Some(Err(ControlError::Refused(error))) => return Begun::Over(Err(error)),
                Some(Err(ControlError::Busy)) if *self.stop.borrow() => return Begun::Interrupted,
                Some(Err(ControlError::Busy)) => sleep(BUSY_PAUSE).await,
            }
        }
    }

    async fn reply(&self, delivery: &Delivery, result: Result<Outcome, ClientError>) {
        reply(&*self.queue, delivery, result, &self.node).await;
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

/// Marks what it publishes, so that the broker knows it again: a node that was killed may have published it already, and
/// while the broker is away it waits in its place.
fn stamp(command: &mut Command, delivery: &Delivery, (is_stale, looked): (bool, Millis)) {
    // FNV-1a: an id may be any text.
    let id = delivery.id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |id, byte| {
        (id ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let id = if delivery.id.is_empty() { 0 } else { id };
    let stamp = Some(Stamp { id, again: delivery.again || is_stale, since: looked });
    match command {
        Command::Broadcast(broadcast) => broadcast.publish.stamp = stamp,
        Command::MapPublish(publish) | Command::MapRemove(publish) | Command::Publish(publish) => publish.stamp = stamp,
        _ => {}
    }
}

async fn reply(queue: &dyn Queue, delivery: &Delivery, result: Result<Outcome, ClientError>, node: &Node) {
    let result = result.as_ref().map(|outcome| outcome_json(outcome, node));
    let body = reply_json(&delivery.id, result);
    if let Err(error) = queue.reply(delivery, body).await {
        let (id, reply_to) = (&delivery.id, &delivery.reply_to);
        warn!(?id, ?reply_to, %error, "reply to the application is lost");
    }
}

fn refusal(error: &ControlError) -> ClientError {
    match error {
        ControlError::Refused(error) => error.clone(),
        ControlError::Busy => ClientError::TOO_MANY_REQUESTS,
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

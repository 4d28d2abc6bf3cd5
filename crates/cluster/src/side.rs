//! The hub's side of the cluster: what it hands over, and what it asks of the other nodes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jackfield_hub::control::{ControlError, Done, Outcome};
use jackfield_hub::{Absent, Broker, Forgetting, Order, Peers, PublishError, Ticket, ambiguous, gone};
use jackfield_model::app::{ClientCall, Command};
use jackfield_model::client::Push;
use jackfield_model::{ClientId, Millis, Uuid};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ask::{Ask, Sum};
use crate::engine::Outgoing;
use crate::frame::{Body, encode};
use crate::interest::Wish;
use crate::node::Shared;
use crate::note::Note;
use crate::outbound::{millis, outgoing};
use crate::publisher::Job;
use crate::registrar::Change;
use crate::survey::{PATIENCE, Then};

/// What the hub holds.
pub(crate) struct Side {
    shared: Arc<Shared>,
    /// Users have a limit of connections.
    counts_users: AtomicBool,
}

impl fmt::Debug for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cluster")
    }
}

impl Side {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, counts_users: AtomicBool::new(false) }
    }

    /// Asks all other nodes.
    fn survey(&self, ask: Ask, sum: Sum, then: Then) {
        let others: HashSet<Arc<str>> = self.shared.registry.uids().into_iter().collect();
        if others.is_empty() {
            return then(sum);
        }
        let id = self.shared.surveys.begin(others, sum, PATIENCE, then);
        self.shared.say(None, &Note::Ask { from: Arc::clone(&self.shared.options.uid), id, ask: Box::new(ask) });
    }
}

impl Broker for Side {
    fn publish(&self, order: Order) -> Result<(), Order> {
        let Ok(place) = self.shared.jobs.try_reserve() else { return Err(order) };
        let Some(options) = self.shared.hub.namespaces().of(&order.channel) else { return Err(order) };
        let outgoing = outgoing(&order, options);
        let stamp = order.publishing.stamp;
        let known = stamp.map(|stamp| stamp.since).filter(|since| *since > 0);
        let age = Duration::from_millis(known.map_or(0, |since| millis().saturating_sub(since)));
        let since = Instant::now();
        let since = since.checked_sub(age).unwrap_or(since);
        place.send(Job::Publish { outgoing, ticket: order.ticket, patient: stamp.is_some(), since });
        Ok(())
    }

    fn spread(&self, channel: &Arc<str>, push: &Push) {
        let body = match push {
            Push::Join(_, info) => Body::Join(Arc::clone(info)),
            Push::Leave(_, info) => Body::Leave(Arc::clone(info)),
            _ => return,
        };
        let outgoing = Outgoing { channel: Arc::clone(channel), body: encode(&body, 0), ..Outgoing::default() };
        let job = Job::Publish { outgoing, ticket: None, patient: false, since: Instant::now() };
        if self.shared.jobs.try_send(job).is_err() {
            tracing::debug!(%channel, "that somebody came or went is not told: the broker is behind");
        }
    }

    fn open(&self, channel: &Arc<str>) {
        self.shared.wish(Wish::Open(Arc::clone(channel)));
    }

    fn repair(&self, channel: &Arc<str>) {
        self.shared.wish(Wish::Repair(Arc::clone(channel)));
    }

    fn close(&self, channel: &Arc<str>) {
        self.shared.wish(Wish::Close(Arc::clone(channel)));
    }

    fn forget(&self, channel: &Arc<str>, what: Forgetting, ticket: Option<Ticket>) {
        let job = Job::Forget(Arc::clone(channel), what, ticket);
        if let Err(
            mpsc::error::TrySendError::Full(Job::Forget(_, _, ticket))
            | mpsc::error::TrySendError::Closed(Job::Forget(_, _, ticket)),
        ) = self.shared.jobs.try_send(job)
        {
            self.shared.hub.settle(ticket, Err(PublishError::Busy));
        }
    }
}

impl Peers for Side {
    fn ask(&self, command: &Command, own: Result<Outcome, ControlError>, _: Millis, done: Done) {
        let sum = Sum::new(own, command, &self.shared.hub, self.shared.card());
        match Ask::of(command) {
            Some(ask) => self.survey(ask, sum, Box::new(|sum| done(sum.outcome()))),
            None => done(sum.outcome()),
        }
    }

    fn call(&self, call: &ClientCall, here: usize, now: Millis, done: Done) {
        let (shared, wanted) = (Arc::clone(&self.shared), call.clone());
        let then: Then = Box::new(move |sum| {
            let there: Vec<(Arc<str>, u64)> = sum.found.iter().filter(|(_, count)| *count > 0).cloned().collect();
            let several =
                here + there.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(usize::MAX)).sum::<usize>();
            match (several, &there[..]) {
                (0, _) => done(Err(gone().into())),
                (1, []) => shared.hub.inquire(&wanted, now, done),
                (1, [(node, _)]) => {
                    // The other node watches the time; this is for the case that it is not there any more to tell.
                    let patience = PATIENCE + Duration::from_millis(wanted.timeout);
                    let missing = HashSet::from([Arc::clone(node)]);
                    let id = shared.surveys.begin(missing, Sum::empty(), patience, Box::new(|sum| done(sum.outcome())));
                    let from = Arc::clone(&shared.options.uid);
                    shared.say(Some(Arc::clone(node)), &Note::Ask { from, id, ask: Box::new(Ask::Call(wanted)) });
                }
                _ => done(Err(ambiguous(several).into())),
            }
        });
        self.survey(Ask::Find(call.target.clone()), Sum::empty(), then);
    }

    fn absent(&self, users: Vec<Arc<str>>, then: Absent) {
        let wanted = users.clone();
        let then: Then = Box::new(move |sum| {
            then(users.into_iter().filter(|user| !sum.online.contains(user)).collect());
        });
        self.survey(Ask::Online(wanted), Sum::empty(), then);
    }

    fn occupy(&self, channel: &Arc<str>, in_use: bool) {
        self.shared.count(Change::Channel(Arc::clone(channel), in_use));
    }

    fn arrived(&self, user: &Arc<str>, client: ClientId, limit: usize) {
        self.counts_users.store(true, Ordering::Relaxed);
        self.shared.count(Change::Arrived(Arc::clone(user), client, u32::try_from(limit).unwrap_or(u32::MAX)));
    }

    fn departed(&self, user: &Arc<str>, client: ClientId) {
        if self.counts_users.load(Ordering::Relaxed) {
            self.shared.count(Change::Departed(Arc::clone(user), client));
        }
    }

    fn uplink(&self, node: &str, session: Uuid, data: Bytes) -> bool {
        let is_known = self.shared.registry.knows(node);
        if is_known {
            self.shared.say(Some(node.into()), &Note::Uplink { session, data });
        }
        is_known
    }
}

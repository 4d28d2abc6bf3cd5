//! A queue in memory that fails when told to, and the bridge in front of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::{
    Bridge, BridgeOptions, Carrier, Counters, Delivery, Depth, Door, DoorError, LostNode, NodeLease, Queue, QueueError,
    Receipt, Request, Routes, Way, Ways,
};
use jackfield_hub::{Address, Forgetting, Hub, Journal, Mail, Mailbox, Membership, Namespaces, Options, Order, Wake};
use jackfield_model::app::{Answer, Event, EventKind, Origin};
use jackfield_model::{ClientId, ClientInfo, Payload, Uuid};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::sleep;

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) commands: VecDeque<Delivery>,
    pub(crate) answers: VecDeque<Bytes>,
    pub(crate) sent: Vec<Event>,
    pub(crate) batches: Vec<usize>,
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) buried: Vec<(String, String)>,
    pub(crate) replies: Vec<Value>,
    pub(crate) closed: bool,
    /// What every `send` fails with.
    pub(crate) send_error: Option<QueueError>,
    /// Connections whose partition is full.
    pub(crate) full: Vec<ClientId>,
    pub(crate) receive_error: Option<QueueError>,
    pub(crate) acknowledge_error: Option<QueueError>,
    /// Nodes whose lease ran out.
    pub(crate) lost: Vec<LostNode>,
    /// What every `lease` fails with.
    pub(crate) lease_error: Option<QueueError>,
    /// What is told of how much lies in it.
    pub(crate) depth: Option<Depth>,
    /// What every `depth` fails with.
    pub(crate) depth_error: Option<QueueError>,
}

#[derive(Debug, Default)]
pub(crate) struct Fake(pub(crate) Mutex<State>);

impl Fake {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

/// A second of waiting for something, in steps as small as a driver's.
async fn within_a_second<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..100 {
        if let Some(found) = look() {
            return Some(found);
        }
        sleep(Duration::from_millis(10)).await;
    }
    None
}

#[async_trait]
impl Queue for Fake {
    fn describe(&self) -> String {
        "fake".to_owned()
    }

    async fn receive(&self) -> Result<Vec<Delivery>, QueueError> {
        let look = || {
            self.with(|state| match &state.receive_error {
                Some(error) => Some(Err(error.clone())),
                None => (!state.commands.is_empty()).then(|| Ok(state.commands.drain(..).collect())),
            })
        };
        within_a_second(look).await.unwrap_or(Ok(Vec::new()))
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), QueueError> {
        self.with(|state| match &state.acknowledge_error {
            Some(error) => Err(error.clone()),
            None => {
                state.acknowledged.extend(receipts.iter().map(|receipt| receipt.number.0));
                Ok(())
            }
        })
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        self.with(|state| state.buried.push((delivery.id.clone(), reason.to_owned())));
        Ok(())
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<(), QueueError>> {
        self.with(|state| {
            state.batches.push(events.len());
            let mut send = |event: &Event| match &state.send_error {
                Some(error) => Err(error.clone()),
                None if state.full.contains(&event.origin.client) => Err(QueueError::Full("partition 0".to_owned())),
                None => {
                    state.sent.push(event.clone());
                    Ok(())
                }
            };
            events.iter().map(&mut send).collect()
        })
    }

    async fn answers(&self) -> Result<Vec<Bytes>, QueueError> {
        let look = || self.with(|state| (!state.answers.is_empty()).then(|| state.answers.drain(..).collect()));
        Ok(within_a_second(look).await.unwrap_or_default())
    }

    async fn reply(&self, _: &Delivery, body: Bytes) -> Result<(), QueueError> {
        self.with(|state| state.replies.push(serde_json::from_slice(&body).unwrap()));
        Ok(())
    }

    async fn lease(&self, _: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        self.with(|state| state.lease_error.clone().map_or_else(|| Ok(state.lost.clone()), Err))
    }

    async fn settle_lost(&self, lost: &LostNode) -> Result<(), QueueError> {
        self.with(|state| state.lost.retain(|one| one != lost));
        Ok(())
    }

    async fn depth(&self) -> Result<Option<Depth>, QueueError> {
        self.with(|state| state.depth_error.clone().map_or(Ok(state.depth), Err))
    }

    async fn close(&self) {
        self.with(|state| state.closed = true);
    }
}

#[derive(Debug)]
struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

/// Every call goes over the queue and has a minute.
fn by_link() -> Routes {
    let way = Some(Way { by: Carrier::Link, timeout: Duration::from_secs(60) });
    let ways = Ways { without: way, ..Ways::default() };
    Routes {
        connect: way,
        refresh: way,
        rpc: ways.clone(),
        subscribe: ways.clone(),
        publish: ways.clone(),
        sub_refresh: ways,
        ..Routes::default()
    }
}

/// A log that is safe when the test says so.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Order>>);

impl Log {
    /// Orders that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Shows all that waits.
    pub(crate) fn write(&self, hub: &Hub) {
        for order in std::mem::take(&mut *self.0.lock().unwrap()) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
            hub.reveal(hub.number(order, now).unwrap());
        }
    }
}

impl Journal for Log {
    fn take(&self, order: Order) -> Result<(), Order> {
        self.0.lock().unwrap().push(order);
        Ok(())
    }

    fn forget(&self, _: &str, _: Forgetting) {}
}

/// The whole of it, with one worker that only reads its mail.
pub(crate) struct Rig {
    pub(crate) queue: Arc<Fake>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) log: Arc<Log>,
    pub(crate) door: Door,
    pub(crate) bridge: Bridge,
    pub(crate) counters: Arc<Counters>,
}

impl Rig {
    /// Calls go over the queue unless the options say otherwise.
    pub(crate) fn start(mut options: BridgeOptions) -> Self {
        if options.routes == Routes::default() {
            options.routes = by_link();
        }
        let mailbox = Arc::new(Mailbox::new(Box::new(Asleep)));
        let mut namespaces = Namespaces::default();
        let kept = Options { history_size: 100, history_ttl: 60_000, ..Options::default() };
        namespaces.named.insert("room".to_owned(), Arc::new(kept));
        let durable = Options { durable: true, history_size: 100, history_ttl: 60_000, ..Options::default() };
        namespaces.named.insert("safe".to_owned(), Arc::new(durable));
        let mut hub = Hub::new(namespaces, vec![Arc::clone(&mailbox)], 100, 1);
        let log = Arc::new(Log::default());
        hub.set_journal(Arc::clone(&log) as Arc<dyn Journal>);
        let hub = Arc::new(hub);
        let info = Arc::new(ClientInfo::default());
        assert!(
            hub.subscribe("room:1", Membership { worker: 0, info: &info, counted: true, announced: true }, None, 1)
                .is_ok()
        );
        let queue = Arc::new(Fake::default());
        let (door, bridge) =
            Bridge::start(Some(Arc::clone(&queue) as Arc<dyn Queue>), Arc::clone(&hub), options, &Handle::current());
        let counters = bridge.counters();
        Self { queue, hub, mailbox, log, door, bridge, counters }
    }

    pub(crate) fn default() -> Self {
        Self::start(BridgeOptions::default())
    }

    pub(crate) fn submit(&self, requests: impl IntoIterator<Item = Request>) {
        for request in requests {
            assert_eq!(self.try_submit(request), Ok(()));
        }
    }

    /// As a connection does that is at the number before that of its request.
    pub(crate) fn try_submit(&self, request: Request) -> Result<(), DoorError> {
        let mut last = request.event.seq.saturating_sub(1);
        self.door.submit(request, &mut last)
    }

    /// Answers that came home, by the number of the question.
    pub(crate) fn answers(&self) -> Vec<(u32, Answer)> {
        let mut mail = Vec::new();
        self.mailbox.take(&mut mail);
        mail.into_iter()
            .filter_map(|mail| match mail {
                Mail::Resume(_, call, answer) => Some((call, *answer)),
                _ => None,
            })
            .collect()
    }

    /// Sequence numbers of what the queue has, in its order.
    pub(crate) fn sent(&self) -> Vec<u64> {
        self.queue.with(|state| state.sent.iter().map(|event| event.seq).collect())
    }

    pub(crate) fn deliver(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        self.queue.with(|state| state.commands.extend(deliveries));
    }
}

pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Lets the tasks do what they can do in this (paused) time.
pub(crate) async fn pass(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

pub(crate) fn delivery(number: u64, method: &str, payload: &str) -> Delivery {
    Delivery {
        receipt: Receipt { number: (number, 0), ..Receipt::default() },
        id: format!("id-{number}"),
        method: method.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        reply_to: String::new(),
        again: false,
    }
}

fn event(client: u128, seq: u64, kind: EventKind) -> Event {
    let origin = Origin { client: ClientId::from_u128(client), ..Origin::default() };
    Event {
        id: Uuid::from_u128(client << 64 | u128::from(seq)),
        kind,
        origin,
        channel: None,
        name: String::new(),
        data: Payload::json("1"),
        seq,
        time: 0,
        deadline: None,
        hello: None,
    }
}

pub(crate) fn notice(client: u128, seq: u64) -> Request {
    Request { from: Address::default(), call: None, event: event(client, seq, EventKind::Disconnect) }
}

pub(crate) fn message(client: u128, seq: u64) -> Request {
    Request { from: Address::default(), call: Some(seq as u32), event: event(client, seq, EventKind::Message) }
}

pub(crate) fn call(client: u128, seq: u64, kind: EventKind, millis: u64) -> Request {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut event = event(client, seq, kind);
    event.deadline = Some(now + millis);
    Request { from: Address::default(), call: Some(seq as u32), event }
}

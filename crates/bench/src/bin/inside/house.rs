//! The house that is measured: a hub, and workers that are all but their sockets.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use jackfield_hub::namespace::Permission;
use jackfield_hub::{Address, Encoder, Hub, Mail, Mailbox, Namespaces, Options, Outbox, Shard, Wake};
use jackfield_model::{Disconnect, Uuid};
use jackfield_session::wire::Wires;
use jackfield_session::{Dialect, Effect, Endpoint, Framing, Ids, Keepalive, Now, Session, Settings, Turn, Visitor};

/// Workers, each a thread.
pub(crate) const WORKERS: u32 = 2;
pub(crate) const ANY: Permission = Permission { client: true, subscriber: false, anonymous: true };
/// When it is: nothing here runs out.
pub(crate) const NOW: Now = Now { tick: 1, millis: 1_700_000_000_000 };
const GONE: Disconnect = Disconnect::new(3000, "connection closed");

/// Workers look into their mailboxes all the time.
#[derive(Debug)]
struct Awake;

impl Wake for Awake {
    fn wake(&self) {}
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) boxes: Vec<Arc<Mailbox>>,
    settings: Settings,
    door: Arc<Endpoint>,
}

impl House {
    pub(crate) fn new(named: Vec<(&str, Options)>) -> Self {
        let boxes: Vec<_> = (0..WORKERS).map(|_| Arc::new(Mailbox::new(Box::new(Awake)))).collect();
        let mut namespaces = Namespaces::default();
        for (name, options) in named {
            namespaces.named.insert(name.to_owned(), Arc::new(options));
        }
        let endpoint = Endpoint::new("/inside", Dialect::CentrifugoJson, Framing::WEBSOCKET);
        let door = Endpoint { keepalive: Keepalive::Messages, user_from_certificate: true, ..endpoint };
        let settings = Settings {
            allow_anonymous_without_token: true,
            ping_interval: 0,
            message_rate: 0,
            channel_limit: 1_000,
            ..Settings::default()
        };
        Self { hub: Hub::new(namespaces, boxes.clone(), 1_000, 1), boxes, settings, door: Arc::new(door) }
    }

    pub(crate) fn worker(self: &Arc<Self>, index: u32) -> Worker {
        Worker {
            house: Arc::clone(self),
            index,
            shard: Shard::default(),
            outbox: Outbox::default(),
            wires: Wires::default(),
            ids: Ids::new(u64::from(index)),
            mail: Vec::new(),
            written: 0,
        }
    }
}

/// A worker without sockets.
pub(crate) struct Worker {
    house: Arc<House>,
    index: u32,
    shard: Shard,
    outbox: Outbox,
    wires: Wires,
    ids: Ids,
    mail: Vec<Mail>,
    /// Bytes that would have gone out.
    pub(crate) written: usize,
}

impl Worker {
    fn with<T>(&mut self, slot: u32, step: impl FnOnce(&mut Turn<'_>) -> T) -> anyhow::Result<T> {
        let mut effects = Vec::new();
        let mut turn = Turn {
            now: NOW,
            hub: &self.house.hub,
            shard: &mut self.shard,
            address: Address { worker: self.index as u16, slot, generation: 1 },
            settings: &self.house.settings,
            ids: &mut self.ids,
            effects: &mut effects,
        };
        let result = step(&mut turn);
        let encoding = self.house.door.encoding();
        for effect in effects {
            match effect {
                Effect::Reply(reply) => {
                    ensure!(reply.outcome.is_ok(), "failed to be served: {:?}", reply.outcome);
                    if let Some(frame) = self.wires.reply(encoding, &reply) {
                        self.outbox.send(slot, frame);
                    }
                }
                Effect::Close(disconnect) => anyhow::bail!("failed to stay connected: {disconnect:?}"),
                Effect::Event(..) | Effect::Ping | Effect::Push(_) => {}
            }
        }
        Ok(result)
    }

    /// A client comes, and says who it is.
    pub(crate) fn come(&mut self, slot: u32, user: &str) -> anyhow::Result<Session> {
        self.outbox.open(slot);
        let door = Arc::clone(&self.house.door);
        let id = Uuid::from_u128((u128::from(self.index) << 64) | (u128::from(slot) + 1));
        let visitor = Visitor {
            id,
            remote: ([192, 0, 2, 1], 5000).into(),
            channel: None,
            identity: Some(user.into()),
            uplink: None,
            headers: Vec::new(),
        };
        let mut session = self.with(slot, |turn| Session::open(&door, visitor, turn))?;
        self.say(&mut session, slot, r#"{"id":1,"connect":{}}"#)?;
        Ok(session)
    }

    /// A client says something.
    pub(crate) fn say(&mut self, session: &mut Session, slot: u32, words: &str) -> anyhow::Result<()> {
        self.with(slot, |turn| session.receive(words.as_bytes(), true, turn))
    }

    /// A client is gone.
    pub(crate) fn part(&mut self, mut session: Session, slot: u32) -> anyhow::Result<()> {
        self.with(slot, |turn| session.end(&GONE, turn))
    }

    /// Takes all mail and delivers it.
    pub(crate) fn deliver(&mut self) {
        if let Some(mailbox) = self.house.boxes.get(self.index as usize) {
            mailbox.take(&mut self.mail);
        }
        for letter in self.mail.drain(..) {
            if let Mail::Channel { key, sequence, parcel } = letter {
                let out = (&mut self.outbox, &self.wires as &dyn Encoder);
                self.shard.deliver(key, sequence, &parcel, NOW.millis, out);
            }
        }
    }

    /// What the sockets would be given; `each` looks at it.
    pub(crate) fn flush(&mut self, mut each: impl FnMut(u32, &[u8])) {
        while let Some(slot) = self.outbox.next_dirty() {
            let lane = self.outbox.take(slot);
            for frame in self.outbox.frames(lane) {
                self.written += frame.bytes.len();
                each(slot, &frame.bytes);
            }
        }
        self.outbox.finish();
    }
}

/// What stands at a share of sorted figures, 0.99 for the last but one of a hundred.
pub(crate) fn at(share: f64, figures: &mut [u64]) -> u64 {
    figures.sort_unstable();
    let place = (figures.len() as f64 * share) as usize;
    figures.get(place.min(figures.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// Processor time of this process in milliseconds, as the system counts it: in hundredths of a second.
pub(crate) fn processor_millis() -> anyhow::Result<u64> {
    let stat =
        std::fs::read_to_string("/proc/self/stat").context("failed to read the processor time; is this Linux?")?;
    // Behind the name, which may hold anything, the fields are numbers; the 12th and 13th of those are the times.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times = fields.skip(11).take(2).map(str::parse::<u64>);
    let ticks =
        times.sum::<Result<u64, _>>().context("failed to understand the processor time in the system's own words")?;
    Ok(ticks * 10)
}

pub(crate) fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

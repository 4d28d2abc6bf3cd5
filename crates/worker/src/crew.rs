//! The crew: all workers of the node, from their seats to their end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Instant;

use ipnet::IpNet;
use jackfield_bridge::Door;
use jackfield_hub::{Hub, Mailbox, Wake};
use jackfield_session::{Declared, Settings, Tick};
use mio::{Poll, Token, Waker};

use crate::accepting::Intake;
use crate::addresses::Addresses;
use crate::counters::Counters;
use crate::door::HandOver;
use crate::listener::Listener;
use crate::worker::{Shared, Worker};

/// A worker's place before it starts: its poll, and the mailbox that wakes it.
#[derive(Debug)]
pub struct Seat {
    pub(crate) poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
    waker: Arc<Waker>,
}

#[derive(Debug)]
struct Bell(Arc<Waker>);

impl Wake for Bell {
    fn wake(&self) {
        // It fails only when the counter of the event would overflow, and then the worker is awake already.
        let _awake = self.0.wake();
    }
}

pub(crate) const WAKE: Token = Token(usize::MAX);

impl Seat {
    /// A seat.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let bell = Bell(Arc::clone(&waker));
        Ok(Self { poll, mailbox: Arc::new(Mailbox::new(Box::new(bell))), waker })
    }

    /// The mailbox of whoever sits here.
    #[must_use]
    pub fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }
}

/// How WebSocket messages are compressed, where clients agree to it.
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    /// 1 (quick) to 9 (small).
    pub level: u32,
    /// Smaller messages go out as they are.
    pub min_size: usize,
    /// Bytes a message may have once it is inflated.
    pub decompressed_limit: usize,
    /// How many times larger it may become.
    pub ratio_limit: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 1, min_size: 128, decompressed_limit: 655_360, ratio_limit: 100 }
    }
}

/// What all workers are told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Options of sessions.
    pub settings: Arc<Settings>,
    /// What all workers share.
    pub hub: Arc<Hub>,
    /// The way to the application.
    pub door: Door,
    /// Bytes that may wait for a slow reader.
    pub backlog_bytes: usize,
    /// Ticks for a request head to arrive.
    pub handshake_ticks: Tick,
    /// Connections of the node.
    pub connection_limit: usize,
    /// Connections of one address; 0: any number.
    pub address_limit: u32,
    /// Networks of proxies, which speak for many clients.
    pub trusted: Arc<[IpNet]>,
    /// How WebSockets are compressed.
    pub compression: Compression,
    /// What the configuration declares of framings and protocols, by number.
    pub declared: Arc<[Declared]>,
    /// Takes over connections that ask for what is not the data plane's.
    pub hand_over: Option<HandOver>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Seeds what need not be secret: event ids, ping spread.
    pub seed: u64,
}

/// The running workers.
#[derive(Debug)]
pub struct Crew {
    threads: Vec<JoinHandle<()>>,
    intakes: Arc<[Intake]>,
}

impl Crew {
    /// Starts a thread per seat; each takes its share of every listener.
    pub fn start(seats: Vec<Seat>, mut listeners: Vec<Listener>, plan: &Plan) -> io::Result<Self> {
        let shared = Shared {
            start: Instant::now(),
            total: Arc::new(AtomicUsize::new(0)),
            intakes: seats.iter().map(|seat| Intake::new(Arc::clone(&seat.waker))).collect(),
            addresses: Arc::new(Addresses::new(plan.address_limit)),
        };
        let mut threads = Vec::new();
        for (index, seat) in seats.into_iter().enumerate() {
            let shares = listeners
                .iter_mut()
                .filter_map(|listener| listener.sockets.pop().map(|socket| (socket, Arc::clone(&listener.gate))))
                .collect();
            let mut worker = Worker::new(index, seat, shares, plan, &shared)?;
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?;
            threads.push(thread);
        }
        Ok(Self { threads, intakes: shared.intakes })
    }

    /// How many connections each worker has.
    #[must_use]
    pub fn loads(&self) -> Vec<usize> {
        self.intakes.iter().map(Intake::load).collect()
    }

    /// Waits until every worker has ended, which they do after `Hub::shut_down`.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended with a panic");
            }
        }
    }
}

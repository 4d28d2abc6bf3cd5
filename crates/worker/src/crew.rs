//! The crew: all workers of the node, from their seats to their end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Instant;

use jackfield_bridge::Door;
use jackfield_hub::{Hub, Mailbox, Wake};
use jackfield_session::{Settings, Tick};
use mio::{Poll, Token, Waker};

use crate::listener::Listener;
use crate::worker::Worker;

/// A worker's place before it starts: its poll, and the mailbox that wakes it.
#[derive(Debug)]
pub struct Seat {
    pub(crate) poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
}

#[derive(Debug)]
struct Bell(Waker);

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
        let bell = Bell(Waker::new(poll.registry(), WAKE)?);
        Ok(Self { poll, mailbox: Arc::new(Mailbox::new(Box::new(bell))) })
    }

    /// The mailbox of whoever sits here.
    #[must_use]
    pub fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
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
    /// Seeds what need not be secret: event ids, ping spread.
    pub seed: u64,
}

/// The running workers.
#[derive(Debug)]
pub struct Crew {
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts a thread per seat; each takes its share of every listener.
    pub fn start(seats: Vec<Seat>, mut listeners: Vec<Listener>, plan: &Plan) -> io::Result<Self> {
        let start = Instant::now();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::new();
        for (index, seat) in seats.into_iter().enumerate() {
            let shares = listeners
                .iter_mut()
                .filter_map(|listener| listener.sockets.pop().map(|socket| (socket, listener.face.clone())))
                .collect();
            let mut worker = Worker::new(index, seat, shares, plan, (start, Arc::clone(&connections)))?;
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?;
            threads.push(thread);
        }
        Ok(Self { threads })
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

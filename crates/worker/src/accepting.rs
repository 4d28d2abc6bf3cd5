//! New connections: taken from the listeners, dealt to the worker that has the fewest, welcomed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::net::TcpStream;
use mio::{Interest, Token, Waker};

use crate::connection::{Arrival, Connection, Phase};
use crate::door;
use crate::gate::{Face, Gate};
use crate::worker::{LISTENERS, Worker};

/// Connections taken from a listener at a time.
const ACCEPTS: usize = 256;
/// How many connections more than the least loaded one a worker may have before it passes new ones on. Below it the
/// kernel's own spreading is good enough, and passing on costs a wake.
const LEEWAY: usize = 16;

/// A connection on its way to another worker.
#[derive(Debug)]
struct Newcomer {
    socket: TcpStream,
    remote: SocketAddr,
    gate: Arc<Gate>,
}

/// What the other workers know of one: how much it has, and where to leave connections for it.
#[derive(Debug)]
pub(crate) struct Intake {
    load: AtomicUsize,
    waiting: Mutex<Vec<Newcomer>>,
    waker: Arc<Waker>,
}

impl Intake {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self { load: AtomicUsize::new(0), waiting: Mutex::default(), waker }
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn leave(&self, newcomer: Newcomer) {
        // It counts from now on, or a burst would all go to the same worker.
        self.load.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(newcomer);
        // It fails only when the counter of the event would overflow, and then the worker is awake already.
        let _awake = self.waker.wake();
    }

    fn take(&self) -> Vec<Newcomer> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Worker {
    pub(crate) fn accept(&mut self, nth: usize) {
        for _ in 0..ACCEPTS {
            let Some((listener, gate)) = self.listeners.get(nth) else { return };
            match listener.accept() {
                Ok((socket, remote)) => {
                    let newcomer = Newcomer { socket, remote, gate: Arc::clone(gate) };
                    self.deal(newcomer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.raw_os_error(), Some(23 | 24)) => {
                    // Out of files: epoll will not tell of these connections again, so look again in a second.
                    tracing::warn!(%error, "accept failed: raise the limit of open files (nofile), or set client.connection_limit");
                    self.accept_again = self.floor.now.tick + 10;
                    return;
                }
                // The connection broke before we took it; the next one may be whole.
                Err(_) => {}
            }
        }
        self.ready.push(LISTENERS + nth);
    }

    /// Keeps a connection, or gives it to the worker that has the fewest.
    fn deal(&mut self, newcomer: Newcomer) {
        self.floor.plan.counters.accepted.add(1);
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.floor.plan.connection_limit {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return self.turn_away(newcomer, &door::full());
        }
        let own = self.intakes[self.index].load();
        let least = self.intakes.iter().min_by_key(|intake| intake.load());
        if let Some(least) = least.filter(|least| own > least.load() + LEEWAY) {
            return least.leave(newcomer);
        }
        self.intakes[self.index].load.fetch_add(1, Ordering::Relaxed);
        self.welcome(newcomer);
    }

    /// Welcomes what other workers left here.
    pub(crate) fn take_newcomers(&mut self) {
        for newcomer in self.intakes[self.index].take() {
            self.welcome(newcomer);
        }
    }

    /// A connection has gone from here.
    pub(crate) fn one_less(&self) {
        self.intakes[self.index].load.fetch_sub(1, Ordering::Relaxed);
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    fn turn_away(&self, mut newcomer: Newcomer, answer: &[u8]) {
        self.floor.plan.counters.refused.add(1);
        if matches!(newcomer.gate.face, Face::Http(_)) && newcomer.gate.tls.is_none() {
            // What does not fit into an empty socket buffer is not worth waiting for.
            let _sent = io::Write::write(&mut newcomer.socket, answer);
        }
    }

    fn welcome(&mut self, newcomer: Newcomer) {
        let Newcomer { socket, remote, gate } = newcomer;
        if self.ending.is_some() {
            return self.one_less();
        }
        if gate.proxy_protocol && !gate.trusts(remote.ip()) {
            self.floor.plan.counters.proxy_errors.add(1);
            tracing::debug!(%remote, "closed: the listener speaks the PROXY protocol, and client.trusted_proxies does not name this address");
            return self.one_less();
        }
        self.generation = self.generation.wrapping_add(1);
        let patience = self.floor.now.tick + self.floor.plan.handshake_ticks;
        let phase = Phase::Arriving(Box::new(Arrival::new(Arc::clone(&gate), remote)));
        let slot = self.connections.insert(Connection::new(socket, self.generation, phase, patience));
        self.floor.outbox.open(slot as u32);
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut connection.pipe.socket, Token(slot), interest).is_err() {
            return self.drop_connection(slot);
        }
        if !gate.proxy_protocol && !self.floor.enter(slot, remote.ip()) {
            let answer = (matches!(gate.face, Face::Http(_)) && gate.tls.is_none()).then(door::too_many);
            self.floor.part(slot, connection, answer);
        } else if gate.opens_at_once()
            && let Face::Plain(endpoint, binding) = &gate.face
        {
            self.floor.come_in(slot, connection, (endpoint, binding.as_ref()), remote);
        }
        self.settle(slot);
    }
}

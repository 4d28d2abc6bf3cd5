//! The loop of one worker.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use jackfield_hub::{Address, Encoder, Mail, Mailbox};
use jackfield_model::Disconnect;
use jackfield_session::{Session, Tick, Turn};
use jackfield_tls::{Handed, Scratch};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::accepting::Intake;
use crate::addresses::Addresses;
use crate::blocked::Blocked;
use crate::clock::Clock;
use crate::connection::{Connection, Phase, Stage};
use crate::crew::{Plan, Seat, WAKE};
use crate::deadlines::Deadlines;
use crate::door;
use crate::floor::{Floor, GOODBYE};
use crate::gate::{Face, Gate};

/// Bytes read at a time; one buffer for all connections of the worker.
const READ: usize = 64 * 1024;
/// Sends between two looks at what came in, so that a giant fan-out does not delay everybody else's pings.
const SLICE: usize = 2_000;
/// Reads of unfinished TLS handshakes in one round; the others wait, so that open connections keep flowing.
const HANDSHAKES: usize = 64;
/// Listeners' tokens stand just below the waker's.
pub(crate) const LISTENERS: usize = usize::MAX - 1024;
/// Pending frames that make the next flush a whole one, whatever else waits.
const PRESSURE: usize = 1 << 20;
/// Pending frames beyond which no more mail is delivered before they are flushed: they are memory, and what is read
/// meanwhile goes first.
const ENOUGH: usize = 1 << 18;

/// What all workers share beside their plan.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) start: Instant,
    pub(crate) total: Arc<AtomicUsize>,
    pub(crate) intakes: Arc<[Intake]>,
    pub(crate) addresses: Arc<Addresses>,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) poll: Poll,
    mailbox: Arc<Mailbox>,
    /// Mail that was taken, the oldest last.
    mail: Vec<Mail>,
    pub(crate) listeners: Vec<(TcpListener, Arc<Gate>)>,
    pub(crate) connections: Slab<Connection>,
    pub(crate) floor: Floor,
    pub(crate) deadlines: Deadlines,
    due: Vec<usize>,
    clock: Clock,
    pub(crate) generation: u32,
    pub(crate) buffer: Vec<u8>,
    pub(crate) cork: Vec<u8>,
    /// Room for TLS records of whichever connection is served.
    pub(crate) scratch: Scratch,
    pub(crate) handshakes: usize,
    deflated: u64,
    /// Connections and listeners that have more to read than one turn of a round allows.
    pub(crate) ready: Vec<usize>,
    pub(crate) intakes: Arc<[Intake]>,
    pub(crate) total: Arc<AtomicUsize>,
    pub(crate) accept_again: Tick,
    pub(crate) blocked: Blocked,
    pub(crate) ending: Option<Tick>,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        seat: Seat,
        shares: Vec<(StdListener, Arc<Gate>)>,
        plan: &Plan,
        shared: &Shared,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (n, (socket, gate)) in shares.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(socket);
            seat.poll.registry().register(&mut listener, Token(LISTENERS + n), Interest::READABLE)?;
            listeners.push((listener, gate));
        }
        let clock = Clock::new(shared.start);
        let floor = Floor::new(index, plan, Arc::clone(&shared.addresses), clock.now());
        Ok(Self {
            index,
            poll: seat.poll,
            mailbox: seat.mailbox,
            mail: Vec::new(),
            listeners,
            connections: Slab::new(),
            floor,
            deadlines: Deadlines::default(),
            due: Vec::new(),
            clock,
            generation: 0,
            buffer: vec![0; READ],
            cork: Vec::with_capacity(READ),
            scratch: Scratch::default(),
            handshakes: HANDSHAKES,
            deflated: 0,
            ready: Vec::new(),
            intakes: Arc::clone(&shared.intakes),
            total: Arc::clone(&shared.total),
            accept_again: Tick::MAX,
            blocked: Blocked::default(),
            ending: None,
        })
    }

    /// Rounds, until the server goes down.
    pub(crate) fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let wait = self.wait();
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "epoll failed, the worker ends");
                return;
            }
            self.floor.now = self.clock.now();
            self.floor.fine = self.clock.fine();
            self.handshakes = HANDSHAKES;
            let mut woken = false;
            let left_over = std::mem::take(&mut self.ready);
            for event in &events {
                match event.token() {
                    WAKE => woken = true,
                    // Taken last: a new connection in the slot of one that ended in this batch would get its events.
                    Token(n) if n >= LISTENERS => self.ready.push(n),
                    Token(slot) => {
                        if event.is_writable() {
                            self.unblock(slot);
                        }
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            self.read(slot, event.is_read_closed() || event.is_error());
                        }
                    }
                }
            }
            for token in left_over {
                self.look(token);
            }
            if woken {
                self.take_newcomers();
            }
            self.take_mail();
            self.keep_time();
            self.flush();
            self.count();
            if self.ending.is_some_and(|end| self.connections.is_empty() || end <= self.floor.now.tick) {
                return;
            }
        }
    }

    /// How long nothing is to be done unless something comes; `None`: for ever.
    fn wait(&self) -> Option<Duration> {
        let has_mail = !self.mail.is_empty() || !self.mailbox.is_empty();
        if has_mail || !self.ready.is_empty() || self.floor.outbox.is_dirty() {
            return Some(Duration::ZERO);
        }
        let next = self.deadlines.next().min(self.accept_again).min(self.blocked.due());
        let coarse = self.clock.until(next.min(self.ending.unwrap_or(Tick::MAX)));
        let fine = self.floor.shard.next_due().map(|due| self.clock.until_fine(due));
        coarse.into_iter().chain(fine).min()
    }

    /// Goes on with what one turn of the last round left.
    fn look(&mut self, token: usize) {
        if token >= LISTENERS {
            self.accept(token - LISTENERS);
        } else {
            self.read(token, false);
        }
    }

    /// Adds what this round compressed to the metrics.
    fn count(&mut self) {
        let deflated = self.floor.wires.compressed();
        if deflated != self.deflated {
            self.floor.plan.counters.deflated_frames.add(deflated - self.deflated);
            self.deflated = deflated;
        }
    }

    /// Takes mail, first come, first delivered, until there is enough to be written.
    ///
    /// Why not all: a storm in a channel of a hundred thousand would fill the memory before anything of it is written.
    fn take_mail(&mut self) {
        if self.mail.is_empty() && !self.mailbox.is_empty() {
            self.mailbox.take(&mut self.mail);
            self.mail.reverse();
        }
        while self.floor.outbox.pressure() < ENOUGH
            && let Some(letter) = self.mail.pop()
        {
            self.deliver(letter);
        }
    }

    /// A push goes to its channel, the rest to its session.
    fn deliver(&mut self, letter: Mail) {
        match letter {
            Mail::Channel { key, sequence, parcel } => {
                let out = (&mut self.floor.outbox, &self.floor.wires as &dyn Encoder);
                self.floor.shard.deliver(key, sequence, &parcel, self.floor.fine, out);
            }
            Mail::Direct(address, parcel) => {
                let Some(connection) = self.connections.get_mut(address.slot as usize) else { return };
                if let Phase::Open(session, _) = &connection.phase
                    && connection.generation == address.generation
                    && let Some(frame) = parcel.frame(session.encoding(), &self.floor.wires)
                {
                    self.floor.outbox.send(address.slot, frame.clone());
                }
            }
            Mail::Uplink(address, secret, data) => {
                self.with_session(address, |session, turn| session.receive_uplink(secret, &data, turn));
            }
            Mail::Order(address, order) => self.with_session(address, |session, turn| session.obey(&order, turn)),
            Mail::OrderAll(order) => self.with_all(|session, turn| session.obey(&order, turn)),
            Mail::Lost { key, unsubscribed } => {
                for slot in self.floor.shard.slots(key) {
                    let Some(connection) = self.connections.get(slot as usize) else { continue };
                    let address = self.floor.address(slot as usize, connection.generation);
                    self.with_session(address, |session, turn| session.lose(key, &unsubscribed, turn));
                }
            }
            Mail::Resume(address, call, answer) => {
                self.with_session(address, |session, turn| session.resume(call, *answer, turn));
            }
            Mail::Shutdown(disconnect) => self.shut_down(&disconnect),
        }
    }

    fn with_all(&mut self, mut step: impl FnMut(&mut Session, &mut Turn<'_>)) {
        let slots: Vec<(usize, u32)> = self.connections.iter().map(|(slot, one)| (slot, one.generation)).collect();
        for (slot, generation) in slots {
            self.with_session(self.floor.address(slot, generation), &mut step);
        }
    }

    fn with_session(&mut self, address: Address, step: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let slot = address.slot as usize;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.generation != address.generation {
            return;
        }
        let Phase::Open(session, _) = &mut connection.phase else { return };
        step(session, &mut self.floor.turn(slot, address.generation));
        self.floor.carry_out(slot, connection);
        // An answer may have ended what kept the next frames waiting.
        self.go_on(slot);
        self.settle(slot);
    }

    fn shut_down(&mut self, disconnect: &Disconnect) {
        for (listener, _) in &mut self.listeners {
            if let Err(error) = self.poll.registry().deregister(listener) {
                tracing::debug!(%error, "a listener was not registered");
            }
        }
        self.listeners.clear();
        self.ending = Some(self.floor.now.tick + GOODBYE);
        let slots: Vec<usize> = self.connections.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            match &mut connection.phase {
                Phase::Open(session, _) => {
                    session.disconnect(disconnect.clone(), &mut self.floor.turn(slot, connection.generation));
                    self.floor.carry_out(slot, connection);
                    self.settle(slot);
                }
                Phase::Arriving(_) | Phase::Leaving(_) => self.drop_connection(slot),
                Phase::Closing => {}
            }
        }
    }

    fn keep_time(&mut self) {
        let now = self.floor.now.tick;
        if self.accept_again <= now {
            self.accept_again = Tick::MAX;
            self.ready.extend((0..self.listeners.len()).map(|nth| LISTENERS + nth));
        }
        let out = (&mut self.floor.outbox, &self.floor.wires as &dyn Encoder);
        self.floor.shard.keep_time(self.floor.fine, out);
        if self.blocked.due() <= now {
            self.blocked.look(&mut self.connections, &self.floor);
        }
        let mut due = std::mem::take(&mut self.due);
        self.deadlines.sweep(now, &mut due);
        for slot in due.drain(..) {
            self.on_time(slot, now);
        }
        self.due = due;
    }

    fn on_time(&mut self, slot: usize, now: Tick) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let impatient = connection.patience <= now;
        match &mut connection.phase {
            Phase::Closing | Phase::Leaving(_) if impatient => return self.drop_connection(slot),
            Phase::Arriving(arrival) if impatient => {
                // Who never got as far as a request would not understand an answer to one.
                let speaks = match arrival.stage {
                    Stage::Proxy => false,
                    Stage::Guess => arrival.gate.tls.is_none(),
                    Stage::Inside => !arrival.is_idle,
                };
                let asks = speaks && matches!(arrival.gate.face, Face::Http(_));
                self.floor.part(slot, connection, asks.then(door::too_slow));
            }
            Phase::Open(session, _) => {
                let mut turn = self.floor.turn(slot, connection.generation);
                if connection.backlog.is_some() {
                    session.excuse(&turn);
                }
                if impatient {
                    session.disconnect(Disconnect::SLOW, &mut turn);
                } else {
                    session.on_time(&mut turn);
                }
                self.floor.carry_out(slot, connection);
                if connection.held_until != 0 && connection.held_until <= now {
                    connection.held_until = 0;
                    self.go_on(slot);
                }
            }
            Phase::Arriving(_) | Phase::Closing | Phase::Leaving(_) => {}
        }
        self.settle(slot);
    }

    /// Notes when a connection wants attention next.
    pub(crate) fn settle(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot) {
            self.deadlines.set(slot, connection.due());
        }
    }

    /// Writes for everybody who has something to say, a slice at a time.
    fn flush(&mut self) {
        let limit = if self.floor.outbox.pressure() > PRESSURE || self.ending.is_some() { usize::MAX } else { SLICE };
        for _ in 0..limit {
            let Some(slot) = self.floor.outbox.next_dirty() else { break };
            self.write(slot as usize);
        }
        if !self.floor.outbox.is_dirty() {
            self.floor.outbox.finish();
        }
    }

    /// Gives a connection to the control plane.
    pub(crate) fn hand_over(&mut self, slot: usize) {
        // Answers to earlier requests go first.
        self.write(slot);
        if self.connections.get(slot).is_some_and(|connection| connection.backlog.is_some()) {
            return self.drop_connection(slot);
        }
        let Some(mut connection) = self.connections.try_remove(slot) else { return };
        self.deadlines.set(slot, Tick::MAX);
        self.one_less();
        self.floor.leave(slot);
        self.floor.outbox.open(slot as u32);
        let Phase::Leaving(leaving) = connection.phase else { return };
        if let Err(error) = self.poll.registry().deregister(&mut connection.pipe.socket) {
            tracing::warn!(%error, "a connection cannot be handed over");
            return;
        }
        self.floor.plan.counters.handed_over.add(1);
        let (remote, early) = *leaving;
        if let Some(hand_over) = &self.floor.plan.hand_over {
            let tls = connection.pipe.tls.map(|tls| *tls);
            (hand_over.0)(Handed { socket: connection.pipe.socket.into(), tls, early, remote });
        }
    }

    /// Ends a connection at once; its session hears of it.
    pub(crate) fn drop_connection(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.try_remove(slot) else { return };
        self.deadlines.set(slot, Tick::MAX);
        self.one_less();
        self.floor.leave(slot);
        if let Some(backlog) = connection.backlog.take() {
            Blocked::relieve(slot, &backlog, &self.floor);
        }
        if let Phase::Open(session, _) = &mut connection.phase {
            session.end(&GONE, &mut self.floor.turn(slot, connection.generation));
            self.floor.carry_out(slot, &mut connection);
        }
        self.floor.outbox.open(slot as u32);
        if self.connections.is_empty() && self.connections.capacity() > 1024 {
            self.connections.shrink_to_fit();
        }
    }
}

/// What the application is told about a socket that just ended.
const GONE: Disconnect = Disconnect::new(3000, "connection closed");

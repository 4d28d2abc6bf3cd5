//! The loop of one worker.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jackfield_hub::{Address, Hub, Mail, Mailbox, Outbox, Shard};
use jackfield_model::app::Answer;
use jackfield_model::{ClientError, Disconnect, Uuid};
use jackfield_session::wire::{self, Wires};
use jackfield_session::{Effect, Ids, Now, Session, Settings, Tick, Turn};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::clock::Clock;
use crate::connection::{Connection, Handshake, Phase};
use crate::crew::{Plan, Seat, WAKE};
use crate::deadlines::Deadlines;
use crate::http_door;
use crate::listener::Face;

/// Bytes read at a time; one buffer for all connections of the worker.
const READ: usize = 64 * 1024;
/// Sends between two looks at what came in, so that a giant fan-out does not delay everybody else's pings.
const SLICE: usize = 2_000;
/// Connections taken from a listener at a time.
const ACCEPTS: usize = 256;
/// Ticks for the peer to read our last words.
const GOODBYE: Tick = 50;
/// Listeners' tokens stand just below the waker's.
const LISTENERS: usize = usize::MAX - 1024;
/// Pending frames that make the next flush a whole one, whatever else waits.
const PRESSURE: usize = 1 << 20;

/// What sessions touch: everything of a worker but its connections.
#[derive(Debug)]
pub(crate) struct Floor {
    index: u16,
    pub(crate) hub: Arc<Hub>,
    shard: Shard,
    settings: Arc<Settings>,
    ids: Ids,
    effects: Vec<Effect>,
    pub(crate) outbox: Outbox,
    pub(crate) now: Now,
    pub(crate) plan: Plan,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    mail: Vec<Mail>,
    listeners: Vec<(TcpListener, Face)>,
    pub(crate) connections: Slab<Connection>,
    pub(crate) floor: Floor,
    pub(crate) deadlines: Deadlines,
    due: Vec<usize>,
    clock: Clock,
    generation: u32,
    pub(crate) buffer: Vec<u8>,
    pub(crate) cork: Vec<u8>,
    /// Connections and listeners that have more to read than one turn of a round allows.
    pub(crate) ready: Vec<usize>,
    total: Arc<AtomicUsize>,
    accept_again: Tick,
    ending: Option<Tick>,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        seat: Seat,
        shares: Vec<(StdListener, Face)>,
        plan: &Plan,
        shared: (Instant, Arc<AtomicUsize>),
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (n, (socket, face)) in shares.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(socket);
            seat.poll.registry().register(&mut listener, Token(LISTENERS + n), Interest::READABLE)?;
            listeners.push((listener, face));
        }
        let (start, total) = shared;
        let clock = Clock::new(start);
        let floor = Floor {
            index: index as u16,
            hub: Arc::clone(&plan.hub),
            shard: Shard::default(),
            settings: Arc::clone(&plan.settings),
            ids: Ids::new(plan.seed.wrapping_add((index as u64) << 32)),
            effects: Vec::new(),
            outbox: Outbox::default(),
            now: clock.now(),
            plan: plan.clone(),
        };
        Ok(Self {
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
            ready: Vec::new(),
            total,
            accept_again: Tick::MAX,
            ending: None,
        })
    }

    /// Rounds, until the server goes down.
    pub(crate) fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let busy = !self.ready.is_empty() || self.floor.outbox.is_dirty() || !self.mailbox.is_empty();
            let next = self.deadlines.next().min(self.accept_again).min(self.ending.unwrap_or(Tick::MAX));
            let wait = if busy { Some(Duration::ZERO) } else { self.clock.until(next) };
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "epoll failed, the worker ends");
                return;
            }
            self.floor.now = self.clock.now();
            let left_over = std::mem::take(&mut self.ready);
            for event in &events {
                match event.token() {
                    WAKE => {}
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
            self.take_mail();
            self.keep_time();
            self.flush();
            if self.ending.is_some_and(|end| self.connections.is_empty() || end <= self.floor.now.tick) {
                return;
            }
        }
    }

    /// Goes on with what one turn of the last round left.
    fn look(&mut self, token: usize) {
        if token >= LISTENERS {
            self.accept(token - LISTENERS);
        } else {
            self.read(token, false);
        }
    }

    fn accept(&mut self, nth: usize) {
        for _ in 0..ACCEPTS {
            let Some((listener, _)) = self.listeners.get(nth) else { return };
            match listener.accept() {
                Ok((socket, remote)) => self.welcome(nth, socket, remote),
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

    fn welcome(&mut self, nth: usize, mut socket: TcpStream, remote: SocketAddr) {
        let Some((_, face)) = self.listeners.get(nth) else { return };
        let face = face.clone();
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.floor.plan.connection_limit {
            self.total.fetch_sub(1, Ordering::Relaxed);
            if matches!(face, Face::Http(_)) {
                // What does not fit into an empty socket buffer is not worth waiting for.
                let _sent = io::Write::write(&mut socket, &http_door::full());
            }
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let patience = self.floor.now.tick + self.floor.plan.handshake_ticks;
        let phase = match &face {
            Face::Http(door) => Phase::Handshake(Box::new(Handshake { door: Arc::clone(door), remote })),
            Face::Plain(..) => Phase::Closing,
        };
        let slot = self.connections.insert(Connection::new(socket, self.generation, phase, patience));
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut connection.socket, Token(slot), interest).is_err() {
            self.drop_connection(slot);
            return;
        }
        self.floor.outbox.open(slot as u32);
        if let Face::Plain(endpoint, binding) = face {
            self.open_plain(slot, &endpoint, binding.as_ref(), remote);
        }
        self.settle(slot);
    }

    fn open_plain(
        &mut self,
        slot: usize,
        endpoint: &Arc<jackfield_session::Endpoint>,
        binding: Option<&http_door::Binding>,
        remote: SocketAddr,
    ) {
        let id = Uuid::new_v4();
        let visit = http_door::Visit { remote, client: id.to_string(), query: None };
        let channel = match binding.map(|binding| binding.0(&visit)).transpose() {
            Ok(channel) => channel,
            Err(what) => {
                tracing::warn!(listener = %endpoint.listener, %what, "a client cannot be bound to a channel");
                self.drop_connection(slot);
                return;
            }
        };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let mut turn = self.floor.turn(slot, connection.generation);
        let session = Session::open(endpoint, id, remote, channel, &mut turn);
        connection.phase = Phase::Open(Box::new(session), jackfield_framing::WebSocket::new());
        connection.patience = Tick::MAX;
        self.floor.carry_out(slot, connection);
    }

    /// Takes all mail: pushes for channels first come, first delivered; the rest goes to its session.
    fn take_mail(&mut self) {
        if self.mailbox.is_empty() {
            return;
        }
        let mut mail = std::mem::take(&mut self.mail);
        self.mailbox.take(&mut mail);
        for letter in mail.drain(..) {
            match letter {
                Mail::Channel { key, sequence, parcel } => {
                    self.floor.shard.deliver(key, sequence, &parcel, (&mut self.floor.outbox, &Wires));
                }
                Mail::Direct(address, parcel) => {
                    let Some(connection) = self.connections.get_mut(address.slot as usize) else { continue };
                    if let Phase::Open(session, _) = &connection.phase
                        && connection.generation == address.generation
                        && let Some(frame) = parcel.frame(session.encoding(), &Wires)
                    {
                        self.floor.outbox.send(address.slot, frame.clone());
                    }
                }
                Mail::Eject(address, ejection) => self.with_session(address, |session, turn| {
                    if ejection.user.as_ref().is_none_or(|user| **user == *session.user()) {
                        session.disconnect(ejection.disconnect.clone(), turn);
                    }
                }),
                Mail::Resume(address, call, answer) => {
                    self.with_session(address, |session, turn| session.resume(call, *answer, turn));
                }
                Mail::Shutdown(disconnect) => self.shut_down(&disconnect),
            }
        }
        self.mail = mail;
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
                Phase::Handshake(_) => self.drop_connection(slot),
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
            Phase::Closing if impatient => return self.drop_connection(slot),
            Phase::Handshake(_) if impatient => {
                connection.phase = Phase::Closing;
                connection.patience = now + GOODBYE;
                self.floor.outbox.send(slot as u32, http_door::too_slow().into());
            }
            Phase::Open(session, _) => {
                let mut turn = self.floor.turn(slot, connection.generation);
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
            Phase::Closing | Phase::Handshake(_) => {}
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

    /// Ends a connection at once; its session hears of it.
    pub(crate) fn drop_connection(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.try_remove(slot) else { return };
        self.deadlines.set(slot, Tick::MAX);
        self.total.fetch_sub(1, Ordering::Relaxed);
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

impl Floor {
    pub(crate) fn turn(&mut self, slot: usize, generation: u32) -> Turn<'_> {
        Turn {
            now: self.now,
            hub: &self.hub,
            shard: &mut self.shard,
            address: Address { worker: self.index, slot: slot as u32, generation },
            settings: &self.settings,
            ids: &mut self.ids,
            effects: &mut self.effects,
        }
    }

    /// Carries out what a session left in its turn.
    pub(crate) fn carry_out(&mut self, slot: usize, connection: &mut Connection) {
        let mut effects = std::mem::take(&mut self.effects);
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                self.carry_out_one(slot, connection, effect);
            }
            // A full door answers at once, and the answer may have effects of its own.
            std::mem::swap(&mut effects, &mut self.effects);
        }
        self.effects = effects;
    }

    fn carry_out_one(&mut self, slot: usize, connection: &mut Connection, effect: Effect) {
        let Phase::Open(session, _) = &mut connection.phase else {
            // Its last words are said; only what concerns the application still counts.
            if let Effect::Event(event, None) = effect {
                // A lost notice is counted at the door.
                drop(self.tell(slot, connection.generation, *event, None));
            }
            return;
        };
        let encoding = session.encoding();
        match effect {
            Effect::Reply(reply) => {
                if let Some(frame) = wire::reply(encoding, &reply) {
                    self.outbox.send(slot as u32, frame);
                }
            }
            Effect::Ping => {
                if let Some(frame) = wire::ping(encoding) {
                    self.outbox.send(slot as u32, frame);
                }
            }
            Effect::Close(disconnect) => {
                tracing::debug!(code = disconnect.code, reason = ?disconnect.reason, "a connection is closed");
                if disconnect.code == Disconnect::SLOW.code
                    && let Some(backlog) = &mut connection.backlog
                {
                    backlog.cut_short();
                }
                if let Some(frame) = wire::close(encoding, &disconnect) {
                    self.outbox.send(slot as u32, frame);
                } else {
                    self.outbox.send(slot as u32, bytes::Bytes::new());
                }
                connection.phase = Phase::Closing;
                connection.patience = self.now.tick + GOODBYE;
                connection.partial = None;
            }
            Effect::Event(event, call) => {
                let generation = connection.generation;
                if let (Err(error), Some(call)) = (self.tell(slot, generation, *event, call), call)
                    && let Phase::Open(session, _) = &mut connection.phase
                {
                    session.resume(call, Answer::Error(error), &mut self.turn(slot, generation));
                }
            }
        }
    }

    fn tell(
        &self,
        slot: usize,
        generation: u32,
        event: jackfield_model::app::Event,
        call: Option<u32>,
    ) -> Result<(), ClientError> {
        let from = Address { worker: self.index, slot: slot as u32, generation };
        self.plan.door.submit(jackfield_bridge::Request { from, call, event }).map_err(|error| match error {
            jackfield_bridge::DoorError::Full => ClientError::TOO_MANY_REQUESTS,
            jackfield_bridge::DoorError::NotAvailable => ClientError::NOT_AVAILABLE,
        })
    }
}

#[cfg(test)]
mod tests {
    use jackfield_model::client::{Answer as Outcome, Reply};

    use super::*;

    #[test]
    fn raw_clients_hear_no_replies() {
        let reply = Reply { id: 1, outcome: Ok(Outcome::Ping) };
        assert!(wire::reply(jackfield_hub::EncodingId(3), &reply).is_none());
        assert!(wire::reply(jackfield_hub::EncodingId(0), &reply).is_some());
    }
}

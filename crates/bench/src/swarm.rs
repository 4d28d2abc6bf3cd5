//! The one epoll loop that holds all client sockets.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use slab::Slab;
use socket2::{Domain, Protocol, Type};

use crate::{
    commands::Greeting,
    inflate::Inflater,
    pipe::{Pipe, Secrecy},
    reach::Reach,
    report,
    socket::{Fate, Phase, Scene, Socket},
    stamp::Clock,
    websocket,
};

/// How long a server may stay silent while something is awaited from it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Linux's number for a connect that goes on in the background.
const EINPROGRESS: i32 = 115;

/// What the connections of a mode do.
pub(crate) trait Role {
    /// What a connection says after the handshake; nothing: it has joined already.
    fn greeting(&mut self, index: usize) -> anyhow::Result<Option<Greeting>>;

    /// All replies to the greeting are there.
    fn joined(&mut self, _socket: &mut Socket, _index: usize) {}

    /// One message, pings apart, read at `now`.
    fn message(&mut self, socket: &mut Socket, index: usize, message: &[u8], now: u64);

    /// A ping of the server has been answered.
    fn pinged(&mut self) {}
}

/// The sockets, by index.
#[derive(Debug)]
pub(crate) struct Swarm {
    reach: Reach,
    secrecy: Option<Secrecy>,
    poll: Poll,
    events: Events,
    sockets: Slab<Socket>,
    scene: Scene,
    opened: u64,
    opening: usize,
    lost: u64,
    last_reason: String,
}

impl Swarm {
    pub(crate) fn new(reach: &Reach) -> anyhow::Result<Self> {
        Ok(Self {
            reach: reach.clone(),
            secrecy: reach.secrecy()?,
            poll: Poll::new()?,
            // Why so few: a publication that is due waits for the batch in hand.
            events: Events::with_capacity(128),
            sockets: Slab::new(),
            scene: Scene {
                buffer: vec![0; 65_536],
                clock: Clock::new(),
                request: websocket::request(&reach.url.host, &reach.url.path, reach.deflate),
                inflater: reach.deflate.then(Inflater::new),
            },
            opened: 0,
            opening: 0,
            lost: 0,
            last_reason: String::new(),
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.scene.clock
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Sockets that have not joined yet.
    pub(crate) fn opening(&self) -> usize {
        self.opening
    }

    /// Connections that the server ended, and the reason of the last one.
    pub(crate) fn lost(&self) -> (u64, &str) {
        (self.lost, &self.last_reason)
    }

    /// Compressed messages that came, and how many of them were not a copy of the one before.
    pub(crate) fn compressed(&self) -> (u64, u64) {
        self.scene.inflater.as_ref().map_or((0, 0), |inflater| (inflater.taken, inflater.inflated))
    }

    /// Begins a connection.
    pub(crate) fn open(&mut self) -> anyhow::Result<usize> {
        let address = self.reach.url.address;
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).context("open a socket")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = self.reach.source(self.opened) {
            socket.bind(&source.into()).with_context(|| format!("bind to {}", source.ip()))?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if in_progress(&error) => {}
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                bail!("connect to {address}: no free source ports; use more --sources");
            }
            Err(error) => return Err(error).with_context(|| format!("connect to {address}")),
        }
        let stream = TcpStream::from_std(socket.into());
        let index = self.sockets.insert(Socket::new(Pipe::new(stream, self.secrecy.as_ref())?));
        let interest = Interest::READABLE | Interest::WRITABLE;
        let stream = &mut self.sockets[index].pipe.stream;
        self.poll.registry().register(stream, Token(index), interest)?;
        self.opened += 1;
        self.opening += 1;
        Ok(index)
    }

    /// Opens connections until there are `count` and all have joined.
    pub(crate) fn open_until(&mut self, count: usize, role: &mut impl Role) -> anyhow::Result<()> {
        let mut progress = Progress::new(count);
        while self.sockets.len() < count || self.opening > 0 {
            while self.sockets.len() < count && self.opening < usize::from(self.reach.ramp) {
                self.open()?;
            }
            self.turn(role, Some(Duration::from_millis(100)))?;
            if self.lost > 0 {
                bail!("open {count} connections: the server ended one: {}", self.last_reason);
            }
            progress.step(self.sockets.len() - self.opening)?;
        }
        progress.end();
        Ok(())
    }

    /// Waits for events and lets the sockets answer them; the number of events.
    pub(crate) fn turn(&mut self, role: &mut impl Role, timeout: Option<Duration>) -> anyhow::Result<usize> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error).context("wait for events"),
        }
        let mut count = 0;
        for event in &self.events {
            count += 1;
            let index = event.token().0;
            let Some(socket) = self.sockets.get_mut(index) else {
                continue;
            };
            let was_opening = is_opening(socket.phase);
            let fate = socket.turn(event, index, &mut self.scene, role)?;
            if was_opening && !is_opening(socket.phase) {
                self.opening -= 1;
            }
            let Fate::Gone(reason) = fate else { continue };
            if is_opening(socket.phase) {
                bail!("join: the server ended the connection: {reason}");
            }
            // A connection that this side closes is no loss, however the server ends it.
            if socket.phase != Phase::Closing {
                self.lost += 1;
                self.last_reason = reason;
            }
            self.sockets.remove(index);
        }
        Ok(count)
    }

    /// Turns until the time has passed.
    pub(crate) fn turn_for(&mut self, role: &mut impl Role, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(role, Some(left.min(Duration::from_millis(100))))?;
        }
        Ok(())
    }

    /// Finished frames to one socket.
    pub(crate) fn write(&mut self, index: usize, frames: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.write(frames);
        }
    }

    /// Finished frames to all sockets.
    pub(crate) fn write_all(&mut self, frames: &[u8]) {
        for (_, socket) in &mut self.sockets {
            socket.write(frames);
        }
    }

    /// Says goodbye on all connections and waits until the server has closed them.
    pub(crate) fn close_all(&mut self, role: &mut impl Role) -> anyhow::Result<()> {
        for (_, socket) in &mut self.sockets {
            socket.close();
        }
        let end = Instant::now() + PATIENCE;
        while !self.sockets.is_empty() && Instant::now() < end {
            self.turn(role, Some(Duration::from_millis(100)))?;
        }
        if !self.sockets.is_empty() {
            let left = self.sockets.len();
            report::say(&format!("warning: the server left {left} closed connections open"));
            self.sockets.clear();
        }
        Ok(())
    }
}

fn in_progress(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock) || error.raw_os_error() == Some(EINPROGRESS)
}

fn is_opening(phase: Phase) -> bool {
    match phase {
        Phase::Connecting | Phase::Joining | Phase::Upgrading => true,
        Phase::Closing | Phase::Joined => false,
    }
}

/// Tells how far the opening is, once a second, and ends it when nothing moves.
struct Progress {
    goal: usize,
    began: Instant,
    last_count: usize,
    last_move: Instant,
    last_line: Instant,
}

impl Progress {
    fn new(goal: usize) -> Self {
        let now = Instant::now();
        Self { goal, began: now, last_count: 0, last_move: now, last_line: now }
    }

    fn step(&mut self, count: usize) -> anyhow::Result<()> {
        let now = Instant::now();
        if count != self.last_count {
            (self.last_count, self.last_move) = (count, now);
        } else if now - self.last_move > PATIENCE {
            bail!("open connections: {count} of {} joined, then nothing for 10 s", self.goal);
        }
        if now - self.last_line > Duration::from_secs(1) {
            self.last_line = now;
            report::say(&format!("{count} of {} connections", self.goal));
        }
        Ok(())
    }

    fn end(&self) {
        let seconds = self.began.elapsed().as_secs_f64();
        report::say(&format!("{} connections joined in {seconds:.2} s", self.goal));
    }
}

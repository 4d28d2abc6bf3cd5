//! A connection: a socket, how far it has come, and what waits on either side of it.

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_framing::WebSocket;
use jackfield_session::{Session, Tick};
use mio::net::TcpStream;

use crate::backlog::Backlog;
use crate::gate::Gate;
use crate::pipe::Pipe;

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// It has not yet said what it is.
    Arriving(Box<Arrival>),
    /// Its last words are said; it is kept until the peer has read them.
    Closing,
    /// It goes to the control plane, with what was read of it.
    Leaving(Box<(SocketAddr, Vec<u8>)>),
    /// It speaks a dialect.
    Open(Box<Session>, WebSocket),
}

/// A client that has not come in: what it must pass, and how far it is.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) gate: Arc<Gate>,
    /// Its address: the socket's, or what a proxy said.
    pub(crate) remote: SocketAddr,
    pub(crate) stage: Stage,
    /// A request was answered on this connection already.
    pub(crate) is_idle: bool,
    /// It was told to go on with the body of its request.
    pub(crate) continued: bool,
}

/// The steps before a client is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// A PROXY header comes first.
    Proxy,
    /// The first byte tells whether it is TLS.
    Guess,
    /// What comes now is for us.
    Inside,
}

impl Arrival {
    pub(crate) fn new(gate: Arc<Gate>, remote: SocketAddr) -> Self {
        let stage = if gate.proxy_protocol { Stage::Proxy } else { Stage::Guess };
        Self { gate, remote, stage, is_idle: false, continued: false }
    }
}

/// Bytes of a frame that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    pub(crate) bytes: Vec<u8>,
    /// How many of them are known to hold no end of a line.
    pub(crate) scanned: usize,
}

/// One socket of a worker.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) pipe: Pipe,
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) partial: Option<Box<Partial>>,
    pub(crate) backlog: Option<Box<Backlog>>,
    /// The socket may hold bytes that nobody has read: epoll will not tell again.
    pub(crate) unread: bool,
    /// The peer has sent its last byte.
    pub(crate) finished: bool,
    /// Our last byte is out.
    pub(crate) shut: bool,
    /// It has asked for so much that it is not read until the answers are on their way.
    pub(crate) is_sated: bool,
    /// When patience ends: with a handshake, a goodbye or a blocked socket.
    pub(crate) patience: Tick,
    /// Reading goes on at this time; 0: not held.
    pub(crate) held_until: Tick,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, generation: u32, phase: Phase, patience: Tick) -> Self {
        Self {
            pipe: Pipe::new(socket),
            generation,
            phase,
            partial: None,
            backlog: None,
            unread: false,
            finished: false,
            shut: false,
            is_sated: false,
            patience,
            held_until: 0,
        }
    }

    /// When this connection wants attention next.
    pub(crate) fn due(&self) -> Tick {
        let own = match &self.phase {
            Phase::Open(session, _) => session.due(),
            Phase::Arriving(_) | Phase::Closing | Phase::Leaving(_) => Tick::MAX,
        };
        let held = if self.held_until == 0 { Tick::MAX } else { self.held_until };
        own.min(held).min(self.patience)
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle connection costs is a promise; these are its larger parts.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 80, "{}", size_of::<Connection>());
        assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
    }
}

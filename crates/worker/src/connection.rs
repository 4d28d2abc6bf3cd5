//! A connection: a socket, how far it has come, and what waits on either side of it.

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_framing::WebSocket;
use jackfield_session::{Session, Tick};
use mio::net::TcpStream;

use crate::backlog::Backlog;
use crate::http_door::HttpDoor;

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its last words are said; it is kept until the peer has read them.
    Closing,
    /// It sends the head of an HTTP request.
    Handshake(Box<Handshake>),
    /// It speaks a dialect.
    Open(Box<Session>, WebSocket),
}

/// A request head on its way in.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) door: Arc<HttpDoor>,
    pub(crate) remote: SocketAddr,
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
    pub(crate) socket: TcpStream,
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
    /// When patience ends: with a handshake, a goodbye or a blocked socket.
    pub(crate) patience: Tick,
    /// Reading goes on at this time; 0: not held.
    pub(crate) held_until: Tick,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, generation: u32, phase: Phase, patience: Tick) -> Self {
        Self {
            socket,
            generation,
            phase,
            partial: None,
            backlog: None,
            unread: false,
            finished: false,
            shut: false,
            patience,
            held_until: 0,
        }
    }

    /// When this connection wants attention next.
    pub(crate) fn due(&self) -> Tick {
        let own = match &self.phase {
            Phase::Open(session, _) => session.due(),
            Phase::Closing | Phase::Handshake(_) => Tick::MAX,
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
        assert!(size_of::<Connection>() <= 72, "{}", size_of::<Connection>());
        assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
    }
}

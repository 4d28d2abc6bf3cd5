//! A pipe: the socket of a connection, with TLS around it or without.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use jackfield_tls::{Scratch, Stream};
use mio::net::TcpStream;
use socket2::SockRef;

/// What became of a write.
pub(crate) enum Written {
    /// All of it went out.
    All,
    /// The socket took so many bytes and no more.
    Part(usize),
    /// The socket is dead.
    Dead,
}

/// A socket, and what encrypts it.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) socket: TcpStream,
    pub(crate) tls: Option<Box<Stream>>,
}

impl Pipe {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8], scratch: &mut Scratch) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => tls.read(&mut self.socket, buffer, scratch),
        }
    }

    /// Writes as much as the socket takes. Under TLS "all" means that the records are out too.
    pub(crate) fn send(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Written {
        match &mut self.tls {
            None => send_plain(&mut self.socket, bytes),
            Some(tls) => send_sealed(&mut self.socket, tls, bytes, scratch),
        }
    }

    /// Writes records that waited for the socket; false when it is dead.
    pub(crate) fn flush(&mut self) -> bool {
        self.tls.as_mut().is_none_or(|tls| tls.flush(&mut self.socket).is_ok())
    }

    /// From now on the system does not end the connection because the peer's window stays small.
    ///
    /// Why: `TCP_USER_TIMEOUT` counts from the first probe of a window until the next segment fits into it whole. Segments
    /// have 64 KiB before they are cut, the window of a small device never has that many, so a reader who takes every byte
    /// as it comes, but slowly, would be reset. Whoever is blocked is watched by us instead, who see that bytes move.
    /// It stays so for the rest of the connection: nobody tells when the system has sent the last of what it took, and to
    /// count again before that would be to count from the first probe.
    /// Said again each time it blocks: to remember it would cost every idle connection eight bytes.
    pub(crate) fn bear(&self) {
        if let Err(error) = SockRef::from(&self.socket).set_tcp_user_timeout(None) {
            tracing::debug!(%error, "a slow reader keeps the user timeout");
        }
    }

    /// Ends our half.
    pub(crate) fn shut(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.socket, scratch)?;
        }
        self.socket.shutdown(Shutdown::Write)
    }
}

fn send_plain(socket: &mut TcpStream, bytes: &[u8]) -> Written {
    if bytes.is_empty() {
        return Written::All;
    }
    loop {
        match socket.write(bytes) {
            Ok(count) if count == bytes.len() => return Written::All,
            Ok(count) => return Written::Part(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Part(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Written::Dead,
        }
    }
}

fn send_sealed(socket: &mut TcpStream, tls: &mut Stream, bytes: &[u8], scratch: &mut Scratch) -> Written {
    let mut sent = 0;
    while sent < bytes.len() {
        match tls.write(socket, &bytes[sent..], scratch) {
            Ok(0) => return Written::Part(sent),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Part(sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Written::Dead,
        }
    }
    match tls.flush(socket) {
        Ok(true) => Written::All,
        Ok(false) => Written::Part(sent),
        Err(_) => Written::Dead,
    }
}

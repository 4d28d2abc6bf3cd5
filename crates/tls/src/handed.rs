//! A connection on its way from a worker to the control plane, and what the control plane sees of it.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::scratch::Scratch;
use crate::stream::Stream;

/// A connection that belongs to the control plane, with everything that was read from it.
#[derive(Debug)]
pub struct Handed {
    /// The socket.
    pub socket: TcpStream,
    /// The TLS on it, if any.
    pub tls: Option<Stream>,
    /// Plaintext that has been read and not been answered.
    pub early: Vec<u8>,
    /// Whose connection it is; behind a trusted proxy not the socket's peer.
    pub remote: SocketAddr,
}

impl Handed {
    /// The connection as hyper wants it: early bytes first, then the socket, decrypted.
    ///
    /// # Errors
    /// The socket cannot be made non-blocking or registered; must be called within a tokio runtime.
    pub fn into_async(self) -> io::Result<HandedSocket> {
        self.socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpStream::from_std(self.socket)?;
        let tls = self.tls.map(|stream| Box::new(Tls { stream, scratch: Scratch::new() }));
        Ok(HandedSocket { socket, tls, early: self.early, start: 0 })
    }
}

/// A [`Handed`] connection on tokio.
pub struct HandedSocket {
    socket: tokio::net::TcpStream,
    tls: Option<Box<Tls>>,
    early: Vec<u8>,
    start: usize,
}

struct Tls {
    stream: Stream,
    scratch: Scratch,
}

/// tokio's socket as a socket that never blocks; `try_read` and `try_write` ask tokio to watch once they would.
struct Trying<'a>(&'a tokio::net::TcpStream);

impl Read for Trying<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(out)
    }
}

impl Write for Trying<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_blocked<T>(outcome: &io::Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl Tls {
    fn poll_read(
        &mut self,
        socket: &tokio::net::TcpStream,
        context: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let outcome = self.stream.read(&mut Trying(socket), out, &mut self.scratch);
            if !is_blocked(&outcome) {
                return Poll::Ready(outcome);
            }
            // An answer of the handshake that the socket refused may be what the peer waits for.
            if !self.stream.is_flushed() && socket.poll_write_ready(context)?.is_ready() {
                continue;
            }
            ready!(socket.poll_read_ready(context))?;
        }
    }

    fn poll_write(
        &mut self,
        socket: &tokio::net::TcpStream,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let outcome = self.stream.write_vectored(&mut Trying(socket), pieces, &mut self.scratch);
            if !is_blocked(&outcome) {
                return Poll::Ready(outcome);
            }
            if self.stream.is_handshaking() {
                let early = io::Error::new(io::ErrorKind::NotConnected, "written before the TLS handshake was read");
                return Poll::Ready(Err(early));
            }
            ready!(socket.poll_write_ready(context))?;
        }
    }

    fn poll_flush(&mut self, socket: &tokio::net::TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.stream.flush(&mut Trying(socket))? {
            ready!(socket.poll_write_ready(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for HandedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let early = &this.early[this.start..];
        if !early.is_empty() {
            let taken = early.len().min(buffer.remaining());
            buffer.put_slice(&early[..taken]);
            this.start += taken;
            if this.start == this.early.len() {
                (this.early, this.start) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let Some(tls) = &mut this.tls else { return Pin::new(&mut this.socket).poll_read(context, buffer) };
        let taken = ready!(tls.poll_read(&this.socket, context, buffer.initialize_unfilled()))?;
        buffer.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HandedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match &mut this.tls {
            Some(tls) => tls.poll_write(&this.socket, context, pieces),
            None => Pin::new(&mut this.socket).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.tls {
            Some(tls) => tls.poll_flush(&this.socket, context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(tls) = &mut this.tls {
            ready!(tls.poll_flush(&this.socket, context))?;
            tls.stream.close(&mut Trying(&this.socket), &mut tls.scratch)?;
            ready!(tls.poll_flush(&this.socket, context))?;
        }
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

impl fmt::Debug for HandedSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HandedSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

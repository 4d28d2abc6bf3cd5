//! Listeners: bound once, shared by all workers through SO_REUSEPORT, each with a face.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use jackfield_session::Endpoint;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::http_door::{Binding, HttpDoor};

/// What a listener's clients meet.
#[derive(Clone, Debug)]
pub enum Face {
    /// HTTP requests, most of which become WebSockets.
    Http(Arc<HttpDoor>),
    /// A dialect from the first byte on.
    Plain(Arc<Endpoint>, Option<Binding>),
}

/// One address that clients connect to, with a socket per worker.
#[derive(Debug)]
pub struct Listener {
    pub(crate) face: Face,
    pub(crate) sockets: Vec<StdListener>,
    address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}: {source}{remedy}")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
    remedy: &'static str,
}

impl Listener {
    /// Binds an address for a number of workers.
    pub fn bind(address: SocketAddr, workers: usize, face: Face) -> Result<Self, ListenError> {
        let fail = |source: std::io::Error| {
            let remedy = match source.kind() {
                std::io::ErrorKind::AddrInUse => "; another program has the port: stop it, or set another port",
                std::io::ErrorKind::PermissionDenied => {
                    "; ports below 1024 need rights: set a higher port, or give the program CAP_NET_BIND_SERVICE"
                }
                std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
                _ => "",
            };
            ListenError { address, source, remedy }
        };
        // Sockets that share a port would not notice a second server on it, so the first try is without sharing.
        let probe = socket(address, false).map_err(fail)?;
        let address = probe.local_addr().ok().and_then(|bound| bound.as_socket()).unwrap_or(address);
        drop(probe);
        let keepalive = matches!(face, Face::Plain(..));
        let sockets = (0..workers)
            .map(|_| {
                let socket = socket(address, true)?;
                prepare(&socket, keepalive)?;
                socket.listen(4096)?;
                Ok(StdListener::from(socket))
            })
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        Ok(Self { face, sockets, address })
    }

    /// The address, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if !shared {
        // Two sockets with SO_REUSEADDR may both bind; only one of them may listen.
        socket.listen(1)?;
    }
    Ok(socket)
}

/// Sets what accepted sockets inherit from their listener, so that accepting costs no further system calls.
fn prepare(socket: &Socket, keepalive: bool) -> std::io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    if keepalive {
        let idle = std::time::Duration::from_secs(60);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(idle / 4))?;
    }
    Ok(())
}

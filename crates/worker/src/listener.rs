//! Listeners: bound once, shared by all workers through SO_REUSEPORT, each with a gate.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::gate::Gate;

/// What the kernel is told about every socket of a listener. Accepted sockets inherit it, so that accepting costs no
/// further system calls.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Connections that may wait to be accepted; the system's own limit (net.core.somaxconn) counts as well.
    pub backlog: u32,
    /// Bytes that the kernel takes beyond what is under way; the rest waits in shared frames. 0: as many as it likes.
    pub notsent_lowat: u32,
    /// How long sent bytes may stay unacknowledged; zero: as long as the system likes.
    pub user_timeout: Duration,
    /// Silence after which the kernel asks whether the peer lives; zero: never.
    pub keepalive: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            notsent_lowat: 16_384,
            user_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(60),
        }
    }
}

/// One address that clients connect to, with a socket per worker.
#[derive(Debug)]
pub struct Listener {
    pub(crate) gate: Arc<Gate>,
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
    pub fn bind(address: SocketAddr, workers: usize, gate: Gate, options: &SocketOptions) -> Result<Self, ListenError> {
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
        let sockets = (0..workers)
            .map(|_| {
                let socket = socket(address, true)?;
                prepare(&socket, options)?;
                socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
                Ok(StdListener::from(socket))
            })
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        Ok(Self { gate: Arc::new(gate), sockets, address })
    }

    /// Takes a socket that listens already, as a service manager hands it over; the workers share it.
    pub fn adopt(
        socket: StdListener,
        workers: usize,
        gate: Gate,
        options: &SocketOptions,
    ) -> Result<Self, ListenError> {
        let address = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let fail = |source| ListenError { address, source, remedy: "; the socket was handed over at start" };
        socket.set_nonblocking(true).map_err(fail)?;
        prepare(&socket, options).map_err(fail)?;
        let sockets = (0..workers).map(|_| socket.try_clone()).collect::<Result<_, _>>().map_err(fail)?;
        Ok(Self { gate: Arc::new(gate), sockets, address })
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

/// Sets what accepted sockets inherit from their listener.
fn prepare<S: std::os::fd::AsFd>(socket: &S, options: &SocketOptions) -> std::io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    if !options.keepalive.is_zero() {
        let keepalive = TcpKeepalive::new().with_time(options.keepalive).with_interval(options.keepalive / 4);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if !options.user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
    }
    if options.notsent_lowat != 0 {
        socket.set_tcp_notsent_lowat(options.notsent_lowat)?;
    }
    Ok(())
}

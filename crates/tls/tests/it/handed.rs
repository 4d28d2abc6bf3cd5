//! Connections that a worker has begun and the control plane goes on with, over real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use jackfield_tls::{Handed, Keeper, Scratch, Stream};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::authority::Authority;
use crate::wire::is_blocked;

const SIZE: usize = 3_000_000;

/// Accepts one connection on loopback; `client` has the other end, in its own thread.
fn accept<T: Send + 'static>(
    client: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (TcpStream, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || client(TcpStream::connect(address).unwrap()));
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    (socket, client)
}

/// Sends a line and a large body, hears both, and then the end.
fn talk(mut stream: impl Read + Write) -> Vec<u8> {
    stream.write_all(b"first line\n").unwrap();
    let body = vec![b'x'; SIZE];
    stream.write_all(&body).unwrap();
    stream.flush().unwrap();
    let mut heard = vec![0; SIZE + 11];
    stream.read_exact(&mut heard).unwrap();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0, "more than was sent, or no clean end");
    heard
}

/// Echoes as much as the client sends, then ends.
fn echo(handed: Handed) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = handed.into_async().unwrap();
        let (mut read, mut written) = (vec![0; 5000], 0);
        while written < SIZE + 11 {
            let length = socket.read(&mut read).await.unwrap();
            assert!(length > 0, "an end in the middle");
            socket.write_all(&read[..length]).await.unwrap();
            written += length;
        }
        socket.flush().await.unwrap();
        socket.shutdown().await.unwrap();
    });
}

/// Reads as a worker does until the first plaintext has come.
fn begin(keeper: &Keeper, socket: &mut TcpStream) -> (Stream, Vec<u8>) {
    let mut scratch = Scratch::new();
    let mut stream = Stream::accept(keeper.current()).unwrap();
    let mut out = vec![0; 16 * 1024];
    loop {
        let outcome = stream.read(socket, &mut out, &mut scratch);
        match outcome {
            Ok(length) => {
                out.truncate(length);
                return (stream, out);
            }
            outcome => assert!(is_blocked(&outcome), "{outcome:?}"),
        }
        thread::yield_now();
    }
}

#[test]
fn a_plain_connection_goes_on_where_it_was() {
    let (mut socket, client) = accept(talk);
    socket.set_nonblocking(false).unwrap();
    let mut early = [0; 4];
    socket.read_exact(&mut early).unwrap();
    let remote = socket.peer_addr().unwrap();
    echo(Handed { socket, tls: None, early: early.to_vec(), remote });
    let heard = client.join().unwrap();
    assert!(heard.starts_with(b"first line\nxxx") && heard.ends_with(b"xxx"));
}

#[test]
fn a_tls_connection_goes_on_where_it_was() {
    let authority = Authority::new();
    let keeper = authority.keeper();
    for version in [&TLS12, &TLS13] {
        let config: Arc<ClientConfig> = Arc::new(authority.trusted(&[version], None));
        let (mut socket, client) = accept(move |socket| {
            let connection = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
            talk(StreamOwned::new(connection, socket))
        });
        let (stream, early) = begin(&keeper, &mut socket);
        let remote = socket.peer_addr().unwrap();
        echo(Handed { socket, tls: Some(stream), early, remote });
        let heard = client.join().unwrap();
        assert!(heard.starts_with(b"first line\nxxx") && heard.ends_with(b"xxx"));
    }
}

#[test]
fn a_connection_may_be_handed_before_its_handshake() {
    let authority = Authority::new();
    let keeper = authority.keeper();
    let config: Arc<ClientConfig> = Arc::new(authority.trusted(&[&TLS13], None));
    let (socket, client) = accept(move |socket| {
        let connection = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
        talk(StreamOwned::new(connection, socket))
    });
    let remote = socket.peer_addr().unwrap();
    let stream = Stream::accept(keeper.current()).unwrap();
    echo(Handed { socket, tls: Some(stream), early: Vec::new(), remote });
    client.join().unwrap();
}

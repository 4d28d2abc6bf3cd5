//! Connections that begin elsewhere: with bytes already read, too many of them, and the end of all.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use jackfield_api::{ApiOptions, Handover};
use jackfield_tls::Handed;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::server::{ask, parts, routes};

/// As many connections as there is room for.
const ROOM: usize = 1024;

fn handover(key: &str) -> Handover {
    let options = ApiOptions { key: key.to_owned(), insecure: key.is_empty(), ..ApiOptions::default() };
    Handover::new(routes(options), Handle::current())
}

fn visit(handover: &Handover) -> DuplexStream {
    let (far, near) = duplex(4096);
    handover.take(near);
    far
}

/// Waits until the door has answered with this status on a connection that stays open.
async fn health(far: &mut DuplexStream) {
    far.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"{}") {
        assert!(far.read_buf(&mut got).await.unwrap() > 0, "{got:?}");
    }
    assert!(got.starts_with(b"HTTP/1.1 200 "), "{got:?}");
}

#[tokio::test]
async fn the_key_counts_here_too() {
    let handover = handover("secret");
    assert_eq!(ask(visit(&handover), "POST /api/info HTTP/1.1").await.0, 401);
    let (status, _, body) = ask(visit(&handover), "POST /api/info HTTP/1.1\r\nx-api-key: secret").await;
    assert!(status == 200 && body.contains("num_clients"), "{body}");
}

#[tokio::test]
async fn what_was_read_before_is_not_lost() {
    let handover = handover("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, remote) = listener.accept().unwrap();
    let early = b"POST /api/publish HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-le".to_vec();
    client.write_all(b"ngth: 29\r\n\r\n{\"channel\":\"room:1\",\"data\":1}").unwrap();
    // From a thread that knows no runtime, as workers are.
    let door = handover.clone();
    std::thread::spawn(move || door.take_handed(Handed { socket, tls: None, early, remote })).join().unwrap();
    client.set_nonblocking(true).unwrap();
    let mut client = tokio::net::TcpStream::from_std(client).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let (status, _, body) = parts(answer);
    assert!(status == 200 && body.contains("\"offset\":1"), "{status} {body}");
}

#[tokio::test]
async fn strangers_beyond_the_room_are_told_to_come_again() {
    let handover = handover("");
    let mut inside = Vec::new();
    for _ in 0..ROOM {
        let mut far = visit(&handover);
        far.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        inside.push(far);
    }
    let (status, head, body) = ask(visit(&handover), "GET /health HTTP/1.1").await;
    assert_eq!((status, body.as_str()), (503, "too many open connections\n"));
    assert!(head.contains("retry-after: 1"), "{head}");
    let mut first = inside.swap_remove(0);
    first.write_all(b"\r\n").await.unwrap();
    let mut answer = Vec::new();
    first.read_to_end(&mut answer).await.unwrap();
    assert_eq!(parts(answer).0, 200);
    // One goes, one comes; when the door has seen it is the door's affair.
    inside.pop();
    while ask(visit(&handover), "GET /health HTTP/1.1").await.0 == 503 {}
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_requests_under_way_and_cuts_the_rest() {
    let handover = handover("");
    let mut idle = visit(&handover);
    health(&mut idle).await;
    let mut busy = visit(&handover);
    let head = "POST /api/info HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    busy.write_all(head.as_bytes()).await.unwrap();
    // The request has arrived where its body is waited for.
    let mut proceed = [0; 25];
    busy.read_exact(&mut proceed).await.unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
    // One that does not read its answer.
    let (mut stuck, near) = duplex(64);
    handover.take(near);
    stuck.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut started = [0; 12];
    stuck.read_exact(&mut started).await.unwrap();

    let ending = tokio::spawn({
        let handover = handover.clone();
        async move { handover.finish().await }
    });
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty());
    busy.write_all(b"{}").await.unwrap();
    let mut answer = Vec::new();
    busy.read_to_end(&mut answer).await.unwrap();
    let (status, head, _) = parts(answer);
    assert!(status == 200 && head.contains("connection: close"), "{head}");
    timeout(Duration::from_secs(3600), ending).await.expect("the grace has an end").unwrap();
    let mut some = Vec::new();
    stuck.read_to_end(&mut some).await.unwrap();
    assert!(some.len() <= 64, "{some:?}");
    assert_eq!(ask(visit(&handover), "GET /health HTTP/1.1").await.0, 503);
}

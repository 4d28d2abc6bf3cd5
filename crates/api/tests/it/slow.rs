//! Clients that let the door wait. Time is the test's own: it jumps when everybody waits.

use std::time::Duration;

use jackfield_api::{ApiOptions, Handover};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::server::{parts, routes};

fn open() -> Handover {
    let options = ApiOptions { insecure: true, ..ApiOptions::default() };
    Handover::new(routes(options), Handle::current())
}

/// A connection with these bytes sent.
async fn begin(handover: &Handover, bytes: &str) -> DuplexStream {
    let (mut far, near) = duplex(4096);
    handover.take(near);
    far.write_all(bytes.as_bytes()).await.unwrap();
    far
}

/// What comes until the door closes, which it must do by itself.
async fn rest(mut far: DuplexStream) -> Vec<u8> {
    let mut got = Vec::new();
    let read = timeout(Duration::from_secs(3600), far.read_to_end(&mut got)).await;
    read.expect("the door closes").unwrap();
    got
}

#[tokio::test(start_paused = true)]
async fn heads_that_do_not_end_are_cut() {
    let handover = open();
    for bytes in ["", "P", "POST /api/info HTTP/1.1\r\nhost: x\r\nx-api", "GET /health HTTP/1.1\r\nhost: x\r\n"] {
        let got = rest(begin(&handover, bytes).await).await;
        assert_eq!(String::from_utf8(got).unwrap(), "", "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_all_the_same() {
    let mut far = begin(&open(), "GET /health HTTP/1.1\r\n").await;
    let mut written = 0;
    // A header every five seconds keeps nothing open.
    while far.write_all(b"a: b\r\n").await.is_ok() {
        written += 1;
        assert!(written < 100, "it is never cut");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(rest(far).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_a_worker_brings_one_request() {
    // The next one might be for a path that the worker serves.
    let two = "GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /connection/websocket HTTP/1.1\r\nhost: x\r\n\r\n";
    let (status, head, body) = parts(rest(begin(&open(), two).await).await);
    assert_eq!((status, body.as_str()), (200, "{}"));
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_come_are_told_so() {
    let far = begin(&open(), "POST /api/info HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await;
    let (status, _, body) = parts(rest(far).await);
    assert_eq!((status, body.as_str()), (408, "the body did not arrive within 10 seconds\n"));
}

#[tokio::test(start_paused = true)]
async fn heads_beyond_the_limit_are_refused() {
    let head = format!("GET /health HTTP/1.1\r\nhost: x\r\na: {}", "b".repeat(70_000));
    let (far, near) = duplex(4096);
    open().take(near);
    let (mut reader, mut writer) = tokio::io::split(far);
    let writing = tokio::spawn(async move {
        // It ends early where the door does.
        let _ = writer.write_all(head.as_bytes()).await;
    });
    let mut start = [0; 12];
    reader.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
    writing.abort();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_the_answer_is_cut() {
    let handover = open();
    // There is room for the start of an answer only, and nobody takes it.
    let (mut far, near) = duplex(64);
    handover.take(near);
    far.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Once the door has given up, nothing more is taken in.
    let filling = async { while far.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {} };
    timeout(Duration::from_secs(3600), filling).await.expect("the door gives up");
    assert!(rest(far).await.len() <= 64);
}

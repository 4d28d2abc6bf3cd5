//! Requests without TLS: what is sent, what is kept, and what bounces off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jackfield_fetch::{Fetch, FetchError, HeaderMap, HeaderValue, Options, Url, header};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::server::{Server, Then, ok};

/// Long enough for everything that is to come.
const LONG: Duration = Duration::from_secs(60);
/// Short, for what never comes.
const SHORT: Duration = Duration::from_millis(100);

fn fetch() -> Fetch {
    Fetch::new(&Options { body_limit_bytes: 1000, ..Options::default() }).unwrap()
}

async fn refusal(response: &[u8], then: Then) -> FetchError {
    let response = response.to_vec();
    let server = Server::start(move |_| (response.clone(), then)).await;
    fetch().get(&server.url("/"), HeaderMap::new(), LONG).await.unwrap_err()
}

#[tokio::test]
async fn a_request_says_what_it_should() {
    let server =
        Server::start(|_| (b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi".to_vec(), Then::Keep))
            .await;
    let mut headers = HeaderMap::new();
    headers.insert("x-key", HeaderValue::from_static("k"));
    headers.insert(header::HOST, HeaderValue::from_static("elsewhere"));
    let response = fetch().post(&server.url("/a?b=c"), headers, "body", LONG).await.unwrap();
    assert_eq!((response.status, &*response.body), (201, &b"hi"[..]));
    assert_eq!(response.headers["x-a"], "b");
    let request = server.seen.requests().remove(0);
    assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{request}");
    let lower = request.to_lowercase();
    assert!(lower.contains(&format!("host: {}\r\n", server.address)), "{request}");
    assert!(lower.contains("x-key: k\r\n") && lower.contains("user-agent: jackfield/"), "{request}");
    assert!(!lower.contains("elsewhere"), "{request}");
    assert!(request.ends_with("\r\n\r\nbody"), "{request}");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start(|nth| (ok(&nth.to_string()), Then::Keep)).await;
    let fetch = fetch();
    for nth in 0..20 {
        let response = fetch.get(&server.url("/"), HeaderMap::new(), LONG).await.unwrap();
        assert_eq!(response.body, nth.to_string());
    }
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let server = Server::start(|_| (ok("x"), Then::Close)).await;
    let fetch = fetch();
    for _ in 0..5 {
        assert_eq!(fetch.get(&server.url("/"), HeaderMap::new(), LONG).await.unwrap().status, 200);
    }
    assert_eq!(server.seen.connections(), 5);
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let other = Server::start(|_| (ok("secret"), Then::Keep)).await;
    let line = format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", other.address);
    let server = Server::start(move |_| (line.clone().into_bytes(), Then::Keep)).await;
    assert_eq!(fetch().get(&server.url("/"), HeaderMap::new(), LONG).await.unwrap().status, 302);
    assert_eq!(other.seen.connections(), 0);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let largest = Server::start(|_| (ok(&"x".repeat(1000)), Then::Keep)).await;
    assert_eq!(fetch().get(&largest.url("/"), HeaderMap::new(), LONG).await.unwrap().body.len(), 1000);
    let announced = refusal(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Then::Hang).await;
    assert!(matches!(announced, FetchError::TooLarge { limit_bytes: 1000, .. }), "{announced}");
    let unannounced = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n", "x".repeat(1001));
    let unannounced = refusal(unannounced.as_bytes(), Then::Hang).await;
    assert!(matches!(unannounced, FetchError::TooLarge { .. }), "{unannounced}");
    assert!(!unannounced.is_unsent());
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let mut endless = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    endless.resize(1024 * 1024, b'x');
    assert!(matches!(refusal(&endless, Then::Hang).await, FetchError::Broken { .. }));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(2000));
    assert!(matches!(refusal(many.as_bytes(), Then::Hang).await, FetchError::Broken { .. }));
}

#[tokio::test]
async fn what_breaks_off_is_no_response() {
    for (response, what) in [
        (&b""[..], "nothing"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "half a head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "half a body"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no chunk"),
    ] {
        let error = refusal(response, Then::Close).await;
        assert!(matches!(error, FetchError::Broken { .. }) && !error.is_unsent(), "{what}: {error}");
    }
}

#[tokio::test]
async fn silence_ends_wherever_it_begins() {
    for response in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let response = response.to_vec();
        let server = Server::start(move |_| (response.clone(), Then::Hang)).await;
        let error = fetch().get(&server.url("/"), HeaderMap::new(), SHORT).await.unwrap_err();
        assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
        assert_eq!(error.to_string(), format!("http://{} did not answer within 100 ms", server.address));
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = Url::parse(&format!("http://{address}/?key=secret")).unwrap();
    let error = fetch().get(&url, HeaderMap::new(), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }) && error.is_unsent(), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn requests_at_a_time_are_bounded() {
    const SLOTS: usize = 3;
    let (gate, inside, most) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (hold, now, peak) = (Arc::clone(&gate), Arc::clone(&inside), Arc::clone(&most));
    let wrap = move |socket| {
        let (hold, now, peak) = (Arc::clone(&hold), Arc::clone(&now), Arc::clone(&peak));
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            hold.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            Some(socket)
        }
    };
    let server = Server::start_over(|_| (ok("x"), Then::Close), wrap).await;
    let fetch = Fetch::new(&Options { in_flight: SLOTS, ..Options::default() }).unwrap();
    let url = server.url("/");
    let all: Vec<_> = (0..10)
        .map(|_| {
            let (fetch, url) = (fetch.clone(), url.clone());
            tokio::spawn(async move { fetch.get(&url, HeaderMap::new(), LONG).await.unwrap().status })
        })
        .collect();
    while inside.load(Ordering::SeqCst) < SLOTS {
        tokio::task::yield_now().await;
    }
    // Whoever waits for a slot has its own time for it.
    let error = fetch.get(&url, HeaderMap::new(), SHORT).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
    assert_eq!(inside.load(Ordering::SeqCst), SLOTS);
    gate.add_permits(100);
    for one in all {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), SLOTS);
}

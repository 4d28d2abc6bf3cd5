//! What was counted, and who may read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_api::{ApiOptions, Handover, Metrics, Sample, Value};
use tokio::io::duplex;
use tokio::runtime::Handle;

use crate::server::{Server, ask, routes};

fn options() -> ApiOptions {
    let scrapes = AtomicU64::new(0);
    let samples = move || {
        let value = Value::Counter(scrapes.fetch_add(1, Ordering::Relaxed) + 1);
        vec![Sample { name: "jackfield_scrapes", help: "Times it was asked.", labels: Vec::new(), value }]
    };
    let metrics = Metrics { path: "/numbers".to_owned(), samples: Arc::new(samples) };
    ApiOptions { key: "secret".to_owned(), metrics: Some(metrics), ..ApiOptions::default() }
}

#[tokio::test]
async fn the_internal_port_tells_everyone() {
    let server = Server::start(options(), None).await;
    for scrape in 1..=2 {
        let (status, head, body) = server.raw("GET /numbers HTTP/1.1", b"").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
        let help = "# HELP jackfield_scrapes Times it was asked.\n# TYPE jackfield_scrapes counter\n";
        assert_eq!(body, format!("{help}jackfield_scrapes_total {scrape}\n# EOF\n"));
    }
    assert_eq!(server.raw("POST /numbers HTTP/1.1", b"").await.0, 405);
    assert_eq!(server.raw("GET /metrics HTTP/1.1", b"").await.0, 404);
}

#[tokio::test]
async fn the_public_port_asks_for_the_key() {
    let handover = Handover::new(routes(options()), Handle::current());
    let visit = |line: &'static str| {
        let (far, near) = duplex(4096);
        handover.take(near);
        ask(far, line)
    };
    let (status, _, body) = visit("GET /numbers HTTP/1.1").await;
    assert!(status == 401 && body.contains("X-API-Key") && !body.contains("scrapes"), "{body}");
    let (status, _, body) = visit("GET /numbers HTTP/1.1\r\nx-api-key: secret").await;
    assert!(status == 200 && body.contains("jackfield_scrapes_total 1"), "{body}");
    assert_eq!(visit("GET /health HTTP/1.1").await.0, 200);
}

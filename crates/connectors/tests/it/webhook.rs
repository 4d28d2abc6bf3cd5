//! Webhooks: what is signed, what is tried again, what is given up, and in which order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jackfield_bridge::proxy::Secret;
use jackfield_connectors::{SinkKind, SinkOptions, Sinks, Webhook};
use jackfield_fetch::{HeaderMap, Url};
use tokio::runtime::Handle;

use crate::receiver::{Receiver, Request};
use crate::world::{hub, publish, until};

const SOON: Duration = Duration::from_millis(20);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(url: &str, retry: &[Duration]) -> Webhook {
    Webhook {
        url: Url::parse(url).unwrap(),
        secrets: vec![Secret::parse(SECRET).unwrap()],
        headers: HeaderMap::new(),
        timeout: Duration::from_secs(30),
        retry: retry.to_vec(),
        parallel: 4,
        is_ordered: true,
        allow_private: true,
        ca_file: None,
    }
}

fn sinks(hook: Webhook, most: usize, dead_letters: Option<PathBuf>) -> Arc<Sinks> {
    Arc::new(Sinks::new(vec![SinkOptions {
        name: "hook".to_owned(),
        channels: vec!["kept:*".to_owned()],
        kind: SinkKind::Webhook(hook),
        most,
        most_bytes: 1 << 20,
        dead_letters,
        origin: "/jackfield/test".to_owned(),
    }]))
}

/// Delivered, failed, given up, overflowed.
fn counts(sinks: &Sinks) -> [u64; 4] {
    let (_, counters, _) = sinks.figures().next().unwrap();
    [&counters.delivered, &counters.failed, &counters.given_up, &counters.overflowed]
        .map(|counter| counter.load(Ordering::Relaxed))
}

fn waiting(sinks: &Sinks) -> usize {
    sinks.figures().map(|(_, _, (waiting, _))| waiting).sum()
}

fn url(receiver: &Receiver) -> String {
    format!("http://{}/hook", receiver.address)
}

#[tokio::test]
async fn a_publication_is_a_signed_event() {
    let receiver = Receiver::start(|_, _| (204, String::new())).await;
    let sinks = sinks(webhook(&url(&receiver), &[]), 10, None);
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    publish(&hub, "kept:1", "{\"a\": 1}");
    publish(&hub, "plain:1", "{\"a\": 2}");
    until("it", async || counts(&sinks) == [1, 0, 0, 0]).await;
    let request = receiver.seen().remove(0);
    let event = request.event();
    assert_eq!(request.headers["content-type"], "application/cloudevents+json");
    assert_eq!(request.headers["webhook-id"], event["id"].as_str().unwrap());
    assert_eq!((event["subject"].as_str(), event["source"].as_str()), (Some("kept:1"), Some("/jackfield/test")));
    assert_eq!((event["data"]["a"].as_u64(), event["offset"].as_str()), (Some(1), Some("1")));
    // Signed again by who knows the secret.
    let mut headers = HeaderMap::new();
    let seconds = request.headers["webhook-timestamp"].parse().unwrap();
    let secrets = [Secret::parse(SECRET).unwrap()];
    Secret::sign_with(&secrets, &request.headers["webhook-id"], (seconds, &request.body), &mut headers);
    assert_eq!(headers["webhook-signature"], request.headers["webhook-signature"]);
    sending.stop(Duration::from_secs(10)).await;
}

/// Nobody is there, then it is broken, then it works: all arrive, each channel in order.
#[tokio::test]
async fn an_outage_loses_nothing_and_keeps_the_order_of_each_channel() {
    const COUNT: usize = 200;
    let vacant = Receiver::start(|_, _| (204, String::new())).await;
    let (address, place) = (vacant.address, url(&vacant));
    drop(vacant);
    let hour = Duration::from_secs(3600);
    // Who reached nobody waits for an hour, unless somebody is reached.
    let sinks = sinks(webhook(&place, &[SOON, SOON, hour, SOON, SOON, SOON, SOON]), COUNT, None);
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    for n in 0..COUNT / 2 {
        publish(&hub, &format!("kept:{}", n % 3), &n.to_string());
    }
    // Three channels, three attempts each.
    until("failures", async || counts(&sinks)[1] == 9).await;
    let answer = |nth: usize, _: &Request| if nth < 2 { (500, String::new()) } else { (200, String::new()) };
    let receiver = Receiver::start_at(address, answer).await;
    for n in COUNT / 2..COUNT {
        publish(&hub, &format!("kept:{}", n % 4), &n.to_string());
    }
    until("the end", async || waiting(&sinks) == 0).await;
    assert_eq!(counts(&sinks)[0], COUNT as u64);
    assert_eq!(counts(&sinks)[2..], [0, 0]);
    let mut channels: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for request in &receiver.seen()[2..] {
        channels.entry(request.event()["subject"].to_string()).or_default().push(request.number());
    }
    assert!(channels.values().all(|numbers| numbers.is_sorted()), "{channels:?}");
    assert_eq!(channels.values().map(Vec::len).sum::<usize>(), COUNT);
    sending.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn the_id_stays_and_the_last_failure_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.jsonl");
    let bad = |_: usize, request: &Request| (if request.number() == 1 { 422 } else { 200 }, String::new());
    let receiver = Receiver::start(bad).await;
    let sinks = sinks(webhook(&url(&receiver), &[SOON, SOON]), 10, Some(path.clone()));
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    publish(&hub, "kept:1", "1");
    publish(&hub, "kept:1", "2");
    until("the end", async || waiting(&sinks) == 0).await;
    assert_eq!(counts(&sinks), [1, 3, 1, 0]);
    let seen = receiver.seen();
    let numbers: Vec<u64> = seen.iter().map(Request::number).collect();
    assert_eq!(numbers, [1, 1, 1, 2], "the second waits until the first is given up");
    assert!(seen[..3].iter().all(|request| request.headers["webhook-id"] == seen[0].headers["webhook-id"]));
    let text = std::fs::read_to_string(&path).unwrap();
    let letter: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((letter["reason"].as_str(), letter["attempts"].as_u64()), (Some("the status is 422"), Some(3)));
    assert_eq!((letter["event"]["data"].as_u64(), letter["sink"].as_str()), (Some(1), Some("hook")));
    sending.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn who_is_gone_is_not_asked_again() {
    let receiver = Receiver::start(|_, _| (410, String::new())).await;
    let sinks = sinks(webhook(&url(&receiver), &[SOON]), 10, None);
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    publish(&hub, "kept:1", "1");
    publish(&hub, "kept:1", "2");
    until("the end", async || counts(&sinks)[2] == 2).await;
    publish(&hub, "kept:1", "3");
    assert_eq!((counts(&sinks), waiting(&sinks)), ([0, 0, 3, 0], 0));
    sending.stop(Duration::from_secs(10)).await;
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_leads_nowhere() {
    let elsewhere = Receiver::start(|_, _| (200, String::new())).await;
    let location = format!("Location: {}\r\n", url(&elsewhere));
    let receiver = Receiver::start(move |_, _| (302, location.clone())).await;
    let sinks = sinks(webhook(&url(&receiver), &[]), 10, None);
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    publish(&hub, "kept:1", "1");
    until("the end", async || counts(&sinks) == [0, 1, 1, 0]).await;
    assert!(elsewhere.seen().is_empty());
    sending.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_is_not_the_internet_is_asked_only_where_that_is_allowed() {
    let receiver = Receiver::start(|_, _| (200, String::new())).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254", "2130706433"] {
        let place = format!("http://{host}:{}/", receiver.address.port());
        let sinks = sinks(Webhook { allow_private: false, ..webhook(&place, &[]) }, 10, None);
        let hub = hub(Some(Arc::clone(&sinks) as _));
        let sending = sinks.start(&Handle::current()).unwrap();
        publish(&hub, "kept:1", "1");
        until("the end", async || counts(&sinks) == [0, 1, 1, 0]).await;
        sending.stop(Duration::from_secs(10)).await;
    }
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn more_than_may_wait_is_lost_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.jsonl");
    let hold = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&hold);
    let receiver = Receiver::start(move |_, _| {
        asked.fetch_add(1, Ordering::SeqCst);
        (503, "Retry-After: 3600\r\n".to_owned())
    })
    .await;
    let sinks = sinks(webhook(&url(&receiver), &[SOON, SOON]), 3, Some(path.clone()));
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    for n in 0..10 {
        publish(&hub, "kept:1", &n.to_string());
    }
    until("an answer", async || counts(&sinks)[1] == 1).await;
    assert_eq!((counts(&sinks), waiting(&sinks)), ([0, 1, 0, 7], 3));
    assert_eq!(hold.load(Ordering::SeqCst), 1, "the receiver has asked for an hour");
    // Who goes down tries what has not been tried, and writes down the rest.
    sending.stop(Duration::from_secs(30)).await;
    assert_eq!((counts(&sinks), waiting(&sinks)), ([0, 3, 3, 7], 0));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
}

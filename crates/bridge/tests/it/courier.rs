//! Calls over HTTP: result, error, disconnect, garbage, silence, statuses, signatures.

use std::time::Duration;

use jackfield_bridge::proxy::{Secret, Transform, TransformTo};
use jackfield_bridge::{BridgeOptions, Carrier, Proxy, ProxyOptions, Request, Routes, Way, Ways};
use jackfield_fetch::{HeaderMap, HeaderName, HeaderValue, Url, header};
use jackfield_hub::control;
use jackfield_model::app::{
    Answer, Command, ConnectAnswer, Ejection, EventKind, Hello, PublishAnswer, RefreshAnswer, Target,
};
use jackfield_model::{ClientError, Disconnect, Grant, Payload};

use crate::fake::{Rig, call, count};
use crate::site::Site;

/// Longer than any test takes, so that only what hangs ends by it.
const LONG: Duration = Duration::from_secs(60);

fn options(site: &Site, path: &str) -> ProxyOptions {
    ProxyOptions {
        name: path.to_owned(),
        url: Url::parse(&format!("http://{}{path}", site.address)).unwrap(),
        headers: HeaderMap::new(),
        address_headers: Vec::new(),
        binary_encoding: false,
        include_meta: false,
        transforms: Vec::new(),
        secret: None,
        in_flight: 4,
        ca_file: None,
    }
}

/// A rig whose methods `a:..`, `b:..` go to one proxy each, and whose other calls all go to the first.
fn rig(proxies: Vec<(ProxyOptions, Duration)>) -> Rig {
    let ways: Vec<Way> = proxies
        .iter()
        .enumerate()
        .map(|(nth, (_, timeout))| Way { by: Carrier::Proxy(nth), timeout: *timeout })
        .collect();
    let first = ways.first().copied();
    let named = ["a", "b"].into_iter().map(str::to_owned).zip(ways).collect();
    let one = Ways { without: first, ..Ways::default() };
    let routes = Routes {
        connect: first,
        refresh: first,
        rpc: Ways { named, ..Ways::default() },
        rpc_boundary: ":".to_owned(),
        subscribe: one.clone(),
        publish: one.clone(),
        sub_refresh: one,
    };
    let proxies = proxies.into_iter().map(|(options, _)| Proxy::open(options).unwrap()).collect();
    Rig::start(BridgeOptions { routes, proxies, ..BridgeOptions::default() })
}

fn rpc(seq: u64, method: &str) -> Request {
    let mut request = call(u128::from(seq), seq, EventKind::Rpc, 60_000);
    request.event.name = method.to_owned();
    request
}

/// Waits for so many answers; by the number of the question.
async fn answers(rig: &Rig, wanted: usize) -> Vec<(u32, Answer)> {
    let mut all = Vec::new();
    while all.len() < wanted {
        all.extend(rig.answers());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    all.sort_by_key(|(number, _)| *number);
    all
}

async fn answer(rig: &Rig, request: Request) -> Answer {
    rig.submit([request]);
    answers(rig, 1).await.remove(0).1
}

/// What comes of one rpc to a path.
async fn outcome(site: &Site, path: &str, transforms: &[Transform]) -> Answer {
    let options = ProxyOptions { transforms: transforms.to_vec(), ..options(site, path) };
    answer(&rig(vec![(options, LONG)]), rpc(1, "a:m")).await
}

#[tokio::test]
async fn each_kind_of_call_has_its_answer() {
    let site = Site::open().await;
    let connecting = rig(vec![(options(&site, "/connect"), LONG)]);
    let welcome =
        ConnectAnswer { user: "ann".into(), subs: vec![("news".into(), Grant::default())], ..ConnectAnswer::default() };
    assert_eq!(answer(&connecting, call(1, 1, EventKind::Connect, 60_000)).await, Answer::Connect(welcome));
    let agreeing = rig(vec![(options(&site, "/yes"), LONG)]);
    let expected = [
        (EventKind::Subscribe, Answer::Subscribe(Grant::default())),
        (EventKind::Publish, Answer::Publish(Box::<PublishAnswer>::default())),
        (EventKind::Refresh, Answer::Refresh(RefreshAnswer::default())),
        (EventKind::SubRefresh, Answer::Refresh(RefreshAnswer::default())),
    ];
    for (kind, expected) in expected {
        let mut request = call(1, 1, kind, 60_000);
        request.event.channel = (kind != EventKind::Refresh).then(|| "room:1".into());
        assert_eq!(answer(&agreeing, request).await, expected, "{}", kind.name());
    }
    assert_eq!(outcome(&site, "/data", &[]).await, Answer::Rpc(Payload::json(r#"{"n":1}"#)));
    assert_eq!(site.asked().len(), 6);
    assert_eq!(agreeing.queue.with(|state| state.sent.len()), 0, "nothing of it goes over the queue");
    assert_eq!(count(&agreeing.counters.answers), 4);
}

#[tokio::test]
async fn refusals_garbage_and_silence() {
    let site = Site::open().await;
    let internal = Answer::Error(ClientError::INTERNAL);
    assert_eq!(outcome(&site, "/refuses", &[]).await, Answer::Error(ClientError::new(403, "not yours")));
    assert_eq!(outcome(&site, "/ends", &[]).await, Answer::Disconnect(Disconnect::new(4403, "banned")));
    for path in ["/garbage", "/unknown-key", "/status/404", "/status/500", "/breaks"] {
        assert_eq!(outcome(&site, path, &[]).await, internal, "{path}");
    }
    let silent = rig(vec![(options(&site, "/hangs"), Duration::from_millis(50))]);
    assert_eq!(answer(&silent, rpc(1, "a:m")).await, internal);
    assert_eq!(count(&silent.counters.calls_timed_out), 1);
    let late = call(1, 2, EventKind::Connect, 0);
    assert_eq!(answer(&silent, late).await, internal);
}

#[tokio::test]
async fn statuses_mean_what_the_configuration_says() {
    let site = Site::open().await;
    let missing = ClientError::temporary(404, "no such room");
    let banned = Disconnect::new(4403, "banned");
    let transforms = [
        Transform { status: 404, to: TransformTo::Error(missing.clone()) },
        Transform { status: 403, to: TransformTo::Disconnect(banned.clone()) },
    ];
    assert_eq!(outcome(&site, "/status/404", &transforms).await, Answer::Error(missing));
    assert_eq!(outcome(&site, "/status/403", &transforms).await, Answer::Disconnect(banned));
    assert_eq!(outcome(&site, "/status/500", &transforms).await, Answer::Error(ClientError::INTERNAL));
}

#[tokio::test]
async fn a_proxy_that_hangs_holds_nobody_else() {
    let site = Site::open().await;
    let rig = rig(vec![(options(&site, "/hangs"), LONG), (options(&site, "/yes"), LONG)]);
    // All that may be under way at a time, and one more that waits for them.
    rig.submit((1..=5).map(|seq| rpc(seq, "a:m")));
    while site.asked().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.submit((11..=20).map(|seq| rpc(seq, "b:m")));
    let numbers: Vec<u32> = answers(&rig, 10).await.into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (11..=20).collect::<Vec<u32>>());
    assert_eq!(site.asked().iter().filter(|asked| asked.path == "/hangs").count(), 4);
}

#[tokio::test]
async fn an_endpoint_that_is_behind_or_away_refuses_at_once() {
    let site = Site::open().await;
    let behind = rig(vec![(ProxyOptions { in_flight: 1, ..options(&site, "/hangs") }, LONG)]);
    behind.submit((1..=20).map(|seq| rpc(seq, "a:m")));
    let code = |answer: &Answer| match answer {
        Answer::Error(error) => (error.code, error.temporary),
        _ => (0, false),
    };
    for (number, answer) in answers(&behind, 4).await {
        assert!(number > 16 && code(&answer) == (111, true), "{number}: {answer:?}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{nobody}/")).unwrap();
    let away = rig(vec![(ProxyOptions { url, ..options(&site, "/yes") }, LONG)]);
    for nth in 1..=5 {
        assert_eq!(code(&answer(&away, rpc(nth, "a:m")).await), (100, true));
    }
    assert_eq!(code(&answer(&away, rpc(6, "a:m")).await), (111, true), "it has a rest");
}

#[tokio::test]
async fn what_has_no_way_is_told() {
    let site = Site::open().await;
    let rig = rig(vec![(options(&site, "/yes"), LONG)]);
    assert_eq!(answer(&rig, rpc(1, "c:m")).await, Answer::Error(ClientError::METHOD_NOT_FOUND));
    assert_eq!(answer(&rig, rpc(1, "m")).await, Answer::Error(ClientError::METHOD_NOT_FOUND));
    assert!(site.asked().is_empty());
}

#[tokio::test]
async fn requests_are_signed_and_carry_what_was_configured() {
    let site = Site::open().await;
    let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    let address_headers = vec![HeaderName::from_static("x-real-ip")];
    let options = ProxyOptions { secret: Some(secret), headers, address_headers, ..options(&site, "/yes") };
    let mut request = rpc(1, "a:m");
    request.event.origin.remote = "[2001:db8::1]:50000".to_owned();
    // What the configuration says counts more than what the client wrote.
    let said = [("Cookie", "sessionid=1; a=b"), ("Authorization", "Bearer forged"), ("X-Real-IP", "192.0.2.66")];
    let headers = said.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect();
    request.event.hello = Some(Box::new(Hello { headers, ..Hello::default() }));
    answer(&rig(vec![(options, LONG)]), request).await;
    let asked = site.asked().remove(0);
    let line = |name: &str| {
        let found = asked.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no {name} in {}", asked.head)).to_owned()
    };
    assert!(asked.head.starts_with("POST /yes HTTP/1.1\r\n"));
    assert_eq!(line("content-type"), "application/json");
    assert_eq!(line("x-real-ip"), "2001:db8::1");
    assert_eq!(line("authorization"), "Bearer x");
    assert_eq!(line("cookie"), "sessionid=1; a=b");
    assert_eq!(line("webhook-id"), rpc(1, "a:m").event.id.to_string());
    assert!(line("webhook-signature").starts_with("v1,"));
    assert!(line("webhook-timestamp").parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(asked.body["method"], "a:m");
}

#[tokio::test]
async fn an_answer_is_remembered_until_a_command_about_its_user() {
    let site = Site::open().await;
    let rig = rig(vec![(options(&site, "/cached"), LONG)]);
    for seq in 1..=3 {
        assert_eq!(answer(&rig, rpc(seq, "a:m")).await, Answer::Rpc(Payload::json("7")));
    }
    assert_eq!(site.asked().len(), 1);
    assert_eq!(count(&rig.counters.answers_remembered), 2);
    let target = Target { user: Some("".into()), ..Target::default() };
    let ejection = Ejection { target, whitelist: Vec::new(), disconnect: Disconnect::FORCE };
    control::apply(&rig.hub, &Command::Disconnect(ejection), 1, Box::new(|outcome| assert!(outcome.is_ok())));
    answer(&rig, rpc(4, "a:m")).await;
    assert_eq!(site.asked().len(), 2);
}

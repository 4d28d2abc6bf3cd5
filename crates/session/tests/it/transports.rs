//! Ways in beside WebSocket and lines: requests that bring what a client says, clients that only listen, certificates,
//! pings of the framing, and silence.

use std::sync::Arc;

use jackfield_hub::UplinkError;
use jackfield_model::app::{Answer, ConnectAnswer};
use jackfield_model::{ClientError, Disconnect, Uuid};
use jackfield_session::{Dialect, Endpoint, Framing, Hold, Keepalive, Settings, Visitor};
use serde_json::{Value, json};

use crate::client::{Client, House, anonymous, endpoint, with_tokens};

const SECRET: Uuid = Uuid::from_u128(7);

fn stream() -> Arc<Endpoint> {
    Arc::new(Endpoint::new("/stream", Dialect::CentrifugoJson, Framing::Stream))
}

fn uni() -> Arc<Endpoint> {
    Arc::new(Endpoint::new("/uni", Dialect::CentrifugoUniJson, Framing::Sse))
}

fn emulated(house: &mut House) -> Client {
    house.visit_as(&stream(), |visitor| Visitor { uplink: Some(SECRET), ..visitor })
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn requests_find_their_session_as_long_as_it_lives() {
    let mut house = House::open();
    house.settings.node = "here".into();
    let mut client = emulated(&mut house);
    let reply = parsed(&client.ask(&mut house, r#"{"id":1,"connect":{}}"#));
    assert_eq!(reply["connect"]["session"], SECRET.to_string());
    assert_eq!(reply["connect"]["node"], "here");
    assert_eq!(house.hub.uplink(SECRET, "x".into()), Ok(()));
    client.post(&mut house, Uuid::from_u128(8), r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    assert!(client.take().lines.is_empty(), "another secret is somebody else's");
    client.post(&mut house, SECRET, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    assert!(client.take().lines[0].contains(r#""id":2,"subscribe""#));
    client.end(&mut house);
    assert_eq!(house.hub.uplink(SECRET, "x".into()), Err(UplinkError::Unknown));
}

#[test]
fn a_socket_names_neither_session_nor_node() {
    let mut house = House::open();
    house.settings.node = "here".into();
    let mut client = house.guest();
    let reply = parsed(&client.ask(&mut house, r#"{"id":1,"connect":{}}"#));
    assert!(reply["connect"]["session"].is_null() && reply["connect"]["node"].is_null(), "{reply}");
}

#[test]
fn requests_before_the_answer_to_connect_wait_in_order_and_are_bounded() {
    let mut house = House::open();
    house.settings = Settings { connect_call: Some(1_000), ..Settings::default() };
    let mut client = emulated(&mut house);
    client.say(&mut house, r#"{"id":1,"connect":{}}"#);
    assert_eq!(client.hold(&mut house), Hold::UntilAnswer);
    client.post(&mut house, SECRET, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
    client.post(&mut house, SECRET, r#"{"id":3,"publish":{"channel":"c","data":1}}"#);
    let heard = client.take();
    assert!(heard.lines.is_empty());
    let call = heard.events[0].1.unwrap();
    client.answer(&mut house, call, Answer::Connect(ConnectAnswer { user: "ann".into(), ..ConnectAnswer::default() }));
    let ids: Vec<Value> = client.take().lines.iter().map(|line| parsed(line)["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3)]);

    let mut client = emulated(&mut house);
    client.say(&mut house, r#"{"id":1,"connect":{}}"#);
    let line = format!(r#"{{"id":2,"publish":{{"channel":"c","data":"{}"}}}}"#, "x".repeat(40_000));
    client.post(&mut house, SECRET, &line);
    assert!(client.is_open());
    client.post(&mut house, SECRET, &line);
    assert_eq!(client.take().closed.unwrap().code, 3501);
}

#[test]
fn who_only_listens_says_once_what_it_wants_to_hear() {
    let mut house = House::open();
    let mut client = house.visit(&uni(), None);
    client.say(&mut house, r#"{"subs":{"news":{},"$private":{}}}"#);
    let heard = client.take();
    let welcome = parsed(&heard.lines[0]);
    assert_eq!(welcome["connect"]["client"], client.session.id().to_string());
    assert_eq!(welcome["connect"]["session"], client.session.id().to_string());
    assert!(welcome["connect"]["subs"]["news"].is_object(), "{welcome}");
    assert!(welcome["connect"]["pong"].is_null(), "it cannot answer");
    client.say(&mut house, "whatever it says then");
    assert!(client.is_open() && client.take().lines.is_empty());
    client.wait(&mut house);
    assert_eq!(client.take().lines, ["{}"], "a ping");
    client.time(&mut house);
    house.pass(house.settings.pong_timeout + 1);
    client.time(&mut house);
    assert!(client.is_open(), "nobody waits for its pong");
}

#[test]
fn who_only_listens_is_closed_where_others_get_an_error() {
    let told = |error: ClientError| {
        let mut house = House::new(Settings { connect_call: Some(1_000), ..Settings::default() }, Vec::new());
        let mut client = house.visit(&uni(), None);
        client.say(&mut house, "{}");
        let call = client.take().events[0].1.unwrap();
        client.answer(&mut house, call, Answer::Error(error));
        client.take().closed.unwrap().code
    };
    assert_eq!(told(ClientError::TOKEN_EXPIRED), 3005);
    assert_eq!(told(ClientError::TOO_MANY_REQUESTS), 3013);
    assert_eq!(told(ClientError::PERMISSION_DENIED), 3507);
    assert_eq!(told(ClientError::INTERNAL), 3004);
    let mut house = House::new(with_tokens(), Vec::new());
    assert_eq!(house.visit(&uni(), None).fall(&mut house, "{}").code, 3501, "no token");
    assert_eq!(house.visit(&uni(), None).fall(&mut house, "nonsense").code, 3501);
}

#[test]
fn a_client_brings_its_channels_along() {
    let mut house = House::open();
    let mut client = house.guest();
    let frame = r#"{"id":1,"connect":{"subs":{"a":{},"b":{"recover":true,"epoch":"old"}}}}"#;
    let reply = parsed(&client.ask(&mut house, frame));
    let subs = reply["connect"]["subs"].as_object().unwrap();
    assert_eq!(subs.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#).contains("105"), "it is in already");
    client.end(&mut house);
    assert_eq!(house.hub.presence_stats("a").unwrap().num_clients, 0);
}

#[test]
fn a_certificate_says_who_it_is_where_no_token_does() {
    let by_certificate = |dialect, framing| {
        Arc::new(Endpoint { user_from_certificate: true, ..Endpoint::new("/door", dialect, framing) })
    };
    let ann = |visitor| Visitor { identity: Some("ann".into()), ..visitor };
    let mut house = House::new(with_tokens(), Vec::new());
    let door = by_certificate(Dialect::CentrifugoJson, Framing::Lines);
    let mut client = house.visit_as(&door, ann);
    assert!(client.ask(&mut house, r#"{"id":1,"connect":{}}"#).contains(r#""connect""#));
    assert_eq!(client.session.user(), "ann");
    let forged = r#"{"id":1,"connect":{"token":"x.y.z"}}"#;
    assert_eq!(house.visit_as(&door, ann).fall(&mut house, forged).code, 3500, "a bad token stays one");
    let mut stranger = house.visit(&door, None);
    assert_eq!(stranger.fall(&mut house, r#"{"id":1,"connect":{}}"#).code, 3501);
    let raw = house.visit_as(&by_certificate(Dialect::Echo, Framing::Lines), ann);
    assert_eq!(raw.session.user(), "ann");
    let elsewhere = Arc::new(Endpoint::new("/door", Dialect::CentrifugoJson, Framing::Lines));
    let mut house = House::new(anonymous(), Vec::new());
    let mut client = house.visit_as(&elsewhere, ann);
    client.say(&mut house, r#"{"id":1,"connect":{}}"#);
    assert_eq!(client.session.user(), "", "only where the configuration says so");
}

#[test]
fn pings_of_the_framing_are_none_of_the_dialect() {
    let mut house = House::open();
    let door = endpoint(Dialect::CentrifugoJson, Framing::WEBSOCKET, Keepalive::Frames, None);
    let mut client = house.visit(&door, None);
    let reply = parsed(&client.ask(&mut house, r#"{"id":1,"connect":{}}"#));
    assert!(reply["connect"]["ping"].is_null() && reply["connect"]["pong"].is_null(), "{reply}");
    client.wait(&mut house);
    assert_eq!(client.take().lines.len(), 1);
    house.pass(house.settings.pong_timeout);
    client.time(&mut house);
    assert_eq!(client.take().closed.unwrap(), Disconnect::NO_PONG, "they must be answered all the same");
}

#[test]
fn silence_ends_where_it_is_limited() {
    let mut house = House::open();
    let door = Arc::new(Endpoint { idle_limit: 50, ..Endpoint::new("device", Dialect::Echo, Framing::Lines) });
    let mut client = house.visit(&door, None);
    house.pass(49);
    client.say(&mut house, "still here");
    house.pass(49);
    client.time(&mut house);
    assert!(client.is_open());
    house.pass(1);
    client.time(&mut house);
    let end = client.take().closed.unwrap();
    assert_eq!((end.code, &*end.reason), (3012, "nothing was heard for too long"));
}

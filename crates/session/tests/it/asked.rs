//! What the application is asked about channels and about time: may it enter, may it publish, may it stay.

use jackfield_hub::Options;
use jackfield_model::app::{Answer, ConnectAnswer, EventKind, PublishAnswer, RefreshAnswer};
use jackfield_model::{ClientError, Disconnect, Grant, Payload};
use jackfield_session::Settings;
use serde_json::json;

use crate::client::{ANY, Client, House, START, anonymous, deliver};

const SUBSCRIBE: &str = r#"{"id":2,"subscribe":{"channel":"a","data":{"x":1},"token":"t"}}"#;

fn now() -> u64 {
    START.millis / 1000
}

fn house() -> House {
    let options = Options {
        subscribe_call: Some(1_000),
        publish_call: Some(1_000),
        sub_refresh_call: Some(1_000),
        ..Options::default()
    };
    House::new(anonymous(), vec![("", options)])
}

#[test]
fn the_application_lets_a_client_in() {
    let mut house = house();
    let mut client = house.member();
    let (event, call) = client.provoke(&mut house, SUBSCRIBE);
    assert_eq!((event.kind, event.channel.as_deref()), (EventKind::Subscribe, Some("a")));
    assert_eq!((event.data, event.hello.unwrap().token), (Payload::json(r#"{"x":1}"#), "t".to_owned()));
    assert_eq!(event.deadline, Some(START.millis + 1_000));
    let again = client.ask(&mut house, r#"{"id":3,"subscribe":{"channel":"a"}}"#);
    assert!(again.contains(r#""code":105"#), "also while the question waits: {again}");
    let grant = Grant { data: Some(Payload::json("7")), ..Grant::default() };
    client.answer(&mut house, call, Answer::Subscribe(grant));
    assert_eq!(client.take().lines, [r#"{"id":2,"subscribe":{"data":7}}"#]);
}

#[test]
fn the_application_keeps_a_client_out() {
    let mut house = house();
    let mut client = house.member();
    let (_, call) = client.provoke(&mut house, SUBSCRIBE);
    client.answer(&mut house, call, Answer::Error(ClientError::new(403, "no")));
    assert_eq!(client.take().lines, [r#"{"id":2,"error":{"code":403,"message":"no"}}"#]);
    let (_, call) = client.provoke(&mut house, SUBSCRIBE);
    client.answer(&mut house, call, Answer::Disconnect(Disconnect::FORCE));
    assert_eq!(client.take().closed.unwrap().code, 3503);
}

#[test]
fn who_does_not_want_to_any_more_is_not_let_in() {
    let mut house = house();
    let mut client = house.member();
    let (_, call) = client.provoke(&mut house, SUBSCRIBE);
    client.ask(&mut house, r#"{"id":3,"unsubscribe":{"channel":"a"}}"#);
    client.answer(&mut house, call, Answer::Subscribe(Grant::default()));
    let lines = client.take().lines;
    assert!(lines.len() == 1 && lines[0].contains(r#""id":2,"error":{"code":107"#), "{lines:?}");
    assert_eq!(house.hub.survey(|_| true), [], "nobody is in");
    let (_, late) = client.provoke(&mut house, SUBSCRIBE);
    client.end(&mut house);
    client.answer(&mut house, late, Answer::Subscribe(Grant::default()));
    assert_eq!(house.hub.survey(|_| true), [], "the dead do not enter");
}

#[test]
fn the_application_changes_what_is_published() {
    let mut house = house();
    let mut client = house.member();
    let (_, call) = client.provoke(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    client.answer(&mut house, call, Answer::Subscribe(Grant { info: Some("[1]".into()), ..Grant::default() }));
    client.take();
    let (event, call) = client.provoke(&mut house, r#"{"id":3,"publish":{"channel":"a","data":"bad word"}}"#);
    assert_eq!((event.kind, event.channel.as_deref()), (EventKind::Publish, Some("a")));
    let answer = PublishAnswer { data: Some(Payload::json(r#""***""#)), ..PublishAnswer::default() };
    client.answer(&mut house, call, Answer::Publish(Box::new(answer)));
    assert_eq!(client.take().lines, [r#"{"id":3,"publish":{}}"#]);
    let heard = deliver(&mut house, &client);
    assert!(heard[0].contains(r#""data":"***""#) && heard[0].contains(r#""chan_info":[1]"#), "{heard:?}");
    let (_, call) = client.provoke(&mut house, r#"{"id":4,"publish":{"channel":"a","data":1}}"#);
    client.answer(&mut house, call, Answer::Error(ClientError::PERMISSION_DENIED));
    assert!(client.take().lines[0].contains(r#""id":4,"error":{"code":103"#));
    assert!(deliver(&mut house, &client).is_empty());
}

/// Lets time pass until the session says or asks something beside pings.
fn next(client: &mut Client, house: &mut House) -> crate::client::Heard {
    for _ in 0..1_000 {
        client.wait(house);
        let mut heard = client.take();
        if heard.lines.iter().any(|line| line == "{}") {
            client.say(house, "{}");
        }
        heard.lines.retain(|line| line != "{}");
        if !heard.lines.is_empty() || !heard.events.is_empty() || heard.closed.is_some() {
            return heard;
        }
    }
    panic!("nothing happens");
}

#[test]
fn subscriptions_are_renewed_by_the_application() {
    let mut house = house();
    let mut client = house.member();
    let (_, call) = client.provoke(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let grant = Grant { expire_at: Some(now() + 10), ..Grant::default() };
    client.answer(&mut house, call, Answer::Subscribe(grant));
    assert_eq!(client.take().lines, [r#"{"id":2,"subscribe":{}}"#], "the client need not know");
    let heard = next(&mut client, &mut house);
    let (event, call) = &heard.events[0];
    assert_eq!((event.kind, event.channel.as_deref()), (EventKind::SubRefresh, Some("a")));
    assert_eq!(house.now.tick, START.tick + 100);
    client.answer(&mut house, call.unwrap(), Answer::Error(ClientError::INTERNAL));
    let heard = next(&mut client, &mut house);
    assert_eq!(house.now.tick, START.tick + 700, "it is asked again, and the client stays");
    let call = heard.events[0].1.unwrap();
    let longer = RefreshAnswer { expire_at: Some(house.now.millis / 1000 + 100), ..RefreshAnswer::default() };
    client.answer(&mut house, call, Answer::Refresh(longer));
    let heard = next(&mut client, &mut house);
    assert_eq!(house.now.tick, START.tick + 1_700);
    let over = RefreshAnswer { expired: true, ..RefreshAnswer::default() };
    client.answer(&mut house, heard.events[0].1.unwrap(), Answer::Refresh(over));
    assert!(client.take().lines[0].contains(r#""code":2501"#));
    let refresh = r#"{"id":5,"sub_refresh":{"channel":"a","token":"t"}}"#;
    assert!(client.ask(&mut house, refresh).contains(r#""code":103"#), "it is not in any more");
}

#[test]
fn connections_are_renewed_by_the_application() {
    let settings = Settings { connect_call: Some(1_000), refresh_call: Some(1_000), ..Settings::default() };
    let mut house = House::new(settings, vec![("", Options { subscribe: ANY, ..Options::default() })]);
    let mut client = house.guest();
    let (_, call) = client.provoke(&mut house, r#"{"id":1,"connect":{}}"#);
    let answer = ConnectAnswer { user: "ann".into(), expire_at: Some(now() + 10), ..ConnectAnswer::default() };
    client.answer(&mut house, call, Answer::Connect(answer));
    assert!(!client.take().lines[0].contains("ttl"), "the client need not know");
    let heard = next(&mut client, &mut house);
    assert_eq!((heard.events[0].0.kind, house.now.tick), (EventKind::Refresh, START.tick + 100));
    let longer =
        RefreshAnswer { expire_at: Some(house.now.millis / 1000 + 50), info: Some("[2]".into()), expired: false };
    client.answer(&mut house, heard.events[0].1.unwrap(), Answer::Refresh(longer));
    let heard = next(&mut client, &mut house);
    assert_eq!(house.now.tick, START.tick + 600);
    let over = RefreshAnswer { expired: true, ..RefreshAnswer::default() };
    client.answer(&mut house, heard.events[0].1.unwrap(), Answer::Refresh(over));
    assert_eq!(client.take().closed.unwrap().code, 3005);

    let mut other = house.guest();
    let (_, call) = other.provoke(&mut house, r#"{"id":1,"connect":{}}"#);
    other.answer(&mut house, call, Answer::Connect(ConnectAnswer::default()));
    other.take();
    assert_eq!(other.fall(&mut house, &json!({"id": 2, "refresh": {"token": "t"}}).to_string()).code, 3501);
}

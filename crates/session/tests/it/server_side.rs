//! Subscriptions that the server makes: from tokens, from the application's answer, and a channel of one's own.

use jackfield_hub::{Options, SessionOrder};
use jackfield_model::Grant;
use jackfield_model::app::{Answer, Block, ConnectAnswer, InvalidTokens, Revocation};
use jackfield_model::client::Unsubscribed;
use jackfield_session::{PersonalChannel, Settings};
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, START, token, with_tokens};

fn now() -> u64 {
    START.millis / 1000
}

fn kept() -> Options {
    Options { history_size: 5, history_ttl: 60_000, force_recovery: true, ..Options::default() }
}

fn house() -> House {
    House::new(with_tokens(), vec![("", kept()), ("own", Options::default())])
}

fn connect(client: &mut Client, house: &mut House, claims: &Value, subs: &Value) -> Value {
    client.read(house, &json!({"id": 1, "connect": {"token": token(claims), "subs": subs}}))
}

#[test]
fn a_token_puts_its_client_into_channels() {
    let mut house = house();
    let mut ann = house.guest();
    let claims = json!({"sub": "ann", "channels": ["a"], "subs": {"b": {"data": {"hello": 1}}}});
    let reply = connect(&mut ann, &mut house, &claims, &json!({}));
    let subs = &reply["connect"]["subs"];
    assert_eq!((subs.as_object().unwrap().len(), &subs["b"]["data"]), (2, &json!({"hello": 1})));
    assert_eq!(subs["a"]["recoverable"], true);
    assert_eq!(ann.read(&mut house, &json!({"id": 2, "subscribe": {"channel": "a"}}))["error"]["code"], 105);
    assert_eq!(ann.ask(&mut house, r#"{"id":3,"unsubscribe":{"channel":"a"}}"#), r#"{"id":3,"unsubscribe":{}}"#);
    let epoch = subs["b"]["epoch"].clone();
    ann.end(&mut house);
    let publishing = jackfield_hub::Publishing { data: jackfield_model::Payload::json("1"), ..Default::default() };
    house.hub.publish_and_forget("b", publishing, house.now.millis).unwrap();
    let mut ann = house.guest();
    let was = json!({"b": {"recover": true, "offset": 0, "epoch": epoch}});
    let reply = connect(&mut ann, &mut house, &claims, &was);
    let back = &reply["connect"]["subs"]["b"];
    assert_eq!((&back["recovered"], back["publications"].as_array().unwrap().len()), (&json!(true), 1), "{reply}");
}

#[test]
fn one_that_fails_fails_all() {
    let mut house = house();
    let mut ann = house.guest();
    let claims = json!({"sub": "ann", "channels": ["a", "no:such"]});
    assert_eq!(connect(&mut ann, &mut house, &claims, &json!({}))["error"]["code"], 102);
    assert_eq!(house.hub.connections(), 0);
    assert!(house.hub.survey(|_| true).is_empty(), "nobody is left in the others");
    ann.wait(&mut house);
    assert_eq!(ann.take().closed.unwrap().code, 3502);

    house.settings.channel_limit = 1;
    let mut ann = house.guest();
    let many = json!({"id": 1, "connect": {"token": token(&json!({"sub": "ann", "channels": ["a", "b"]}))}});
    assert_eq!(ann.fall(&mut house, &many.to_string()).code, 3505);
}

#[test]
fn the_applications_answer_puts_a_client_into_channels() {
    let mut house = House::new(Settings { connect_call: Some(1_000), ..Settings::default() }, vec![("", kept())]);
    let mut client = house.guest();
    let (_, call) = client.provoke(&mut house, r#"{"id":1,"connect":{}}"#);
    let subs = vec![("a".into(), Grant::default())];
    client.answer(&mut house, call, Answer::Connect(ConnectAnswer { subs, ..ConnectAnswer::default() }));
    let lines = client.take().lines;
    assert!(lines[0].contains(r#""subs":{"a":{"recoverable":true"#), "{lines:?}");
}

#[test]
fn when_the_time_of_one_is_up_the_connection_ends() {
    let mut house = House::new(Settings { connect_call: Some(1_000), ..Settings::default() }, vec![("", kept())]);
    let mut client = house.guest();
    let (_, call) = client.provoke(&mut house, r#"{"id":1,"connect":{}}"#);
    let subs = vec![("a".into(), Grant { expire_at: Some(now() + 1), ..Grant::default() })];
    client.answer(&mut house, call, Answer::Connect(ConnectAnswer { subs, ..ConnectAnswer::default() }));
    let reply: Value = serde_json::from_str(&client.take().lines[0]).unwrap();
    assert_eq!(reply["connect"]["subs"]["a"]["ttl"], 1);
    let (code, at) = loop {
        let at = client.wait(&mut house);
        let heard = client.take();
        if let Some(closed) = heard.closed {
            break (closed.code, at);
        }
        assert_eq!(heard.lines, ["{}"], "a ping");
        client.say(&mut house, "{}");
    };
    assert_eq!((code, at), (3006, START.tick + 260));
}

#[test]
fn what_is_lost_ends_the_connection_where_the_server_subscribed() {
    for (why, code) in [(Unsubscribed::INSUFFICIENT_STATE, 3010), (Unsubscribed::STATE_INVALIDATED, 3014)] {
        let mut house = house();
        let mut ann = house.guest();
        connect(&mut ann, &mut house, &json!({"sub": "ann", "channels": ["a"]}), &json!({}));
        ann.lose(&mut house, 99, &why);
        assert!(ann.is_open(), "another channel");
        ann.lose(&mut house, 1, &why);
        assert_eq!(ann.take().closed.unwrap().code, code);
    }
    let mut house =
        House::new(crate::client::anonymous(), vec![("", Options { subscribe: ANY, ..Options::default() })]);
    let mut client = house.member();
    client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    client.lose(&mut house, 1, &Unsubscribed::STATE_INVALIDATED);
    let heard = client.take();
    assert!(heard.closed.is_none() && heard.lines[0].contains(r#""code":2502"#), "{heard:?}");
}

#[test]
fn every_user_has_a_channel_of_its_own() {
    let mut house = house();
    house.settings.personal_channel = Some(PersonalChannel { namespace: "own".into(), single_connection: true });
    house.settings.time_in_connect = true;
    let mut ann = house.guest();
    let reply = connect(&mut ann, &mut house, &json!({"sub": "ann"}), &json!({}));
    assert_eq!(reply["connect"]["subs"], json!({"own:#ann": {}}));
    assert_eq!(reply["connect"]["time"], START.millis);
    let mut nobody = house.guest();
    assert!(connect(&mut nobody, &mut house, &json!({}), &json!({}))["connect"]["subs"].is_null());
    let orders = house.orders();
    assert!(orders.is_empty(), "{orders:?}");
    let mut second = house.guest();
    connect(&mut second, &mut house, &json!({"sub": "ann"}), &json!({}));
    let orders = house.orders();
    assert_eq!(orders.len(), 1, "the one before is told to go");
    ann.obey(&mut house, &orders[0]);
    second.obey(&mut house, &orders[0]);
    assert_eq!(ann.take().closed.unwrap().code, 3504);
    assert!(second.is_open());
}

#[test]
fn who_is_blocked_or_has_a_void_token_stays_out() {
    let mut house = house();
    house.hub.block(&Block { user: "eve".into(), expire_at: None });
    house.hub.revoke(&Revocation { uid: "j1".into(), ..Revocation::default() });
    for (claims, code) in [(json!({"sub": "eve"}), 3507), (json!({"sub": "ann", "jti": "j1"}), 3500)] {
        let mut client = house.guest();
        let hello = json!({"id": 1, "connect": {"token": token(&claims)}});
        assert_eq!(client.fall(&mut house, &hello.to_string()).code, code);
    }
    assert_eq!(house.hub.connections(), 0);
    let mut ann = house.guest();
    connect(&mut ann, &mut house, &json!({"sub": "ann", "jti": "j2"}), &json!({}));
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert!(ann.is_open(), "its own is good");
    house.hub.revoke(&Revocation { uid: "j2".into(), ..Revocation::default() });
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert_eq!(ann.take().closed.unwrap().code, 3500);
}

#[test]
fn who_has_an_old_token_may_be_told_to_fetch_a_new_one() {
    let mut house = house();
    let tokens = |before, renew| InvalidTokens { user: "ann".into(), issued_before: before, expire_at: None, renew };
    let old = json!({"sub": "ann", "iat": 1.25});
    let mut ann = house.guest();
    connect(&mut ann, &mut house, &old, &json!({}));
    house.hub.invalidate(&tokens(1250, true));
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert!(ann.is_open(), "it is as old as it may be");
    house.hub.invalidate(&tokens(1251, true));
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert_eq!(ann.take().closed.unwrap().code, 3005);
    let mut again = house.guest();
    let hello = json!({"id": 1, "connect": {"token": token(&old)}});
    again.say(&mut house, &hello.to_string());
    let lines = again.take().lines;
    assert!(lines[0].contains("\"code\":109"), "{lines:?}");
    let mut young = house.guest();
    connect(&mut young, &mut house, &json!({"sub": "ann", "iat": 1.251}), &json!({}));
    assert!(young.is_open());
}

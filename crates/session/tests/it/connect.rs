//! `connect` and `refresh`: by token, as nobody, by the application's leave.

use jackfield_hub::Options;
use jackfield_hub::namespace::Permission;
use jackfield_model::app::{Answer, ConnectAnswer, EventKind};
use jackfield_model::{ClientError, Disconnect, Payload};
use jackfield_session::{Hold, Settings, Tells};
use serde_json::json;

use crate::client::{House, START, anonymous, token, with_tokens};

const HELLO: &str = r#"{"id":1,"connect":{}}"#;

fn with(claims: &serde_json::Value) -> String {
    format!(r#"{{"id":1,"connect":{{"token":"{}"}}}}"#, token(claims))
}

fn now() -> u64 {
    START.millis / 1000
}

#[test]
fn nobody_may_come_in_where_that_is_allowed() {
    let mut house = House::open();
    let mut client = house.guest();
    let reply = client.ask(&mut house, HELLO);
    let id = client.session.id();
    assert_eq!(reply, format!(r#"{{"id":1,"connect":{{"client":"{id}","version":"test","ping":25,"pong":true}}}}"#));
    assert_eq!(house.hub.connections(), 1);
    client.end(&mut house);
    assert_eq!(house.hub.connections(), 0);

    let mut house = House::new(Settings { insecure: true, ..Settings::default() }, Vec::new());
    assert!(house.guest().ask(&mut house, HELLO).contains(r#""client""#));
    let mut house = House::new(Settings::default(), Vec::new());
    assert_eq!(house.guest().fall(&mut house, HELLO).code, 3501);
}

#[test]
fn a_token_says_who_it_is() {
    let mut house = House::new(with_tokens(), Vec::new());
    let mut client = house.guest();
    let reply = client.ask(&mut house, &with(&json!({"sub": "ann", "exp": now() + 60, "info": {"name": "Ann"}})));
    assert!(reply.contains(r#""expires":true,"ttl":60"#), "{reply}");
    assert_eq!(client.session.user(), "ann");
    let mut forever = house.guest();
    assert!(!forever.ask(&mut house, &with(&json!({"sub": "ann"}))).contains("ttl"));
}

#[test]
fn bad_tokens_are_told_apart() {
    let mut house = House::new(with_tokens(), Vec::new());
    let mut late = house.guest();
    let reply = late.ask(&mut house, &with(&json!({"sub": "ann", "exp": now()})));
    assert_eq!(reply, r#"{"id":1,"error":{"code":109,"message":"token expired"}}"#);
    assert_eq!(late.fall(&mut house, HELLO).code, 3501, "after an error one more word is too much");
    let forged = r#"{"id":1,"connect":{"token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.AAAA"}}"#;
    assert_eq!(house.guest().fall(&mut house, forged).code, 3500);
    assert_eq!(house.guest().fall(&mut house, HELLO).code, 3501, "no token at all");
    house.settings.disallow_anonymous_tokens = true;
    assert_eq!(house.guest().fall(&mut house, &with(&json!({}))).code, 3507);
    house.settings.disallow_anonymous_tokens = false;
    assert!(house.guest().ask(&mut house, &with(&json!({}))).contains("client"));
    house.settings.verifier = None;
    assert_eq!(house.guest().fall(&mut house, &with(&json!({"sub": "ann"}))).code, 3500);
    assert_eq!(house.hub.connections(), 1);
}

#[test]
fn a_user_has_so_many_connections_and_no_more() {
    let mut house = House::new(Settings { user_connection_limit: 2, ..with_tokens() }, Vec::new());
    let mut first = house.user("ann");
    let _second = house.user("ann");
    let mut third = house.guest();
    assert_eq!(third.fall(&mut house, &with(&json!({"sub": "ann"}))).code, 3504);
    assert_eq!(house.hub.connections(), 2);
    let _another = house.user("bob");
    first.end(&mut house);
    let _fourth = house.user("ann");
    assert_eq!(house.hub.connections(), 3);
}

#[test]
fn nothing_is_heard_before_connect_and_no_second_one() {
    let mut house = House::open();
    for command in [
        r#"{"id":1,"subscribe":{"channel":"a"}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"send":{"data":1}}"#,
        r#"{"id":0,"connect":{}}"#,
        r"{}",
        "",
        "[]",
        "{\"id\":1,\"connect\":{}}\n\n{\"id\":2,\"ping\":{}}",
        r#"{"id":1}"#,
    ] {
        let mut client = house.guest();
        let closed = client.fall(&mut house, command);
        assert_eq!(closed.code, 3501, "{command}");
        assert!(closed.reason.starts_with("bad request: "), "{closed:?}");
        client.say(&mut house, HELLO);
        assert!(client.take().lines.is_empty(), "the dead do not answer");
    }
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn a_second_connect_ends_the_first() {
    let mut house = House::open();
    let mut client = house.member();
    assert_eq!(client.fall(&mut house, r#"{"id":2,"connect":{}}"#).code, 3501);
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn the_application_decides_and_what_came_along_waits() {
    let mut house = House::open();
    house.settings.connect_call = Some(1_500);
    let mut client = house.guest();
    client.say(
        &mut house,
        "{\"id\":1,\"connect\":{\"token\":\"t\",\"data\":{\"a\":1},\"name\":\"js\",\"version\":\"5\"}}\n\
         {\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":7}}\n\
         {\"id\":4,\"presence_stats\":{\"channel\":\"a\"}}",
    );
    let heard = client.take();
    assert!(heard.lines.is_empty() && heard.closed.is_none());
    let [(event, Some(call))] = heard.events.as_slice() else { panic!("{heard:?}") };
    assert_eq!((event.kind, event.deadline), (EventKind::Connect, Some(START.millis + 1_500)));
    let hello = event.hello.as_ref().unwrap();
    assert_eq!((hello.token.as_str(), hello.name.as_str(), hello.version.as_str()), ("t", "js", "5"));
    assert_eq!(event.data.bytes.as_ref(), br#"{"a":1}"#);
    assert_eq!(client.hold(&mut house), Hold::UntilAnswer);
    let answer = ConnectAnswer {
        user: "ann".into(),
        data: Some(Payload::json(r#"{"hi":1}"#)),
        meta: Some("5".into()),
        expire_at: Some(now() + 60),
        ..ConnectAnswer::default()
    };
    client.answer(&mut house, *call, Answer::Connect(answer));
    assert_eq!(client.hold(&mut house), Hold::No);
    let lines = client.take().lines;
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].contains(r#""data":{"hi":1}"#) && !lines[0].contains("ttl"), "{}", lines[0]);
    for (nth, id) in (1..).zip(&lines) {
        assert!(id.starts_with(&format!(r#"{{"id":{nth},"#)), "in order: {lines:?}");
    }
    assert!(lines[3].contains(r#""num_clients":1"#), "{}", lines[3]);
    assert_eq!(client.session.user(), "ann");
    // What the application keeps with a connection comes with its events.
    house.settings.rpc_call = Some(100);
    client.say(&mut house, r#"{"id":5,"rpc":{"method":"m"}}"#);
    assert_eq!(client.take().events[0].0.origin.meta.as_deref(), Some(&b"5"[..]));
}

#[test]
fn the_application_refuses_or_throws_out() {
    let mut house = House::new(Settings { connect_call: Some(100), ..Settings::default() }, Vec::new());
    let held = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}";
    let mut refused = house.guest();
    refused.say(&mut house, held);
    let call = refused.take().events[0].1.unwrap();
    refused.answer(&mut house, call, Answer::Error(ClientError::new(401, "no")));
    let heard = refused.take();
    assert_eq!(heard.lines, [r#"{"id":1,"error":{"code":401,"message":"no"}}"#]);
    assert!(heard.closed.is_none(), "it may read the error");
    assert_eq!(refused.fall(&mut house, HELLO).code, 3501);

    let mut thrown = house.guest();
    thrown.say(&mut house, held);
    let call = thrown.take().events[0].1.unwrap();
    thrown.answer(&mut house, call, Answer::Disconnect(Disconnect::new(4501, "banned")));
    let heard = thrown.take();
    assert_eq!(heard.closed.unwrap().code, 4501);
    assert!(heard.lines.is_empty() && heard.events.is_empty(), "{:?}", heard.events);

    let mut confused = house.guest();
    confused.say(&mut house, HELLO);
    let call = confused.take().events[0].1.unwrap();
    confused.answer(&mut house, call, Answer::Rpc(Payload::json("1")));
    assert!(confused.take().lines[0].contains(r#""code":100"#));
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn a_good_token_needs_no_application() {
    let mut house = House::new(Settings { connect_call: Some(100), ..with_tokens() }, Vec::new());
    let _ann = house.user("ann");
    let mut guest = house.guest();
    guest.say(&mut house, HELLO);
    assert_eq!(guest.take().events.len(), 1);
}

#[test]
fn the_application_hears_of_those_who_come_and_go() {
    let tells = Tells { connect: true, disconnect: true, message: true, ..Tells::default() };
    let mut house = House::new(Settings { tells, ..anonymous() }, Vec::new());
    let mut client = house.guest();
    client.say(&mut house, r#"{"id":1,"connect":{"data":{"from":"here"}}}"#);
    client.say(&mut house, r#"{"send":{"data":"x"}}"#);
    client.disconnect(&mut house, Disconnect::FORCE);
    client.end(&mut house);
    let heard = client.take();
    let told: Vec<_> =
        heard.events.iter().map(|(event, call)| (event.kind.name(), event.seq, call.is_some())).collect();
    assert_eq!(told, [("connect", 1, false), ("message", 2, true), ("disconnect", 3, false)]);
    assert_eq!(heard.events[0].0.data.bytes.as_ref(), br#"{"from":"here"}"#);
    assert_eq!(heard.events[2].0.data.bytes.as_ref(), br#"{"code":3503,"reason":"force disconnect"}"#);
    let origin = &heard.events[0].0.origin;
    assert_eq!((origin.transport, origin.protocol, &*origin.listener), ("websocket", "centrifugo-json", "/door"));
    let mut shy = house.guest();
    shy.end(&mut house);
    assert!(shy.take().events.is_empty(), "who was never in does not leave");
}

#[test]
fn refresh_renews_the_same_user() {
    let mut house = House::new(with_tokens(), Vec::new());
    let refresh = |claims: &serde_json::Value| format!(r#"{{"id":2,"refresh":{{"token":"{}"}}}}"#, token(claims));
    let mut client = house.guest();
    client.ask(&mut house, &with(&json!({"sub": "ann", "exp": now() + 10})));
    let reply = client.ask(&mut house, &refresh(&json!({"sub": "ann", "exp": now() + 100})));
    assert!(reply.contains(r#""expires":true,"ttl":100"#), "{reply}");
    for (claims, code) in
        [(json!({"sub": "bob", "exp": now() + 100}), 3500), (json!({"sub": "ann", "exp": now() - 1}), 3005)]
    {
        let mut client = house.user("ann");
        assert_eq!(client.fall(&mut house, &refresh(&claims)).code, code);
    }
    assert_eq!(house.user("ann").fall(&mut house, r#"{"id":2,"refresh":{"token":"x"}}"#).code, 3500);
    assert_eq!(house.user("ann").fall(&mut house, r#"{"id":2,"refresh":{}}"#).code, 3501);
    let mut house = House::open();
    let reply = house.member().ask(&mut house, r#"{"id":2,"refresh":{"token":"x"}}"#);
    assert!(reply.contains(r#""code":108"#), "{reply}");
}

#[test]
fn the_application_hears_of_each_channel_behind_the_connect_and_before_the_end() {
    let tells = Tells { connect: true, disconnect: true, subscribe: true, unsubscribe: true, ..Tells::default() };
    let silent = Options { subscribe_events: false, ..open_to_all() };
    let namespaces = vec![("a", open_to_all()), ("silent", silent)];
    let mut house = House::new(Settings { tells, ..anonymous() }, namespaces);
    let mut client = house.guest();
    client.say(&mut house, r#"{"id":1,"connect":{"subs":{"a:1":{}}}}"#);
    for (id, channel) in [(2, "a:2"), (3, "silent:1"), (4, "a:3")] {
        client.say(&mut house, &format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#));
    }
    client.say(&mut house, r#"{"id":5,"unsubscribe":{"channel":"a:2"}}"#);
    client.disconnect(&mut house, Disconnect::FORCE);
    let events = client.take().events;
    let told: Vec<_> = events
        .iter()
        .map(|(event, _)| (event.seq, event.kind.name(), event.channel.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "connect", ""),
            (2, "subscribe", "a:1"),
            (3, "subscribe", "a:2"),
            (4, "subscribe", "a:3"),
            (5, "unsubscribe", "a:2"),
            (6, "unsubscribe", "a:1"),
            (7, "unsubscribe", "a:3"),
            (8, "disconnect", ""),
        ]
    );
    assert_eq!(events[4].0.data.bytes.as_ref(), br#"{"code":0,"reason":"client unsubscribed"}"#);
    assert_eq!(events[5].0.data.bytes.as_ref(), br#"{"code":3503,"reason":"force disconnect"}"#);
}

fn open_to_all() -> Options {
    let subscribe = Permission { client: true, subscriber: false, anonymous: true };
    Options { subscribe, ..Options::default() }
}

//! What the application does to a client that is in.

use jackfield_hub::{Options, SessionOrder};
use jackfield_model::app::{Refresh, Subscribe, Target, Unsubscribe};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{Grant, Position, Uuid};
use jackfield_session::{Dialect, Framing, Keepalive};

use crate::client::{ANY, House, START, anonymous, deliver, endpoint};

fn house() -> House {
    let options = Options { history_size: 5, history_ttl: 60_000, publish: ANY, subscribe: ANY, ..Options::default() };
    House::new(anonymous(), vec![("", options)])
}

fn subscribe(target: Target, recover_since: Option<Position>) -> SessionOrder {
    SessionOrder::Subscribe(Subscribe { target, channel: "a".into(), grant: Grant::default(), recover_since })
}

fn of(client: &crate::client::Client) -> Target {
    Target { client: Some(client.session.id()), ..Target::default() }
}

#[test]
fn a_client_is_put_into_a_channel_and_out_again() {
    let mut house = house();
    let mut client = house.member();
    let other = Target { client: Some(Uuid::from_u128(99)), ..Target::default() };
    client.obey(&mut house, &subscribe(other, None));
    assert!(client.take().lines.is_empty(), "somebody else is meant");
    let order = subscribe(of(&client), None);
    client.obey(&mut house, &order);
    client.obey(&mut house, &order);
    let lines = client.take().lines;
    assert!(lines.len() == 1 && lines[0].starts_with(r#"{"push":{"channel":"a","subscribe":{"#), "{lines:?}");
    assert!(client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#).contains(r#""code":105"#));
    client.ask(&mut house, r#"{"id":3,"publish":{"channel":"a","data":1}}"#);
    assert_eq!(deliver(&mut house, &client).len(), 1);
    let target = of(&client);
    let order = Unsubscribe { target, channel: "a".into(), unsubscribed: Unsubscribed::SERVER };
    client.obey(&mut house, &SessionOrder::Unsubscribe(order.clone()));
    client.obey(&mut house, &SessionOrder::Unsubscribe(order));
    let out = r#"{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#;
    assert_eq!(client.take().lines, [out]);
    assert!(house.hub.survey(|_| true).is_empty());
}

#[test]
fn what_was_missed_follows_the_push() {
    let mut house = house();
    let mut client = house.member();
    for n in 1..4 {
        client.ask(&mut house, &format!(r#"{{"id":2,"publish":{{"channel":"a","data":{n}}}}}"#));
    }
    // Who is put in by the server recovers where the channel lets anybody do so.
    let since = Some(Position { offset: 1, epoch: "".into() });
    let mut order =
        Subscribe { target: of(&client), channel: "a".into(), recover_since: since, ..Subscribe::default() };
    order.grant.overrides.force_recovery = Some(true);
    client.obey(&mut house, &SessionOrder::Subscribe(order));
    let lines = client.take().lines;
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains(r#""subscribe":{"#) && lines[0].contains(r#""offset":1"#), "{lines:?}");
    assert!(lines[1].contains(r#""offset":2"#) && lines[2].contains(r#""offset":3"#), "{lines:?}");
}

#[test]
fn nobody_is_put_into_more_than_it_may_have() {
    let mut house = house();
    house.settings.channel_limit = 1;
    let mut client = house.member();
    client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"b"}}"#);
    let order = subscribe(of(&client), None);
    client.obey(&mut house, &order);
    assert_eq!(client.take().closed.unwrap().code, 3505);
}

#[test]
fn the_end_of_a_connection_moves() {
    let mut house = house();
    // The first ping falls at a random moment and would be due before.
    house.settings.ping_interval = 0;
    let mut client = house.member();
    let refresh = |expire_at, expired| SessionOrder::Refresh(Refresh { expire_at, expired, ..Refresh::default() });
    client.obey(&mut house, &refresh(Some(START.millis / 1000 + 1), false));
    assert_eq!(client.session.due(), START.tick + 260, "with time to bring a token");
    client.obey(&mut house, &refresh(None, false));
    assert_eq!(client.session.due(), u32::MAX, "it never ends");
    assert!(client.take().lines.is_empty());
    client.obey(&mut house, &refresh(None, true));
    assert_eq!(client.take().closed.unwrap().code, 3005);
    let mut client = house.member();
    client.obey(&mut house, &refresh(Some(1), false));
    assert_eq!(client.take().closed.unwrap().code, 3005, "it is past");
}

#[test]
fn a_unidirectional_client_hears_of_it_and_is_found_by_its_session() {
    let mut house = house();
    let door = endpoint(Dialect::CentrifugoUniJson, Framing::Sse, Keepalive::MessagesUnanswered, None);
    let mut client = house.visit(&door, None);
    client.say(&mut house, "{}");
    client.take();
    let order = |session| {
        let target = Target { session: Some(session), ..Target::default() };
        SessionOrder::Refresh(Refresh { target, expire_at: Some(START.millis / 1000 + 9), ..Refresh::default() })
    };
    client.obey(&mut house, &order(Uuid::from_u128(77)));
    assert!(client.take().lines.is_empty());
    let own = order(client.session.id());
    client.obey(&mut house, &own);
    assert_eq!(client.take().lines, [r#"{"refresh":{"expires":true,"ttl":9}}"#]);
}

#[test]
fn whoever_let_a_client_in_says_whether_it_may_publish() {
    let options = Options { subscribe: ANY, ..Options::default() };
    let mut house = House::new(anonymous(), vec![("", options)]);
    let mut client = house.member();
    let said = |may: Option<bool>, target: Target| {
        let mut order = Subscribe { target, channel: "a".into(), ..Subscribe::default() };
        order.grant.overrides.publish = may;
        SessionOrder::Subscribe(order)
    };
    client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    let publish = r#"{"id":3,"publish":{"channel":"a","data":1}}"#;
    assert!(client.ask(&mut house, publish).contains(r#""code":103"#), "the namespace lets nobody");
    client.obey(&mut house, &said(Some(true), of(&client)));
    assert!(client.ask(&mut house, publish).contains(r#""publish":{}"#));
    // What is not said stays.
    client.obey(&mut house, &said(None, of(&client)));
    assert!(client.ask(&mut house, publish).contains(r#""publish":{}"#));
    client.obey(&mut house, &said(Some(false), of(&client)));
    assert!(client.ask(&mut house, publish).contains(r#""code":103"#));
    // It goes with the subscription.
    client.obey(&mut house, &said(Some(true), of(&client)));
    client.ask(&mut house, r#"{"id":4,"unsubscribe":{"channel":"a"}}"#);
    client.ask(&mut house, r#"{"id":5,"subscribe":{"channel":"a"}}"#);
    assert!(client.ask(&mut house, publish).contains(r#""code":103"#));
}

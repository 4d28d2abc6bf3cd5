//! What time does: stale, pings, pongs, the end of a token.

use jackfield_model::app::{Answer, ConnectAnswer};
use jackfield_session::{Keepalive, Settings, Tick};
use serde_json::json;

use crate::client::{Client, House, START, anonymous, json as endpoint, token, with_tokens};

#[test]
fn who_says_nothing_is_stale() {
    let mut house = House::open();
    let mut client = house.guest();
    assert_eq!(client.wait(&mut house), START.tick + 100);
    assert_eq!(client.take().closed.unwrap().code, 3502);
    assert_eq!(client.session.due(), Tick::MAX);
    client.time(&mut house);
    assert!(client.is_open(), "nothing more comes of it");
}

#[test]
fn who_was_refused_is_stale_too() {
    let mut house = House::new(with_tokens(), Vec::new());
    let mut client = house.guest();
    let late = token(&json!({"sub": "a", "exp": 1}));
    client.ask(&mut house, &format!(r#"{{"id":1,"connect":{{"token":"{late}"}}}}"#));
    client.wait(&mut house);
    assert_eq!(client.take().closed.unwrap().code, 3502);
}

#[test]
fn who_waits_for_the_application_is_not_stale() {
    let mut house = House::new(Settings { connect_call: Some(60_000), ..Settings::default() }, Vec::new());
    let mut client = house.guest();
    client.say(&mut house, r#"{"id":1,"connect":{}}"#);
    for _ in 0..5 {
        client.wait(&mut house);
        assert!(client.is_open());
    }
    let call = client.take().events[0].1.unwrap();
    client.answer(&mut house, call, Answer::Connect(ConnectAnswer::default()));
    assert!(client.take().lines[0].contains("connect"));
    assert!(client.session.due() >= house.now.tick + 125);
}

#[test]
fn pings_begin_between_half_an_interval_and_a_whole_one() {
    let mut house = House::open();
    let (mut first, mut last) = (Tick::MAX, 0);
    for _ in 0..500 {
        let due = house.member().session.due() - house.now.tick;
        (first, last) = (first.min(due), last.max(due));
    }
    assert!((125..135).contains(&first), "{first}");
    assert!((240..=250).contains(&last), "{last}");
}

fn ping(client: &mut Client, house: &mut House) -> Tick {
    let at = client.wait(house);
    assert_eq!(client.take().lines, ["{}"]);
    at
}

#[test]
fn every_ping_is_answered_once() {
    let mut house = House::open();
    let mut client = house.member();
    let first = ping(&mut client, &mut house);
    assert_eq!(client.session.due(), first + 80);
    client.say(&mut house, "{}");
    assert_eq!(ping(&mut client, &mut house), first + 250);
    client.say(&mut house, "{}\n{\"id\":5,\"ping\":{}}");
    assert_eq!(client.take().lines, [r#"{"id":5,"ping":{}}"#]);
    assert_eq!(client.fall(&mut house, "{}").code, 3501, "a pong without a ping");
}

#[test]
fn other_words_are_no_pong() {
    let mut house = House::open();
    let mut client = house.member();
    ping(&mut client, &mut house);
    client.ask(&mut house, r#"{"id":5,"ping":{}}"#);
    client.wait(&mut house);
    assert_eq!(client.take().closed.unwrap().code, 3012);
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn a_ping_that_is_long_under_way_is_one_ping() {
    let mut house = House::open();
    let mut client = house.member();
    let first = ping(&mut client, &mut house);
    while house.now.tick < first + 2000 {
        client.wait_behind(&mut house);
        let heard = client.take();
        assert!(heard.closed.is_none() && heard.lines.is_empty(), "{:?}", heard.lines);
    }
    client.say(&mut house, "{}");
    assert!(client.is_open());
    ping(&mut client, &mut house);
    client.wait(&mut house);
    assert_eq!(client.take().closed.unwrap().code, 3012, "who is not behind any more must answer");
}

#[test]
fn people_who_type_need_not_answer() {
    let mut house = House::open();
    let mut client = house.visit(&endpoint(Keepalive::MessagesUnanswered), None);
    let reply = client.ask(&mut house, r#"{"id":1,"connect":{}}"#);
    assert!(!reply.contains("pong"), "{reply}");
    for _ in 0..4 {
        ping(&mut client, &mut house);
    }
    client.say(&mut house, "{}\n{}");
    assert!(client.is_open());
    let mut early = house.visit(&endpoint(Keepalive::MessagesUnanswered), None);
    assert_eq!(early.fall(&mut house, "{}").code, 3501);
}

#[test]
fn no_interval_no_pings() {
    let mut house = House::new(Settings { ping_interval: 0, ..anonymous() }, Vec::new());
    let mut client = house.guest();
    let reply = client.ask(&mut house, r#"{"id":1,"connect":{}}"#);
    assert!(!reply.contains("ping"), "{reply}");
    assert_eq!(client.session.due(), Tick::MAX);
}

#[test]
fn a_token_ends_with_a_grace_and_a_refresh_moves_it() {
    let mut house = House::new(Settings { ping_interval: 0, ..with_tokens() }, Vec::new());
    let expiring = |seconds: u64| token(&json!({"sub": "ann", "exp": START.millis / 1000 + seconds}));
    let mut client = house.guest();
    client.ask(&mut house, &format!(r#"{{"id":1,"connect":{{"token":"{}"}}}}"#, expiring(10)));
    assert_eq!(client.session.due(), START.tick + 100 + 250);
    house.pass(200);
    client.ask(&mut house, &format!(r#"{{"id":2,"refresh":{{"token":"{}"}}}}"#, expiring(60)));
    assert_eq!(client.session.due(), START.tick + 600 + 250);
    client.wait(&mut house);
    assert_eq!(client.take().closed.unwrap().code, 3005);

    let mut client = house.guest();
    let at = house.now.millis / 1000;
    let fresh = token(&json!({"sub": "ann", "exp": at + 5}));
    client.ask(&mut house, &format!(r#"{{"id":1,"connect":{{"token":"{fresh}"}}}}"#));
    let endless = token(&json!({"sub": "ann"}));
    client.ask(&mut house, &format!(r#"{{"id":2,"refresh":{{"token":"{endless}"}}}}"#));
    assert_eq!(client.session.due(), Tick::MAX);
}

#[test]
fn a_far_end_is_no_overflow() {
    let mut house = House::new(Settings { ping_interval: 0, ..with_tokens() }, Vec::new());
    for at in [u64::MAX, u64::from(u32::MAX) * 1000] {
        let mut client = house.guest();
        let token = token(&json!({"sub": "ann", "exp": at}));
        let reply = client.ask(&mut house, &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#));
        assert!(reply.contains(r#""ttl":31536000"#), "{reply}");
        assert!(client.session.due() > house.now.tick + 1_000_000);
    }
}

#[test]
fn the_applications_end_counts_too() {
    let mut house = House::new(Settings { ping_interval: 0, connect_call: Some(1), ..Settings::default() }, Vec::new());
    let mut client = house.guest();
    client.say(&mut house, r#"{"id":1,"connect":{}}"#);
    let call = client.take().events[0].1.unwrap();
    let expire_at = Some(START.millis / 1000 + 10);
    client.answer(&mut house, call, Answer::Connect(ConnectAnswer { expire_at, ..ConnectAnswer::default() }));
    client.take();
    client.wait(&mut house);
    assert_eq!(client.take().closed.unwrap().code, 3005);
}

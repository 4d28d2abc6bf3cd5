//! The application asks a client, which answers by a method that never gets to the application.

use std::sync::mpsc::{Receiver, channel};

use jackfield_dialects::raw::Mode;
use jackfield_hub::control::{ControlError, Outcome, apply};
use jackfield_model::app::{ClientCall, Command, Target};
use jackfield_model::{ClientError, Disconnect, Payload};
use jackfield_session::{Dialect, Framing, Keepalive};
use serde_json::{Value, json};

use crate::client::{Client, House, START, endpoint, with_tokens};

type Answers = Receiver<Result<Outcome, ControlError>>;

fn call(house: &House, target: Target) -> Answers {
    let call = ClientCall { target, method: "where".to_owned(), data: Payload::json("[1]"), timeout: 5_000 };
    let (done, answers) = channel();
    apply(&house.hub, &Command::Call(call), START.millis, Box::new(move |outcome| done.send(outcome).unwrap()));
    answers
}

fn of(client: &Client) -> Target {
    Target { client: Some(client.session.id()), ..Target::default() }
}

/// What the client hears of it.
fn question(house: &mut House, client: &mut Client) -> Value {
    for order in house.orders() {
        client.obey(house, &order);
    }
    let lines = client.take().lines;
    serde_json::from_str::<Value>(lines.last().unwrap()).unwrap()["push"]["message"]["data"].clone()
}

fn answer(id: u32, said: &Value) -> String {
    json!({"id": id, "rpc": {"method": "jackfield.answer", "data": said}}).to_string()
}

fn code(answers: &Answers) -> u32 {
    match answers.try_recv().unwrap() {
        Err(ControlError::Refused(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_answers_once_and_only_what_it_was_asked() {
    let mut house = House::open();
    let (mut client, mut other) = (house.member(), house.member());
    let answers = call(&house, of(&client));
    let asked = question(&mut house, &mut client);
    assert_eq!((&asked["method"], &asked["data"]), (&json!("where"), &json!([1])));
    let said = answer(7, &json!({"call": asked["call"], "data": {"x": 1}}));
    assert!(other.ask(&mut house, &said).contains(r#""code":107"#), "it was not asked");
    assert!(answers.try_recv().is_err());
    assert_eq!(client.ask(&mut house, &said), r#"{"id":7,"rpc":{"data":{}}}"#);
    assert_eq!(answers.try_recv().unwrap(), Ok(Outcome::Answered(r#"{"x":1}"#.into())));
    assert!(client.ask(&mut house, &said).contains(r#""code":107"#), "twice");
    for wrong in [json!({}), json!({"call": 1}), json!({"call": asked["call"], "data": 1, "error": {}}), json!([])] {
        assert!(client.ask(&mut house, &answer(8, &wrong)).contains(r#""code":107"#), "{wrong}");
    }
    assert_eq!(house.hub.inquiries(), 0);
}

#[test]
fn an_error_of_the_client_comes_to_whoever_asked() {
    let mut house = House::open();
    let mut client = house.member();
    let answers = call(&house, of(&client));
    let id = question(&mut house, &mut client)["call"].clone();
    let wrong = answer(7, &json!({"call": id, "error": {"code": 100, "message": "mine"}}));
    assert!(client.ask(&mut house, &wrong).contains(r#""code":107"#), "the server's own codes are not for clients");
    client.ask(&mut house, &answer(8, &json!({"call": id, "error": {"code": 451, "message": "no"}})));
    assert_eq!(answers.try_recv().unwrap(), Err(ControlError::Refused(ClientError::new(451, "no"))));
}

#[test]
fn without_an_answer_whoever_asked_hears_why() {
    let mut house = House::new(with_tokens(), Vec::new());
    let (mut client, second) = (house.user("ann"), house.user("ann"));
    let ann = Target { user: Some("ann".into()), ..Target::default() };
    assert_eq!(code(&call(&house, ann.clone())), 107, "two match");
    assert_eq!(code(&call(&house, Target { user: Some("bob".into()), ..Target::default() })), 108);
    let ended = call(&house, of(&client));
    client.disconnect(&mut house, Disconnect::FORCE);
    assert_eq!(code(&ended), 108);
    let late = call(&house, ann);
    house.hub.sweep(0, START.millis + 4_999);
    assert!(late.try_recv().is_err());
    house.hub.sweep(1, START.millis + 5_000);
    assert_eq!(code(&late), 100);
    drop(second);
    assert_eq!(house.hub.inquiries(), 0);
}

#[test]
fn a_raw_client_cannot_be_asked() {
    let mut house = House::open();
    let raw = endpoint(Dialect::Raw(Mode::Json), Framing::Lines, Keepalive::Tcp, None);
    let mut client = house.visit(&raw, None);
    let answers = call(&house, of(&client));
    for order in house.orders() {
        client.obey(&mut house, &order);
    }
    assert_eq!(code(&answers), 108);
}

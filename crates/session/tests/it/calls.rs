//! Questions to the application: how many, in which order, and what comes of them.

use jackfield_model::app::{Answer, ConnectAnswer};
use jackfield_model::{ClientError, Disconnect, Payload};
use jackfield_session::{Settings, Tells};

use crate::client::{Client, House, anonymous};

fn house() -> House {
    let tells = Tells { message: true, ..Tells::default() };
    House::new(Settings { rpc_call: Some(2_000), tells, calls_in_flight: 3, ..anonymous() }, Vec::new())
}

fn rpc(client: &mut Client, house: &mut House, id: u32) -> u32 {
    client.say(house, &format!(r#"{{"id":{id},"rpc":{{"method":"m","data":{id}}}}}"#));
    let heard = client.take();
    assert!(heard.lines.is_empty(), "{heard:?}");
    heard.events[0].1.unwrap()
}

#[test]
fn answers_find_their_questions_in_any_order() {
    let mut house = house();
    let mut client = house.member();
    let calls: Vec<u32> = (10..13).map(|id| rpc(&mut client, &mut house, id)).collect();
    assert_eq!(client.ask(&mut house, r#"{"id":99,"ping":{}}"#), r#"{"id":99,"ping":{}}"#, "pings are not held up");
    client.answer(&mut house, calls[2], Answer::Rpc(Payload::json("[3]")));
    client.answer(&mut house, calls[0], Answer::Error(ClientError::METHOD_NOT_FOUND));
    client.answer(&mut house, calls[1], Answer::Error(ClientError::INTERNAL));
    assert_eq!(
        client.take().lines,
        [
            r#"{"id":12,"rpc":{"data":[3]}}"#,
            r#"{"id":10,"error":{"code":104,"message":"method not found"}}"#,
            r#"{"id":11,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
        ]
    );
    for call in calls.into_iter().chain([0, 77, u32::MAX]) {
        client.answer(&mut house, call, Answer::Rpc(Payload::json("1")));
        client.answer(&mut house, call, Answer::Disconnect(Disconnect::FORCE));
    }
    let heard = client.take();
    assert!(heard.lines.is_empty() && heard.closed.is_none(), "an answer counts once: {heard:?}");
}

#[test]
fn so_many_questions_wait_and_no_more() {
    let mut house = house();
    let mut client = house.member();
    let first = rpc(&mut client, &mut house, 1);
    rpc(&mut client, &mut house, 2);
    rpc(&mut client, &mut house, 3);
    for command in [r#"{"id":4,"rpc":{"method":"m"}}"#, r#"{"id":4,"send":{"data":1}}"#] {
        let reply = client.ask(&mut house, command);
        assert_eq!(reply, r#"{"id":4,"error":{"code":111,"message":"too many requests","temporary":true}}"#);
    }
    client.answer(&mut house, first, Answer::Rpc(Payload::json("1")));
    client.take();
    rpc(&mut client, &mut house, 5);
    assert_eq!(client.fall(&mut house, r#"{"send":{"data":1}}"#).code, 3013, "no id, no error: it cannot be told");
}

#[test]
fn events_are_numbered_without_a_gap() {
    let mut house = house();
    let mut client = house.member();
    let mut numbers = Vec::new();
    let mut waiting: Vec<u32> = Vec::new();
    for id in 1..200 {
        client.say(&mut house, &format!(r#"{{"id":{id},"send":{{"data":{id}}}}}"#));
        for (event, call) in client.take().events {
            numbers.push(event.seq);
            waiting.extend(call);
        }
        if id % 5 == 0 {
            client.answer(&mut house, waiting.remove(0), Answer::Enqueued);
        }
    }
    client.end(&mut house);
    assert!(numbers.len() > 30);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_send_with_an_id_is_acknowledged_and_one_without_is_not() {
    let mut house = house();
    let mut client = house.member();
    client.say(&mut house, "{\"id\":7,\"send\":{\"data\":1}}\n{\"send\":{\"data\":2}}\n{\"send\":{\"data\":3}}");
    let calls: Vec<u32> = client.take().events.into_iter().filter_map(|(_, call)| call).collect();
    client.answer(&mut house, calls[1], Answer::Enqueued);
    client.answer(&mut house, calls[2], Answer::Error(ClientError::TOO_MANY_REQUESTS));
    assert!(client.take().lines.is_empty());
    client.answer(&mut house, calls[0], Answer::Enqueued);
    assert_eq!(client.take().lines, [r#"{"id":7,"send":{}}"#]);
}

#[test]
fn the_wrong_kind_of_answer_is_our_own_trouble() {
    let mut house = house();
    let mut client = house.member();
    let call = rpc(&mut client, &mut house, 1);
    client.answer(&mut house, call, Answer::Connect(ConnectAnswer { user: "eve".into(), ..ConnectAnswer::default() }));
    assert!(client.take().lines[0].contains(r#""code":100"#));
    assert_eq!(client.session.user(), "");
}

#[test]
fn an_answer_may_end_the_connection_and_none_comes_after_the_end() {
    let mut house = house();
    let mut client = house.member();
    let (first, second) = (rpc(&mut client, &mut house, 1), rpc(&mut client, &mut house, 2));
    client.answer(&mut house, first, Answer::Disconnect(Disconnect::new(4000, "bye")));
    assert_eq!(client.take().closed.unwrap().code, 4000);
    client.answer(&mut house, second, Answer::Rpc(Payload::json("1")));
    let heard = client.take();
    assert!(heard.lines.is_empty() && heard.closed.is_none());
}

#[test]
fn an_rpc_carries_its_method_and_its_deadline() {
    let mut house = house();
    let mut client = house.member();
    client.say(&mut house, r#"{"id":1,"rpc":{"method":"sum","data":{"a":[1,2]}}}"#);
    let (event, _) = client.take().events.remove(0);
    assert_eq!((event.name.as_str(), event.data.bytes.as_ref()), ("sum", &br#"{"a":[1,2]}"#[..]));
    assert_eq!(event.deadline, Some(house.now.millis + 2_000));
    assert_eq!(event.id.get_version_num(), 7);
}

//! Interest keys: who hears what changes while the subscription lasts.

use jackfield_hub::namespace::{Delivery, Options};
use jackfield_hub::{InterestBy, control};
use jackfield_model::Payload;
use jackfield_model::app::{Command, Publish, PublishMore};
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, anonymous, deliver};

fn arena(delivery: Delivery) -> House {
    let options = Options {
        interest: Some(InterestBy::Tag("area".into())),
        snapshot: true,
        delivery,
        tags_filter: true,
        history_size: 10,
        history_ttl: 60_000,
        subscribe: ANY,
        publish: ANY,
        ..Options::default()
    };
    House::new(anonymous(), vec![("", options)])
}

/// A figure is somewhere.
fn publish(house: &House, key: &str, area: &str, n: u32) {
    let tags =
        (!area.is_empty()).then(|| std::sync::Arc::new([("area".to_owned(), area.to_owned())].into_iter().collect()));
    let publish = Publish {
        channel: "a".into(),
        data: Payload::json(n.to_string()),
        tags,
        more: Some(Box::new(PublishMore { key: key.to_owned(), ..PublishMore::default() })),
        ..Publish::default()
    };
    let done = Box::new(|outcome: Result<_, _>| assert!(outcome.is_ok(), "{outcome:?}"));
    control::apply(&house.hub, &Command::Publish(publish), house.now.millis, done);
}

fn player(house: &mut House) -> (Client, Value) {
    let mut client = house.member();
    let reply = client.read(house, &json!({"id": 3, "subscribe": {"channel": "a"}}));
    (client, reply)
}

/// Says what it wants; the reply, and the data of the values that it is shown at once.
fn turn_to(client: &mut Client, house: &mut House, keys: &[&str]) -> (Value, Vec<Value>) {
    let wish = json!({"id": 4, "rpc": {"method": "jackfield.interest", "data": {"channel": "a", "keys": keys}}});
    client.say(house, &wish.to_string());
    let heard = client.take();
    let mut lines = heard.lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let reply = lines.next().unwrap();
    let values = lines.map(|line| line["push"]["pub"].clone()).collect::<Vec<_>>();
    (reply, values)
}

fn numbers(house: &mut House, client: &Client) -> Vec<u64> {
    let lines = deliver(house, client);
    let publications = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    publications.map(|line| line["push"]["pub"]["data"].as_u64().unwrap()).collect()
}

#[test]
fn each_hears_what_is_near_and_what_is_everywhere() {
    let mut house = arena(Delivery::All);
    publish(&house, "ann", "1:1", 1);
    publish(&house, "bob", "1:2", 2);
    publish(&house, "score", "", 3);
    let (mut client, reply) = player(&mut house);
    let first: Vec<_> = reply["subscribe"]["publications"].as_array().unwrap().iter().map(|one| &one["data"]).collect();
    assert_eq!(first, [&json!(3)], "nothing that has a key, until it says which");
    publish(&house, "ann", "1:1", 4);
    publish(&house, "score", "", 5);
    assert_eq!(numbers(&mut house, &client), [5]);

    let (reply, values) = turn_to(&mut client, &mut house, &["1:1", "9:9"]);
    assert_eq!(reply, json!({"id": 4, "rpc": {"data": {"keys": 2}}}));
    let shown: Vec<_> = values.iter().map(|one| &one["data"]).collect();
    assert_eq!(shown, [&json!(4)], "what is there already is shown at once");
    assert!(values[0]["offset"].is_null(), "it counts for no position: {values:?}");
    for (key, area, n) in [("ann", "1:1", 6), ("bob", "1:2", 7), ("score", "", 8)] {
        publish(&house, key, area, n);
    }
    assert_eq!(numbers(&mut house, &client), [6, 8]);

    // It walks on: only what is new to it is shown.
    let (_, values) = turn_to(&mut client, &mut house, &["1:1", "1:2"]);
    let shown: Vec<_> = values.iter().map(|one| &one["data"]).collect();
    assert_eq!(shown, [&json!(7)]);
    let (_, values) = turn_to(&mut client, &mut house, &[]);
    assert_eq!(values, [] as [Value; 0]);
    publish(&house, "ann", "1:1", 9);
    assert_eq!(numbers(&mut house, &client), [] as [u64; 0]);
}

#[test]
fn sampled_readers_share_what_waits_and_hear_their_own_keys() {
    let mut house = arena(Delivery::Sampled(10));
    let (mut one, _) = player(&mut house);
    let (mut other, _) = player(&mut house);
    turn_to(&mut one, &mut house, &["1:1"]);
    turn_to(&mut other, &mut house, &["1:2"]);
    publish(&house, "ann", "1:1", 1);
    publish(&house, "bob", "1:2", 2);
    let mut mine = deliver(&mut house, &one);
    let yours = deliver(&mut house, &other);
    assert_eq!((mine.len(), yours.len()), (1, 1));
    assert!(mine.remove(0).contains(r#""data":1"#));
}

#[test]
fn a_filter_counts_beside_it() {
    let mut house = arena(Delivery::All);
    publish(&house, "ann", "1:1", 1);
    let mut client = house.member();
    let wish = json!({"id": 3, "subscribe": {"channel": "a", "tf": {"key": "area", "cmp": "sw", "val": "2:"}}});
    client.read(&mut house, &wish);
    let (_, values) = turn_to(&mut client, &mut house, &["1:1", "2:1"]);
    assert_eq!(values, [] as [Value; 0]);
    publish(&house, "ann", "1:1", 2);
    publish(&house, "ann", "2:1", 3);
    assert_eq!(numbers(&mut house, &client), [3]);
}

#[test]
fn what_makes_no_sense_is_said() {
    let mut house = arena(Delivery::All);
    let mut stranger = house.member();
    let (reply, _) = turn_to(&mut stranger, &mut house, &["1:1"]);
    assert!(reply["error"]["message"].as_str().unwrap().contains("subscribe first"), "{reply}");
    let (mut client, _) = player(&mut house);
    let many = vec!["x"; 1001];
    let (reply, _) = turn_to(&mut client, &mut house, &many);
    assert!(reply["error"]["message"].as_str().unwrap().contains("at most 1000"), "{reply}");
    for data in [
        json!({"channel": "a"}),
        json!({"channel": "a", "keys": "1:1"}),
        json!([]),
        json!({"channel": "a", "keys": [], "x": 1}),
    ] {
        let reply = client.read(&mut house, &json!({"id": 5, "rpc": {"method": "jackfield.interest", "data": data}}));
        assert_eq!(reply["error"]["code"], 107, "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(r#"{"channel":"..","keys":[".."]}"#), "{reply}");
    }
    let mut plain = House::new(anonymous(), vec![("", Options { subscribe: ANY, ..Options::default() })]);
    let (mut client, _) = player(&mut plain);
    let (reply, _) = turn_to(&mut client, &mut plain, &["1:1"]);
    assert!(reply["error"]["message"].as_str().unwrap().contains("no interest keys"), "{reply}");
}

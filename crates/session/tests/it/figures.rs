//! Figures of windows instead of publications.

use jackfield_hub::Options;
use jackfield_hub::namespace::Delivery;
use jackfield_model::app::{Command, Publish};
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, START, anonymous, deliver};

fn shop(delivery: Delivery) -> House {
    let options = Options {
        aggregates: true,
        tags_filter: true,
        snapshot: true,
        delivery,
        history_size: 10,
        history_ttl: 60_000,
        force_recovery: true,
        subscribe: ANY,
        publish: ANY,
        ..Options::default()
    };
    House::new(anonymous(), vec![("", options)])
}

fn order(house: &House, event: &str, state: &str, total: &str) {
    let data = json!({"event": event, "data": {"state": state, "total": total}});
    let tags = [("state".to_owned(), state.to_owned())].into_iter().collect();
    let publish = Publish {
        channel: "a".into(),
        data: jackfield_model::Payload::json(data.to_string()),
        tags: Some(std::sync::Arc::new(tags)),
        ..Publish::default()
    };
    let done = Box::new(|outcome: Result<_, _>| assert!(outcome.is_ok(), "{outcome:?}"));
    jackfield_hub::control::apply(&house.hub, &Command::Publish(publish), house.now.millis, done);
}

fn sales() -> Value {
    let figures = json!({"n": "count", "sales": "sum:data.total", "p95": "p95:data.total"});
    json!({"every": 1000, "figures": figures, "where": {"event": "paid"}})
}

fn subscribe(client: &mut Client, house: &mut House, mut wish: Value) -> Value {
    wish["channel"] = "a".into();
    client.read(house, &json!({"id": 3, "subscribe": wish}))
}

/// Lets time go by; what the client heard, as data.
fn hear(house: &mut House, client: &Client, millis: u64) -> Vec<Value> {
    let lines = deliver(house, client);
    assert_eq!(lines, [] as [&str; 0], "nothing before its window is over");
    house.wait(millis);
    let lines = deliver(house, client);
    lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["push"]["pub"].clone()).collect()
}

#[test]
fn a_window_is_told_when_it_is_over_and_an_empty_one_once() {
    for delivery in [Delivery::All, Delivery::Latest] {
        let mut house = shop(delivery);
        house.now.millis = START.millis - START.millis % 1000 + 300;
        let from = START.millis - START.millis % 1000;
        order(&house, "paid", "de", "99");
        let mut client = house.member();
        let reply = subscribe(&mut client, &mut house, json!({"data": {"aggregate": sales(), "mine": 1}}));
        assert!(reply["error"].is_null() && reply["subscribe"]["publications"].is_null(), "{reply}");
        assert!(reply["subscribe"]["recoverable"].is_null(), "{reply}");
        for total in ["0.10", "0.20", "12.50"] {
            order(&house, "paid", "de", total);
        }
        order(&house, "sent", "de", "1000");
        let heard = hear(&mut house, &client, 699);
        assert_eq!(heard, [] as [Value; 0]);
        let heard = hear(&mut house, &client, 1);
        let figures = json!({"from": from, "to": from + 1000, "n": 3, "sales": 12.8, "p95": 12.5});
        assert_eq!(
            heard.iter().map(|one| &one["data"]).collect::<Vec<_>>(),
            [&figures],
            "what came before it did not count"
        );
        assert!(heard[0]["offset"].is_null());
        let heard = hear(&mut house, &client, 1000);
        assert_eq!((heard.len(), &heard[0]["data"]["n"], &heard[0]["data"]["p95"]), (1, &json!(0), &Value::Null));
        assert_eq!(hear(&mut house, &client, 5000), [] as [Value; 0], "silence is told once");
        order(&house, "paid", "de", "1");
        let heard = hear(&mut house, &client, 1000);
        assert_eq!(heard[0]["data"]["from"], from + 7000);
    }
}

#[test]
fn the_same_wish_is_reckoned_once_and_each_filter_apart() {
    let mut house = shop(Delivery::All);
    let wish = |state: &str| json!({"data": {"aggregate": sales()}, "tf": {"key": "state", "cmp": "eq", "val": state}});
    let mut plain = house.member();
    let mut clients: Vec<_> = ["de", "de", "fr"]
        .iter()
        .map(|state| {
            let mut client = house.member();
            assert!(subscribe(&mut client, &mut house, wish(state))["error"].is_null());
            client
        })
        .collect();
    subscribe(&mut plain, &mut house, json!({}));
    order(&house, "paid", "de", "1");
    order(&house, "paid", "fr", "2");
    assert_eq!(deliver(&mut house, &plain).len(), 2, "who wants publications gets them");
    house.wait(1000);
    for (client, sales) in clients.iter().zip([1, 1, 2]) {
        let heard = deliver(&mut house, client);
        let heard: Value = serde_json::from_str(&heard[0]).unwrap();
        assert_eq!(heard["push"]["pub"]["data"]["sales"], sales);
    }
    // Who leaves leaves nothing behind.
    for client in &mut clients {
        client.say(&mut house, r#"{"id":9,"unsubscribe":{"channel":"a"}}"#);
    }
    order(&house, "paid", "de", "1");
    deliver(&mut house, &plain);
    assert_eq!(house.wait(5000), 0);
    assert!(!house.waits());
}

#[test]
fn wishes_that_make_no_sense_say_so() {
    let mut house = shop(Delivery::All);
    for (aggregate, words) in [
        (json!({"every": 1000}), "missing field `figures`"),
        (json!({"every": 1, "figures": {"n": "count"}}), "aggregate.every is 1"),
        (json!({"every": 1000, "figures": {"n": "mean:a"}}), "\"mean:a\" is none; write count"),
        (json!({"every": 1000, "figures": {"n": "count"}, "having": 1}), "unknown field `having`"),
        (json!(7), "aggregate is {\"every\":1000"),
    ] {
        let mut client = house.member();
        let reply = subscribe(&mut client, &mut house, json!({"data": {"aggregate": aggregate}}));
        assert_eq!(reply["error"]["code"], 107, "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{reply}");
    }
    // Data of other kinds is the application's.
    for data in [json!(7), json!([1]), json!({"a": 1}), json!("x")] {
        let mut client = house.member();
        assert!(subscribe(&mut client, &mut house, json!({"data": data}))["error"].is_null());
    }
    // Where the namespace does not allow it, the data says nothing to the server.
    let mut plain = House::new(anonymous(), vec![("", Options { subscribe: ANY, ..Options::default() })]);
    let mut client = plain.member();
    assert!(subscribe(&mut client, &mut plain, json!({"data": {"aggregate": sales()}}))["error"].is_null());
}

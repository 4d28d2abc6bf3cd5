//! What a client may wish of a subscription: filters, deltas, deliveries, the latest value.

use jackfield_hub::Options;
use jackfield_hub::namespace::{Delivery, Kind, RecoveryMode};
use jackfield_model::app::{Command, Publish, PublishMore};
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, anonymous, deliver};

fn kept() -> Options {
    Options {
        history_size: 10,
        history_ttl: 60_000,
        allow_recovery: true,
        subscribe: ANY,
        publish: ANY,
        ..Options::default()
    }
}

fn house(options: Options) -> House {
    House::new(anonymous(), vec![("", options)])
}

fn subscribe(client: &mut Client, house: &mut House, mut wish: Value) -> Value {
    wish["channel"] = "a".into();
    client.read(house, &json!({"id": 3, "subscribe": wish}))
}

/// The application publishes with a tag, so that deltas are made.
fn publish(house: &House, data: &str, tag: &str) {
    let publish = Publish {
        channel: "a".into(),
        data: jackfield_model::Payload::json(data.to_owned()),
        tags: Some(std::sync::Arc::new([("t".to_owned(), tag.to_owned())].into_iter().collect())),
        more: Some(Box::new(PublishMore { delta: true, ..PublishMore::default() })),
        ..Publish::default()
    };
    let done = Box::new(|outcome: Result<_, _>| assert!(outcome.is_ok(), "{outcome:?}"));
    jackfield_hub::control::apply(&house.hub, &Command::Publish(publish), house.now.millis, done);
}

fn long(n: u32) -> String {
    format!(r#"{{"n":{n},"text":"{}"}}"#, "word ".repeat(40))
}

#[test]
fn a_filter_leaves_out_what_is_not_wanted_live_and_recovered() {
    let mut house = house(Options { tags_filter: true, ..kept() });
    for (n, tag) in [(1, "x"), (2, "y"), (3, "x"), (4, "y")] {
        publish(&house, &long(n), tag);
    }
    let wish = json!({"tf": {"key": "t", "cmp": "eq", "val": "x"}, "recover": true, "offset": 1});
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, wish);
    let result = &reply["subscribe"];
    assert_eq!((&result["recovered"], &result["offset"]), (&json!(true), &json!(1)), "what is left out was seen");
    let offsets: Vec<_> = result["publications"].as_array().unwrap().iter().map(|one| &one["offset"]).collect();
    assert_eq!(offsets, [&json!(3)]);
    publish(&house, &long(5), "y");
    publish(&house, &long(6), "x");
    let heard = deliver(&mut house, &client);
    assert!(heard.len() == 1 && heard[0].contains(r#""offset":6"#), "{heard:?}");
}

#[test]
fn filters_that_make_no_sense_or_are_not_allowed_say_so() {
    for (options, filter) in [
        (kept(), json!({"key": "t", "cmp": "eq", "val": "x"})),
        (Options { tags_filter: true, ..kept() }, json!({"key": "t", "cmp": "like", "val": "x"})),
        (Options { tags_filter: true, ..kept() }, json!({"op": "not", "nodes": []})),
    ] {
        let mut house = house(options);
        let mut client = house.member();
        let reply = subscribe(&mut client, &mut house, json!({"tf": filter}));
        assert_eq!(reply["error"]["code"], 107, "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().len() > "bad request".len(), "{reply}");
        assert!(subscribe(&mut client, &mut house, json!({}))["error"].is_null(), "nothing has changed");
    }
}

#[test]
fn deltas_come_where_the_namespace_has_them_and_begin_with_a_whole_one() {
    let mut house = house(Options { delta: true, tags_filter: true, ..kept() });
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, json!({"delta": "fossil"}));
    assert_eq!(reply["subscribe"]["delta"], true);
    publish(&house, &long(1), "x");
    publish(&house, &long(2), "x");
    let heard: Vec<Value> =
        deliver(&mut house, &client).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(heard[0]["push"]["pub"]["data"], long(1), "a JSON string of the whole");
    let patch = &heard[1]["push"]["pub"];
    assert_eq!(patch["delta"], true);
    let whole = jackfield_hub::fossil::apply(long(1).as_bytes(), patch["data"].as_str().unwrap().as_bytes());
    assert_eq!(whole.unwrap(), long(2).as_bytes());

    let mut late = house.member();
    let reply = subscribe(&mut late, &mut house, json!({"delta": "fossil", "recover": true, "offset": 0}));
    let missed = reply["subscribe"]["publications"].as_array().unwrap();
    assert_eq!(missed[0]["data"], long(1));
    assert_eq!(missed[1]["delta"], true, "{reply}");
    let whole = jackfield_hub::fossil::apply(long(1).as_bytes(), missed[1]["data"].as_str().unwrap().as_bytes());
    assert_eq!(whole.unwrap(), long(2).as_bytes());

    let mut choosy = house.member();
    let wish = json!({"delta": "fossil", "tf": {"key": "t", "cmp": "ex"}});
    assert!(subscribe(&mut choosy, &mut house, wish)["subscribe"]["delta"].is_null(), "not with a filter");
    let mut strange = house.member();
    assert_eq!(strange.fall(&mut house, r#"{"id":2,"subscribe":{"channel":"a","delta":"x"}}"#).code, 3501);
}

#[test]
fn deltas_are_not_promised_where_there_are_none() {
    let mut house = house(kept());
    let mut client = house.member();
    assert!(subscribe(&mut client, &mut house, json!({"delta": "fossil"}))["subscribe"]["delta"].is_null());
}

#[test]
fn a_client_may_be_gentler_than_the_namespace_and_not_harsher() {
    let cases = [
        (Delivery::All, "latest", 0),
        (Delivery::All, "sampled:5", 0),
        (Delivery::All, "drop_oldest", 0),
        (Delivery::Latest, "sampled:5", 0),
        (Delivery::Latest, "all", 107),
        (Delivery::Sampled(5), "sampled:6", 107),
        (Delivery::All, "sampled:0", 107),
        (Delivery::All, "newest", 107),
    ];
    for (delivery, wish, due) in cases {
        let mut house = house(Options { delivery, ..kept() });
        let mut client = house.member();
        let reply = subscribe(&mut client, &mut house, json!({"delivery": wish}));
        assert_eq!(reply["error"]["code"].as_u64().unwrap_or(0), due, "{wish}: {reply}");
    }
}

#[test]
fn a_map_may_not_lose_the_last_value_of_a_key() {
    let mut house = house(Options { kind: Kind::Map, subscribe: ANY, ..Options::default() });
    let mut client = house.member();
    let wish = |delivery| json!({"type": 1, "phase": 2, "delivery": delivery});
    let reply = subscribe(&mut client, &mut house, wish("drop_oldest"));
    assert_eq!(reply["error"]["code"], 107, "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().ends_with("ask for latest"), "{reply}");
    assert!(subscribe(&mut client, &mut house, wish("latest"))["error"].is_null());
}

/// A key that waited its turn while another went out is behind, though the reader has the last publication.
#[test]
fn a_position_says_nothing_where_publications_may_pass_by() {
    let mut house = house(Options { delivery: Delivery::Latest, snapshot: true, force_recovery: true, ..kept() });
    let mut client = house.member();
    let first = subscribe(&mut client, &mut house, json!({}))["subscribe"].clone();
    let mut publisher = house.member();
    for (n, key) in [(1, "a"), (2, "b"), (3, "a")] {
        let publish = json!({"id": n, "publish": {"channel": "a", "key": key, "data": n}});
        assert!(publisher.read(&mut house, &publish)["error"].is_null());
    }
    client.end(&mut house);
    let wish = json!({"recover": true, "offset": 3, "epoch": first["epoch"]});
    let mut client = house.member();
    let result = subscribe(&mut client, &mut house, wish)["subscribe"].clone();
    assert_eq!(result["recovered"], true);
    let values: Vec<_> = result["publications"].as_array().unwrap().iter().map(|one| &one["data"]).collect();
    assert_eq!(values, [2, 3]);
}

#[test]
fn who_may_be_passed_by_is_not_promised_that_nothing_is_missing() {
    let mut house = house(Options { force_recovery: true, ..kept() });
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, json!({"delivery": "latest"}));
    assert!(reply["subscribe"]["recoverable"].is_null(), "{reply}");
    let mut client = house.member();
    assert_eq!(subscribe(&mut client, &mut house, json!({}))["subscribe"]["recoverable"], true);
}

#[test]
fn a_cache_gives_the_latest_value_alone() {
    let cache = Options { recovery_mode: RecoveryMode::Cache, force_recovery: true, ..kept() };
    let mut house = house(cache);
    for n in 1..4 {
        publish(&house, &long(n), "x");
    }
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, json!({"recover": true}));
    let result = &reply["subscribe"];
    assert_eq!((&result["recovered"], &result["was_recovering"]), (&json!(true), &json!(true)));
    let offsets: Vec<_> = result["publications"].as_array().unwrap().iter().map(|one| &one["offset"]).collect();
    assert_eq!(offsets, [&json!(3)]);
    let mut first = house.member();
    let reply = subscribe(&mut first, &mut house, json!({}));
    assert!(reply["subscribe"]["publications"].is_null(), "it did not ask: {reply}");
}

#[test]
fn a_cache_that_makes_deltas_has_its_latest_value_too() {
    let cache = Options { recovery_mode: RecoveryMode::Cache, force_recovery: true, delta: true, ..kept() };
    let mut house = house(cache);
    for n in 1..4 {
        publish(&house, &long(n), "x");
    }
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, json!({"recover": true, "offset": 1, "delta": "fossil"}));
    let result = &reply["subscribe"];
    assert_eq!((&result["recovered"], &result["delta"]), (&json!(true), &json!(true)), "{reply}");
    let publications = result["publications"].as_array().unwrap();
    assert_eq!(publications.len(), 1, "{reply}");
    assert_eq!(
        (&publications[0]["offset"], &publications[0]["data"]),
        (&json!(3), &json!(long(3))),
        "whole, as a text"
    );
}

//! Maps: page by page, then live, and back again.

use std::sync::Arc;

use jackfield_hub::namespace::{ClientKey, Kind, MapMode, MapOptions};
use jackfield_hub::{Options, SessionOrder};
use jackfield_model::Payload;
use jackfield_model::app::{Command, Publish, PublishMore, Refresh};
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, anonymous, deliver, with_tokens};

fn map(mode: MapMode) -> Options {
    let map = MapOptions {
        mode,
        stream_size: 20,
        stream_ttl: 60_000,
        publish: ANY,
        remove: ANY,
        min_page_size: 1,
        ..MapOptions::default()
    };
    Options { kind: Kind::Map, map, subscribe: ANY, ..Options::default() }
}

fn house(options: Options) -> House {
    House::new(anonymous(), vec![("m", options)])
}

fn put(house: &mut House, key: &str, value: u32) {
    let mut client = house.member();
    let publish = json!({"channel": "m:1", "type": 1, "key": key, "data": value});
    assert_eq!(client.read(house, &json!({"id": 2, "publish": publish})), json!({"id": 2, "publish": {}}));
    client.end(house);
}

fn ask(client: &mut Client, house: &mut House, mut wish: Value) -> Value {
    wish["channel"] = "m:1".into();
    wish["type"] = 1.into();
    client.read(house, &json!({"id": 3, "subscribe": wish}))
}

fn keys(publications: &Value) -> Vec<&str> {
    publications.as_array().into_iter().flatten().map(|one| one["key"].as_str().unwrap()).collect()
}

#[test]
fn a_small_map_is_live_at_once() {
    let mut house = house(map(MapMode::Recoverable));
    put(&mut house, "b", 2);
    put(&mut house, "a", 1);
    let mut client = house.member();
    let reply = ask(&mut client, &mut house, json!({"phase": 2}));
    let result = &reply["subscribe"];
    assert_eq!(keys(&result["state"]), ["a", "b"]);
    assert_eq!((&result["type"], &result["recoverable"], &result["offset"]), (&json!(1), &json!(true), &json!(2)));
    assert!(result["phase"].is_null() && result["recovered"].is_null() && result["cursor"].is_null(), "{reply}");
    put(&mut house, "c", 3);
    let heard = deliver(&mut house, &client);
    assert!(heard.len() == 1 && heard[0].contains(r#""key":"c""#), "{heard:?}");
    assert_eq!(ask(&mut client, &mut house, json!({"phase": 2}))["error"]["code"], 105);
}

#[test]
fn pages_and_what_changed_between_them_make_a_whole() {
    let mut house = house(map(MapMode::Recoverable));
    for key in ["a", "b", "c", "d", "e"] {
        put(&mut house, key, 1);
    }
    let mut client = house.member();
    let first = ask(&mut client, &mut house, json!({"phase": 2, "limit": 2}))["subscribe"].clone();
    assert_eq!((keys(&first["state"]), &first["phase"]), (vec!["a", "b"], &json!(2)));
    assert!(deliver(&mut house, &client).is_empty());
    put(&mut house, "a", 2);
    put(&mut house, "x", 2);
    put(&mut house, "y", 2);
    assert!(deliver(&mut house, &client).is_empty(), "nothing is joined while pages are open");
    assert_eq!(ask(&mut client, &mut house, json!({"phase": 2, "limit": 2}))["error"]["code"], 105);
    let mut cursor = first["cursor"].clone();
    let mut state = keys(&first["state"]).iter().map(ToString::to_string).collect::<Vec<_>>();
    while cursor.is_string() {
        let wish =
            json!({"phase": 2, "limit": 2, "cursor": cursor, "offset": first["offset"], "epoch": first["epoch"]});
        let page = ask(&mut client, &mut house, wish)["subscribe"].clone();
        assert_eq!((&page["phase"], &page["offset"]), (&json!(2), &json!(5)), "{page}");
        state.extend(keys(&page["state"]).iter().map(ToString::to_string));
        cursor = page["cursor"].clone();
    }
    assert_eq!(state, ["a", "b", "c", "d", "e"], "the younger ones come from the stream");
    let stream = |offset: u64| json!({"phase": 1, "limit": 2, "offset": offset, "epoch": first["epoch"]});
    let page = ask(&mut client, &mut house, stream(5))["subscribe"].clone();
    assert_eq!((&page["phase"], &page["offset"], keys(&page["publications"])), (&json!(1), &json!(7), vec!["a", "x"]));
    let live = ask(&mut client, &mut house, stream(7))["subscribe"].clone();
    assert_eq!((&live["offset"], keys(&live["publications"])), (&json!(8), vec!["y"]));
    assert!(live["phase"].is_null() && live["recovered"].is_null(), "{live}");
    put(&mut house, "z", 3);
    assert_eq!(deliver(&mut house, &client).len(), 1);
}

#[test]
fn who_comes_back_gets_the_stream_or_must_begin_anew() {
    let mut house = house(map(MapMode::Recoverable));
    for n in 0..3 {
        put(&mut house, "a", n);
    }
    let mut client = house.member();
    let reply = ask(&mut client, &mut house, json!({"phase": 2}));
    let epoch = reply["subscribe"]["epoch"].clone();
    client.end(&mut house);
    put(&mut house, "b", 9);
    let back = |offset: u64, epoch: &Value| json!({"phase": 1, "recover": true, "offset": offset, "epoch": epoch});
    let mut client = house.member();
    let result = ask(&mut client, &mut house, back(3, &epoch))["subscribe"].clone();
    assert_eq!((&result["recovered"], &result["was_recovering"]), (&json!(true), &json!(true)));
    assert_eq!((&result["offset"], keys(&result["publications"])), (&json!(4), vec!["b"]), "the top, unlike streams");
    let mut client = house.member();
    assert_eq!(ask(&mut client, &mut house, back(3, &json!("other")))["error"]["code"], 112);
    for n in 0..30 {
        put(&mut house, "a", n);
    }
    assert_eq!(ask(&mut client, &mut house, back(3, &epoch))["error"]["code"], 112, "it is forgotten");
    assert!(ask(&mut client, &mut house, json!({"phase": 2}))["error"].is_null(), "it begins anew");
}

#[test]
fn pages_out_of_order_are_refused() {
    let mut house = house(map(MapMode::Recoverable));
    let mut client = house.member();
    for (wish, code) in
        [(json!({"phase": 3}), 107), (json!({"phase": 2, "cursor": "a"}), 103), (json!({"phase": 1, "offset": 0}), 103)]
    {
        assert_eq!(ask(&mut client, &mut house, wish.clone())["error"]["code"], code, "{wish}");
    }
    let plain = client.read(&mut house, &json!({"id": 2, "subscribe": {"channel": "m:1"}}));
    assert_eq!(plain["error"]["code"], 103, "a map is no stream");
    for key in ["a", "b", "c"] {
        put(&mut house, key, 1);
    }
    let first = ask(&mut client, &mut house, json!({"phase": 2, "limit": 1}))["subscribe"].clone();
    let next = json!({"phase": 2, "limit": 1, "cursor": first["cursor"], "offset": 3, "epoch": "other"});
    assert_eq!(ask(&mut client, &mut house, next)["error"]["code"], 112);
}

#[test]
fn who_is_too_slow_begins_anew() {
    let mut house = house(map(MapMode::Recoverable));
    for key in ["a", "b", "c"] {
        put(&mut house, key, 1);
    }
    let mut client = house.member();
    let first = ask(&mut client, &mut house, json!({"phase": 2, "limit": 1}))["subscribe"].clone();
    house.pass(50);
    assert_eq!(keys(&ask(&mut client, &mut house, json!({"phase": 2, "limit": 1}))["subscribe"]["state"]), ["a"]);
    house.pass(50);
    let next = json!({"id": 4, "subscribe": {"channel": "m:1", "type": 1, "phase": 2, "limit": 1, "cursor": "a",
        "offset": first["offset"], "epoch": first["epoch"]}});
    assert_eq!(client.fall(&mut house, &next.to_string()).code, 3008);
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn an_ephemeral_map_has_no_position() {
    let mut house = house(map(MapMode::Ephemeral));
    put(&mut house, "a", 1);
    let mut client = house.member();
    assert_eq!(ask(&mut client, &mut house, json!({"phase": 1, "recover": true}))["error"]["code"], 107);
    let result = ask(&mut client, &mut house, json!({"phase": 2, "limit": 1}))["subscribe"].clone();
    assert_eq!(keys(&result["state"]), ["a"]);
    assert!(result["recoverable"].is_null() && result["offset"].is_null() && result["epoch"].is_null(), "{result}");
}

#[test]
fn who_may_have_been_passed_by_reads_the_state_anew() {
    let mut house = house(map(MapMode::Recoverable));
    put(&mut house, "a", 1);
    let mut client = house.member();
    let first = ask(&mut client, &mut house, json!({"phase": 2, "delivery": "latest"}))["subscribe"].clone();
    client.end(&mut house);
    let back = json!({"phase": 1, "recover": true, "offset": first["offset"], "epoch": first["epoch"]});
    let gentle = |mut wish: Value| {
        wish["delivery"] = "latest".into();
        wish
    };
    let mut client = house.member();
    assert_eq!(ask(&mut client, &mut house, gentle(back.clone()))["error"]["code"], 112);
    assert_eq!(keys(&ask(&mut client, &mut house, gentle(json!({"phase": 2})))["subscribe"]["state"]), ["a"]);
    let mut client = house.member();
    assert_eq!(ask(&mut client, &mut house, back)["subscribe"]["recovered"], true);
}

/// Maps of who is in a channel, whether that is a stream or a map.
#[test]
fn who_is_in_a_channel_is_kept_in_maps() {
    let kept = |kind| Options { kind, ..map(MapMode::Ephemeral) };
    let prefixes = |options| Options {
        clients_map_prefix: "who:".to_owned(),
        users_map_prefix: "users:".to_owned(),
        presence: true,
        read_presence: ANY,
        ..options
    };
    let stream = Options { subscribe: ANY, ..Options::default() };
    let spaces = vec![
        ("m", prefixes(map(MapMode::Recoverable))),
        ("s", prefixes(stream)),
        ("who", kept(Kind::Clients)),
        ("users", kept(Kind::Users)),
    ];
    let mut house = House::new(with_tokens(), spaces);
    house.settings.allow_anonymous_without_token = true;
    for (channel, wish) in [("m:1", json!({"type": 1, "phase": 2})), ("s:1", json!({}))] {
        let mut wish = wish;
        wish["channel"] = channel.into();
        let mut client = house.user("ann");
        assert!(client.read(&mut house, &json!({"id": 3, "subscribe": wish}))["error"].is_null(), "{channel}");
        let mut watcher = house.member();
        let who = json!({"id": 2, "subscribe": {"channel": format!("who:{channel}"), "type": 2, "phase": 2}});
        let state = watcher.read(&mut house, &who)["subscribe"]["state"].clone();
        assert_eq!((state[0]["info"]["user"].as_str(), state[1].is_null()), (Some("ann"), true), "{channel}: {state}");
        assert!(state[0]["info"]["conn_info"].is_null());
        let refresh = Refresh { info: Some(r#"{"name":"Ann"}"#.into()), ..Refresh::default() };
        client.obey(&mut house, &SessionOrder::Refresh(refresh));
        let news = deliver(&mut house, &watcher).join("");
        assert!(news.contains(r#""conn_info":{"name":"Ann"}"#), "{channel}: {news}");
        let mut watcher = house.member();
        let users = json!({"id": 2, "subscribe": {"channel": format!("users:{channel}"), "type": 3, "phase": 2}});
        assert_eq!(keys(&watcher.read(&mut house, &users)["subscribe"]["state"]), ["ann"]);
        let presence = client.read(&mut house, &json!({"id": 4, "presence": {"channel": channel}}));
        assert!(presence.to_string().contains(r#""conn_info":{"name":"Ann"}"#), "{channel}: {presence}");
        client.end(&mut house);
        assert_eq!(house.hub.map_keys(&format!("who:{channel}")), Ok(0));
        assert_eq!(house.hub.map_keys(&format!("users:{channel}")), Ok(0));
    }
}

#[test]
fn keys_may_be_the_clients_own_only() {
    let mut options = map(MapMode::Ephemeral);
    options.map.client_key = ClientKey::User;
    let mut house = House::new(with_tokens(), vec![("m", options)]);
    house.settings.allow_anonymous_without_token = true;
    let publish = json!({"id": 2, "publish": {"channel": "m:1", "type": 1, "key": "bob", "data": 1}});
    assert_eq!(house.member().read(&mut house, &publish)["error"]["code"], 103);
    let mut ann = house.user("ann");
    ann.read(&mut house, &publish);
    assert_eq!(keys(&ask(&mut ann, &mut house, json!({"phase": 2}))["subscribe"]["state"]), ["ann"]);
    ann.read(&mut house, &json!({"id": 2, "publish": {"channel": "m:1", "type": 1, "key": "x", "removed": true}}));
    let heard = deliver(&mut house, &ann);
    assert!(heard[0].contains(r#""key":"ann","#) && heard[0].contains(r#""removed":true"#), "{heard:?}");
    for (publish, code) in [
        (json!({"channel": "m:1", "key": "a", "data": 1}), 107),
        (json!({"channel": "m:1", "type": 2, "key": "a", "data": 1}), 107),
    ] {
        assert_eq!(ann.read(&mut house, &json!({"id": 2, "publish": publish}))["error"]["code"], code);
    }
}

#[test]
fn deltas_of_a_map_go_by_key() {
    let mut options = map(MapMode::Recoverable);
    (options.delta, options.delta_publish) = (true, true);
    let mut house = house(options);
    let long = |n: u32| format!(r#"{{"n":{n},"text":"{}"}}"#, "word ".repeat(40));
    let put = |house: &mut House, key: &str, n: u32| {
        let mut client = house.member();
        let line = format!(r#"{{"id":2,"publish":{{"channel":"m:1","type":1,"key":"{key}","data":{}}}}}"#, long(n));
        client.ask(house, &line);
        client.end(house);
    };
    put(&mut house, "a", 1);
    put(&mut house, "b", 100);
    let mut client = house.member();
    let result = ask(&mut client, &mut house, json!({"phase": 2, "delta": "fossil"}))["subscribe"].clone();
    assert_eq!((&result["delta"], &result["state"][0]["data"]), (&json!(true), &json!(long(1))));
    put(&mut house, "a", 2);
    put(&mut house, "b", 101);
    for (line, (old, new)) in deliver(&mut house, &client).iter().zip([(1, 2), (100, 101)]) {
        let heard: Value = serde_json::from_str(line).unwrap();
        let publication = &heard["push"]["pub"];
        assert_eq!(publication["delta"], true, "the state was its base: {line}");
        let patch = publication["data"].as_str().unwrap();
        assert_eq!(jackfield_hub::fossil::apply(long(old).as_bytes(), patch.as_bytes()).unwrap(), long(new).as_bytes());
    }
}

#[test]
fn whose_filter_let_a_value_in_hears_that_it_is_gone() {
    let mut house = house(Options { tags_filter: true, ..map(MapMode::Recoverable) });
    let order = |house: &House, key: &str, tag: Option<&str>| {
        let publish = Publish {
            channel: "m:1".into(),
            data: Payload::json("1"),
            tags: tag.map(|tag| Arc::new([("t".to_owned(), tag.to_owned())].into())),
            more: Some(Box::new(PublishMore { key: key.to_owned(), ..PublishMore::default() })),
            ..Publish::default()
        };
        let command = if tag.is_some() { Command::MapPublish(publish) } else { Command::MapRemove(publish) };
        let done = Box::new(|outcome: Result<_, _>| assert!(outcome.is_ok(), "{outcome:?}"));
        jackfield_hub::control::apply(&house.hub, &command, house.now.millis, done);
    };
    order(&house, "a", Some("x"));
    order(&house, "b", Some("y"));
    let wish = |phase: u32| json!({"phase": phase, "tf": {"key": "t", "cmp": "eq", "val": "x"}});
    let mut client = house.member();
    let reply = ask(&mut client, &mut house, wish(2));
    assert_eq!(keys(&reply["subscribe"]["state"]), ["a"], "{reply}");
    order(&house, "a", None);
    order(&house, "b", None);
    let heard = deliver(&mut house, &client);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains(r#""key":"a""#) && heard[0].contains(r#""removed":true"#), "{heard:?}");
    let mut back = wish(1);
    (back["recover"], back["offset"], back["epoch"]) = (true.into(), 2.into(), reply["subscribe"]["epoch"].clone());
    let mut client = house.member();
    let reply = ask(&mut client, &mut house, back);
    assert_eq!(keys(&reply["subscribe"]["publications"]), ["a"], "and when it comes back: {reply}");
}

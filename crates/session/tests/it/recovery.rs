//! Clients that come back: what they missed, what they are told of it, and who may ask.

use jackfield_hub::Options;
use jackfield_hub::namespace::Permission;
use jackfield_session::Settings;
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, anonymous, deliver, with_tokens};

const NOBODY: Permission = Permission { client: false, subscriber: false, anonymous: false };

/// Channels that keep five publications; nobody may recover.
fn kept() -> Options {
    Options {
        join_leave: true,
        history_size: 5,
        history_ttl: 60_000,
        subscribe: ANY,
        publish: ANY,
        ..Options::default()
    }
}

fn house(options: Options) -> House {
    House::new(anonymous(), vec![("", options)])
}

fn publish(house: &mut House, count: u64) {
    let mut client = house.member();
    for nth in 0..count {
        client.ask(house, &format!(r#"{{"id":2,"publish":{{"channel":"a","data":{nth}}}}}"#));
    }
    client.end(house);
}

fn subscribe(client: &mut Client, house: &mut House, wish: Value) -> Value {
    let mut subscribe = wish;
    subscribe["channel"] = "a".into();
    let reply = client.ask(house, &json!({"id": 3, "subscribe": subscribe}).to_string());
    serde_json::from_str(&reply).unwrap()
}

/// The epoch of the channel, as a subscriber learns it.
fn epoch(house: &mut House) -> String {
    let mut client = house.member();
    let reply = subscribe(&mut client, house, json!({}));
    client.end(house);
    reply["subscribe"]["epoch"].as_str().unwrap().to_owned()
}

fn offsets(result: &Value) -> Vec<u64> {
    let publications = result["publications"].as_array().into_iter().flatten();
    publications.map(|publication| publication["offset"].as_u64().unwrap()).collect()
}

#[test]
fn who_comes_back_in_time_gets_what_it_missed_and_then_what_follows() {
    let mut house = house(Options { allow_recovery: true, ..kept() });
    publish(&mut house, 4);
    let epoch = epoch(&mut house);
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, json!({"recover": true, "offset": 2, "epoch": epoch}));
    let result = &reply["subscribe"];
    assert_eq!(offsets(result), [3, 4]);
    // Its own offset: it counts on from there while it reads the publications.
    assert_eq!((result["offset"].as_u64(), result["epoch"].as_str()), (Some(2), Some(&*epoch)));
    for flag in ["recovered", "was_recovering", "recoverable", "positioned"] {
        assert_eq!(result[flag], true, "{flag}: {reply}");
    }
    publish(&mut house, 1);
    let heard = deliver(&mut house, &client);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains(r#""offset":5"#), "{heard:?}");
}

#[test]
fn who_missed_nothing_recovers_nothing() {
    let mut house = house(Options { force_recovery: true, ..kept() });
    publish(&mut house, 2);
    for epoch in [epoch(&mut house), String::new()] {
        let mut client = house.member();
        let reply = subscribe(&mut client, &mut house, json!({"recover": true, "offset": 2, "epoch": epoch}));
        assert_eq!(reply["subscribe"]["recovered"], true, "{reply}");
        assert_eq!(offsets(&reply["subscribe"]), [0; 0]);
    }
}

#[test]
fn who_comes_back_too_late_is_told_so_or_stays_out() {
    let mut house = house(Options { allow_recovery: true, ..kept() });
    publish(&mut house, 7);
    let epoch = epoch(&mut house);
    for (offset, epoch) in [(1, epoch.as_str()), (8, &epoch), (7, "other"), (0, "_")] {
        let wish = json!({"recover": true, "offset": offset, "epoch": epoch});
        let mut client = house.member();
        let reply = subscribe(&mut client, &mut house, wish.clone());
        let result = &reply["subscribe"];
        assert_eq!(result["was_recovering"], true, "{reply}");
        assert!(result["recovered"].is_null() && result["publications"].is_null(), "{reply}");
        assert_eq!(result["offset"], 7);

        let mut witness = house.member();
        subscribe(&mut witness, &mut house, json!({"join_leave": true}));
        deliver(&mut house, &witness);
        let mut client = house.member();
        let mut strict = wish;
        strict["flag"] = 2.into();
        let reply = subscribe(&mut client, &mut house, strict);
        assert_eq!(reply["error"]["code"], 112, "{reply}");
        assert_eq!(deliver(&mut house, &witness), [""; 0], "nobody hears of who stays out");
        let reply = subscribe(&mut client, &mut house, json!({"flag": 2}));
        assert!(reply["error"].is_null(), "it did not ask to recover: {reply}");
    }
}

#[test]
fn there_is_nothing_to_recover_where_nothing_is_kept() {
    let all = Options { force_recovery: true, force_positioning: true, subscribe: ANY, ..Options::default() };
    let mut house = house(all);
    let mut client = house.member();
    let reply = subscribe(&mut client, &mut house, json!({"recover": true, "recoverable": true, "positioned": true}));
    assert_eq!(reply, json!({"id": 3, "subscribe": {"was_recovering": true}}));
    assert_eq!(house.hub.channels(), 1);
    client.end(&mut house);
    assert_eq!(house.hub.channels(), 0);
}

/// What a client is granted that asks for `wish`: recoverable, positioned, recovered.
fn granted(options: Options, settings: Settings, has_user: bool, wish: &Value) -> [bool; 3] {
    let mut house = House::new(settings, vec![("", options)]);
    publish(&mut house, 1);
    let mut client = if has_user { house.user("ann") } else { house.member() };
    let mut wish = wish.clone();
    wish["offset"] = 1.into();
    let reply = subscribe(&mut client, &mut house, wish);
    ["recoverable", "positioned", "recovered"].map(|flag| reply["subscribe"][flag] == true)
}

#[test]
fn positions_are_for_those_who_may() {
    let settings = |insecure| Settings { allow_anonymous_without_token: true, insecure, ..with_tokens() };
    let wishes = [
        json!({}),
        json!({"positioned": true}),
        json!({"recoverable": true}),
        json!({"recover": true}),
        json!({"recover": true, "recoverable": true, "positioned": true}),
    ];
    let user = Permission { client: true, ..NOBODY };
    let subscriber = Permission { subscriber: true, ..NOBODY };
    let nobody = Permission { anonymous: true, ..NOBODY };
    let with = |read_history| Options { read_history, ..kept() };
    let (no, position, recoverable, recovered) = ([false; 3], [false, true, false], [true, true, false], [true; 3]);
    let asked = [no, position, recoverable, recovered, recovered];
    let none = [no; 5];
    for (name, options, insecure, has_user, due) in [
        ("nothing", kept(), false, true, none),
        ("insecure", kept(), true, false, asked),
        (
            "allow_recovery",
            Options { allow_recovery: true, ..kept() },
            false,
            true,
            [no, no, recoverable, recovered, recovered],
        ),
        (
            "allow_positioning",
            Options { allow_positioning: true, ..kept() },
            false,
            true,
            [no, position, no, no, position],
        ),
        (
            "force_recovery",
            Options { force_recovery: true, ..kept() },
            false,
            false,
            [recoverable, recoverable, recoverable, recovered, recovered],
        ),
        ("force_positioning", Options { force_positioning: true, ..kept() }, false, false, [position; 5]),
        ("history for users", with(user), false, true, asked),
        ("history for users, anonymous", with(user), false, false, none),
        ("history for subscribers", with(subscriber), false, true, asked),
        ("history for anonymous", with(nobody), false, false, asked),
        ("history for anonymous, user", with(nobody), false, true, none),
    ] {
        for (wish, due) in wishes.iter().zip(due) {
            assert_eq!(granted(options.clone(), settings(insecure), has_user, wish), due, "{name}: {wish}");
        }
    }
}

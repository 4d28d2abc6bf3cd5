//! Subscription tokens: whom they let in, until when, and how they are renewed.

use jackfield_hub::Options;
use jackfield_hub::namespace::Permission;
use jackfield_model::app::Revocation;
use serde_json::{Value, json};

use crate::client::{ANY, Client, House, START, deliver, token, with_tokens};

fn now() -> u64 {
    START.millis / 1000
}

fn house() -> House {
    let options = Options { join_leave: true, presence: true, read_presence: ANY, ..Options::default() };
    House::new(with_tokens(), vec![("", options)])
}

fn subscribe(client: &mut Client, house: &mut House, channel: &str, claims: &Value) -> Value {
    client.read(house, &json!({"id": 2, "subscribe": {"channel": channel, "token": token(claims)}}))
}

#[test]
fn a_token_lets_in_where_the_namespace_does_not() {
    let mut house = house();
    let mut ann = house.user("ann");
    assert_eq!(ann.read(&mut house, &json!({"id": 2, "subscribe": {"channel": "a"}}))["error"]["code"], 103);
    let claims = json!({"sub": "ann", "channel": "$a", "info": {"role": "x"}, "exp": now() + 60});
    let reply = subscribe(&mut ann, &mut house, "$a", &claims);
    assert_eq!(reply["subscribe"], json!({"expires": true, "ttl": 60}));
    let there = ann.ask(&mut house, r#"{"id":3,"presence":{"channel":"$a"}}"#);
    assert!(there.contains(r#""chan_info":{"role":"x"}"#), "{there}");
}

#[test]
fn bad_tokens_are_told_apart() {
    let mut house = house();
    for (claims, code) in [
        (json!({"sub": "ann", "channel": "a", "exp": now()}), 109),
        (json!({"sub": "ann", "channel": "a", "expire_at": now()}), 110),
        (json!({"sub": "ann", "channel": "a", "nbf": now() + 60}), 103),
    ] {
        let mut ann = house.user("ann");
        assert_eq!(subscribe(&mut ann, &mut house, "a", &claims)["error"]["code"], code, "{claims}");
    }
    for claims in [
        json!({"sub": "ann", "channel": "b"}),
        json!({"sub": "ann"}),
        json!({"sub": "bob", "channel": "a"}),
        json!({"sub": "ann", "channel": "a", "client": "other"}),
    ] {
        let mut ann = house.user("ann");
        let frame = json!({"id": 2, "subscribe": {"channel": "a", "token": token(&claims)}}).to_string();
        assert_eq!(ann.fall(&mut house, &frame).code, 3500, "{claims}");
    }
    house.hub.revoke(&Revocation { uid: "j1".into(), ..Revocation::default() });
    let mut ann = house.user("ann");
    let reply = subscribe(&mut ann, &mut house, "a", &json!({"sub": "ann", "channel": "a", "jti": "j1"}));
    assert_eq!(reply["error"]["code"], 103);
}

#[test]
fn who_does_not_renew_in_time_is_out_and_may_come_again() {
    let mut house = house();
    let mut ann = house.user("ann");
    let claims = json!({"sub": "ann", "channel": "a", "exp": now() + 10});
    subscribe(&mut ann, &mut house, "a", &claims);
    subscribe(&mut ann, &mut house, "b", &json!({"sub": "ann", "channel": "b", "exp": now() + 20}));
    let renewed = json!({"sub": "ann", "channel": "a", "exp": now() + 100});
    let refresh = json!({"id": 4, "sub_refresh": {"channel": "a", "token": token(&renewed)}});
    assert_eq!(ann.read(&mut house, &refresh)["sub_refresh"], json!({"expires": true, "ttl": 100}));
    let mut heard = Vec::new();
    while house.now.tick < START.tick + 1300 && ann.is_open() {
        ann.wait(&mut house);
        for line in ann.take().lines {
            if line == "{}" {
                ann.say(&mut house, "{}");
            } else {
                heard.push((house.now.tick, line));
            }
        }
    }
    let out = |channel| {
        format!(r#"{{"push":{{"channel":"{channel}","unsubscribe":{{"code":2501,"reason":"subscription expired"}}}}}}"#)
    };
    assert_eq!(heard, [(START.tick + 450, out("b")), (START.tick + 1250, out("a"))]);
    let again = json!({"sub": "ann", "channel": "b"});
    assert!(subscribe(&mut ann, &mut house, "b", &again)["error"].is_null(), "it may come again");
}

#[test]
fn a_refresh_needs_a_good_token_of_the_same_channel() {
    let mut house = house();
    let mut ann = house.user("ann");
    subscribe(&mut ann, &mut house, "a", &json!({"sub": "ann", "channel": "a", "exp": now() + 10}));
    let refresh = |claims: Value| json!({"id": 4, "sub_refresh": {"channel": "a", "token": token(&claims)}});
    for (claims, code) in [
        (json!({"sub": "ann", "channel": "a", "exp": now()}), 109),
        (json!({"sub": "ann", "channel": "a", "expire_at": 5}), 110),
    ] {
        assert_eq!(ann.read(&mut house, &refresh(claims))["error"]["code"], code);
    }
    let forever = refresh(json!({"sub": "ann", "channel": "a"}));
    assert_eq!(ann.read(&mut house, &forever)["sub_refresh"], json!({}));
    let other = refresh(json!({"sub": "bob", "channel": "a"})).to_string();
    assert_eq!(ann.fall(&mut house, &other).code, 3500);
    let mut ann = house.user("ann");
    assert_eq!(ann.fall(&mut house, r#"{"id":2,"sub_refresh":{"channel":"a"}}"#).code, 3501);
}

#[test]
fn caps_grant_what_the_namespace_does_not() {
    let bare = Options { presence: true, history_size: 5, history_ttl: 1_000, ..Options::default() };
    let mut house = House::new(with_tokens(), vec![("", bare)]);
    let caps = json!([{"channels": ["a*"], "match": "wildcard", "allow": ["sub", "pub", "hst"]},
        {"channels": ["b"], "allow": ["prs"]}]);
    let mut ann = house.guest();
    let hello = json!({"id": 1, "connect": {"token": token(&json!({"sub": "ann", "caps": caps}))}});
    ann.read(&mut house, &hello);
    for (channel, command, due) in [
        ("a1", "subscribe", 0),
        ("a1", "publish", 0),
        ("a1", "history", 0),
        ("a1", "presence", 103),
        ("b", "presence", 0),
        ("b", "presence_stats", 0),
        ("b", "subscribe", 103),
        ("b", "publish", 103),
        ("b", "history", 103),
    ] {
        let reply = ann.read(&mut house, &json!({"id": 2, command: {"channel": channel, "data": 1}}));
        assert_eq!(reply["error"]["code"].as_u64().unwrap_or(0), due, "{command} {channel}");
    }
}

#[test]
fn channels_of_listed_users_are_theirs_alone() {
    let all = Options { user_limited: true, subscribe: ANY, ..Options::default() };
    let open = Options { subscribe: ANY, ..Options::default() };
    let mut house = House::new(with_tokens(), vec![("", all), ("free", open)]);
    house.settings.allow_anonymous_without_token = true;
    let mut nobody = house.member();
    let mut ann = house.user("ann");
    let code = |client: &mut Client, house: &mut House, channel: &str| {
        let reply = client.read(house, &json!({"id": 2, "subscribe": {"channel": channel}}));
        reply["error"]["code"].as_u64().unwrap_or(0)
    };
    for (channel, due) in [("x#ann", 0), ("x#bob,ann", 0), ("x#bob", 103), ("x#an", 103), ("x#annx", 103), ("x#", 103)]
    {
        assert_eq!(code(&mut ann, &mut house, channel), due, "{channel}");
    }
    for channel in ["x#ann", "y#", "y#,", "z#bob,"] {
        assert_eq!(code(&mut nobody, &mut house, channel), 103, "{channel}");
    }
    assert_eq!(code(&mut nobody, &mut house, "plain"), 0);
    assert_eq!(code(&mut nobody, &mut house, "free:x#ann"), 0, "only where the namespace says so");
}

#[test]
fn names_must_match_the_pattern_behind_the_namespace() {
    let numbered = Options { pattern: Some("^[0-9]+$".parse().unwrap()), subscribe: ANY, ..Options::default() };
    let mut house = House::new(crate::client::anonymous(), vec![("n", numbered)]);
    let mut client = house.member();
    for (channel, due) in [("n:12", 0), ("n:a", 107), ("n:", 107), ("n:1:2", 107)] {
        let reply = client.read(&mut house, &json!({"id": 2, "subscribe": {"channel": channel}}));
        assert_eq!(reply["error"]["code"].as_u64().unwrap_or(0), due, "{channel}");
    }
}

#[test]
fn subscriptions_and_publications_have_rates_of_their_own() {
    let slow = Options { subscribe_rate: 2, publish_rate: 3, subscribe: ANY, publish: ANY, ..Options::default() };
    let other = Options { name: "other".into(), publish_rate: 1, publish: ANY, ..Options::default() };
    let mut house = House::new(crate::client::anonymous(), vec![("", slow), ("other", other)]);
    let mut client = house.member();
    let mut codes = |house: &mut House, command: &str| {
        let of = |n: u32| json!({"id": 2, command: {"channel": format!("c{n}"), "data": 1}});
        let code = |n| client.read(house, &of(n))["error"]["code"].as_u64().unwrap_or(0);
        (0..5).map(code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&mut house, "subscribe"), [0, 0, 111, 111, 111]);
    assert_eq!(codes(&mut house, "publish"), [0, 0, 0, 111, 111]);
    house.pass(10);
    assert_eq!(codes(&mut house, "publish"), [0, 0, 0, 111, 111]);
    let elsewhere = json!({"id": 9, "publish": {"channel": "other:1", "data": 1}});
    assert!(
        client.read(&mut house, &elsewhere)["error"].is_null(),
        "what was said in one namespace does not count in another"
    );
    assert_eq!(client.read(&mut house, &elsewhere)["error"]["code"], 111);
}

#[test]
fn overrides_count_for_their_subscription_only() {
    let nobody = Permission { client: false, subscriber: false, anonymous: false };
    let options = Options {
        join_leave: true,
        presence: true,
        subscribe: ANY,
        read_presence: ANY,
        publish: nobody,
        ..Options::default()
    };
    let mut house = House::new(with_tokens(), vec![("", options)]);
    let mut witness = house.user("bob");
    witness.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a","join_leave":true}}"#);
    deliver(&mut house, &witness);
    let mut ghost = house.user("ann");
    let overrides = json!({"presence": {"value": false}, "join_leave": {"value": false}});
    let claims = json!({"sub": "ann", "channel": "a", "override": overrides});
    subscribe(&mut ghost, &mut house, "a", &claims);
    assert_eq!(deliver(&mut house, &witness), [""; 0]);
    let stats = witness.ask(&mut house, r#"{"id":3,"presence_stats":{"channel":"a"}}"#);
    assert!(stats.contains(r#""num_clients":1"#), "{stats}");
    ghost.end(&mut house);
    assert_eq!(deliver(&mut house, &witness), [""; 0], "who came unheard goes unheard");
}

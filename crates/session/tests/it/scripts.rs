//! Whatever a client says and whatever the application answers: each command has exactly one reply, or the client is out.

use std::collections::BTreeMap;

use jackfield_hub::Options;
use jackfield_hub::namespace::{Kind, MapMode, MapOptions};
use jackfield_model::app::Answer;
use jackfield_model::{ClientError, Grant};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::client::{ANY, House, anonymous};

fn house() -> House {
    let open = Options {
        history_size: 5,
        history_ttl: 1_000,
        allow_recovery: true,
        delta: true,
        tags_filter: true,
        presence: true,
        subscribe: ANY,
        publish: ANY,
        read_history: ANY,
        ..Options::default()
    };
    let asked = Options { subscribe_call: Some(100), publish_call: Some(100), ..open.clone() };
    let mode = MapMode::Recoverable;
    let map =
        MapOptions { mode, stream_size: 4, stream_ttl: 1_000, min_page_size: 1, publish: ANY, ..MapOptions::default() };
    let map = Options { kind: Kind::Map, map, ..open.clone() };
    House::new(anonymous(), vec![("", open), ("asked", asked), ("m", map)])
}

fn channel() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "asked:a", "asked:b", "m:1", "no:such", "$p"])
}

fn command() -> impl Strategy<Value = Value> {
    let subscribe = (channel(), 0..3_u32, 0..4_u32, any::<bool>(), prop::sample::select(vec!["", "fossil"])).prop_map(
        |(channel, kind, phase, recover, delta)| {
            json!({"subscribe": {"channel": channel, "type": kind, "phase": phase, "recover": recover, "delta": delta,
                "limit": 1, "cursor": if phase == 3 { "a" } else { "" }}})
        },
    );
    let publish = (channel(), 0..2_u32, prop::sample::select(vec!["", "a", "b", "c"]))
        .prop_map(|(channel, kind, key)| json!({"publish": {"channel": channel, "type": kind, "key": key, "data": 1}}));
    let name = prop::sample::select(vec!["unsubscribe", "history", "presence", "presence_stats", "sub_refresh"]);
    let other = (name, channel()).prop_map(|(name, channel)| json!({name: {"channel": channel, "token": "t"}}));
    prop_oneof![4 => subscribe, 3 => publish, 3 => other, 1 => Just(json!({"ping": {}}))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn each_command_has_one_reply(script in prop::collection::vec((command(), 0..4_u32), 1..60)) {
        let mut house = house();
        let mut client = house.member();
        let mut replies: BTreeMap<u64, usize> = BTreeMap::new();
        let mut calls = Vec::new();
        let mut is_out = false;
        let mut sent = 0;
        for (nth, (mut command, answer)) in script.into_iter().enumerate() {
            sent = nth as u64 + 10;
            command["id"] = sent.into();
            client.say(&mut house, &command.to_string());
            if answer == 0 && !calls.is_empty() {
                let (kind, call) = calls.remove(0);
                client.answer(&mut house, call, match (kind, nth % 3) {
                    (_, 0) => Answer::Error(ClientError::INTERNAL),
                    (jackfield_model::app::EventKind::Subscribe, _) => Answer::Subscribe(Grant::default()),
                    _ => Answer::Publish(Box::default()),
                });
            }
            let heard = client.take();
            for line in heard.lines {
                let read: Value = serde_json::from_str(&line).unwrap();
                *replies.entry(read["id"].as_u64().unwrap()).or_default() += 1;
            }
            calls.extend(heard.events.into_iter().map(|(event, call)| (event.kind, call.unwrap())));
            if heard.closed.is_some() {
                is_out = true;
                break;
            }
        }
        for (_, call) in calls {
            client.answer(&mut house, call, Answer::Error(ClientError::INTERNAL));
        }
        for line in client.take().lines {
            let read: Value = serde_json::from_str(&line).unwrap();
            *replies.entry(read["id"].as_u64().unwrap()).or_default() += 1;
        }
        prop_assert!(replies.values().all(|count| *count == 1), "{replies:?}");
        if is_out {
            prop_assert_eq!(house.hub.connections(), 0);
        } else {
            prop_assert_eq!(replies.len() as u64, sent - 9);
            client.end(&mut house);
        }
        prop_assert!(house.hub.survey(|_| true).is_empty(), "nobody is left behind");
    }
}

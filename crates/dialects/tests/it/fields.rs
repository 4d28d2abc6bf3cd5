//! What holds for all filters, keys, deltas and pages, in both encodings.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::centrifugo::{json, protobuf};
use jackfield_model::client::{Answer, Command, Form, Push, Reply, Request, Subscribed};
use jackfield_model::publication::Rare;
use jackfield_model::subscription::FilterNode;
use jackfield_model::{Content, Payload, Publication};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::protobuf::{Seen, bytes, inside, number, only, prefixed, seen, take_prefixed};

fn filter() -> impl Strategy<Value = FilterNode> {
    let leaf = (".{0,9}", ".{0,9}", ".{0,9}", vec(".{0,9}", 0..4)).prop_map(|(key, cmp, val, vals)| FilterNode {
        key,
        cmp,
        val,
        vals,
        ..FilterNode::default()
    });
    leaf.prop_recursive(6, 40, 4, |inner| {
        (".{0,9}", vec(inner, 0..4)).prop_map(|(op, nodes)| FilterNode { op, nodes, ..FilterNode::default() })
    })
}

fn filter_in_json(node: &FilterNode) -> Value {
    let nodes: Vec<Value> = node.nodes.iter().map(filter_in_json).collect();
    json!({"op": node.op, "key": node.key, "cmp": node.cmp, "val": node.val, "vals": node.vals, "nodes": nodes})
}

fn filter_in_protobuf(node: &FilterNode) -> Vec<u8> {
    let texts = [(1, &node.op), (2, &node.key), (3, &node.cmp), (4, &node.val)];
    let texts = texts.into_iter().chain(node.vals.iter().map(|value| (5, value)));
    let texts = texts.map(|(field, text)| bytes(field, text.as_bytes()));
    texts.chain(node.nodes.iter().map(|node| bytes(6, &filter_in_protobuf(node)))).collect::<Vec<_>>().concat()
}

/// The filter of the one command in a frame.
fn heard(mut commands: impl Iterator<Item = Result<Command<'static>, String>>) -> Result<FilterNode, String> {
    let command = commands.next().unwrap()?;
    assert!(commands.next().is_none());
    let Request::Subscribe(subscribe) = command.request else { panic!("{command:?}") };
    Ok(*subscribe.filter.unwrap())
}

fn heard_in_json(filter: &Value) -> Result<FilterNode, String> {
    let frame = json!({"id": 1, "subscribe": {"channel": "c", "tf": filter}}).to_string();
    heard(json::commands(frame.as_bytes()).map(|command| command.map(own).map_err(|error| error.to_string())))
}

fn heard_in_protobuf(filter: &[u8]) -> Result<FilterNode, String> {
    let frame = prefixed(&[number(1, 1), bytes(5, &bytes(13, filter))].concat());
    heard(protobuf::commands(&frame).map(|command| command.map(own).map_err(|error| error.to_string())))
}

fn own(command: Command<'_>) -> Command<'static> {
    let Request::Subscribe(subscribe) = &command.request else { panic!("{command:?}") };
    Command { id: command.id, request: Request::Subscribe(subscribe.to_owned()) }
}

fn rare() -> impl Strategy<Value = Rare> {
    let text = || proptest::option::of(".{1,9}".prop_map(Arc::from));
    (text(), any::<bool>(), any::<i64>(), text(), any::<u64>()).prop_map(|(key, removed, score, epoch, version)| Rare {
        key,
        removed,
        score,
        epoch,
        version,
    })
}

fn number_of(fields: &[(u64, Seen<'_>)], field: u64) -> u64 {
    match only(fields, field) {
        None => 0,
        Some(Seen::Number(number)) => number,
        other => panic!("field {field} is {other:?}"),
    }
}

fn text_of(fields: &[(u64, Seen<'_>)], field: u64) -> Option<String> {
    only(fields, field).map(|_| String::from_utf8(inside(fields, field).to_vec()).unwrap())
}

/// The publication in a push, and the push in both encodings.
fn written(push: &Push) -> (Value, Vec<u8>) {
    let mut line = Vec::new();
    json::push(push, &mut line);
    assert!(!line.contains(&b'\n'));
    let line: Value = serde_json::from_slice(&line).unwrap();
    let mut out = Vec::new();
    protobuf::push(push, &mut out);
    let reply = seen(take_prefixed(&mut &out[..]));
    let publication = inside(&seen(inside(&reply, 4)), 4).to_vec();
    (line["push"]["pub"].clone(), publication)
}

proptest! {
    #[test]
    fn filters_survive(filter in filter()) {
        prop_assert_eq!(heard_in_json(&filter_in_json(&filter)), Ok(filter.clone()));
        prop_assert_eq!(heard_in_protobuf(&filter_in_protobuf(&filter)), Ok(filter));
    }

    #[test]
    fn what_few_publications_have_survives(rare in rare(), offset: u64) {
        let publication = Publication { offset, rare: Some(Box::new(rare.clone())), ..Publication::default() };
        let (line, message) = written(&Push::Publication("c".into(), Arc::new(publication)));
        prop_assert_eq!(line["key"].as_str(), rare.key.as_deref());
        prop_assert_eq!(line["removed"].as_bool(), rare.removed.then_some(true));
        prop_assert_eq!(line["score"].as_i64().unwrap_or(0), rare.score);
        prop_assert_eq!(line["epoch"].as_str(), rare.epoch.as_deref());
        prop_assert_eq!(line["version"].as_u64().unwrap_or(0), rare.version);
        prop_assert!(line.get("data").is_none() && line.get("delta").is_none());

        let fields = seen(&message);
        prop_assert_eq!(text_of(&fields, 11), rare.key.map(|key| key.to_string()));
        prop_assert_eq!(number_of(&fields, 12), u64::from(rare.removed));
        let score = number_of(&fields, 13);
        prop_assert_eq!((score >> 1) as i64 ^ -((score & 1) as i64), rare.score);
        prop_assert_eq!(text_of(&fields, 14), rare.epoch.map(|epoch| epoch.to_string()));
        prop_assert_eq!(number_of(&fields, 16), rare.version);
    }

    #[test]
    fn whole_payloads_and_patches_are_strings_in_json_and_bytes_in_protobuf(
        text in "(?s).{0,40}",
        patch in proptest::option::of("(?s).{0,40}"),
    ) {
        // The text of the data is what patches are made of, so each of its bytes counts.
        let data = format!("{}\r\n", json!([text]));
        let publication = Arc::new(Publication { data: Payload::json(data.clone()), ..Publication::default() });
        let form = patch.clone().map_or(Form::Whole, |patch| Form::Patch(patch.into()));
        let (line, message) = written(&Push::Delta("c".into(), Arc::clone(&publication), form));
        let expected = patch.as_ref().unwrap_or(&data);
        prop_assert_eq!(line["data"].as_str(), Some(&**expected));
        prop_assert_eq!(line["delta"].as_bool(), patch.is_some().then_some(true));
        let fields = seen(&message);
        prop_assert_eq!(text_of(&fields, 4).unwrap_or_default(), expected.as_str());
        prop_assert_eq!(number_of(&fields, 8), u64::from(patch.is_some()));

        // The same as something that a client missed.
        let subscribed = Subscribed {
            publications: vec![Arc::clone(&publication), publication],
            patches: vec![None, patch.clone().map(Bytes::from)],
            delta: true,
            ..Subscribed::default()
        };
        let reply = Reply { id: 1, outcome: Ok(Answer::Subscribe(Box::new(subscribed))) };
        let mut out = Vec::new();
        json::reply(&reply, &mut out);
        let read: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&read["subscribe"]["publications"][1], &line);
        prop_assert_eq!(read["subscribe"]["publications"][0]["data"].as_str(), Some(&*data));
        out.clear();
        protobuf::reply(&reply, &mut out);
        let reply = seen(take_prefixed(&mut &out[..]));
        let subscribed = seen(inside(&reply, 6));
        prop_assert_eq!(subscribed.last(), Some(&(13, Seen::Number(1))));
        prop_assert_eq!(&subscribed[1], &(7, Seen::Bytes(&message)));
    }

    #[test]
    fn a_patch_that_is_no_text_comes_whole_to_who_speaks_json(data in vec(any::<u8>(), 1..20), patch in vec(any::<u8>(), 0..20)) {
        for (data, patch) in [
            (Payload::json("[1]"), [b"\xff", &patch[..]].concat()),
            (Payload::binary(data), patch.clone()),
            (Payload::text("t"), patch.clone()),
        ] {
            let publication = Publication { data: data.clone(), ..Publication::default() };
            let push = Push::Delta("c".into(), Arc::new(publication), Form::Patch(patch.clone().into()));
            let (line, message) = written(&push);
            prop_assert!(line.get("delta").is_none());
            let json = line["data"].as_str().unwrap();
            let mut plain = Vec::new();
            json::push(&Push::Message(data.clone()), &mut plain);
            let plain: Value = serde_json::from_slice(&plain).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(json).unwrap(), plain["push"]["message"]["data"].clone());
            prop_assert_eq!(only(&seen(&message), 8), Some(Seen::Number(1)));
        }
    }

    #[test]
    fn payloads_that_break_their_word_are_strings_all_the_same(bytes in vec(any::<u8>(), 0..60)) {
        for content in [Content::Binary, Content::Text] {
            let data = Payload { bytes: bytes.clone().into(), content };
            let publication = Arc::new(Publication { data, ..Publication::default() });
            let mut out = Vec::new();
            json::push(&Push::Delta("c".into(), publication, Form::Whole), &mut out);
            prop_assert!(!out.contains(&b'\n'));
        }
    }
}

#[test]
fn filters_that_nobody_needs_are_not_read() {
    let leaf = FilterNode { key: "k".into(), cmp: "ex".into(), ..FilterNode::default() };
    let above = |nodes| FilterNode { op: "and".into(), nodes, ..FilterNode::default() };
    let deep = |depth: usize| (1..depth).fold(leaf.clone(), |node, _| above(vec![node]));
    let wide = |nodes: usize| above(vec![leaf.clone(); nodes - 1]);
    for (filter, is_fine) in [(wide(1000), true), (wide(1001), false), (deep(60), true), (deep(70), false)] {
        assert_eq!(heard_in_json(&filter_in_json(&filter)).is_ok(), is_fine);
        assert_eq!(heard_in_protobuf(&filter_in_protobuf(&filter)).is_ok(), is_fine);
    }
    // The smallest nodes, and as many as a large message holds.
    assert!(heard_in_protobuf(&bytes(6, b"").repeat(100_000)).unwrap_err().contains("1000 nodes"));
    let nodes = vec![json!({}); 100_000];
    assert!(heard_in_json(&json!({"nodes": nodes})).unwrap_err().contains("1000 nodes"));
    // Far too deep for any stack.
    let pit = (0..20_000).fold(Vec::new(), |below, _| bytes(6, &below));
    assert!(heard_in_protobuf(&pit).unwrap_err().contains("64 deep"));
    let pit = format!("{{\"id\":1,\"subscribe\":{{\"tf\":{}", "{\"nodes\":[".repeat(900));
    assert!(json::commands(pit.as_bytes()).all(|command| command.is_err()));
}

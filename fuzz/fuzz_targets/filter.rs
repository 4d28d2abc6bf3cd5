//! Filters: up to the first newline stand tags, `key=value` with semicolons between, behind it the filter as a client says
//! it in JSON; the same bytes are also taken for one in Protobuf.
#![no_main]

use std::collections::BTreeMap;

use jackfield_dialects::centrifugo::{json, protobuf};
use jackfield_hub::filter::{Filter, FilterError};
use jackfield_model::client::{Command, Request};
use jackfield_model::subscription::FilterNode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (tags, filter) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let tags: BTreeMap<String, String> = String::from_utf8_lossy(tags)
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let frame = [b"{\"subscribe\":{\"tf\":", filter, b"}}"].concat();
    for command in json::commands(&frame).flatten() {
        check(command, &tags);
    }
    let mut length = filter.len();
    let mut message = vec![106];
    while length > 127 {
        message.push(length as u8 | 128);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(filter);
    let subscribe = if message.len() < 128 { vec![42, message.len() as u8] } else { return };
    if let Ok(command) = protobuf::command(&[subscribe, message].concat()) {
        check(command, &tags);
    }
});

fn check(command: Command<'_>, tags: &BTreeMap<String, String>) {
    let Request::Subscribe(subscribe) = command.request else {
        return;
    };
    let Some(node) = subscribe.filter else {
        return;
    };
    match Filter::new(&node) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(filter) => {
            assert_eq!(Some(&filter), Filter::new(&node).as_ref().ok());
            let is_wanted = filter.matches(tags);
            let not = FilterNode { op: "not".to_owned(), nodes: vec![*node], ..FilterNode::default() };
            match Filter::new(&not) {
                Ok(not) => assert_eq!(not.matches(tags), !is_wanted),
                Err(error) => assert!(matches!(error, FilterError::Deep | FilterError::Large), "{error}"),
            }
        }
    }
}

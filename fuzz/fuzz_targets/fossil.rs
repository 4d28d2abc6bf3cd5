//! Deltas: the first two bytes say where the old payload ends and the new one begins; the same bytes are also taken for a
//! delta that somebody sent.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::centrifugo::json;
use jackfield_hub::fossil::{apply, delta};
use jackfield_model::client::{Form, Push};
use jackfield_model::{Payload, Publication};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((at, payloads)) = bytes.split_first_chunk() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes(*at)) % (payloads.len() + 1);
    let (old, new) = payloads.split_at(at);
    check(old, new);
    // One that has much of the other, in another order.
    let middle = old.len() / 2;
    check(old, &[&old[middle..], new, &old[..middle]].concat());
    if let Ok(made) = apply(old, new) {
        check(old, &made);
    }
});

fn check(old: &[u8], new: &[u8]) {
    let Some(delta) = delta(old, new) else {
        return;
    };
    assert!(delta.len() < new.len());
    assert_eq!(apply(old, &delta).as_deref(), Ok(new));
    if std::str::from_utf8(new).is_ok() {
        assert!(std::str::from_utf8(&delta).is_ok());
        check_pushed(old, new, delta.into());
    }
}

/// A client of the JSON dialect makes the new payload of what it reads.
fn check_pushed(old: &[u8], new: &[u8], delta: Bytes) {
    let publication = Publication { data: Payload::json(new.to_vec()), ..Publication::default() };
    let mut line = Vec::new();
    json::push(&Push::Delta("c".into(), Arc::new(publication), Form::Patch(delta)), &mut line);
    let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(read["push"]["pub"]["delta"], true);
    let patch = read["push"]["pub"]["data"].as_str().unwrap();
    assert_eq!(apply(old, patch.as_bytes()).as_deref(), Ok(new));
}

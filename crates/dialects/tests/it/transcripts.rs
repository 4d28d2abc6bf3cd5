//! Holds the dialects against `spec/transcripts`.

use std::path::Path;

use jackfield_dialects::DialectError;
use jackfield_dialects::centrifugo::{emulation, json, protobuf};
use jackfield_dialects::raw::{self, Form, Mode};
use jackfield_model::client::Command;
use serde_json::Value;

use crate::script;

fn cases(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts");
    let text = std::fs::read(folder.join(file)).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert!(!cases.is_empty());
    cases
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

fn mode(case: &Value) -> Mode {
    match case["mode"].as_str() {
        Some("json") => Mode::Json,
        Some("text") => Mode::Text,
        other => panic!("{}: no mode is called {other:?}", name(case)),
    }
}

#[test]
fn commands_mean_what_the_transcript_says() {
    for case in cases("centrifugo-commands.json") {
        let frame = case["in"].as_str().unwrap();
        check_commands(&case, json::commands(frame.as_bytes()));
    }
    for case in cases("centrifugo-protobuf-commands.json") {
        check_commands(&case, protobuf::commands(&hex(&case)));
    }
}

fn check_commands<'a>(case: &Value, mut commands: impl Iterator<Item = Result<Command<'a>, DialectError>>) {
    for expected in case["commands"].as_array().into_iter().flatten() {
        let command = commands.next().unwrap_or_else(|| panic!("{}: a command is missing", name(case)));
        let command = command.unwrap_or_else(|error| panic!("{}: {error}", name(case)));
        assert_eq!(script::told(&command), *expected, "{}", name(case));
    }
    if let Some(expected) = case["error"].as_str() {
        let error = commands.next().unwrap().expect_err(name(case)).to_string();
        assert!(error.contains(expected), "{}: {error}", name(case));
    }
    assert!(commands.next().is_none(), "{}: something is left", name(case));
    assert!(commands.next().is_none(), "{}: it is not fused", name(case));
}

/// The bytes of a case that is not text.
fn hex(case: &Value) -> Vec<u8> {
    let digits = case["hex"].as_str().unwrap_or_else(|| panic!("{}: it has no hex", name(case)));
    let bytes = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    bytes.collect::<Result<_, _>>().unwrap()
}

#[test]
fn requests_that_are_no_commands_mean_what_the_transcript_says() {
    for case in cases("centrifugo-requests.json") {
        let bytes = case["in"].as_str().map_or_else(|| hex(&case), |text| text.as_bytes().to_vec());
        let said = match (case["of"].as_str(), case.get("in").is_some()) {
            (Some("connect"), true) => json::connect_request(&bytes).map(|said| script::told_connect(&said)),
            (Some("connect"), false) => protobuf::connect_request(&bytes).map(|said| script::told_connect(&said)),
            (Some("emulation"), true) => emulation::json(&bytes).map(|said| script::told_emulation(&said)),
            (Some("emulation"), false) => emulation::protobuf(&bytes).map(|said| script::told_emulation(&said)),
            (other, _) => panic!("{}: no request is called {other:?}", name(&case)),
        };
        match (said, case["error"].as_str()) {
            (Ok(said), None) => assert_eq!(said, case["means"], "{}", name(&case)),
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{}: {error}", name(&case));
            }
            (said, _) => panic!("{}: {said:?}", name(&case)),
        }
    }
}

#[test]
fn replies_are_written_as_in_the_transcript() {
    for case in cases("centrifugo-replies.json") {
        let mut out = b"before ".to_vec();
        let reply = script::reply(&case["reply"]);
        json::reply(&reply, &mut out);
        check_written(&case, &out);
        // The acknowledgement of a `send` is no word of the protocol's schema.
        if case["reply"].get("send").is_none() {
            let mut out = b"before".to_vec();
            protobuf::reply(&reply, &mut out);
            assert_eq!(out.strip_prefix(b"before").unwrap(), hex(&case), "{}", name(&case));
        }
    }
}

#[test]
fn pushes_are_written_as_in_the_transcript() {
    for case in cases("centrifugo-pushes.json") {
        let mut out = b"before ".to_vec();
        let push = script::push(&case["push"]);
        json::push(&push, &mut out);
        check_written(&case, &out);
        let mut bare = Vec::new();
        json::bare_push(&push, &mut bare);
        assert_eq!([b"before {\"push\":", &bare[..], b"}"].concat(), out, "{}", name(&case));

        out.clear();
        protobuf::push(&push, &mut out);
        assert_eq!(out, hex(&case), "{}", name(&case));
        bare.clear();
        protobuf::bare_push(&push, &mut bare);
        let envelope = &out[out.len() - bare.len() - 1..];
        assert_eq!(envelope, [&[0x22], &bare[..]].concat(), "{}", name(&case));
    }
}

fn check_written(case: &Value, out: &[u8]) {
    let out = std::str::from_utf8(out).unwrap();
    let written = out.strip_prefix("before ").unwrap();
    assert_eq!(written, case["out"].as_str().unwrap(), "{}", name(case));
    let read = serde_json::from_str::<Value>(written);
    assert!(read.is_ok(), "{}: {read:?}", name(case));
}

#[test]
fn raw_clients_see_and_say_what_the_transcript_says() {
    for case in cases("raw.json") {
        if case.get("push").is_some() {
            check_seen(&case);
        } else {
            check_said(&case);
        }
    }
}

fn check_seen(case: &Value) {
    let mut out = Vec::new();
    let form = raw::push(&script::push(&case["push"]), mode(case), &mut out);
    let form = form.map(|form| match form {
        Form::Binary => "binary",
        Form::Text => "text",
    });
    assert_eq!(form, case["form"].as_str(), "{}", name(case));
    let expected = case["out"].as_str().unwrap_or("");
    assert_eq!(String::from_utf8(out).unwrap(), expected, "{}", name(case));
}

fn check_said(case: &Value) {
    let frame = case["in"].as_str().unwrap();
    let is_text = case["is_text"].as_bool().unwrap_or(true);
    match raw::payload(frame.as_bytes(), is_text, mode(case)) {
        Ok(data) => {
            assert_eq!(Some(data.content.name()), case["content"].as_str(), "{}", name(case));
            assert_eq!(data.bytes, case["data"].as_str().unwrap().as_bytes(), "{}", name(case));
        }
        Err(error) => {
            let expected = case["error"].as_str().unwrap_or("no error at all");
            assert!(error.to_string().contains(expected), "{}: {error}", name(case));
        }
    }
}

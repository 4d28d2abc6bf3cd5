//! Holds the dialects against `spec/transcripts`.

use std::path::Path;

use jackfield_dialects::centrifugo::json;
use jackfield_dialects::raw::{self, Form, Mode};
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
        let mut commands = json::commands(frame.as_bytes());
        for expected in case["commands"].as_array().into_iter().flatten() {
            let command = commands.next().unwrap_or_else(|| panic!("{}: a command is missing", name(&case)));
            let command = command.unwrap_or_else(|error| panic!("{}: {error}", name(&case)));
            assert_eq!(script::told(&command), *expected, "{}", name(&case));
        }
        if let Some(expected) = case["error"].as_str() {
            let error = commands.next().unwrap().expect_err(name(&case)).to_string();
            assert!(error.contains(expected), "{}: {error}", name(&case));
        }
        assert!(commands.next().is_none(), "{}: something is left", name(&case));
        assert!(commands.next().is_none(), "{}: it is not fused", name(&case));
    }
}

#[test]
fn replies_are_written_as_in_the_transcript() {
    for case in cases("centrifugo-replies.json") {
        let mut out = b"before ".to_vec();
        json::reply(&script::reply(&case["reply"]), &mut out);
        check_written(&case, &out);
    }
}

#[test]
fn pushes_are_written_as_in_the_transcript() {
    for case in cases("centrifugo-pushes.json") {
        let mut out = b"before ".to_vec();
        json::push(&script::push(&case["push"]), &mut out);
        check_written(&case, &out);
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

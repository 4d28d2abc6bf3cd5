//! Commands in Protobuf: the first byte says after how many somebody stops and goes on with the rest, which must not
//! change what comes out.
#![no_main]

use jackfield_dialects::centrifugo::{emulation, json, protobuf};
use jackfield_model::Content;
use jackfield_model::client::{Command, Push, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&stop, frame)) = bytes.split_first() else {
        return;
    };
    let whole: Vec<String> = protobuf::commands(frame).map(printed).collect();
    let mut commands = protobuf::commands(frame);
    let mut parts: Vec<String> = commands.by_ref().take(usize::from(stop) + 1).map(printed).collect();
    let rest = commands.rest();
    if !rest.is_empty() {
        parts.extend(protobuf::commands(rest).map(printed));
    }
    assert_eq!(parts, whole);
    for command in protobuf::commands(frame).flatten() {
        check(&command, frame);
    }
    let _ = protobuf::command(frame);
    let _ = protobuf::connect_request(frame);
    if let Ok(request) = emulation::protobuf(frame) {
        assert!(request.data.len() <= frame.len());
    }
});

/// An error says where it is, which depends on where one begins.
fn printed(command: Result<Command<'_>, jackfield_dialects::DialectError>) -> String {
    command.map_or_else(|_| "error".to_owned(), |command| format!("{command:?}"))
}

/// What a client said lies in its frame, and is a line of JSON for others if it is JSON.
fn check(command: &Command<'_>, frame: &[u8]) {
    let data = match &command.request {
        Request::Publish(publish) => publish.data,
        Request::Rpc(rpc) => rpc.data,
        Request::Send(data) => *data,
        Request::Subscribe(subscribe) => match subscribe.data {
            Some(data) => data,
            None => return,
        },
        _ => return,
    };
    assert!(frame.as_ptr_range().contains(&data.bytes.as_ptr()) || data.bytes == b"null" || data.bytes.is_empty());
    let mut line = Vec::new();
    json::push(&Push::Message(data.to_payload()), &mut line);
    assert!(!line.contains(&b'\n'));
    if data.content == Content::Json {
        assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&line).is_ok());
    }
}

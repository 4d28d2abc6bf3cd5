//! Commands in JSON: the first byte says after how many somebody stops and goes on with the rest, which must not change
//! what comes out.
#![no_main]

use jackfield_dialects::centrifugo::{emulation, json, protobuf};
use jackfield_model::client::{Command, Push, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&stop, frame)) = bytes.split_first() else {
        return;
    };
    let whole: Vec<String> = json::commands(frame).map(printed).collect();
    let mut commands = json::commands(frame);
    let mut parts: Vec<String> = commands.by_ref().take(usize::from(stop) + 1).map(printed).collect();
    let rest = commands.rest();
    if !rest.is_empty() {
        parts.extend(json::commands(rest).map(printed));
    }
    assert_eq!(parts, whole);
    for command in json::commands(frame).flatten() {
        check(&command, frame);
    }
    let _ = json::connect_request(frame);
    if let Ok(request) = emulation::json(frame) {
        assert!(request.data.len() <= frame.len());
    }
});

/// An error says where it is, which depends on where one begins.
fn printed(command: Result<Command<'_>, jackfield_dialects::DialectError>) -> String {
    command.map_or_else(|_| "error".to_owned(), |command| format!("{command:?}"))
}

/// What a client said lies in its frame, and goes out as one line in JSON and as it is in Protobuf.
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
    if data.bytes.is_empty() {
        // Only who removes a key may say nothing.
        assert!(matches!(&command.request, Request::Publish(publish) if publish.removed));
        return;
    }
    assert!(frame.as_ptr_range().contains(&data.bytes.as_ptr()) || data.bytes == b"null");
    let push = Push::Message(data.to_payload());
    let mut line = Vec::new();
    json::push(&push, &mut line);
    assert!(!line.contains(&b'\n'));
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&line).is_ok());
    let mut message = Vec::new();
    protobuf::push(&push, &mut message);
    assert!(message.ends_with(data.bytes));
}

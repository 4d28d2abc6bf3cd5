//! What holds for all bytes, all strings and all sequences of commands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_dialects::centrifugo;
use jackfield_dialects::raw::{self, Mode};
use jackfield_model::client::{Push, Request};
use jackfield_model::{Content, Payload, Publication};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Strings of any characters, the awkward ones more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let awkward = proptest::sample::select(vec!['"', '\\', '\n', '\r', '\0', '\u{1f}', '\u{7f}', '\u{2028}', '/']);
    let character = prop_oneof![3 => any::<char>(), 1 => awkward, 2 => proptest::char::range(' ', '~')];
    vec(character, 0..40).prop_map(|characters| characters.into_iter().collect())
}

/// JSON values, not too deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Bytes that look like commands at first sight, so that the parser gets beyond the first brace.
fn nearly_commands() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\n",
        "\r",
        " ",
        "\"",
        "\\",
        "\\u",
        "d800",
        "\"id\"",
        "\"connect\":{",
        "\"subscribe\":{",
        "\"publish\":{",
        "\"channel\":",
        "\"data\":",
        "\"since\":{",
        "\"offset\":",
        "\"rpc\":{",
        "\"send\":{",
        "\"ping\":",
        "\"history\":{",
        "\"tf\":{",
        "\"nodes\":[",
        "\"vals\":[",
        "\"op\":\"and\"",
        "\"cursor\":",
        "\"removed\":true",
        "\"type\":",
        "\"time\":",
        "\"token\":\"t\"",
        "null",
        "true",
        "-1",
        "1",
        "1e999",
        "4294967296",
        "18446744073709551616",
        "{}",
        "{}\n",
        "\u{e9}",
        "0.5",
    ];
    let piece = prop_oneof![
        20 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..3),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn walk(frame: &[u8]) {
    let mut commands = centrifugo::json::commands(frame);
    let mut count = 0;
    while let Some(command) = commands.next() {
        count += 1;
        if let Err(error) = command {
            assert!(!error.to_string().is_empty());
            assert!(commands.next().is_none());
        }
    }
    assert!(count > 0 && count <= frame.len() + 1);
}

fn publication(data: Payload, tags: BTreeMap<String, String>, channel: &str) -> Push {
    let tags = Some(Arc::new(tags));
    Push::Publication(channel.into(), Arc::new(Publication { data, tags, ..Publication::default() }))
}

fn written(value: &Value, pretty: bool) -> Vec<u8> {
    if pretty { serde_json::to_vec_pretty(value).unwrap() } else { serde_json::to_vec(value).unwrap() }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(frame in vec(any::<u8>(), 0..200), is_text: bool) {
        walk(&frame);
        for mode in [Mode::Json, Mode::Text] {
            if let Ok(data) = raw::payload(&frame, is_text, mode) {
                prop_assert!(data.bytes.len() <= frame.len());
            }
        }
    }

    #[test]
    fn no_bytes_that_look_like_commands_do_harm(frame in nearly_commands()) {
        walk(&frame);
    }

    #[test]
    fn payloads_that_break_their_word_do_no_harm(bytes in vec(any::<u8>(), 0..60), quoted: bool) {
        let bytes = if quoted { [b"\"", &bytes[..], b"\""].concat() } else { bytes };
        for content in [Content::Binary, Content::Json, Content::Text] {
            let push = Push::Message(Payload { bytes: bytes.clone().into(), content });
            let mut out = Vec::new();
            centrifugo::json::push(&push, &mut out);
            for mode in [Mode::Json, Mode::Text] {
                raw::push(&push, mode, &mut out);
            }
        }
    }

    #[test]
    fn strings_survive(channel in text(), data in text(), tags in btree_map(text(), text(), 0..3)) {
        let push = publication(Payload::text(data.clone()), tags.clone(), &channel);
        let mut out = Vec::new();
        centrifugo::json::push(&push, &mut out);
        prop_assert!(!out.contains(&b'\n'));
        let read: Value = serde_json::from_slice(&out).unwrap();
        let read = &read["push"];
        prop_assert_eq!(read["channel"].as_str().unwrap_or(""), channel);
        prop_assert_eq!(read["pub"]["data"].as_str(), Some(&*data));
        for (name, tag) in &tags {
            prop_assert_eq!(read["pub"]["tags"][name].as_str(), Some(&**tag));
        }
    }

    #[test]
    fn json_survives_on_one_line(data in value(), pretty: bool) {
        let push = publication(Payload::json(written(&data, pretty)), BTreeMap::new(), "c");
        let mut out = Vec::new();
        centrifugo::json::push(&push, &mut out);
        prop_assert!(!out.contains(&b'\n'));
        let read: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&read["push"]["pub"]["data"], &data);

        out.clear();
        raw::push(&push, Mode::Json, &mut out);
        prop_assert_eq!(&serde_json::from_slice::<Value>(&out).unwrap(), &data);
    }

    #[test]
    fn a_json_string_and_a_text_look_the_same_to_a_raw_text_client(data in text(), ascii: bool) {
        let mut quoted = serde_json::to_string(&data).unwrap();
        if ascii {
            quoted = in_ascii(&quoted);
        }
        for payload in [Payload::json(quoted), Payload::text(data.clone())] {
            let mut out = Vec::new();
            raw::push(&Push::Message(payload), Mode::Text, &mut out);
            prop_assert_eq!(std::str::from_utf8(&out), Ok(&*data));
        }
    }

    #[test]
    fn bytes_survive_as_base64(data in vec(any::<u8>(), 0..100)) {
        use base64::Engine;
        let mut out = Vec::new();
        raw::push(&Push::Message(Payload::binary(data.clone())), Mode::Json, &mut out);
        let text: String = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(base64::engine::general_purpose::STANDARD.decode(text).unwrap(), data);
    }

    #[test]
    fn each_of_the_joined_commands_comes_out(
        said in vec((1_u32.., text(), value(), any::<bool>()), 1..8),
        ends_with_newline: bool,
    ) {
        let mut frame = Vec::new();
        for (id, channel, data, pretty) in &said {
            let publish = json!({"channel": channel, "data": data});
            frame.extend(written(&json!({"id": id, "publish": publish}), *pretty));
            frame.push(b'\n');
        }
        if !ends_with_newline {
            frame.pop();
        }
        let heard = centrifugo::json::commands(&frame).collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(heard.len(), said.len());
        for (command, (id, channel, data, _)) in heard.iter().zip(&said) {
            prop_assert_eq!(command.id, *id);
            let Request::Publish(publish) = &command.request else {
                return Err(TestCaseError::fail("no publish"));
            };
            prop_assert_eq!(&*publish.channel, channel);
            let has_escapes = serde_json::to_string(channel).unwrap().contains('\\');
            prop_assert_eq!(matches!(publish.channel, Cow::Borrowed(_)), !has_escapes);
            prop_assert_eq!(&serde_json::from_slice::<Value>(publish.data.bytes).unwrap(), data);
        }
    }
}

/// Escapes whatever is no ASCII.
fn in_ascii(quoted: &str) -> String {
    let mut ascii = String::new();
    for character in quoted.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04X}"));
            }
        }
    }
    ascii
}

#[test]
fn deep_nesting_does_no_harm() {
    let deep = |open: &str, close: &str, levels: usize| open.repeat(levels) + &close.repeat(levels);
    for levels in [100, 1000, 10_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let value = deep(open, close, levels).replace("{\"a\":}", "{}");
            walk(value.as_bytes());
            for field in ["data", "later", "token"] {
                walk(format!("{{\"id\":1,\"connect\":{{\"{field}\":{value}}}}}").as_bytes());
            }
            walk(format!("{{\"id\":1,\"later\":{value}}}").as_bytes());
            walk(format!("{{\"id\":1,\"ping\":{value}}}").as_bytes());
            walk(format!("{{\"id\":{value}}}").as_bytes());
            let is_fine = raw::payload(value.as_bytes(), true, Mode::Json).is_ok();
            assert_eq!(is_fine, levels <= 128);
            for field in ["connect", "publish", "rpc", "send"] {
                let frame = format!("{{\"id\":1,\"{field}\":{{\"data\":{value}}}}}");
                let is_fine = centrifugo::json::commands(frame.as_bytes()).all(|command| command.is_ok());
                assert_eq!(is_fine, levels <= 128, "{field}");
            }
        }
        walk("{\"connect\":".repeat(levels).as_bytes());
    }
}

#[test]
fn text_frames_must_be_utf8_and_binary_frames_need_not() {
    assert!(raw::payload(b"\xff", true, Mode::Text).is_err());
    assert!(raw::payload(b"\xff", false, Mode::Text).is_ok());
    assert!(raw::payload(b"\"\xff\"", false, Mode::Json).is_err());
    assert!(centrifugo::json::commands(b"{\"send\":{\"data\":\"\xff\"}}").all(|command| command.is_err()));
    assert!(centrifugo::json::commands(b"{\"rpc\":{\"method\":\"\xff\"}}").all(|command| command.is_err()));
}

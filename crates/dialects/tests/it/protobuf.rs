//! What holds for all Protobuf frames, written and read by a second hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_dialects::centrifugo::{emulation, protobuf};
use jackfield_model::client::{Answer, HistoryPage, Push, Reply, Request};
use jackfield_model::{Content, Payload, Position, Publication};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(crate) fn number(field: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(field) << 3), varint(value)].concat()
}

pub(crate) fn bytes(field: u32, value: &[u8]) -> Vec<u8> {
    [varint(u64::from(field) << 3 | 2), prefixed(value)].concat()
}

pub(crate) fn prefixed(value: &[u8]) -> Vec<u8> {
    [&varint(value.len() as u64), value].concat()
}

/// A field as the second hand reads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

pub(crate) fn take_prefixed<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = take_varint(bytes) as usize;
    let (value, rest) = bytes.split_at(length);
    *bytes = rest;
    value
}

pub(crate) fn seen(mut message: &[u8]) -> Vec<(u64, Seen<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = take_varint(&mut message);
        let value = match tag & 7 {
            0 => Seen::Number(take_varint(&mut message)),
            2 => Seen::Bytes(take_prefixed(&mut message)),
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

/// The one field with this number.
pub(crate) fn only<'a>(fields: &[(u64, Seen<'a>)], number: u64) -> Option<Seen<'a>> {
    let mut values = fields.iter().filter(|(other, _)| *other == number).map(|(_, value)| value.clone());
    let value = values.next();
    assert!(values.next().is_none(), "field {number} stands there twice: {fields:?}");
    value
}

pub(crate) fn inside<'a>(fields: &[(u64, Seen<'a>)], number: u64) -> &'a [u8] {
    match only(fields, number) {
        Some(Seen::Bytes(value)) => value,
        other => panic!("field {number} is {other:?}"),
    }
}

/// Messages that are right, nearly right and not at all.
fn nearly_commands() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        (0_u32..20, any::<u64>()).prop_map(|(field, value)| number(field, value)),
        (0_u32..20, vec(any::<u8>(), 0..6)).prop_map(|(field, value)| bytes(field, &value)),
        vec(any::<u8>(), 1..4),
        Just(vec![0x0b]),
        Just(vec![0x0c]),
    ];
    let message = leaf.prop_recursive(4, 40, 6, |inner| {
        (1_u32..16, vec(inner, 0..6)).prop_map(|(field, parts)| bytes(field, &parts.concat()))
    });
    vec(message.prop_map(|message| prefixed(&message)), 0..5).prop_map(|messages| messages.concat())
}

fn walk(frame: &[u8]) {
    let mut commands = protobuf::commands(frame);
    let mut count = 0;
    while let Some(command) = commands.next() {
        count += 1;
        if let Err(error) = command {
            assert!(!error.to_string().is_empty());
            assert!(commands.next().is_none() && commands.rest().is_empty());
        }
        assert!(frame.ends_with(commands.rest()));
    }
    assert!(count > 0 && count <= frame.len() + 1);
    drop((protobuf::command(frame), protobuf::connect_request(frame), emulation::protobuf(frame)));
    drop(emulation::json(frame));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(frame in vec(any::<u8>(), 0..200)) {
        walk(&frame);
    }

    #[test]
    fn no_bytes_that_look_like_commands_do_harm(frame in nearly_commands(), cut in any::<prop::sample::Index>()) {
        walk(&frame);
        walk(&frame[..cut.index(frame.len() + 1)]);
    }

    #[test]
    fn each_of_the_joined_commands_comes_out_and_nothing_is_copied(
        said in vec((1_u32.., ".{0,20}", vec(any::<u8>(), 1..40)), 1..8),
        stop in 0_usize..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let messages: Vec<Vec<u8>> = said.iter().map(|(id, channel, data)| {
            let publish = [bytes(2, data), bytes(1, channel.as_bytes())].concat();
            prefixed(&[bytes(7, &publish), number(1, (*id).into())].concat())
        }).collect();
        let frame = messages.concat();
        let mut commands = protobuf::commands(&frame);
        let mut heard: Vec<_> = commands.by_ref().take(stop).collect::<Result<_, _>>().unwrap();
        // Whoever stopped goes on with the rest as if it were a frame.
        if heard.len() < said.len() {
            let rest = commands.rest();
            heard.extend(protobuf::commands(rest).collect::<Result<Vec<_>, _>>().unwrap());
        }
        prop_assert!(commands.count() + stop.min(said.len()) == said.len());
        prop_assert_eq!(heard.len(), said.len());
        for (command, (id, channel, data)) in heard.iter().zip(&said) {
            prop_assert_eq!(command.id, *id);
            let Request::Publish(publish) = &command.request else {
                return Err(TestCaseError::fail("no publish"));
            };
            prop_assert_eq!(&*publish.channel, channel);
            prop_assert_eq!(publish.data.bytes, &data[..]);
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
            prop_assert_eq!(publish.data.content, if is_json { Content::Json } else { Content::Binary });
            for slice in [publish.data.bytes, publish.channel.as_bytes()] {
                prop_assert!(slice.is_empty() || frame.as_ptr_range().contains(&slice.as_ptr()));
            }
        }

        // What is cut off does not change what came before it.
        let end = cut.index(frame.len());
        let whole = messages.iter().scan(0, |at, message| { *at += message.len(); Some(*at) }).filter(|at| *at <= end);
        let whole = whole.count();
        let fine = protobuf::commands(&frame[..end]).take_while(Result::is_ok).count();
        prop_assert_eq!(fine, whole);
    }

    #[test]
    fn publications_survive(
        channel in ".{0,20}",
        data in vec(any::<u8>(), 1..300),
        content in proptest::sample::select(vec![Content::Binary, Content::Json, Content::Text]),
        tags in btree_map(".{0,9}", ".{0,200}", 0..3),
        offset: u64,
        time in 1_u64..1 << 60,
    ) {
        let publication = Arc::new(Publication {
            offset, time, info: None, rare: None,
            data: Payload { bytes: data.into(), content },
            tags: Some(Arc::new(tags.clone())),
        });
        let mut out = Vec::new();
        protobuf::push(&Push::Publication(channel.as_str().into(), Arc::clone(&publication)), &mut out);
        let mut rest = &out[..];
        let reply = seen(take_prefixed(&mut rest));
        prop_assert!(rest.is_empty());
        let push = seen(inside(&reply, 4));
        let expected = (!channel.is_empty()).then_some(Seen::Bytes(channel.as_bytes()));
        prop_assert_eq!(only(&push, 2), expected);
        check_publication(inside(&push, 4), &publication, &tags);

        // The same in a list, with neighbours.
        out.clear();
        let page = HistoryPage {
            publications: vec![Arc::clone(&publication), Arc::default(), Arc::clone(&publication)],
            position: Position { offset, epoch: "e".into() },
        };
        protobuf::reply(&Reply { id: 9, outcome: Ok(Answer::History(page)) }, &mut out);
        let mut rest = &out[..];
        let reply = seen(take_prefixed(&mut rest));
        prop_assert!(rest.is_empty());
        prop_assert_eq!(only(&reply, 1), Some(Seen::Number(9)));
        let page = seen(inside(&reply, 11));
        let [(1, Seen::Bytes(first)), (1, Seen::Bytes(second)), (1, Seen::Bytes(third)), (2, _), ..] = &page[..] else {
            return Err(TestCaseError::fail(format!("{page:?}")));
        };
        prop_assert!(second.is_empty() && first == third);
        check_publication(first, &publication, &tags);
    }
}

fn check_publication(message: &[u8], publication: &Publication, tags: &BTreeMap<String, String>) {
    let fields = seen(message);
    assert_eq!(inside(&fields, 4), &publication.data.bytes);
    assert_eq!(only(&fields, 6), (publication.offset != 0).then_some(Seen::Number(publication.offset)));
    assert_eq!(only(&fields, 9), Some(Seen::Number(publication.time)));
    let read = fields.iter().filter(|(number, _)| *number == 7).map(|(_, entry)| {
        let Seen::Bytes(entry) = entry else { panic!("{entry:?}") };
        let entry = seen(entry);
        let text = |number| String::from_utf8(inside(&entry, number).to_vec()).unwrap();
        (text(1), text(2))
    });
    assert_eq!(read.collect::<BTreeMap<_, _>>(), *tags);
}

#[test]
fn json_may_not_nest_deeper_than_for_other_clients() {
    for (levels, is_fine) in [(128, true), (129, false), (30_000, false)] {
        let data = "[".repeat(levels) + &"]".repeat(levels);
        for (request, field) in [(4, 2), (7, 2), (12, 1), (13, 1)] {
            let message = bytes(request, &bytes(field, data.as_bytes()));
            assert_eq!(protobuf::command(&message).is_ok(), is_fine, "{levels} levels in request {request}");
        }
        // What is no JSON has no levels.
        let message = bytes(12, &bytes(1, "[".repeat(levels).as_bytes()));
        assert!(protobuf::command(&message).is_ok());
    }
}

#[test]
fn the_acknowledgement_of_a_send_has_a_number_of_our_own() {
    let mut out = Vec::new();
    protobuf::reply(&Reply { id: 3, outcome: Ok(Answer::Send) }, &mut out);
    let mut rest = &out[..];
    assert_eq!(seen(take_prefixed(&mut rest)), [(1, Seen::Number(3)), (101, Seen::Bytes(b""))]);
    assert!(rest.is_empty());
}

#[test]
fn a_ping_is_an_empty_reply() {
    assert_eq!(protobuf::PING, [0]);
    assert!(matches!(protobuf::command(b"").unwrap().request, Request::Pong));
}

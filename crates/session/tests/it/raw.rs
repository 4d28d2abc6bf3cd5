//! Raw endpoints: a frame is a message, to a channel or to the application.

use std::sync::Arc;

use jackfield_dialects::raw::Mode;
use jackfield_hub::Options;
use jackfield_hub::namespace::PublishTo;
use jackfield_model::ClientError;
use jackfield_model::app::{Answer, EventKind};
use jackfield_session::{Dialect, Endpoint, Feed, Framing, Hold, Keepalive, Settings, Tells};

use crate::client::{House, deliver, endpoint};

fn raw(mode: Mode, publish_to: PublishTo, keepalive: Keepalive) -> Arc<Endpoint> {
    let framing = if keepalive == Keepalive::Frames { Framing::WEBSOCKET } else { Framing::Lines };
    endpoint(Dialect::Raw(mode), framing, keepalive, Some(Feed { event: "reading".to_owned(), publish_to }))
}

fn house() -> House {
    let tells = Tells { connect: true, disconnect: true, message: true, ..Tells::default() };
    House::new(Settings { tells, ..Settings::default() }, vec![("", Options::default())])
}

#[test]
fn frames_go_to_the_channel_and_come_back_to_all_in_it() {
    let mut house = house();
    let lines = raw(Mode::Text, PublishTo::Channel, Keepalive::Tcp);
    let sockets = raw(Mode::Json, PublishTo::Channel, Keepalive::Frames);
    let mut ann = house.visit(&lines, Some("room"));
    let bob = house.visit(&sockets, Some("room"));
    let eve = house.visit(&lines, Some("elsewhere"));
    assert_eq!((house.hub.connections(), house.hub.channels()), (3, 2));
    ann.say(&mut house, "hello");
    assert_eq!(deliver(&mut house, &ann), ["hello"]);
    assert_eq!(deliver(&mut house, &bob), [r#""hello""#]);
    assert!(deliver(&mut house, &eve).is_empty());
    let told: Vec<_> = ann.take().events.iter().map(|(event, call)| (event.kind, call.is_some())).collect();
    assert_eq!(told, [(EventKind::Connect, false)]);
}

#[test]
fn frames_go_to_the_application_and_those_who_ask_too_much_wait() {
    let mut house = house();
    house.settings.calls_in_flight = 2;
    let mut client = house.visit(&raw(Mode::Text, PublishTo::App, Keepalive::Tcp), Some("room"));
    client.take();
    assert_eq!(client.hold(&mut house), Hold::No);
    client.say(&mut house, "21.5");
    client.say(&mut house, "21.6");
    assert_eq!(client.hold(&mut house), Hold::UntilAnswer);
    let events = client.take().events;
    let (event, call) = &events[0];
    assert_eq!((event.name.as_str(), event.channel.as_deref(), event.seq), ("reading", Some("room"), 2));
    assert_eq!((event.origin.transport, event.origin.protocol), ("tcp", "raw-text"));
    client.answer(&mut house, call.unwrap(), Answer::Enqueued);
    assert_eq!(client.hold(&mut house), Hold::No);
    client.answer(&mut house, events[1].1.unwrap(), Answer::Error(ClientError::TOO_MANY_REQUESTS));
    assert_eq!(client.take().closed.unwrap().code, 1013, "a message must not vanish in silence");
    assert_eq!(house.hub.connections(), 0);
}

#[test]
fn without_an_application_there_is_nobody_to_tell() {
    let mut house = House::new(Settings::default(), Vec::new());
    let mut client = house.visit(&raw(Mode::Text, PublishTo::App, Keepalive::Tcp), None);
    assert_eq!(client.fall(&mut house, "x").code, 3508);
}

#[test]
fn json_is_asked_for_where_json_is_promised() {
    let mut house = house();
    let json = raw(Mode::Json, PublishTo::Channel, Keepalive::Frames);
    let mut client = house.visit(&json, Some("room"));
    client.say(&mut house, r#" {"a": [1, 2]} "#);
    assert!(client.is_open());
    assert_eq!(client.fall(&mut house, "{").code, 3501);
    let mut binary = house.visit(&json, Some("room"));
    binary.say_bytes(&mut house, b"\xff\xfe");
    assert_eq!(binary.take().closed.unwrap().code, 3501);
}

#[test]
fn a_channel_without_a_namespace_ends_the_visit() {
    let mut house = house();
    let mut client = house.visit(&raw(Mode::Text, PublishTo::Channel, Keepalive::Tcp), Some("no:such"));
    assert_eq!(client.take().closed.unwrap().code, 3501);
    assert_eq!((house.hub.connections(), house.hub.channels()), (0, 0));
}

#[test]
fn too_fast_is_read_more_slowly() {
    let mut house = house();
    house.settings.message_rate = 3;
    let mut client = house.visit(&raw(Mode::Text, PublishTo::Channel, Keepalive::Tcp), Some("room"));
    house.pass(15);
    for _ in 0..3 {
        assert_eq!(client.hold(&mut house), Hold::No);
        client.say(&mut house, "x");
    }
    let Hold::Until(tick) = client.hold(&mut house) else { panic!("it may go on") };
    assert_eq!(tick, (house.now.tick / 10 + 1) * 10);
    house.pass(tick - house.now.tick);
    assert_eq!(client.hold(&mut house), Hold::No);
    assert!(client.is_open());
}

#[test]
fn sockets_are_pinged_in_their_framing_and_lines_are_not() {
    let mut house = house();
    let lines = house.visit(&raw(Mode::Text, PublishTo::Channel, Keepalive::Tcp), None);
    assert_eq!(lines.session.due(), u32::MAX);
    let sockets = raw(Mode::Text, PublishTo::Channel, Keepalive::Frames);
    let mut live = house.visit(&sockets, None);
    live.session.pong_frame();
    live.wait(&mut house);
    assert_eq!(live.take().lines, ["{}"]);
    live.session.pong_frame();
    assert!(live.session.due() >= house.now.tick + 240);
    let mut dead = house.visit(&sockets, None);
    while dead.is_open() {
        dead.wait(&mut house);
    }
    assert_eq!(dead.take().closed.unwrap().code, 3012);
}

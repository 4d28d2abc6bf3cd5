//! How fast a client may speak.

use jackfield_session::Settings;

use crate::client::{House, anonymous};

const PING: &str = r#"{"id":9,"ping":{}}"#;

#[test]
fn too_fast_is_told_then_ended() {
    let mut house = House::new(Settings { message_rate: 10, ..anonymous() }, Vec::new());
    let mut client = house.member();
    house.pass(10);
    for _ in 0..10 {
        assert!(client.ask(&mut house, PING).contains("ping"));
    }
    for _ in 0..40 {
        assert!(client.ask(&mut house, PING).contains(r#""code":111"#));
    }
    assert_eq!(client.fall(&mut house, PING).code, 3013);
}

#[test]
fn a_new_second_begins_anew_and_zero_is_no_limit() {
    let mut house = House::new(Settings { message_rate: 10, ..anonymous() }, Vec::new());
    let mut client = house.member();
    for _ in 0..100 {
        house.pass(10);
        for _ in 0..10 {
            assert!(client.ask(&mut house, PING).contains("ping"));
        }
    }
    house.settings.message_rate = 0;
    for _ in 0..10_000 {
        assert!(client.ask(&mut house, PING).contains("ping"));
    }
}

#[test]
fn what_cannot_be_told_ends_at_once() {
    let mut house = House::new(Settings { message_rate: 2, ..anonymous() }, Vec::new());
    house.settings.tells.message = true;
    let mut client = house.member();
    client.say(&mut house, r#"{"send":{"data":1}}"#);
    assert_eq!(client.fall(&mut house, r#"{"send":{"data":2}}"#).code, 3013);
}

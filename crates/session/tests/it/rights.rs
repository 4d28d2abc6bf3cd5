//! Who may do what: every permission, for every kind of client.

use jackfield_hub::Options;
use jackfield_hub::namespace::Permission;
use jackfield_session::Settings;

use crate::client::{House, with_tokens};

const COMMANDS: [&str; 5] = ["subscribe", "publish", "presence", "presence_stats", "history"];

/// A namespace in which `permission` is the answer to one command, and `in:` whose channels anybody may join.
fn options(command: &str, permission: Permission) -> Options {
    let mut options = Options { presence: true, history_size: 5, history_ttl: 1_000, ..Options::default() };
    match command {
        "subscribe" => options.subscribe = permission,
        "publish" => options.publish = permission,
        "history" => options.read_history = permission,
        _ => options.read_presence = permission,
    }
    if command != "subscribe" {
        options.subscribe = Permission { client: true, subscriber: false, anonymous: true };
    }
    options
}

fn is_allowed(command: &str, permission: Permission, (has_user, is_in, insecure): (bool, bool, bool)) -> bool {
    let settings = Settings { allow_anonymous_without_token: true, insecure, ..with_tokens() };
    let mut house = House::new(settings, vec![("", options(command, permission))]);
    let mut client = if has_user { house.user("ann") } else { house.member() };
    if is_in {
        client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    }
    let reply = client.ask(&mut house, &format!(r#"{{"id":3,"{command}":{{"channel":"a","data":1}}}}"#));
    let refused = reply.contains(r#""code":103"#);
    assert!(refused || !reply.contains("error"), "{command}: {reply}");
    !refused
}

#[test]
fn the_whole_matrix() {
    let mut cases = 0;
    for bits in 0..8 {
        let permission = Permission { client: bits & 1 != 0, subscriber: bits & 2 != 0, anonymous: bits & 4 != 0 };
        for who in 0..8 {
            let who @ (has_user, is_in, insecure) = (who & 1 != 0, who & 2 != 0, who & 4 != 0);
            for command in COMMANDS {
                if command == "subscribe" && is_in {
                    continue;
                }
                let due = insecure
                    || (permission.client && has_user)
                    || (permission.subscriber && is_in)
                    || (permission.anonymous && !has_user);
                assert_eq!(is_allowed(command, permission, who), due, "{command} {permission:?} {who:?}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 8 * (8 * 5 - 4));
}

#[test]
fn insecure_opens_no_private_channel_and_no_unknown_namespace() {
    let mut house = House::new(Settings { insecure: true, ..Settings::default() }, Vec::new());
    let mut client = house.member();
    assert!(client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"$a"}}"#).contains(r#""code":103"#));
    assert!(client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a:b"}}"#).contains(r#""code":102"#));
}

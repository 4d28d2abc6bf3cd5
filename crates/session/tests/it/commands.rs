//! Each command of a client that is in: what it gets, and what its neighbours hear.

use jackfield_hub::Options;
use jackfield_hub::namespace::PublishTo;
use jackfield_model::app::Answer;
use jackfield_session::{Settings, Tells};

use crate::client::{ANY, Client, House, anonymous, deliver};

fn code(reply: &str) -> u32 {
    let reply: serde_json::Value = serde_json::from_str(reply).unwrap();
    reply["error"]["code"].as_u64().unwrap_or_default() as u32
}

fn asks(client: &mut Client, house: &mut House, command: &str) -> u32 {
    code(&client.ask(house, command))
}

#[test]
fn subscribe_publish_receive_unsubscribe() {
    let mut house = House::open();
    let (mut ann, mut bob) = (house.member(), house.member());
    let reply = ann.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    assert!(reply.starts_with(r#"{"id":2,"subscribe":{"epoch":""#), "{reply}");
    assert_eq!(bob.ask(&mut house, r#"{"id":3,"publish":{"channel":"a","data":{"x":1}}}"#), r#"{"id":3,"publish":{}}"#);
    let heard = deliver(&mut house, &ann);
    assert_eq!(heard.len(), 1, "{heard:?}");
    let push: serde_json::Value = serde_json::from_str(&heard[0]).unwrap();
    assert_eq!(push["push"]["channel"], "a");
    assert_eq!(push["push"]["pub"]["data"]["x"], 1);
    assert_eq!(push["push"]["pub"]["offset"], 1);
    assert_eq!(push["push"]["pub"]["info"]["client"], bob.session.id().to_string());
    assert!(deliver(&mut house, &bob).is_empty());
    assert_eq!(ann.ask(&mut house, r#"{"id":4,"unsubscribe":{"channel":"a"}}"#), r#"{"id":4,"unsubscribe":{}}"#);
    assert_eq!(ann.ask(&mut house, r#"{"id":5,"unsubscribe":{"channel":"a"}}"#), r#"{"id":5,"unsubscribe":{}}"#);
    bob.ask(&mut house, r#"{"id":4,"publish":{"channel":"a","data":2}}"#);
    assert!(deliver(&mut house, &ann).is_empty());
}

#[test]
fn a_publisher_hears_itself_and_members_hear_who_comes_if_they_ask() {
    let mut house = House::open();
    let (mut ann, mut bob, mut eve) = (house.member(), house.member(), house.member());
    ann.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a","join_leave":true}}"#);
    bob.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    deliver(&mut house, &ann);
    eve.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
    eve.ask(&mut house, r#"{"id":3,"publish":{"channel":"a","data":1}}"#);
    eve.end(&mut house);
    let kinds = |lines: Vec<String>| -> Vec<String> {
        let kind = |line: String| {
            let push: serde_json::Value = serde_json::from_str(&line).unwrap();
            push["push"].as_object().unwrap().keys().find(|key| *key != "channel").unwrap().to_owned()
        };
        lines.into_iter().map(kind).collect()
    };
    let mail = deliver(&mut house, &ann);
    assert_eq!(kinds(mail), ["join", "pub", "leave"]);
    let mail = deliver(&mut house, &bob);
    assert_eq!(kinds(mail), ["pub"]);
}

#[test]
fn presence_and_history_are_read() {
    let mut house = House::open();
    let (mut ann, mut bob) = (house.member(), house.member());
    for client in [&mut ann, &mut bob] {
        client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a"}}"#);
        client.ask(&mut house, r#"{"id":3,"publish":{"channel":"a","data":1}}"#);
    }
    let reply = ann.ask(&mut house, r#"{"id":4,"presence":{"channel":"a"}}"#);
    assert!(reply.contains(&ann.session.id().to_string()) && reply.contains(&bob.session.id().to_string()), "{reply}");
    let reply = ann.ask(&mut house, r#"{"id":5,"presence_stats":{"channel":"a"}}"#);
    assert_eq!(reply, r#"{"id":5,"presence_stats":{"num_clients":2,"num_users":1}}"#);
    let page = |client: &mut Client, house: &mut House, options: &str| {
        let reply = client.ask(house, &format!(r#"{{"id":6,"history":{{"channel":"a"{options}}}}}"#));
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        let page = reply["history"].clone();
        let all = page["publications"].as_array().unwrap();
        let offsets: Vec<u64> = all.iter().map(|one| one["offset"].as_u64().unwrap()).collect();
        (offsets, page["offset"].as_u64().unwrap())
    };
    assert_eq!(page(&mut ann, &mut house, ""), (vec![], 2));
    assert_eq!(page(&mut ann, &mut house, r#","limit":-1"#), (vec![1, 2], 2));
    assert_eq!(page(&mut ann, &mut house, r#","limit":1,"reverse":true"#), (vec![2], 2));
    let elsewhere = r#"{"id":7,"history":{"channel":"a","limit":1,"since":{"offset":1,"epoch":"other"}}}"#;
    assert_eq!(asks(&mut ann, &mut house, elsewhere), 112);
}

#[test]
fn each_error_has_its_code() {
    let mut house = House::open();
    let mut client = house.member();
    let long = "x".repeat(256);
    let cases = [
        (r#"{"id":2,"subscribe":{"channel":"no:such"}}"#.to_owned(), 102),
        (r#"{"id":2,"publish":{"channel":"no:such","data":1}}"#.to_owned(), 102),
        (r#"{"id":2,"history":{"channel":"no:such"}}"#.to_owned(), 102),
        (r#"{"id":2,"presence":{"channel":"no:such"}}"#.to_owned(), 102),
        (r#"{"id":2,"presence_stats":{"channel":"no:such"}}"#.to_owned(), 102),
        (format!(r#"{{"id":2,"subscribe":{{"channel":"{long}"}}}}"#), 107),
        (r#"{"id":2,"subscribe":{"channel":"a\nb"}}"#.to_owned(), 107),
        (r#"{"id":2,"subscribe":{"channel":"$a"}}"#.to_owned(), 103),
        (r#"{"id":2,"subscribe":{"channel":"$a","token":"x"}}"#.to_owned(), 103),
        (r#"{"id":2,"subscribe":{"channel":"a","token":"x"}}"#.to_owned(), 103),
        (r#"{"id":2,"subscribe":{"channel":"a","type":1}}"#.to_owned(), 103),
        (r#"{"id":2,"subscribe":{"channel":"a","type":4}}"#.to_owned(), 108),
        (r#"{"id":2,"subscribe":{"channel":"a","phase":2}}"#.to_owned(), 107),
        (r#"{"id":2,"publish":{"channel":"a","type":1,"data":1}}"#.to_owned(), 107),
        (r#"{"id":2,"sub_refresh":{"channel":"a","token":"x"}}"#.to_owned(), 103),
        (r#"{"id":2,"sub_refresh":{"channel":"a","token":"x","type":1}}"#.to_owned(), 108),
        (r#"{"id":2,"rpc":{"method":"m"}}"#.to_owned(), 108),
        (r#"{"id":2,"send":{"data":1}}"#.to_owned(), 108),
        (r#"{"id":2,"subscribe":{"channel":"a"}}"#.to_owned(), 0),
        (r#"{"id":2,"subscribe":{"channel":"a"}}"#.to_owned(), 105),
        (r#"{"id":2,"subscribe":{"channel":"b","delta":"fossil"}}"#.to_owned(), 0),
    ];
    for (command, due) in cases {
        assert_eq!(asks(&mut client, &mut house, &command), due, "{command}");
    }
    house.settings.channel_limit = 2;
    assert_eq!(asks(&mut client, &mut house, r#"{"id":2,"subscribe":{"channel":"c"}}"#), 106);
    client.ask(&mut house, r#"{"id":2,"unsubscribe":{"channel":"a"}}"#);
    assert_eq!(asks(&mut client, &mut house, r#"{"id":2,"subscribe":{"channel":"c"}}"#), 0);
    house.settings.rpc_call = Some(100);
    assert_eq!(asks(&mut client, &mut house, &format!(r#"{{"id":2,"rpc":{{"method":"{long}"}}}}"#)), 107);
}

#[test]
fn what_a_channel_has_not_is_not_available() {
    let bare = Options { subscribe: ANY, publish: ANY, read_presence: ANY, read_history: ANY, ..Options::default() };
    let mut house = House::new(anonymous(), vec![("", bare)]);
    let mut client = house.member();
    for command in ["presence", "presence_stats", "history"] {
        assert_eq!(asks(&mut client, &mut house, &format!(r#"{{"id":2,"{command}":{{"channel":"a"}}}}"#)), 108);
    }
    assert_eq!(client.ask(&mut house, r#"{"id":3,"subscribe":{"channel":"a"}}"#), r#"{"id":3,"subscribe":{}}"#);
}

#[test]
fn some_mistakes_end_the_connection() {
    let mut house = House::open();
    for command in [
        r#"{"id":2,"subscribe":{}}"#,
        r#"{"id":2,"publish":{"data":1}}"#,
        r#"{"id":2,"unsubscribe":{}}"#,
        r#"{"id":2,"presence":{}}"#,
        r#"{"id":2,"presence_stats":{}}"#,
        r#"{"id":2,"history":{}}"#,
        r#"{"id":2,"refresh":{}}"#,
        r#"{"id":2,"subscribe":{"channel":"a","delta":"xor"}}"#,
        r#"{"subscribe":{"channel":"a"}}"#,
        r#"{"id":2}"#,
        r"{}",
        "",
        "nonsense",
    ] {
        assert_eq!(house.member().fall(&mut house, command).code, 3501, "{command}");
    }
    assert_eq!(house.member().fall(&mut house, r#"{"send":{"data":1}}"#).code, 3508);
    assert_eq!((house.hub.connections(), house.hub.channels()), (0, 0));
}

#[test]
fn an_error_in_a_frame_does_not_undo_what_stood_before_it() {
    let mut house = House::open();
    let mut client = house.member();
    client.say(&mut house, "{\"id\":2,\"ping\":{}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}\n\n");
    let heard = client.take();
    assert_eq!(heard.lines, [r#"{"id":2,"ping":{}}"#, r#"{"id":3,"publish":{}}"#]);
    assert_eq!(heard.closed.unwrap().code, 3501);
}

#[test]
fn recovery_that_does_not_happen_is_admitted() {
    let mut house = House::open();
    let mut client = house.member();
    let reply =
        client.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"a","recover":true,"offset":3,"epoch":"old"}}"#);
    assert!(reply.contains(r#""was_recovering":true"#) && !reply.contains(r#""recovered":true"#), "{reply}");
}

#[test]
fn publications_go_to_the_application_where_the_namespace_says_so() {
    let through = Options { publish: ANY, publish_to: PublishTo::App, ..Options::default() };
    let mut house = House::new(anonymous(), vec![("", through)]);
    let mut client = house.member();
    assert_eq!(asks(&mut client, &mut house, r#"{"id":2,"publish":{"channel":"a","data":1}}"#), 108);
    house.settings.tells.message = true;
    client.say(&mut house, r#"{"id":3,"publish":{"channel":"a","data":{"x":1}}}"#);
    let heard = client.take();
    let [(event, Some(call))] = heard.events.as_slice() else { panic!("{heard:?}") };
    assert_eq!((event.channel.as_deref(), event.name.as_str(), event.seq), (Some("a"), "message", 1));
    assert_eq!((event.data.bytes.as_ref(), event.deadline), (&br#"{"x":1}"#[..], None));
    client.answer(&mut house, *call, Answer::Enqueued);
    assert_eq!(client.take().lines, [r#"{"id":3,"publish":{}}"#]);
}

#[test]
fn whoever_goes_leaves_nothing_behind() {
    let tells = Tells::default();
    let mut house = House::new(
        Settings { tells, ..anonymous() },
        vec![("", Options { presence: true, join_leave: true, subscribe: ANY, ..Options::default() })],
    );
    let mut clients: Vec<Client> = (0..20).map(|_| house.member()).collect();
    for client in &mut clients {
        for channel in ["a", "b", "c"] {
            client.ask(&mut house, &format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#));
        }
    }
    assert_eq!((house.hub.connections(), house.hub.channels()), (20, 3));
    for (nth, client) in clients.iter_mut().enumerate() {
        if nth % 2 == 0 {
            client.end(&mut house);
        } else {
            client.fall(&mut house, "nonsense");
        }
    }
    assert_eq!((house.hub.connections(), house.hub.channels()), (0, 0));
}
